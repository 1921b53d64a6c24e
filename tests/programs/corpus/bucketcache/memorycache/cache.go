// Package memorycache is a map whose items expire, cleaned by a goroutine.
package memorycache

import (
	"sync"
	"time"
)

type item struct {
	data    interface{}
	key     string
	expires time.Time
	hits    [24]int64
}

type Cache struct {
	mu    sync.Mutex
	items map[string]*item
}

func New(cleanEvery time.Duration) *Cache {
	c := &Cache{items: make(map[string]*item)}
	go c.clean(cleanEvery)
	return c
}

//go:noinline
func (c *Cache) Set(key string, data interface{}, lives time.Duration) {
	it := &item{data: data, key: key, expires: time.Now().Add(lives)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.items[key] = it
}

// clean is the bug: it returns after its first pass.
func (c *Cache) clean(every time.Duration) {
	time.Sleep(every)
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, it := range c.items {
		if time.Now().After(it.expires) {
			delete(c.items, key)
		}
	}
}
