// An LRU cache in steady state: full from the start, one entry in and one out at every miss.
//
// answer: none
package main

import (
	"container/list"
	"fmt"
	"math"

	"corpus/internal/program"
)

const (
	perSecond = 150
	most      = 12000
	keys      = 40000
	bodyBytes = 1500
)

type entry struct {
	key  int
	name string
	body []byte
}

type lru struct {
	entries map[int]*list.Element
	recent  *list.List
}

func main() {
	p := program.Start(program.Plan{PerSecond: perSecond, StaticMiB: 15})
	c := &lru{entries: make(map[int]*list.Element), recent: list.New()}
	for c.recent.Len() < most {
		c.get(keys - c.recent.Len())
	}
	for p.Next() {
		c.get(int(keys * math.Pow(p.Rand.Float64(), 2)))
	}
}

//go:noinline
func (c *lru) get(key int) *entry {
	if found, ok := c.entries[key]; ok {
		c.recent.MoveToFront(found)
		return found.Value.(*entry)
	}
	e := &entry{key: key, name: fmt.Sprint("entry-", key), body: make([]byte, bodyBytes)}
	c.entries[key] = c.recent.PushFront(e)
	if c.recent.Len() > most {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.entries, oldest.Value.(*entry).key)
	}
	return e
}
