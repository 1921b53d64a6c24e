// Package buffers is a free list of buffers.
package buffers

const Bytes = 2 << 10

type List struct{ free []*[Bytes]byte }

//go:noinline
func New() *[Bytes]byte { return new([Bytes]byte) }

//go:noinline
func (l *List) Get() *[Bytes]byte {
	if len(l.free) == 0 {
		return New()
	}
	last := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	return last
}

func (l *List) Put(buffer *[Bytes]byte) { l.free = append(l.free, buffer) }
