//go:build cgo

package main

/*
#include <stdlib.h>
#include <string.h>

extern void *goCallback(void);

// Not inlined, so that a frame of C lies between those of Go.
__attribute__((noinline)) static void *through_c(void) {
	void *scratch = malloc(256);
	memset(scratch, 1, 256);
	void *made = goCallback();
	free(scratch);
	return made;
}
*/
import "C"

import "unsafe"

// called is where a callback leaves what it made: Go memory is not to be returned through C.
var called = make(chan unsafe.Pointer, 1)

//export goCallback
func goCallback() unsafe.Pointer {
	called <- siteInCallback()
	return nil
}

//go:noinline
func siteInCallback() unsafe.Pointer { return sign(unsafe.Pointer(&make([]byte, length4096)[0]), 4096) }

// One at a time: the channel has one place, and who sends is who receives.
var callbacks = make(chan struct{}, 1)

//go:noinline
func throughC() unsafe.Pointer {
	callbacks <- struct{}{}
	C.through_c()
	made := <-called
	<-callbacks
	return made
}

var cgoSites = []*site{
	{function: "main.siteInCallback", policy: keeps, share: 60, make: throughC, verify: signed(4096)},
}
