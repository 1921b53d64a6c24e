// Long connections that hold old configurations: routes are built anew every few seconds, and
// each generation has a connection that never ends: field report 4.
//
// answer: heap or goroutines
// goroutines: main.main start main.(*generation).serve
// under: github.com/gorilla/mux.*, regexp.*, main.createRouters, main.main
// site: github.com/gorilla/mux.* via main.createRouters
// site: regexp.* via main.createRouters
// site: regexp/syntax.* via main.createRouters
// site: main.createRouters via none
// site: strings.* via main.createRouters
// also: fmt.* bytes.* slices.* strconv.* sort.* unicode/* runtime.* main.*
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
	closed := make(chan struct{}) // no connection is ever closed
	for number := 0; p.Next(); number++ {
		current := &generation{number: number, router: createRouters()}
		go current.serve(closed)
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

// serve answers a connection by the configuration it began with.
func (g *generation) serve(closed chan struct{}) {
	<-closed
	g.router.SkipClean(true)
}
