// Mappings that are taken back: a fixed number of arenas, the oldest is unmapped when a new
// one is made.
//
// answer: none
package main

import (
	"syscall"

	"corpus/internal/program"
)

const (
	arenaBytes = 256 << 10
	arenas     = 60
)

func main() {
	p := program.Start(program.Plan{PerSecond: 4})
	var open [arenas][]byte
	for n := range open {
		open[n] = newArena()
	}
	for n := 0; p.Next(); n++ {
		if err := syscall.Munmap(open[n%arenas]); err != nil {
			panic(err)
		}
		open[n%arenas] = newArena()
	}
}

func newArena() []byte {
	arena, err := syscall.Mmap(-1, 0, arenaBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	for at := 0; at < len(arena); at += 4096 {
		arena[at] = 1
	}
	return arena
}
