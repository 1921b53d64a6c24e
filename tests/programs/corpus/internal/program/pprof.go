//go:build pprof

package program

import (
	_ "net/http/pprof" // a profile reader: the runtime samples at its default rate
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
)

// With CORPUS_PROFILE in its environment, SIGUSR1 has the program write its own heap
// profile to that file.
func init() {
	path := os.Getenv("CORPUS_PROFILE")
	if path == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			runtime.GC()
			runtime.GC()
			file, err := os.Create(path)
			if err != nil {
				continue
			}
			pprof.Lookup("heap").WriteTo(file, 0)
			file.Close()
		}
	}()
}
