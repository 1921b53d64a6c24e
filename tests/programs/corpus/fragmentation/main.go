// Fragmentation by mixed lifetimes: batches of small objects of which one in twenty stays
// until the next batch but two. Spans stay in use for few objects; what lives is bounded.
//
// answer: none
// may: fragmentation, idle_spans
package main

import "corpus/internal/program"

const (
	// batchObjects come in batchTicks requests, and then most of them go.
	batchTicks   = 150
	perRequest   = 200
	perSecond    = 10
	staysOneOf   = 20
	generations  = 3
	smallestSize = 48
)

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 20})
	var kept [generations][][]byte
	var batch [][]byte
	for n := 1; p.Next(); n++ {
		batch = load(p, batch)
		if n%batchTicks == 0 {
			generation := n / batchTicks % generations
			kept[generation] = nil
			for i := 0; i < len(batch); i += staysOneOf {
				kept[generation] = append(kept[generation], batch[i])
			}
			batch = nil
		}
	}
}

//go:noinline
func load(p *program.Program, batch [][]byte) [][]byte {
	for n := 0; n < perRequest; n++ {
		batch = append(batch, make([]byte, smallestSize<<uint(p.Rand.Intn(5))))
	}
	return batch
}
