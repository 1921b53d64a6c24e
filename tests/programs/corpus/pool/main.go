// A sync.Pool whose buffers grow to the largest answer they ever held: as many as there are
// requests at once, and the pool is emptied by collections.
//
// answer: none
package main

import (
	"time"

	"corpus/internal/program"
	"corpus/pool/render"
)

const (
	perSecond = 25
	atOnce    = 24
	stays     = 200 * time.Millisecond
)

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond})
	slots := make(chan struct{}, atOnce)
	for p.Next() {
		size := 1024 << uint(p.Rand.Intn(8))
		select {
		case slots <- struct{}{}:
			go func() {
				render.Page(size, stays)
				<-slots
			}()
		default:
		}
	}
}
