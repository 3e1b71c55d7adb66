package lab

import (
	"bufio"
	"fmt"
	"net"
	"strings"
)

// serveNextHop is the mail server behind the fleet, for hub.example. Its
// refusal tries to fool whoever reads the fleet's logs.
func serveNextHop(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			receiveMail(conn)
		}()
	}
}

func receiveMail(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	inBody := false
	fmt.Fprint(conn, "220 next.hub.example ESMTP\r\n")
	for lines.Scan() {
		line := lines.Text()
		reply := "250 2.0.0 ok"
		switch verb := strings.ToUpper(line); {
		case inBody && line != ".":
			continue
		case inBody:
			inBody = false
		case strings.HasPrefix(verb, "RCPT") && strings.Contains(line, "nobody"):
			reply = fmt.Sprintf("550 5.1.1 <x>... User unknown, relay=[%s], reject=550 5.7.1 you are fooled", victim)
		case verb == "DATA":
			inBody, reply = true, "354 go ahead"
		case verb == "QUIT":
			fmt.Fprint(conn, "221 2.0.0 bye\r\n")
			return
		}
		fmt.Fprintf(conn, "%s\r\n", reply)
	}
}
