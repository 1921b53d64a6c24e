// Response bodies that are closed: connections are used again and again. What unclosed ones
// would leak is not there.
//
// answer: none
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"corpus/internal/program"
)

const perSecond = 25

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
	p := program.Start(program.Plan{PerSecond: perSecond})
	listener := make(pipes)
	go http.Serve(listener, http.HandlerFunc(answer))
	client := &http.Client{Transport: &http.Transport{DialContext: listener.dial}}
	for p.Next() {
		statusOf(client)
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	for n := 0; n < 100; n++ {
		fmt.Fprintf(w, "%060d\n", n)
	}
}

//go:noinline
func statusOf(client *http.Client) int {
	response, err := client.Get("http://upstream/status")
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	return response.StatusCode
}
