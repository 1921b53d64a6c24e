// Question: what can be told of a program whose runtime takes no samples?
//
// Nothing here reads a memory profile, so the linker sets runtime.MemProfileRate
// to 0 and the runtime records no allocation. The program prints "ready <pid>",
// keeps 16 nodes of 1 KiB in main.leak and makes garbage of several sizes in
// main.waste every 20 ms, collects once a second, and ends when stdin does. A
// line "exec" there makes it begin anew, in the same process.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	allocateEvery  = 20 * time.Millisecond
	collectEvery   = time.Second
	nodesAtOnce    = 16
	keepAtMost     = 256 << 10 // nodes: bounds a run that nobody ends to 256 MiB
	wasteLargest   = 8 << 10
	wasteRoundsPer = 16
)

type node struct {
	next *node
	data [1016]byte
}

var (
	leaked *node
	wasted []byte
)

func main() {
	fmt.Println("ready", os.Getpid())
	go allocate()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "exec" {
			self, err := os.Executable()
			if err == nil {
				err = syscall.Exec(self, os.Args, os.Environ())
			}
			panic(err)
		}
	}
}

func allocate() {
	step := time.NewTicker(allocateEvery)
	collect := time.NewTicker(collectEvery)
	for kept := 0; ; {
		select {
		case <-step.C:
			if kept < keepAtMost {
				leaked = leak(leaked, nodesAtOnce)
				kept += nodesAtOnce
			}
			for round := 0; round < wasteRoundsPer; round++ {
				waste()
			}
		case <-collect.C:
			runtime.GC()
		}
	}
}

//go:noinline
func leak(list *node, n int) *node {
	for ; n > 0; n-- {
		list = &node{next: list}
	}
	return list
}

//go:noinline
func waste() {
	for size := 16; size <= wasteLargest; size *= 2 {
		wasted = make([]byte, size)
	}
	wasted = []byte(strings.Repeat("garbage ", 64))
}
