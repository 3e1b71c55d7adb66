package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// converse lets act talk to a host that answers each line with the next of
// replies ("" is no answer) and then hangs up.
func converse(t *testing.T, act func(d *dialogue), replies ...string) (d *dialogue, heard []string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	said := make(chan []string, 1)
	go func() { said <- answerWith(listener, replies) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d = &dialogue{host: "mx1", conn: conn, lines: bufio.NewReader(conn), wait: 10 * time.Second}
	act(d)
	conn.Close()
	return d, <-said
}

func answerWith(listener net.Listener, replies []string) (heard []string) {
	conn, err := listener.Accept()
	if err != nil {
		return nil
	}
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for i, reply := range replies {
		if i > 0 {
			if !lines.Scan() {
				return heard
			}
			heard = append(heard, lines.Text())
		}
		if reply != "" {
			fmt.Fprintf(conn, "%s\r\n", reply)
		}
	}
	// With something unread, closing would reset the connection.
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
	return heard
}

func TestDialogueCountsWhatItWasTold(t *testing.T) {
	d, heard := converse(t, tryRelay,
		"220 mx1.lab.example ESMTP", "250-mx1.lab.example\r\n250 HELP", "250 2.1.0 Sender ok",
		"550 5.7.1 Relaying denied", "221 2.0.0 closing connection")
	if d.err != nil {
		t.Fatal(d.err)
	}
	if len(d.refusals) != 1 || d.refusals[0].Reason != "relay_denied" || d.refusals[0].Host != "mx1" {
		t.Errorf("refusals: %v", d.refusals)
	}
	want := "EHLO pc.isp.example|MAIL FROM:<a@sender.example>|RCPT TO:<target0@elsewhere.example>|QUIT"
	if got := strings.Join(heard, "|"); got != want {
		t.Errorf("said %s, want %s", got, want)
	}
}

func TestDialogueCountsAcceptedMail(t *testing.T) {
	d, _ := converse(t, sendMail,
		"220 ready", "250 hello", "250 sender", "250 recipient", "250 recipient", "354 go",
		"", "", "", "", "250 accepted", "221 bye")
	if d.err != nil || d.accepted != 1 || len(d.refusals) != 0 {
		t.Errorf("accepted %d, refused %v, %v", d.accepted, d.refusals, d.err)
	}
}

func TestDialogueComplainsOfTheUnexpected(t *testing.T) {
	for _, test := range []struct {
		name    string
		replies []string
		want    string
	}{
		{"accepted instead of refused", []string{"220 ", "250 ", "250 ", "250 2.1.5 Recipient ok"}, `mx1 says "250 2.1.5 Recipient ok" instead of 550 5.7.1`},
		{"refused for another reason", []string{"220 ", "250 ", "553 5.1.8 no such domain"}, `mx1 says "553 5.1.8 no such domain" instead of 250`},
		{"hangs up", []string{"220 ", "250 "}, "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, _ := converse(t, tryRelay, test.replies...)
			if d.err == nil || !strings.Contains(d.err.Error(), test.want) {
				t.Errorf("error %v, want %q", d.err, test.want)
			}
			if len(d.refusals) > 0 {
				t.Errorf("counted %v", d.refusals)
			}
		})
	}
}

func TestDialogueTellsSilence(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	d := &dialogue{host: "mx1", conn: client, lines: bufio.NewReader(client), wait: time.Millisecond}
	tryRelay(d)
	if !errors.Is(d.err, errSilence) || len(d.refusals) > 0 {
		t.Errorf("error %v, refusals %v", d.err, d.refusals)
	}
}

// TestPregreetCutOff: the connection passed the gateway, the early words did
// not, so the host greets as if nothing had been said.
func TestPregreetCutOff(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		_, _ = bufio.NewReader(server).ReadString('\n')
		_, _ = server.Write([]byte("220 mx1 ESMTP\r\n"))
	}()
	d := &dialogue{host: "mx1", conn: client, lines: bufio.NewReader(client), wait: time.Minute}
	talkFirst(d)
	if !errors.Is(d.err, errSilence) || len(d.refusals) > 0 {
		t.Errorf("error %v, refusals %v", d.err, d.refusals)
	}
}
