// Package visits counts.
package visits

import "sync"

// Counter holds a count for each page.
type Counter struct {
	mu     sync.Mutex
	counts map[string]int
}

// New returns an empty counter.
func New() *Counter {
	return &Counter{counts: map[string]int{}}
}

// Add counts one visit and returns how many there were.
func (c *Counter) Add(page string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[page]++
	return c.counts[page]
}
