package main

import (
	"sync"
	"time"
)

// clock is the time of the gateway's store. On a chain whose time is driven by
// hand it goes with the chain: a deadline is a matter of both, and two clocks
// that disagree by minutes would say different things of the same payment.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration // of the wall clock
}

// now is what the store asks.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// advance moves the clock on.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// follow makes sure that the clock is not behind a block's time. A development
// chain adds at least a second with each block, however fast they come.
func (c *clock) follow(block time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = max(c.ahead, time.Until(block))
}
