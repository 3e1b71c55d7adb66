package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"unicode/utf16"

	"uppercut/cmd/uppercut/console"
)

// WriteJSON writes v, a list without entries as []. For a terminal it also
// escapes what must not reach a screen; to a program it is the same.
func WriteJSON[T any](w io.Writer, v T) error {
	fillLists(reflect.ValueOf(&v).Elem())
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // people read addresses in < and >
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	out := text.Bytes()
	if IsTerminal(w) {
		out = visibleJSON(text.String())
	}
	_, err := w.Write(out)
	return err
}

// fillLists makes empty lists of the nil ones in v, which can be set: whoever
// reads the JSON goes through a list and not through null.
func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() {
				fillLists(field)
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	}
}

// visibleJSON escapes in JSON what console.Visible replaces. The encoder has
// escaped the controls below 0x20: those that are left are its own lines.
func visibleJSON(text string) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if one := string(r); r < 0x20 || console.Visible(one) == one {
			out = append(out, one...)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}
