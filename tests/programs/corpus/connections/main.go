// Connections that come and go: a goroutine with two buffers for each, 5 to 25 s long, more
// of them while the load is high.
//
// answer: none
// may: idle_spans
package main

import (
	"time"

	"corpus/internal/program"
)

const (
	perSecond   = 12
	bufferBytes = 4 << 10
	shortest    = 5 * time.Second
	spread      = 20 * time.Second
)

type connection struct{ in, out []byte }

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 20})
	for p.Next() {
		go accept().serve(shortest + time.Duration(p.Rand.Int63n(int64(spread))))
	}
}

//go:noinline
func accept() *connection {
	return &connection{in: make([]byte, bufferBytes), out: make([]byte, bufferBytes)}
}

func (c *connection) serve(lasts time.Duration) {
	time.Sleep(lasts)
	copy(c.out, c.in)
}
