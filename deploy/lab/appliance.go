package lab

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"uppercut/deploy/certs"
)

// webAddress is where uppercut serves page and metrics, inside the gateway.
const webAddress = "127.0.0.1:9514"

// gatewayName is the name in uppercut's certificate.
const gatewayName = "gateway.lab.example"

// settings are uppercut's configuration; all that it does not say is default.
const settings = `mode: enforce
state_dir: %[1]s
receiver:
  udp: ["10.25.0.1:1514"]
  tcp: ["10.25.0.1:1514"]
  tls:
    listen: ["10.25.0.1:6514"]
    cert_file: %[2]s/cert.pem
    key_file: %[2]s/key.pem
    client_ca_file: %[2]s/ca.pem
  senders: [10.25.0.0/24]
detector:
  texts: [{text: "Spam trap hit", reason: rcpt_trap}]
web:
  listen: "` + webAddress + `"
  config_file: %[3]s
`

// users lets the page show evidence and take orders: lab, with password lab.
const users = `basic_auth_users:
  lab: $2a$04$A11fXV/AWNhBW9ORShud/eqmiFfZSIT8tyx5IOX/3Qxx4nW12tKuK
`

// startUppercut runs the binary on the gateway and returns when it is ready.
func (l *Lab) startUppercut(binary string, authority *certs.Authority) error {
	file := filepath.Join(l.Dir, "uppercut.yaml")
	state, tls, web := filepath.Join(l.Dir, "state"), filepath.Join(l.Dir, "tls"), filepath.Join(l.Dir, "web.yml")
	if err := errors.Join(
		os.WriteFile(file, fmt.Appendf(nil, settings, state, tls, web), 0o644),
		os.WriteFile(web, []byte(users), 0o600),
		os.Mkdir(state, 0o750), os.Mkdir(tls, 0o700), issue(authority, tls, gatewayName),
	); err != nil {
		return err
	}
	cmd := l.net.gateway.Command(binary, "serve", "--config", file)
	p, err := start("uppercut", cmd, filepath.Join(l.Dir, "uppercut.log"))
	if err != nil {
		return err
	}
	l.processes = append(l.processes, p)
	return p.await(30*time.Second, func() bool { return l.answers("http://lab:lab@" + webAddress + "/-/ready") })
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
