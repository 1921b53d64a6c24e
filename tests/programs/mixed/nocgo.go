//go:build !cgo

package main

var cgoSites []*site
