// Package bus tells subscribers of changes.
package bus

type subscription struct {
	next *subscription
	call func(int64)
	seen [8]int64
}

type Bus struct{ topics []*subscription }

func New(topics int) *Bus { return &Bus{topics: make([]*subscription, topics)} }

//go:noinline
func (b *Bus) Subscribe(topic int, call func(int64)) {
	b.topics[topic] = &subscription{next: b.topics[topic], call: call}
}
