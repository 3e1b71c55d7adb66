package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"time"
	"unicode/utf8"
)

// The bounds of a request.
const (
	maxBody     = 1 << 20 // bytes
	maxPrefixes = 10_000
	maxNote     = 500 // bytes
	maxOrderFor = 10 * 365 * 24 * time.Hour
	// MaxPause is how long a pause may last; enforcer.MaxPause is the same.
	MaxPause = 30 * 24 * time.Hour
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// decode reads a JSON body strictly. The content type matters: a form of
// another origin cannot send it without asking first.
func decode(r *http.Request, into any) error {
	if ct, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); ct != "application/json" {
		return invalid("Content-Type must be application/json")
	}
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return invalid("the body is empty; {} says nothing more")
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return invalid("the body is larger than %d bytes", maxBody)
		}
		return invalid("%s", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("something follows the JSON object")
	}
	return nil
}

func (req orderRequest) order(author string) (Order, error) {
	o := Order{By: By{author, req.Note}, For: time.Duration(req.For), Exact: req.Exact, Force: req.Force}
	if err := checkNote(req.Note); err != nil {
		return Order{}, err
	}
	if req.For != Forever && (o.For < 0 || o.For > maxOrderFor) {
		return Order{}, invalid("for: must be 0 to %s, or forever", FormatDuration(maxOrderFor))
	}
	var err error
	o.Prefixes, err = parsePrefixes(req.Prefixes)
	return o, err
}

func parsePrefixes(texts []string) ([]netip.Prefix, error) {
	if len(texts) == 0 || len(texts) > maxPrefixes {
		return nil, invalid("prefixes: must be 1 to %d", maxPrefixes)
	}
	ps := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		var err error
		if ps[i], err = ParsePrefix(text); err != nil {
			return nil, fmt.Errorf("prefixes[%d]: %w", i, err)
		}
	}
	return ps, nil
}

func byOf(r *http.Request) (By, error) {
	var req noteRequest
	if err := decode(r, &req); err != nil {
		return By{}, err
	}
	return By{callerOf(r).name, req.Note}, checkNote(req.Note)
}

func checkNote(note string) error {
	if len(note) > maxNote || !utf8.ValidString(note) {
		return invalid("note: must be UTF-8 of at most %d bytes", maxNote)
	}
	return nil
}

// The bodies of requests and of answers that have no other type.
type (
	orderRequest struct {
		Prefixes []string `json:"prefixes"`
		For      Duration `json:"for,omitzero"`
		Note     string   `json:"note,omitempty"`
		Exact    bool     `json:"exact,omitempty"`
		Force    bool     `json:"force,omitempty"`
	}
	noteRequest struct {
		Note string `json:"note,omitempty"`
	}
	breakerRequest struct {
		Host string `json:"host"`
		Note string `json:"note,omitempty"`
	}
	flushRequest struct {
		Forget bool     `json:"forget,omitempty"`
		For    Duration `json:"for,omitzero"`
		Note   string   `json:"note,omitempty"`
	}
	configAnswer struct {
		YAML string `json:"yaml"`
	}
	done        struct{}
	errorAnswer struct {
		Error string `json:"error"`
	}
	listAnswer[T any] struct {
		Items []T `json:"items"`
	}
)

// listOf wraps a list so that an empty one is [] and fields can be added later.
func listOf[T any](items []T) listAnswer[T] {
	return listAnswer[T]{orEmpty(items)}
}

// orEmpty makes a list that is written as [], not null.
func orEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
