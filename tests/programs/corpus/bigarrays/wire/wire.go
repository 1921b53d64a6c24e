// Package wire reads frames.
package wire

//go:noinline
func ReadFrame(size int) []byte {
	frame := make([]byte, size)
	for n := range frame {
		frame[n] = byte(n)
	}
	return frame
}
