// Response bodies that nobody closes: each keeps its connection, with two goroutines of the
// client's, one of the server's, and their buffers.
//
// answer: goroutines or heap
// goroutines: net/http.(*Transport).dialConn start net/http.(*persistConn).readLoop
// goroutines: net/http.(*Transport).dialConn start net/http.(*persistConn).writeLoop
// goroutines: net/http.(*Server).Serve start net/http.(*conn).serve
// goroutines: net/http.(*connReader).startBackgroundRead start net/http.(*connReader).backgroundRead
// site: net/http.* via any
// site: bufio.* via any
// site: net.* via any
// site: context.* via any
// site: main.* via any
// site: net/textproto.* via any
// also: runtime.* io.* sync.* net/url.* time.* bytes.* internal/* crypto/* maps.* fmt.*
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"corpus/internal/program"
)

// connectionBytes are of both ends, stacks left out.
const connectionBytes = 28 << 10

// pipes is a listener without files: connections are pairs in memory.
type pipes chan net.Conn

func (l pipes) Accept() (net.Conn, error) { return <-l, nil }
func (l pipes) Close() error              { return nil }
func (l pipes) Addr() net.Addr            { return &net.TCPAddr{} }

func (l pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l <- theirs
	return ours, nil
}

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / connectionBytes})
	listener := make(pipes)
	go http.Serve(listener, http.HandlerFunc(answer))
	client := &http.Client{Transport: &http.Transport{DialContext: listener.dial}}
	for p.Next() {
		statusOf(client)
	}
}

// answer is longer than what a client reads without being asked to.
func answer(w http.ResponseWriter, r *http.Request) {
	for n := 0; n < 400; n++ {
		fmt.Fprintf(w, "%060d\n", n)
	}
}

//go:noinline
func statusOf(client *http.Client) int {
	response, err := client.Get("http://upstream/status")
	if err != nil {
		panic(err)
	}
	return response.StatusCode // the body stays open
}
