// Package memorycache is a map whose items expire, cleaned by a goroutine.
package memorycache

import (
	"sync"
	"time"
)

type Cache struct {
	mu    sync.RWMutex
	items map[string]*Item
	stop  chan struct{}

	// leavesAfterOnePass is the bug of field report 2: the goroutine that
	// cleans returns from its first tick, and nothing expires ever after.
	leavesAfterOnePass bool
}

type Item struct {
	data    any
	expires time.Time
}

func New(cleanEvery time.Duration, leavesAfterOnePass bool) *Cache {
	c := &Cache{
		items:              make(map[string]*Item),
		stop:               make(chan struct{}),
		leavesAfterOnePass: leavesAfterOnePass,
	}
	go c.clean(cleanEvery)
	return c
}

func (c *Cache) Get(key string) (any, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	item, found := c.items[key]
	if !found || time.Now().After(item.expires) {
		return nil, false
	}
	return item.data, true
}

func (c *Cache) Set(key string, data any, lives time.Duration) {
	item := &Item{data: data, expires: time.Now().Add(lives)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.items[key] = item
}

func (c *Cache) Close() { close(c.stop) }

func (c *Cache) clean(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.removeExpired()
			if c.leavesAfterOnePass {
				return
			}
		case <-c.stop:
			return
		}
	}
}

func (c *Cache) removeExpired() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, item := range c.items {
		if now.After(item.expires) {
			delete(c.items, key)
		}
	}
}
