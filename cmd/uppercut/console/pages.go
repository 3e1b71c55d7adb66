package console

import "net/http"

func (c *Console) addPages(mux *http.ServeMux) {}
