// Command loggen writes a made-up mail log of a sendmail fleet to standard
// output: the same for the same flags on every machine.
//
//	loggen -lines 1000000 -format iso >maillog
//	loggen -format rfc5424-message -octets | nc mx-gateway 5514
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"uppercut/deploy/loggen"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "loggen:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	c := loggen.DefaultConfig()
	flags := flag.NewFlagSet("loggen", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Uint64Var(&c.Seed, "seed", c.Seed, "which of many logs")
	flags.IntVar(&c.Lines, "lines", c.Lines, "how many lines")
	flags.IntVar(&c.Hosts, "hosts", c.Hosts, "how many mail hosts")
	flags.IntVar(&c.Sources, "sources", c.Sources, "how many offending clients")
	flags.IntVar(&c.Partners, "partners", c.Partners, "how many clients with wanted mail")
	flags.Float64Var(&c.Abuse, "abuse", c.Abuse, "share of the sessions that offend, 0 to 1")
	flags.Float64Var(&c.Rate, "rate", c.Rate, "sessions a second")
	flags.Func("start", "time of the first line, RFC 3339", func(s string) (err error) {
		c.Start, err = time.Parse(time.RFC3339, s)
		return err
	})
	format := flags.String("format", loggen.Traditional.String(), "of a file: traditional, iso, datetime, rfc5424; of the wire: rfc3164-message, forward-message, rfc5424-message")
	octets := flags.Bool("octets", false, "put the length in front of each message of the wire (RFC 6587) instead of LF behind it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return err
	}
	return write(stdout, c, *format, *octets)
}

func write(w io.Writer, c loggen.Config, format string, octets bool) error {
	f, err := loggen.ParseFormat(format)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	var line, frame []byte
	for l := range loggen.Lines(c) {
		line = f.Append(line[:0], l)
		switch {
		case f.IsFile():
			frame = line
		case octets:
			frame = loggen.AppendFrame(frame[:0], line)
		default:
			frame = append(append(frame[:0], line...), '\n')
		}
		if _, err := out.Write(frame); err != nil {
			return err
		}
	}
	return out.Flush()
}
