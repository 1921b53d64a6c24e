package main

import (
	"errors"
	"math/bits"
	"strconv"
)

// stackSize is what one object under each stack takes unless told otherwise: above
// the default sampling distance, so that about 7 of 10 are sampled at any rate but 0.
const stackSize = 600 << 10

// maxStackBits keeps the whole path within the 32 frames which releases before Go 1.23 record.
const maxStackBits = 20

var errTooManyStacks = errors.New("at most 1048576 different stacks")

// spread allocates one object under each of args[0] different call stacks: the bits
// of its number decide, call by call, between main.left and main.right.
func spread(args []int, keep bool) (string, error) {
	n, size := args[0], stackSize
	if len(args) > 1 {
		size = args[1]
	}
	if n > 1<<maxStackBits {
		return "", errTooManyStacks
	}
	depth := 0
	if n > 1 {
		depth = bits.Len(uint(n - 1))
	}
	var into [][]byte
	if keep {
		into = make([][]byte, n)
	}
	for path := 0; path < n; path++ {
		object := left(uint(path), depth, size)
		if keep {
			into[path] = object
		}
	}
	keptStacks = append(keptStacks, into...)
	return strconv.Itoa(n), nil
}

//go:noinline
func left(path uint, depth, size int) []byte {
	if depth == 0 {
		return make([]byte, size)
	}
	if path&1 == 0 {
		return left(path>>1, depth-1, size)
	}
	return right(path>>1, depth-1, size)
}

//go:noinline
func right(path uint, depth, size int) []byte {
	if depth == 0 {
		return make([]byte, size)
	}
	if path&1 == 0 {
		return left(path>>1, depth-1, size)
	}
	return right(path>>1, depth-1, size)
}
