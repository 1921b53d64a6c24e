// Question: are functions named that came with a plugin, after heaptop?
//
// The argument is the plugin ("part", built with -buildmode=plugin). The program prints "ready <pid>", waits for a line on
// stdin, loads the plugin, and prints a line "pc <address> <function>" for each frame of a stack in it, innermost first,
// then "loaded". It ends when stdin does.
package main

import (
	"bufio"
	"fmt"
	"os"
	"plugin"
	"runtime"
)

func main() {
	fmt.Println("ready", os.Getpid())
	in := bufio.NewReader(os.Stdin)
	in.ReadString('\n')
	part, err := plugin.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	stack, err := part.Lookup("Stack")
	if err != nil {
		panic(err)
	}
	for _, pc := range stack.(func() []uintptr)() {
		frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
		fmt.Printf("pc %#x %s:%d\n", pc, frame.Function, frame.Line)
	}
	fmt.Println("loaded")
	in.ReadString('\n')
}
