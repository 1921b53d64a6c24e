// Package lru is a cache that grows to its bound and then stays there.
package lru

import (
	"container/list"
	"sync"
)

type Cache[K comparable, V any] struct {
	mu      sync.Mutex
	most    int
	entries map[K]*list.Element
	recent  *list.List // of *entry[K, V], the latest used in front
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func New[K comparable, V any](most int) *Cache[K, V] {
	return &Cache[K, V]{most: most, entries: make(map[K]*list.Element), recent: list.New()}
}

func (c *Cache[K, V]) Get(key K) (value V, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, found := c.entries[key]
	if !found {
		return value, false
	}
	c.recent.MoveToFront(element)
	return element.Value.(*entry[K, V]).value, true
}

func (c *Cache[K, V]) Add(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, found := c.entries[key]; found {
		element.Value.(*entry[K, V]).value = value
		c.recent.MoveToFront(element)
		return
	}
	c.entries[key] = c.recent.PushFront(&entry[K, V]{key, value})
	if c.recent.Len() > c.most {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.entries, oldest.Value.(*entry[K, V]).key)
	}
}
