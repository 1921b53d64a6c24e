// Package visit remembers who sends a request, for handlers that are given no
// more than the request.
package visit

import (
	"net/http"

	"github.com/gorilla/context"
)

type tenantKey struct{}

// Remember notes the tenant of every request.
//
// That is field report 5: the notes are in one map of gorilla/context, by request,
// and nothing here calls context.Clear when a request is answered. They keep
// every request with its headers.
func Remember(tenantOf func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.Set(r, tenantKey{}, tenantOf(r))
		next.ServeHTTP(w, r)
	})
}
