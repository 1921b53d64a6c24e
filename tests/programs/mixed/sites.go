package main

import "unsafe"

// policy says what becomes of the objects of a site.
type policy string

const (
	keeps  policy = "keeps"  // all of them
	halves policy = "halves" // one in two, at random
	sheds  policy = "sheds"  // all, until `drop` takes some at random
	later  policy = "later"  // all, until `release` takes every one
	wastes policy = "wastes" // none
)

// site is a call site: a function that is never inlined, unless that is its point, and allocates the same each time.
type site struct {
	function string // as the runtime names it
	policy   policy
	share    int // of the bytes of a fill, in thousandths
	make     func() unsafe.Pointer
	verify   func(unsafe.Pointer) bool
	// liveOnly is what of one call lives on where that is not all of it.
	liveOnly *amount
	// tiny objects share blocks of 16 bytes: their bytes are declared, not measured.
	tiny *amount

	perCall amount // learnt
}

// amount counts objects and the bytes of their slots.
type amount struct{ objects, bytes uint64 }

func (s *site) livePerCall() amount {
	if s.liveOnly != nil {
		return *s.liveOnly
	}
	return s.perCall
}

const appended = 100

// mixer makes patterns that no other object has by chance.
const mixer = 0x9e3779b97f4a7c15

type (
	scan24 struct {
		self *scan24
		rest [2]uint64
	}
	scan64 struct {
		self *scan64
		rest [7]uint64
	}
	scan96 struct {
		self *scan96
		rest [11]uint64
	}
	scan600 struct {
		self *scan600
		rest [74]uint64
	}
	scan4096 struct {
		self *scan4096
		rest [511]uintptr
	}
	pair[T any] struct {
		self  *pair[T]
		value T
		rest  [2]uint64
	}
)

// lengths are variables, so that the compiler knows neither size nor place of what they make.
var (
	length24   = 24
	length128  = 128
	length4096 = 4096
	length48K  = 48 << 10
	firstHalf  = "abcd"
	lastHalf   = "efgh"
)

//go:noinline
func sitePointer8() unsafe.Pointer {
	p := new(unsafe.Pointer)
	*p = unsafe.Pointer(p)
	return unsafe.Pointer(p)
}

//go:noinline
func site24Scan() unsafe.Pointer {
	p := new(scan24)
	p.self = p
	return unsafe.Pointer(p)
}

//go:noinline
func site24Noscan() unsafe.Pointer { return sign(unsafe.Pointer(&make([]byte, length24)[0]), 24) }

//go:noinline
func site64Scan() unsafe.Pointer {
	p := new(scan64)
	p.self = p
	return unsafe.Pointer(p)
}

//go:noinline
func site64Noscan() unsafe.Pointer { return sign(unsafe.Pointer(new([8]uint64)), 64) }

//go:noinline
func site64Shed() unsafe.Pointer {
	p := new(scan64)
	p.self = p
	return unsafe.Pointer(p)
}

//go:noinline
func site96Later() unsafe.Pointer {
	p := new(scan96)
	p.self = p
	return unsafe.Pointer(p)
}

//go:noinline
func site128Waste() unsafe.Pointer { return sign(unsafe.Pointer(&make([]byte, length128)[0]), 128) }

//go:noinline
func site600Scan() unsafe.Pointer {
	p := new(scan600)
	p.self = p
	return unsafe.Pointer(p)
}

//go:noinline
func site4096Scan() unsafe.Pointer {
	p := new(scan4096)
	p.self = p
	return unsafe.Pointer(p)
}

//go:noinline
func site4096Noscan() unsafe.Pointer {
	return sign(unsafe.Pointer(&make([]byte, length4096)[0]), 4096)
}

//go:noinline
func site48K() unsafe.Pointer { return sign(unsafe.Pointer(&make([]byte, length48K)[0]), 48<<10) }

//go:noinline
func site48KLater() unsafe.Pointer { return sign(unsafe.Pointer(&make([]byte, length48K)[0]), 48<<10) }

//go:noinline
func siteTiny() unsafe.Pointer {
	text := firstHalf + lastHalf
	return *(*unsafe.Pointer)(unsafe.Pointer(&text))
}

//go:noinline
func siteMap() unsafe.Pointer {
	m := make(map[uint64]uint64, 8)
	for i := uint64(0); i < 8; i++ {
		m[i] = i * mixer
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&m))
}

//go:noinline
func siteAppend() unsafe.Pointer {
	// Not from nothing: a first array of 8 bytes would share its block with strings of siteTiny, and live as long as they.
	all := make([]uint64, 0, 4)
	for i := uint64(0); i < appended; i++ {
		all = append(all, i*mixer)
	}
	return unsafe.Pointer(&all[0])
}

//go:noinline
func siteGeneric[T any]() unsafe.Pointer {
	p := new(pair[T])
	p.self = p
	return unsafe.Pointer(p)
}

//go:noinline
func aroundInlined() unsafe.Pointer { return inlinedSite() }

// inlinedSite has no code of its own: its frame is one that only the tables of inlining tell of.
func inlinedSite() unsafe.Pointer {
	p := new([6]uint64)
	return sign(unsafe.Pointer(p), 48)
}

// sign writes a pattern that depends on the address to both ends of an object without pointers.
func sign(p unsafe.Pointer, size uintptr) unsafe.Pointer {
	pattern := uint64(uintptr(p)) ^ mixer
	*(*uint64)(unsafe.Pointer(uintptr(p) + size - 8)) = pattern
	*(*uint64)(p) = pattern
	return p
}

func signed(size uintptr) func(unsafe.Pointer) bool {
	return func(p unsafe.Pointer) bool {
		pattern := uint64(uintptr(p)) ^ mixer
		return *(*uint64)(p) == pattern && *(*uint64)(unsafe.Pointer(uintptr(p) + size - 8)) == pattern
	}
}

// pointsToItself holds for every object whose first word does.
func pointsToItself(p unsafe.Pointer) bool { return *(*unsafe.Pointer)(p) == p }

func isText(p unsafe.Pointer) bool { return string((*[8]byte)(p)[:]) == firstHalf+lastHalf }

func isMap(p unsafe.Pointer) bool {
	m := *(*map[uint64]uint64)(unsafe.Pointer(&p))
	for i := uint64(0); i < 8; i++ {
		if m[i] != i*mixer {
			return false
		}
	}
	return len(m) == 8
}

func isAppended(p unsafe.Pointer) bool {
	for i, word := range (*[appended]uint64)(p) {
		if word != uint64(i)*mixer {
			return false
		}
	}
	return true
}

// capOfAppended is the slot of the last array that appending makes: a capacity fills its size class.
func capOfAppended() uint64 {
	all := make([]uint64, 0, 4)
	for i := uint64(0); i < appended; i++ {
		all = append(all, i)
	}
	return uint64(cap(all)) * 8
}

var sites = append([]*site{
	{function: "main.sitePointer8", policy: keeps, share: 50, make: sitePointer8, verify: pointsToItself},
	{function: "main.site24Scan", policy: keeps, share: 60, make: site24Scan, verify: pointsToItself},
	{function: "main.site24Noscan", policy: keeps, share: 60, make: site24Noscan, verify: signed(24)},
	{function: "main.site64Scan", policy: halves, share: 120, make: site64Scan, verify: pointsToItself},
	{function: "main.site64Noscan", policy: keeps, share: 60, make: site64Noscan, verify: signed(64)},
	{function: "main.site64Shed", policy: sheds, share: 120, make: site64Shed, verify: pointsToItself},
	{function: "main.site96Later", policy: later, share: 60, make: site96Later, verify: pointsToItself},
	{function: "main.site128Waste", policy: wastes, share: 60, make: site128Waste, verify: signed(128)},
	{function: "main.site600Scan", policy: keeps, share: 60, make: site600Scan, verify: pointsToItself},
	{function: "main.site4096Scan", policy: keeps, share: 50, make: site4096Scan, verify: pointsToItself},
	{function: "main.site4096Noscan", policy: keeps, share: 50, make: site4096Noscan, verify: signed(4096)},
	{function: "main.site48K", policy: halves, share: 120, make: site48K, verify: signed(48 << 10)},
	{function: "main.site48KLater", policy: later, share: 40, make: site48KLater, verify: signed(48 << 10)},
	{function: "main.siteTiny", policy: keeps, share: 20, make: siteTiny, verify: isText, tiny: &amount{1, 8}},
	{function: "main.siteMap", policy: keeps, share: 60, make: siteMap, verify: isMap},
	{function: "main.siteAppend", policy: keeps, share: 120, make: siteAppend, verify: isAppended,
		liveOnly: &amount{1, capOfAppended()}},
	{function: "main.siteGeneric[...]", policy: keeps, share: 60, make: siteGeneric[uint64], verify: pointsToItself},
	{function: "main.inlinedSite", policy: keeps, share: 60, make: aroundInlined, verify: signed(48)},
}, cgoSites...)
