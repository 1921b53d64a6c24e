// A leak of mappings: anonymous memory is mapped for every job, written, and forgotten. Go's
// heap is level.
//
// answer: mmap or cgo
package main

import (
	"syscall"

	"corpus/internal/program"
)

const arenaBytes = 64 << 10

var arenas int

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / arenaBytes})
	for p.Next() {
		arena, err := syscall.Mmap(-1, 0, arenaBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		for at := 0; at < len(arena); at += 512 {
			arena[at] = 1
		}
		arenas++
	}
}
