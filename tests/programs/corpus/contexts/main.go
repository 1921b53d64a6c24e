// Contexts that are never cancelled: each request derives one from the server's, and drops
// its cancel function. The parent keeps its children.
//
// answer: heap
// site: context.* via main.handle
// site: main.handle via none
// also: runtime.*
package main

import (
	"context"

	"corpus/internal/program"
)

const (
	// contextBytes are a context, its part of the parent's map, its value and the request.
	contextBytes = 760
	perRequest   = 2
)

type requestKey struct{}

type request struct {
	headers [30]string
	number  int
}

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / (perRequest * contextBytes)})
	server, stop := context.WithCancel(context.Background())
	defer stop()
	for number := 0; p.Next(); number++ {
		for n := 0; n < perRequest; n++ {
			handle(server, number)
		}
	}
}

//go:noinline
func handle(server context.Context, number int) bool {
	withRequest := context.WithValue(server, requestKey{}, &request{number: number})
	ctx, forget := context.WithCancel(withRequest)
	_ = forget
	return ctx.Err() == nil
}
