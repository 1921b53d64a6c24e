// Metrics labelled by the request's path, with its numbers: a series for every request, all
// kept in the registry.
//
// answer: heap
// site: corpus/labels/metrics.(*Vec).With via main.observe
// site: corpus/labels/metrics.newHistogram via main.observe
// site: strings.(*Builder).* via corpus/labels/metrics.(*Vec).With
// site: fmt.Sprintf via main.observe
package main

import (
	"fmt"

	"corpus/internal/program"
	"corpus/labels/metrics"
)

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / metrics.SeriesBytes})
	took := metrics.NewVec("http_request_seconds", "path", "status")
	for request := 0; p.Next(); request++ {
		observe(took, request)
	}
}

//go:noinline
func observe(took *metrics.Vec, request int) {
	took.With(fmt.Sprintf("/orders/%012d/items", request), "200").Observe(float64(request % 7))
}
