// A slow start: for the first minute, indexes are loaded in the background; after that
// nothing grows any more.
//
// answer: none
// fill: main.loadIndex linear
package main

import (
	"time"

	"corpus/internal/program"
)

const (
	perSecond   = 100
	loads       = 60 * time.Second
	indexBytes  = 12 << 20
	shardBytes  = 4000
	shardsTotal = indexBytes / shardBytes
)

var index []*[shardBytes]byte

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 20})
	begin, saidHalf, saidFull := time.Now(), false, false
	for p.Next() {
		due := int(float64(shardsTotal) * time.Since(begin).Seconds() / loads.Seconds())
		for len(index) < due && len(index) < shardsTotal {
			index = append(index, loadIndex())
		}
		if !saidHalf && len(index) >= shardsTotal/2 {
			saidHalf = true
			p.Say("half")
		}
		if !saidFull && len(index) == shardsTotal {
			saidFull = true
			p.Say("full")
		}
	}
}

//go:noinline
func loadIndex() *[shardBytes]byte { return new([shardBytes]byte) }
