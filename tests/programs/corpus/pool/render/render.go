// Package render renders pages in pooled buffers.
package render

import (
	"bytes"
	"sync"
	"time"
)

var buffers = sync.Pool{New: func() interface{} { return new(bytes.Buffer) }}

//go:noinline
func Page(size int, stays time.Duration) {
	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)
	buffer.Reset()
	for buffer.Len() < size {
		buffer.WriteString("<li>a line of the page</li>\n")
	}
	time.Sleep(stays)
}
