package proxy

import (
	"context"
	"net/http"
	"strings"

	"gateway/internal/session"
)

// guard lets a request pass whose key is known and has some allowance left.
type guard struct {
	sessions *session.Store
	limiter  *session.Limiter
}

type sessionKey struct{}

func (g *guard) wrap(api string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		found, err := g.sessions.Lookup(key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		if !g.limiter.ForwardMessage(found, api) {
			http.Error(w, "rate limit exceeded", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, found)))
	})
}

func tenantOf(ctx context.Context) string {
	if found, ok := ctx.Value(sessionKey{}).(*session.Session); ok {
		return found.Tenant
	}
	return ""
}
