// Package intern makes equal strings one.
package intern

import "strings"

var table = map[string]string{}

//go:noinline
func String(s string) string {
	if known, ok := table[s]; ok {
		return known
	}
	own := strings.Clone(s)
	table[own] = own
	return own
}
