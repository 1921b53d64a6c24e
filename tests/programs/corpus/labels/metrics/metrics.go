// Package metrics counts things by labels.
package metrics

import "strings"

// SeriesBytes are a histogram, its key and its part of the map.
const SeriesBytes = 730

type Histogram struct {
	buckets []float64
	counts  []uint64
	values  []string
	sum     float64
}

type Vec struct {
	name   string
	labels []string
	series map[string]*Histogram
}

func NewVec(name string, labels ...string) *Vec {
	return &Vec{name: name, labels: labels, series: make(map[string]*Histogram)}
}

//go:noinline
func (v *Vec) With(values ...string) *Histogram {
	var key strings.Builder
	for n, value := range values {
		key.WriteString(v.labels[n])
		key.WriteByte('=')
		key.WriteString(value)
	}
	if known, ok := v.series[key.String()]; ok {
		return known
	}
	h := newHistogram(values)
	v.series[key.String()] = h
	return h
}

//go:noinline
func newHistogram(values []string) *Histogram {
	return &Histogram{
		buckets: make([]float64, 30),
		counts:  make([]uint64, 30),
		values:  append([]string(nil), values...),
	}
}

func (h *Histogram) Observe(value float64) {
	h.counts[int(value)%len(h.counts)]++
	h.sum += value
}
