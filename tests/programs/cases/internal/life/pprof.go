//go:build pprof

package life

import _ "net/http/pprof" // a profile reader: the runtime samples at its default rate
