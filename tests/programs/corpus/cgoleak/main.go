// A leak of malloc's: a buffer of C for every request, never freed. Go's heap is level.
//
// answer: cgo
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

import "corpus/internal/program"

const treeBytes = 1200

var parsed int

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / treeBytes})
	for p.Next() {
		if C.parse(treeBytes) != nil {
			parsed++
		}
	}
}
