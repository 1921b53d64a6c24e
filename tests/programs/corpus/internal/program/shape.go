package program

import (
	"math"
	"math/rand"
	"sync/atomic"
	"time"
)

// shape is how the load varies around its mean: not at all, in waves, or by steps.
type shape struct {
	wave   time.Duration
	phase  float64
	height float64
	steps  []float64
}

const (
	stepLasts = 7 * time.Second
	nSteps    = 60
)

func newShape(random *rand.Rand) shape {
	switch random.Intn(3) {
	case 0:
		return shape{}
	case 1:
		return shape{
			wave:   time.Duration(60+random.Intn(120)) * time.Second,
			phase:  random.Float64(),
			height: 0.5,
		}
	}
	s := shape{steps: make([]float64, nSteps)}
	for n := range s.steps {
		s.steps[n] = 0.5 + random.Float64()
	}
	return s
}

func (s shape) at(since time.Duration) float64 {
	switch {
	case s.wave > 0:
		return 1 + s.height*math.Sin(2*math.Pi*(since.Seconds()/s.wave.Seconds()+s.phase))
	case s.steps != nil:
		return s.steps[int(since/stepLasts)%nSteps]
	}
	return 1
}

// scale is a factor that several goroutines read.
type scale struct{ bits uint64 }

func (s *scale) set(by float64) { atomic.StoreUint64(&s.bits, math.Float64bits(by)) }
func (s *scale) get() float64   { return math.Float64frombits(atomic.LoadUint64(&s.bits)) }
