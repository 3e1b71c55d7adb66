package console

import (
	"context"
	"net/http"
)

// unsavedHeader says of an order that was carried out why it is not saved.
const unsavedHeader = "Uppercut-Not-Saved"

type unsavedKey struct{}

// withUnsaved returns a context in which NoteUnsaved leaves its word in note.
func withUnsaved(ctx context.Context, note *string) context.Context {
	return context.WithValue(ctx, unsavedKey{}, note)
}

// NoteUnsaved says that the order of ctx is in force and not saved, and why: it is
// no failure, and whoever ordered must know. Elsewhere than in an order of the API
// it does nothing.
func NoteUnsaved(ctx context.Context, why error) {
	if note, ok := ctx.Value(unsavedKey{}).(*string); ok {
		*note = Visible(why.Error())
	}
}

// sayUnsaved puts what NoteUnsaved left into the answer.
func sayUnsaved(w http.ResponseWriter, note string) {
	if note != "" {
		w.Header().Set(unsavedHeader, note)
	}
}
