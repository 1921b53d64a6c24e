//go:build cpuprofile

package main

import (
	"os"
	"runtime/pprof"
)

// startProfile writes a CPU profile to the file named by CPUPROFILE, from which a PGO build is made.
func startProfile() (func(), error) {
	file, err := os.Create(os.Getenv("CPUPROFILE"))
	if err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		file.Close()
	}, pprof.StartCPUProfile(file)
}
