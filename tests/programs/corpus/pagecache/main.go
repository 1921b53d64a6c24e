// Page cache that grows: a log is written to a file, 20 MiB a minute and up to a bound.
// The cgroup's usage rises with it, the process's own memory does not, and the kernel
// takes it back when it needs it.
//
// answer: none
// may: page_cache
package main

import (
	"os"

	"corpus/internal/program"
)

const (
	lineBytes = 4 << 10
	perSecond = 20 * (1 << 20) / 60 / lineBytes
	mostBytes = 300 << 20
)

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond})
	file, err := os.CreateTemp("", "corpus-pagecache-")
	if err != nil {
		panic(err)
	}
	os.Remove(file.Name()) // it lives as long as it is open
	line := make([]byte, lineBytes)
	for written := 0; p.Next(); written += lineBytes {
		if _, err := file.WriteAt(line, int64(written%mostBytes)); err != nil {
			panic(err)
		}
	}
}
