// Configurations that are read again and again, and let go: routes are built anew every few
// seconds, connections end after a few generations.
//
// answer: none
package main

import (
	"fmt"
	"net/http"

	"github.com/gorilla/mux"

	"corpus/internal/program"
)

const (
	routes = 60
	// generationBytes are what the routes of one configuration take.
	generationBytes = 620 << 10
)

// generation is one reading of the configuration.
type generation struct {
	number int
	router *mux.Router
}

func main() {
	p := program.Start(program.Plan{PerSecond: program.LeakPerSecond / generationBytes, StaticMiB: 15})
	var closed []chan struct{}
	for number := 0; p.Next(); number++ {
		current := &generation{number: number, router: createRouters()}
		closing := make(chan struct{})
		go current.serve(closing)
		if closed = append(closed, closing); len(closed) > kept {
			close(closed[0])
			closed = closed[1:]
		}
	}
}

//go:noinline
func createRouters() *mux.Router {
	router := mux.NewRouter()
	for tenant := 0; tenant < routes; tenant++ {
		router.Host(fmt.Sprintf("tenant%03d.example", tenant)).
			Path("/orders/{id:[0-9]+}/{part}").
			Methods(http.MethodGet, http.MethodPost).
			Headers("X-Tenant", fmt.Sprint(tenant))
	}
	return router
}

// kept is how many generations have a connection.
const kept = 8

// serve answers a connection by the configuration it began with.
func (g *generation) serve(closed chan struct{}) {
	<-closed
	g.router.SkipClean(true)
}
