package lab

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// webAddress is where uppercut serves page and metrics, inside the gateway.
const webAddress = "127.0.0.1:9514"

// settings are uppercut's configuration; all that it does not say is default.
const settings = `mode: enforce
state_dir: %s
receiver:
  udp: ["10.25.0.1:1514"]
  tcp: ["10.25.0.1:1514"]
  senders: [10.25.0.0/24]
detector:
  texts: [{text: "Spam trap hit", reason: rcpt_trap}]
web:
  listen: "` + webAddress + `"
`

// startUppercut runs the binary on the gateway and returns when it is ready.
func (l *Lab) startUppercut(binary string) error {
	file := filepath.Join(l.Dir, "uppercut.yaml")
	state := filepath.Join(l.Dir, "state")
	if err := os.WriteFile(file, fmt.Appendf(nil, settings, state), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(state, 0o750); err != nil {
		return err
	}
	cmd := l.net.gateway.Command(binary, "serve", "--config", file)
	p, err := start("uppercut", cmd, filepath.Join(l.Dir, "uppercut.log"))
	if err != nil {
		return err
	}
	l.processes = append(l.processes, p)
	return p.await(30*time.Second, func() bool { return l.answers("http://" + webAddress + "/-/ready") })
}

// answers says whether a GET inside the gateway is answered with 200.
func (l *Lab) answers(url string) bool {
	response, err := l.client().Get(url)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
