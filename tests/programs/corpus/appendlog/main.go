// An append-only log in memory: every request adds its lines, and nothing takes any away.
//
// answer: heap
// site: fmt.Sprintf via corpus/appendlog/audit.(*Log).Add
// site: corpus/appendlog/audit.(*Log).Add via main.handle
package main

import (
	"corpus/appendlog/audit"
	"corpus/internal/program"
)

const lines = 3

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / (lines * audit.LineBytes)})
	log := &audit.Log{}
	for request := 0; p.Next(); request++ {
		handle(log, request)
	}
}

//go:noinline
func handle(log *audit.Log, request int) {
	for step := 0; step < lines; step++ {
		log.Add(request, step)
	}
}
