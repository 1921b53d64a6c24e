// Many idle goroutines that are fine: ten thousand connections wait for a word, as many as
// at the start; now and then one leaves and another comes.
//
// answer: none
package main

import "corpus/internal/program"

const (
	perSecond   = 20
	connections = 10000
)

type message struct{ payload [200]byte }

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 15})
	var open [connections]chan *message
	connect := func(n int) {
		open[n] = make(chan *message)
		go serve(open[n])
	}
	for n := range open {
		connect(n)
	}
	for p.Next() {
		n := p.Rand.Intn(connections)
		open[n] <- &message{}
		if p.Rand.Intn(4) == 0 {
			close(open[n])
			connect(n)
		}
	}
}

func serve(words chan *message) {
	for word := range words {
		word.payload[0]++
	}
}
