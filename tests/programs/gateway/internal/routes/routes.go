// Package routes says which request goes to which API, by a configuration that
// is read again every few seconds.
package routes

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
)

const (
	// reloadEvery is how often the configuration is applied, changed or not.
	reloadEvery = 4 * time.Second
	// tenantRoutes are the routes of a configuration beside those of the APIs.
	tenantRoutes = 120
)

// API is a handler and where it answers.
type API struct {
	Path    string
	Handler http.Handler
}

// Table sends requests by the newest configuration.
type Table struct {
	apis    []API
	feed    string
	current atomic.Pointer[generation]
}

// generation is what one reading of the configuration has built.
type generation struct {
	number int
	router *mux.Router
	cancel context.CancelFunc
}

// NewTable reads the configuration for the first time, and then again and again
// until ctx is done. Each generation follows the changes of the APIs' tenants at
// feed, a URL whose answer never ends.
//
// That connection is the bug of field report 4: it stays open when the next
// generation has taken over, and keeps its own whole.
func NewTable(ctx context.Context, apis []API, feed string) *Table {
	t := &Table{apis: apis, feed: feed}
	t.apply(ctx, 1)
	go t.reload(ctx)
	return t
}

func (t *Table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.current.Load().router.ServeHTTP(w, r)
}

func (t *Table) reload(ctx context.Context) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for number := 2; ; number++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.apply(ctx, number)
		}
	}
}

func (t *Table) apply(ctx context.Context, number int) {
	ctx, cancel := context.WithCancel(ctx)
	next := &generation{number: number, router: t.createRouters(), cancel: cancel}
	t.current.Store(next)
	go next.follow(ctx, t.feed)
}

// createRouters builds every route anew, as they were all read anew.
func (t *Table) createRouters() *mux.Router {
	router := mux.NewRouter()
	for _, api := range t.apis {
		router.PathPrefix(api.Path).Handler(api.Handler)
	}
	for tenant := 0; tenant < tenantRoutes; tenant++ {
		api := t.apis[tenant%len(t.apis)]
		router.Host(fmt.Sprintf("tenant%03d.{region:[a-z]+-[a-z]+}.example", tenant)).
			Path(api.Path+"/{version}/{id:[0-9]+}").
			Methods(http.MethodGet, http.MethodPost).
			Headers("X-Tenant", fmt.Sprintf("tenant%03d", tenant)).
			Handler(api.Handler)
	}
	return router
}

// follow reads the changes, each of which is for the routes of this generation.
func (g *generation) follow(ctx context.Context, feed string) {
	defer g.cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, feed, nil)
	if err != nil {
		log.Println("gateway: no feed:", err)
		return
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		if ctx.Err() == nil {
			log.Println("gateway: no feed:", err)
		}
		return
	}
	defer answer.Body.Close()
	for changes := bufio.NewScanner(answer.Body); changes.Scan(); {
		if route := g.router.Get(changes.Text()); route != nil {
			route.Handler(http.NotFoundHandler()) // the tenant has left
		}
	}
}
