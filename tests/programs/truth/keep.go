package main

import "strconv"

// What is kept, and nothing else, is reachable from these three.
var (
	keptBytes  [][]byte
	keptNodes  []*node
	keptStacks [][]byte
)

// node fills the size class of 64 bytes and makes the collector look inside.
type node struct {
	self *node
	rest [7]uintptr
}

//go:noinline
func keepBytes(into [][]byte, size int) {
	for i := range into {
		into[i] = make([]byte, size)
	}
}

//go:noinline
func keepNodes(into []*node) {
	for i := range into {
		n := &node{}
		n.self = n
		into[i] = n
	}
}

func holdBytes(n, size int) string {
	before := len(keptBytes)
	keptBytes = append(keptBytes, make([][]byte, n)...)
	keepBytes(keptBytes[before:], size)
	return strconv.Itoa(len(keptBytes))
}

func holdNodes(n int) string {
	before := len(keptNodes)
	keptNodes = append(keptNodes, make([]*node, n)...)
	keepNodes(keptNodes[before:])
	return strconv.Itoa(len(keptNodes))
}

func dropBytes(n int) string {
	keptBytes = withoutLast(n, keptBytes)
	return strconv.Itoa(len(keptBytes))
}

func dropNodes(n int) string {
	keptNodes = withoutLast(n, keptNodes)
	return strconv.Itoa(len(keptNodes))
}

// withoutLast also clears the places it gives up: the array behind them stays.
func withoutLast[T any](n int, kept []T) []T {
	left := len(kept) - n
	if left < 0 {
		left = 0
	}
	var nothing T
	for i := left; i < len(kept); i++ {
		kept[i] = nothing
	}
	return kept[:left]
}
