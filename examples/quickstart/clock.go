package main

import (
	"context"
	"sync"
	"time"

	"github.com/bursar-go/bursar"
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
	// Databases keep microseconds; what is compared with a row must too.
	return time.Now().Add(c.ahead).UTC().Truncate(time.Microsecond)
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

// clocked is a store whose transactions have the demo's time: an expired payment
// cannot be shown in a minute otherwise. A real host takes its store as it is.
type clocked struct {
	bursar.Store
	clock *clock
}

// Read implements bursar.Store.
func (s clocked) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	return s.Store.Read(ctx, func(r bursar.Reader) error { return fn(clockedReader{r, s.clock.now()}) })
}

// Write implements bursar.Store.
func (s clocked) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return s.Store.Write(ctx, func(tx bursar.Tx) error { return fn(clockedTx{tx, s.clock.now()}) })
}

// clockedReader has one time for the whole transaction.
type clockedReader struct {
	bursar.Reader
	at time.Time
}

// Now implements bursar.Reader.
func (r clockedReader) Now() time.Time { return r.at }

// Deliveries implements bursar.Reader.
func (r clockedReader) Deliveries(ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	return r.Reader.Deliveries(ctx, dueAt(q, r.at))
}

// dueAt asks by the demo's time, not by the store's own.
func dueAt(q bursar.DeliveryQuery, at time.Time) bursar.DeliveryQuery {
	if q.Due {
		q.Due, q.DueBy = false, at
	}
	return q
}

// clockedTx is a clockedReader that writes.
type clockedTx struct {
	bursar.Tx
	at time.Time
}

// Now implements bursar.Reader.
func (t clockedTx) Now() time.Time { return t.at }

// Deliveries implements bursar.Reader.
func (t clockedTx) Deliveries(ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	return t.Tx.Deliveries(ctx, dueAt(q, t.at))
}
