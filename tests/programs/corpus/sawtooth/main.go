// Batch jobs: half a minute to a minute of collecting rows, then all are written and gone.
//
// answer: none
// may: idle_spans
package main

import (
	"time"

	"corpus/internal/program"
)

const (
	perSecond = 300
	rowBytes  = 1000
	shortest  = 25 * time.Second
)

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond})
	for end := time.Now(); ; {
		var batch []*[rowBytes]byte
		end = end.Add(shortest + time.Duration(p.Rand.Int63n(int64(shortest))))
		for time.Now().Before(end) {
			if !p.Next() {
				return
			}
			batch = append(batch, newRow())
		}
	}
}

//go:noinline
func newRow() *[rowBytes]byte { return new([rowBytes]byte) }
