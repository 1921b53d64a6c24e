//go:build cgo

package main

/*
#include <stdlib.h>
#include <string.h>

static void allocate(long size) {
	for (long done = 0; done < size; done += 4096 - 16) memset(malloc(4096 - 16), 1, 4096 - 16);
}
*/
import "C"

func allocateC(size int) { C.allocate(C.long(size)) }
