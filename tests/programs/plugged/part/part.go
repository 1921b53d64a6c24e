// Part is a plugin: built with -buildmode=plugin.
package main

import "runtime"

func main() {}

// Stack gives the runtime's own stack of a call that was inlined.
//
//go:noinline
func Stack() []uintptr {
	return inlined()
}

func inlined() []uintptr {
	return callers()
}

//go:noinline
func callers() []uintptr {
	pcs := make([]uintptr, 8)
	return pcs[:runtime.Callers(1, pcs)]
}
