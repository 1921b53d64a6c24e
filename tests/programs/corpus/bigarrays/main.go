// Slices that keep a big array alive: of each 8 to 40 KiB that are read, 16 bytes are
// kept, and with them all of it.
//
// answer: heap
// site: corpus/bigarrays/wire.ReadFrame via main.header
package main

import (
	"corpus/bigarrays/wire"
	"corpus/internal/program"
)

const meanFrame = 24 << 10

// headers looks like 16 bytes for each frame.
var headers [][]byte

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / meanFrame})
	for p.Next() {
		headers = append(headers, header(meanFrame/3+p.Rand.Intn(meanFrame*4/3)))
	}
}

//go:noinline
func header(size int) []byte { return wire.ReadFrame(size)[:16] }
