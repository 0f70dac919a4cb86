// Package wiretest is a network that fails on command, for tests of clients that
// take a dialer.
package wiretest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// ErrCut is what a dialer says while the wire is cut.
var ErrCut = errors.New("the wire is cut")

// Wire makes connections and breaks them. The zero value is whole. It is safe for
// concurrent use.
type Wire struct {
	mu        sync.Mutex
	cut, deaf bool
	conns     map[*conn]struct{}
}

// Dial connects, as net.Dial does.
func (w *Wire) Dial(network, address string) (net.Conn, error) {
	return w.DialContext(context.Background(), network, address)
}

// DialContext connects, as net.Dialer.DialContext does.
func (w *Wire) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if w.is(&w.cut) {
		return nil, ErrCut
	}
	under, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: under, wire: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errors.Join(ErrCut, under.Close())
	}
	if w.conns == nil {
		w.conns = map[*conn]struct{}{}
	}
	w.conns[c] = struct{}{}
	return c, nil
}

// Cut breaks all connections and lets none begin.
func (w *Wire) Cut() {
	w.mu.Lock()
	w.cut = true
	conns := w.conns
	w.conns = nil
	w.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close() // whoever uses it gets the error
	}
}

// Deafen lets no more answers through: what is said arrives at the other side.
func (w *Wire) Deafen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = true
}

// Mend lets connections begin again. Those that were deaf are broken by Cut.
func (w *Wire) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.deaf = false, false
}

func (w *Wire) is(flag *bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *flag
}

type conn struct {
	net.Conn
	wire *Wire
}

func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.wire.is(&c.wire.deaf) {
			return n, err
		}
	}
}

func (c *conn) Close() error {
	c.wire.mu.Lock()
	delete(c.wire.conns, c)
	c.wire.mu.Unlock()
	return c.Conn.Close()
}
