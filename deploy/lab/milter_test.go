package lab

import (
	"bufio"
	"net"
	"strings"
	"testing"
)

func TestMilterJudges(t *testing.T) {
	mta, filter := net.Pipe()
	defer mta.Close()
	go func() {
		defer filter.Close()
		filterMail(filter)
	}()
	for _, step := range []struct {
		command byte
		data    string
		want    string // the answer: its command, then its data
	}{
		{milterOptions, "", "O\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00"},
		{'C', "host\x004", "c"},
		{milterSender, "<a@sender.example>\x00", "c"},
		{milterRecipient, "<alice@lab.example>\x00", "c"},
		{milterRecipient, "<blocked@lab.example>\x00", "y550 5.7.1 recipient rejected by content filter\x00"},
		{milterSender, "<virus@sender.example>\x00", "y550 5.7.1 sender rejected by content filter\x00"},
		{milterSender, "<greylist@good.example>\x00", "c"},
		{milterRecipient, "<alice@lab.example>\x00", "y451 4.7.1 Greylisting in action, please come back later\x00"},
		{milterSender, "<again@good.example>\x00", "c"},
		{milterRecipient, "<alice@lab.example>\x00", "c"},
	} {
		writeMilter(mta, step.command, []byte(step.data))
		command, data, err := readMilter(mta)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(command) + string(data); got != step.want {
			t.Errorf("%c %q: %q, want %q", step.command, step.data, got, step.want)
		}
	}
	writeMilter(mta, milterQuit, nil)
	if _, _, err := readMilter(mta); err == nil {
		t.Error("the filter goes on after quit")
	}
}

func TestNextHopTakesMail(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		receiveMail(server)
	}()
	replies := bufio.NewReader(client)
	for _, step := range []struct{ say, want string }{
		{"", "220"},
		{"EHLO mx1.lab.example", "250"},
		{"MAIL FROM:<a@good.example>", "250"},
		{"RCPT TO:<carl@hub.example>", "250"},
		{"RCPT TO:<nobody@hub.example>", "550"},
		{"DATA", "354"},
		{"RCPT TO:<nobody@hub.example>\r\nQUIT\r\n.", "250"},
		{"QUIT", "221"},
	} {
		if step.say != "" {
			if _, err := client.Write([]byte(step.say + "\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		reply, err := replies.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(reply, step.want) {
			t.Errorf("%q: %q, want %s", step.say, reply, step.want)
		}
	}
}
