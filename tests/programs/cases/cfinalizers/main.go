// Finalizers free what C allocated, but the Go heap stays below the 4 MiB at which the
// first collection is due, and none comes by time before a first one. No finalizer
// ever runs, and C memory grows without a bound.
//
// answer: cgo
// says: No GC has run since
// sources: arm spans
// build: cgo
package main

/*
#include <stdlib.h>
#include <string.h>

static void *parse(size_t size) {
	char *tree = malloc(size);
	memset(tree, 1, size);
	return tree;
}
*/
import "C"

import (
	"runtime"
	"unsafe"

	"cases/internal/life"
)

// perSecond trees of 20 KiB are 7.8 MiB/min.
const perSecond = 6.67

type tree struct{ c unsafe.Pointer }

func main() {
	l := life.Start()
	for l.Next() {
		for due := l.Due(perSecond); due > 0; due-- {
			parse()
		}
	}
}

//go:noinline
func parse() *tree {
	t := &tree{C.parse(20 << 10)}
	runtime.SetFinalizer(t, func(t *tree) { C.free(t.c) })
	return t
}
