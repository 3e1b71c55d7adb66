package console

import (
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
)

// OpenAPI describes the control API (OpenAPI 3.1, YAML).
//
//go:embed openapi.yaml
var OpenAPI []byte

// api serves the control API; who calls is in the request's context.
func (c *Console) api() http.Handler {
	mux := http.NewServeMux()
	for _, op := range operations() {
		mux.HandleFunc(op.method+" "+apiRoot+op.path, func(w http.ResponseWriter, r *http.Request) {
			c.serveOperation(w, r, op)
		})
	}
	mux.HandleFunc("GET "+apiRoot+"/openapi.yaml", serveOpenAPI)
	mux.HandleFunc(apiRoot+"/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, errorAnswer{"no such operation: " + r.Method + " " + r.URL.Path + "; see " + apiRoot + "/openapi.yaml"})
	})
	return mux
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(OpenAPI)
}

func (c *Console) serveOperation(w http.ResponseWriter, r *http.Request, op operation) {
	if !callerOf(r).may(op.needs) {
		writeJSON(w, http.StatusForbidden, errorAnswer{untrustedReason(r)})
		return
	}
	var unsaved string
	answer, err := op.serve(c, r.WithContext(withUnsaved(r.Context(), &unsaved)))
	if err != nil {
		status := statusOf(err)
		if status == http.StatusInternalServerError {
			c.logger.Error("control request failed", "path", r.URL.Path, "error", err)
		}
		writeJSON(w, status, errorAnswer{err.Error()})
		return
	}
	sayUnsaved(w, unsaved)
	writeJSON(w, http.StatusOK, answer)
}

// statuses are the HTTP statuses of the errors that an Appliance may wrap.
var statuses = []struct {
	err    error
	status int
}{
	{ErrInvalid, http.StatusBadRequest},
	{ErrNotFound, http.StatusNotFound},
	{ErrRefused, http.StatusConflict},
	{ErrUnavailable, http.StatusServiceUnavailable},
}

func statusOf(err error) int {
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asked has gone away: nobody to tell
}
