// C memory that is freed: every request parses with malloc and frees soon after.
//
// answer: none
// build: cgo
package main

/*
#include <stdlib.h>
#include <string.h>

static void *parse(size_t size) {
	char *tree = malloc(size);
	if (tree != NULL) {
		memset(tree, 1, size);
	}
	return tree;
}
*/
import "C"

import (
	"unsafe"

	"corpus/internal/program"
)

const (
	treeBytes = 12000
	inFlight  = 800
)

func main() {
	p := program.Start(program.Plan{PerSecond: 100})
	var trees [inFlight]unsafe.Pointer
	for n := 0; n < inFlight; n++ {
		trees[n] = C.parse(treeBytes)
	}
	for n := 0; p.Next(); n++ {
		C.free(trees[n%inFlight])
		trees[n%inFlight] = C.parse(treeBytes)
	}
}
