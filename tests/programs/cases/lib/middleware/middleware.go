// Package middleware serves requests, with one lock for each key.
package middleware

import (
	"fmt"
	"sync"

	"example.com/lib/keys"
)

type Locker struct {
	mu   sync.Mutex
	keys map[string]*sync.Mutex
}

// Serve answers as many requests as it is told of, one key each.
func Serve(requests <-chan int) {
	l := &Locker{keys: map[string]*sync.Mutex{}}
	n := 0
	for due := range requests {
		for ; due > 0; due-- {
			l.handle(fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n*7919))
			n++
		}
	}
}

//go:noinline
func (l *Locker) handle(key string) {
	key = keys.Copy(key)
	defer l.lock(key).Unlock()
	_ = fmt.Sprint("answer to ", key) // honest garbage
	for i := 0; i < 4; i++ {
		_ = keys.Copy(key)
	}
}

//go:noinline
func (l *Locker) lock(key string) *sync.Mutex {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.keys[key]
	if !ok {
		m = new(sync.Mutex)
		l.keys[key] = m
	}
	m.Lock()
	return m
}
