package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/netip"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/console"
	"uppercut/detector/offence"
)

// reportOptions say who reports.
type reportOptions struct {
	org, contact string
	json         bool
}

func newReportCommand(env *environment) *cobra.Command {
	var o reportOptions
	command := &cobra.Command{
		Use:   "report ADDRESS",
		Short: "Write an abuse report about an address, for the owner of its network",
		Long: `report writes a mail with an abuse report: a text, and the same as XARF 4 (JSON).
Evidence is the log lines on record; mailboxes and user names in them are masked, and
times are in UTC. The mail has no recipient, and nothing is sent: whois ADDRESS shows
the abuse contact of the network. Read the report before you send it.
Exit code 3 if there is no log line about the address.`,
		Example: "  uppercut report 203.0.113.9 --org Example --contact abuse@example.org\n" +
			"  uppercut report 203.0.113.9 --org Example --contact abuse@example.org --json",
		Args: exactlyOne("address"),
		RunE: func(cmd *cobra.Command, args []string) error { return env.report(cmd.Context(), args[0], o) },
	}
	flags := command.Flags()
	flags.StringVar(&o.org, "org", "", "`name` of the organization that reports")
	flags.StringVar(&o.contact, "contact", "", "`mailbox` for questions")
	flags.BoolVar(&o.json, "json", false, "print the XARF report alone")
	return command
}

func (e *environment) report(ctx context.Context, address string, o reportOptions) error {
	p, err := config.ParsePrefix(address)
	switch {
	case err != nil:
		return exitCode{exitUsage, err}
	case !p.IsSingleIP():
		return exitCode{exitUsage, fmt.Errorf("%s is a network; a report is about one address", p)}
	}
	contact, err := mail.ParseAddress(o.contact)
	if err != nil || o.org == "" || len(o.org) > 200 {
		return exitCode{exitUsage, errors.New("--org and --contact are required: the name of your organization and a mailbox, such as abuse@example.org")}
	}
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	why, err := client.Why(ctx, p)
	if err != nil {
		return err
	}
	lines := reportLines(why)
	if len(lines) == 0 {
		return exitCode{exitNo, fmt.Errorf("there is no log line about %s on record", p.Addr())}
	}
	r := newReport(p.Addr(), why.Source, lines, o.org, contact.Address)
	if o.json {
		text, err := r.xarf()
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(text)
		return err
	}
	return r.write(e.stdout, time.Now())
}

// maxReportLines bounds the evidence of a report.
const maxReportLines = 50

// reportLines are the last lines on record about a source, oldest first, each once.
func reportLines(w console.Why) []console.Evidence {
	all := slices.Clone(w.Evidence)
	slices.SortStableFunc(all, func(a, b console.Evidence) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Text, b.Text))
	})
	all = slices.CompactFunc(all, func(a, b console.Evidence) bool {
		return a.Time.Equal(b.Time) && a.Host == b.Host && a.Text == b.Text
	})
	return all[max(0, len(all)-maxReportLines):]
}

// report is what somebody is told of a source.
type report struct {
	addr    netip.Addr
	source  netip.Prefix
	lines   []console.Evidence
	org     string
	contact string
}

func newReport(addr netip.Addr, source netip.Prefix, lines []console.Evidence, org, contact string) *report {
	return &report{addr, source, lines, console.Visible(org), contact}
}

// guesses reports whether most of the lines are about passwords.
func (r *report) guesses() bool {
	n := 0
	for _, line := range r.lines {
		if line.Reason == offence.AuthFail.String() {
			n++
		}
	}
	return 2*n > len(r.lines)
}

// evidence is the lines as text.
func (r *report) evidence() string {
	var b strings.Builder
	for _, line := range r.lines {
		fmt.Fprintf(&b, "%s %s %s: %s\n", line.Time.UTC().Format(time.RFC3339), console.Visible(line.Host), line.Reason, withoutPeople(console.Visible(line.Text)))
	}
	return b.String()
}

var (
	quotedMailbox = regexp.MustCompile(`"[^"]*"@[^\s<>,;"()]*`)
	mailbox       = regexp.MustCompile(`[^\s<>,;="()\[\]]*@[^\s<>,;"()]*`)
	angled        = regexp.MustCompile(`<[^<>]*>?`)
	named         = regexp.MustCompile(`\b(to|ctladdr|user|authid|from|arg1|msgid)=[^,\s]*`)
)

// withoutPeople masks every mailbox and user in a log line: who received or sent
// is nobody's business but ours.
func withoutPeople(text string) string {
	text = quotedMailbox.ReplaceAllString(text, "***")
	text = angled.ReplaceAllString(text, "<***>")
	text = mailbox.ReplaceAllString(text, "***")
	return named.ReplaceAllString(text, "$1=***")
}

// The report in the form of XARF 4 (https://xarf.org): what all types have, and
// what those of category connection have besides.
type xarfReport struct {
	Version         string         `json:"xarf_version"`
	ID              string         `json:"report_id"`
	Timestamp       time.Time      `json:"timestamp"`
	Reporter        xarfContact    `json:"reporter"`
	Sender          xarfContact    `json:"sender"`
	Source          string         `json:"source_identifier"`
	Category        string         `json:"category"`
	Type            string         `json:"type"`
	EvidenceSource  string         `json:"evidence_source"`
	Description     string         `json:"description"`
	Protocol        string         `json:"protocol"`
	DestinationPort int            `json:"destination_port"`
	FirstSeen       time.Time      `json:"first_seen"`
	LastSeen        time.Time      `json:"last_seen"`
	Probed          []string       `json:"probed_resources,omitempty"`
	Evidence        []xarfEvidence `json:"evidence"`
}

type xarfContact struct {
	Org     string `json:"org"`
	Contact string `json:"contact"`
	Domain  string `json:"domain"`
}

type xarfEvidence struct {
	ContentType string `json:"content_type"`
	Description string `json:"description"`
	Payload     string `json:"payload"`
	Hash        string `json:"hash"`
	Size        int    `json:"size"`
}

// smtpPort is where mail hosts are reached.
const smtpPort = 25

// xarf is the report as JSON.
func (r *report) xarf() ([]byte, error) {
	payload := r.evidence()
	_, domain, _ := strings.Cut(r.contact, "@")
	who := xarfContact{r.org, r.contact, domain}
	first, last := r.lines[0].Time.UTC(), r.lines[len(r.lines)-1].Time.UTC()
	x := xarfReport{
		Version: "4.0.0", ID: newUUID(), Timestamp: last, Reporter: who, Sender: who, Source: r.addr.String(),
		Category: "connection", Type: "login_attack", EvidenceSource: "automated_filter", Description: r.summary(),
		Protocol: "tcp", DestinationPort: smtpPort, FirstSeen: first, LastSeen: last,
		Evidence: []xarfEvidence{{
			ContentType: "text/plain", Description: "log lines of our mail servers, mailboxes masked, times in UTC",
			Payload: base64.StdEncoding.EncodeToString([]byte(payload)),
			Hash:    fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(payload))), Size: len(payload),
		}},
	}
	if !r.guesses() {
		x.Type = "reconnaissance"
		for _, reason := range r.reasons() {
			x.Probed = append(x.Probed, "smtp:"+reason)
		}
	}
	text, err := json.MarshalIndent(x, "", "  ")
	return append(text, '\n'), err
}

// reasons are those of the lines, in order.
func (r *report) reasons() []string {
	found := map[string]struct{}{}
	for _, line := range r.lines {
		found[line.Reason] = struct{}{}
	}
	return slices.Sorted(maps.Keys(found))
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// summary says in a sentence what the source does.
func (r *report) summary() string {
	what := "attacks our mail servers"
	if r.guesses() {
		what = "guesses passwords on our mail servers"
	}
	of := ""
	if !r.source.IsSingleIP() {
		of = fmt.Sprintf(" (of %s)", r.source)
	}
	return fmt.Sprintf("%s%s %s: %s.", r.addr, of, what, strings.Join(r.reasons(), ", "))
}

// write writes the report as a mail without recipient.
func (r *report) write(w io.Writer, now time.Time) error {
	attached, err := r.xarf()
	if err != nil {
		return err
	}
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	text := fmt.Sprintf("%s\n\nPlease stop this. The attached file is the same report in XARF 4 format.\nQuestions: %s, %s\n\nLog lines, times in UTC, mailboxes masked:\n\n%s",
		r.summary(), r.org, r.contact, r.evidence())
	for _, part := range []struct{ kind, disposition, text string }{
		{"text/plain; charset=utf-8", "inline", text}, {"application/json", `attachment; filename="xarf.json"`, string(attached)},
	} {
		p, err := parts.CreatePart(textproto.MIMEHeader{
			"Content-Type": {part.kind}, "Content-Disposition": {part.disposition}, "Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return err
		}
		q := quotedprintable.NewWriter(p)
		if _, err := io.WriteString(q, part.text); err != nil {
			return err
		}
		if err := q.Close(); err != nil {
			return err
		}
	}
	if err := parts.Close(); err != nil {
		return err
	}
	from := mail.Address{Name: r.org, Address: r.contact}
	_, err = fmt.Fprintf(w, "From: %s\nDate: %s\nSubject: %s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=%s\n\n%s",
		from.String(), now.Format(time.RFC1123Z), mime.QEncoding.Encode("utf-8", "Abuse report: "+r.addr.String()), parts.Boundary(),
		strings.ReplaceAll(body.String(), "\r\n", "\n"))
	return err
}
