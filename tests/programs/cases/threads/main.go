// Calls into C that never return: each keeps a goroutine and a thread of the kernel.
// What the runtime allocates for a thread is no leak of its own.
//
// answer: goroutines
// goroutines: main.handle start main.resolve
// also: runtime.*
// says: threads, +
// build: cgo
package main

/*
#include <string.h>
#include <unistd.h>

static void ask(void) {
	char answer[16384];
	memset(answer, 1, sizeof answer);
	sleep(100000);
}
*/
import "C"

import "cases/internal/life"

const (
	// perSecond calls are 91 threads a minute.
	perSecond = 1.515
	// most leaves room below what a machine has of threads.
	most = 2000
)

var sink []byte

func main() {
	l := life.Start()
	n := 0
	for l.Next() {
		for due := l.Due(perSecond); due > 0; due-- {
			if n++; n <= most {
				handle()
			}
			for i := 0; i < 300; i++ {
				sink = make([]byte, 4096)
			}
		}
	}
}

//go:noinline
func handle() { go resolve() }

//go:noinline
func resolve() { C.ask() }
