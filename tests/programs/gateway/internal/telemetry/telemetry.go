// Package telemetry watches requests: instruments, request ids, an access log.
package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// HTTPHandler wraps a handler in spans and measurements. It makes three new
// instruments, and no meter provider is ever set: the global one keeps them all
// for the day when one is. Call it once for an API, not once for a request.
func HTTPHandler(api string, next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, api)
}

type requestIDKey struct{}

const requestIDHeader = "X-Request-Id"

// WithRequestID gives every request an id of its own.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id [16]byte
		if _, err := rand.Read(id[:]); err != nil {
			http.Error(w, "no randomness", http.StatusInternalServerError)
			return
		}
		text := hex.EncodeToString(id[:])
		w.Header().Set(requestIDHeader, text)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, text)))
	})
}

// RequestID is the id that WithRequestID gave.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// linesLogged is how many lines of the access log stay in memory.
const linesLogged = 4096

// AccessLog remembers the latest requests and discards the older.
type AccessLog struct {
	mu    sync.Mutex
	lines [linesLogged]string
	next  int
}

func (l *AccessLog) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(status, r)
		l.add(fmt.Sprintf("%s %s %s %s %d %s", start.Format(time.RFC3339Nano), RequestID(r.Context()),
			r.Method, r.URL.Path, status.status, time.Since(start)))
	})
}

func (l *AccessLog) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines[l.next] = line
	l.next = (l.next + 1) % linesLogged
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
