// Instruments made for every request, field report 1: otelhttp's handler is built in the
// request, no meter provider is ever set, and the global one keeps every instrument.
//
// answer: heap
// under: go.opentelemetry.io/contrib/*, corpus/modern/instruments/telemetry.Handler, main.serve
// site: go.opentelemetry.io/otel/* via corpus/modern/instruments/telemetry.Handler
// site: go.opentelemetry.io/contrib/* via corpus/modern/instruments/telemetry.Handler
// also: regexp.* container/list.* sync.* strings.* errors.*
package main

import (
	"net/http"
	"net/url"

	"corpus/internal/program"
	"corpus/modern/instruments/telemetry"
)

// instrumentBytes are what three instruments leave.
const instrumentBytes = 320

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / instrumentBytes})
	for p.Next() {
		serve()
	}
}

// answer takes what a handler says.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header            { return a.header }
func (a *answer) WriteHeader(status int)         { a.status = status }
func (a *answer) Write(part []byte) (int, error) { return len(part), nil }

func orders(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }

//go:noinline
func serve() int {
	a := &answer{header: http.Header{}}
	request := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/orders"}, Header: http.Header{}, Body: http.NoBody}
	telemetry.Handler(http.HandlerFunc(orders)).ServeHTTP(a, request)
	return a.status
}
