// String interning without an end: most of the names that come are new, and each stays in
// the table for ever.
//
// answer: heap
// site: strings.Clone via corpus/interning/intern.String
// site: internal/stringslite.Clone via corpus/interning/intern.String
// site: corpus/interning/intern.String via main.label
package main

import (
	"fmt"

	"corpus/internal/program"
	"corpus/interning/intern"
)

const (
	// nameBytes are a name and its part of the map.
	nameBytes  = 260
	perRequest = 8
)

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / (perRequest * nameBytes)})
	for request := 0; p.Next(); request++ {
		for n := 0; n < perRequest; n++ {
			label(request*perRequest + n)
		}
	}
}

//go:noinline
func label(number int) string {
	return intern.String(fmt.Sprintf("/customers/%d/orders/%0160d", number%1000, number))
}
