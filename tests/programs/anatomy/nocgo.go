//go:build !cgo

package main

func allocateC(int) { panic("built without cgo") }
