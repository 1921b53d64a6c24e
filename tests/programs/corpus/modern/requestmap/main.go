// A global map keyed by *http.Request, field report 5: gorilla/context of a version whose map
// is cleared by hand, in a server which does not.
//
// answer: heap
// site: github.com/gorilla/context.Set via main.remember
// site: net/http.* via any
// site: net/textproto.* via any
// site: net/url.* via any
// also: main.* bufio.* context.* io.* net.* strings.* bytes.* maps.* internal/* runtime.*
package main

import (
	stdcontext "context"
	"io"
	"net"
	"net/http"

	"github.com/gorilla/context"

	"corpus/internal/program"
)

// requestBytes are a request with its headers, its context and its notes.
const requestBytes = 2700

type tenantKey struct{}

// pipes is a listener without files: connections are pairs in memory.
type pipes chan net.Conn

func (l pipes) Accept() (net.Conn, error) { return <-l, nil }
func (l pipes) Close() error              { return nil }
func (l pipes) Addr() net.Addr            { return &net.TCPAddr{} }

func (l pipes) dial(stdcontext.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l <- theirs
	return ours, nil
}

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / requestBytes})
	listener := make(pipes)
	go http.Serve(listener, http.HandlerFunc(remember))
	client := &http.Client{Transport: &http.Transport{DialContext: listener.dial}}
	for p.Next() {
		ask(client)
	}
}

//go:noinline
func remember(w http.ResponseWriter, r *http.Request) {
	context.Set(r, tenantKey{}, r.Header.Get("X-Tenant"))
	w.WriteHeader(http.StatusNoContent)
}

func ask(client *http.Client) {
	request, err := http.NewRequest(http.MethodGet, "http://upstream/orders/17?part=lines", nil)
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"X-Tenant", "X-Request-Id", "X-Forwarded-For", "Accept-Language", "Referer", "Cookie"} {
		request.Header.Set(name, "a value of that header, of usual length")
	}
	response, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
}
