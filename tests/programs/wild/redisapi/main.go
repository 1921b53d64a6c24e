// Question: is a server over a database client, stripped, named and told right?
//
// An HTTP API over a Redis client, with its Redis in the same process (miniredis): sessions are stored, read and
// expired, answers are JSON. It links no profile reader. The first line is "ready <pid> <address>"; it ends when its
// stdin does.
//
//	PUT  /session/NAME   the body becomes the session's data, for a minute
//	GET  /session/NAME   answers it
//	GET  /count          answers how many sessions there are
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

const (
	lives    = time.Minute
	bodyMost = 64 << 10
)

type session struct {
	Name    string    `json:"name"`
	Data    string    `json:"data"`
	Written time.Time `json:"written"`
}

type api struct{ redis *redis.Client }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "redisapi:", err)
		os.Exit(1)
	}
}

func run() error {
	server, err := miniredis.Run()
	if err != nil {
		return err
	}
	defer server.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	api := &api{redis.NewClient(&redis.Options{Addr: server.Addr()})}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /session/{name}", api.put)
	mux.HandleFunc("GET /session/{name}", api.get)
	mux.HandleFunc("GET /count", api.count)
	go http.Serve(listener, mux)
	fmt.Println("ready", os.Getpid(), listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func key(name string) string { return "session:" + strings.ToLower(name) }

func (a *api) put(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyMost))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name := r.PathValue("name")
	text, err := json.Marshal(session{name, string(body), time.Now()})
	if err == nil {
		err = a.redis.Set(r.Context(), key(name), text, lives).Err()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *api) get(w http.ResponseWriter, r *http.Request) {
	text, err := a.redis.Get(r.Context(), key(r.PathValue("name"))).Bytes()
	var found session
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	switch {
	case errors.Is(err, redis.Nil):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(found)
	}
}

func (a *api) count(w http.ResponseWriter, r *http.Request) {
	n, err := a.redis.DBSize(r.Context()).Result()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, n)
}
