package bursar_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/memory"
)

// place is a database and the place it is in. It keeps what was committed, in
// order, so that any earlier state can be restored, here or elsewhere.
type place struct {
	t   testing.TB
	now func() time.Time

	mu  sync.Mutex
	mem *memory.Store
	log []committed
	// written is the mark in the data, here that of the place; reserved is what
	// the place remembers beside the data.
	written, here string
	reserved      map[string]uint32
	// stuck makes settling do nothing.
	stuck bool
	// fault fails a call, before or after it has happened.
	fault func(call string, after bool) error
}

type committed struct {
	batches []bursar.Batch
	pool    string
	n       uint32
	mark    string
}

var errPlace = errors.New("the disk is away")

func newPlace(t testing.TB, here string, now func() time.Time) *place {
	return &place{t: t, now: now, here: here, reserved: map[string]uint32{}, mem: memory.NewWith(memory.Options{Now: now})}
}

func (p *place) store() *memory.Store {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mem
}

func (p *place) fails(call string, after bool) error {
	p.mu.Lock()
	fault := p.fault
	p.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(call, after)
}

// around runs a call between its two faults and logs it.
func (p *place) around(call string, do func() error, c *committed) error {
	if err := p.fails(call, false); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	p.mu.Lock()
	p.log = append(p.log, *c)
	p.mu.Unlock()
	return p.fails(call, true)
}

func (p *place) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	return p.store().Read(ctx, fn)
}

func (p *place) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	return p.store().Acquire(ctx, name, holder, ttl)
}

func (p *place) Close() error { return p.store().Close() }

func (p *place) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	c := &committed{}
	return p.around("write", func() error {
		return p.store().Write(ctx, func(tx bursar.Tx) error {
			c.batches = nil
			return fn(noting{tx, c})
		})
	}, c)
}

// noting keeps copies of what is applied.
type noting struct {
	bursar.Tx
	c *committed
}

func (n noting) Apply(ctx context.Context, b bursar.Batch) error {
	kept := bursar.Batch{
		Payments: slices.Clone(b.Payments), Transactions: slices.Clone(b.Transactions), Addresses: slices.Clone(b.Addresses),
		Payouts: slices.Clone(b.Payouts), Attempts: slices.Clone(b.Attempts), Deliveries: slices.Clone(b.Deliveries),
		Chains: slices.Clone(b.Chains), Entries: slices.Clone(b.Entries), Events: slices.Clone(b.Events),
	}
	n.c.batches = append(n.c.batches, kept) // without the fences: leases are not in a backup
	return n.Tx.Apply(ctx, b)
}

func (p *place) Reserve(ctx context.Context, pool string, n uint32) (first uint32, err error) {
	err = p.around("reserve", func() (err error) {
		if first, err = p.store().Reserve(ctx, pool, n); err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.reserved[pool] = max(p.reserved[pool], first+n)
		}
		return err
	}, &committed{pool: pool, n: n})
	return first, err
}

// snapshot is a backup: what was committed by now.
func (p *place) snapshot() []committed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// restore replaces the data.
func (p *place) restore(backup []committed) {
	p.t.Helper()
	mem, written := memory.NewWith(memory.Options{Now: p.now}), ""
	for _, c := range backup {
		switch {
		case c.mark != "":
			written = c.mark
		case c.pool != "":
			_, err := mem.Reserve(context.Background(), c.pool, c.n)
			require.NoError(p.t, err)
		default:
			require.NoError(p.t, mem.Write(context.Background(), func(tx bursar.Tx) error {
				for _, b := range c.batches {
					if err := tx.Apply(context.Background(), b); err != nil {
						return err
					}
				}
				return nil
			}))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mem, p.log, p.written = mem, slices.Clone(backup), written
}

// become is another place, which remembers nothing.
func (p *place) become(here string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.here, p.reserved = here, map[string]uint32{}
}

// marked is a place whose store can tell where it is.
type marked struct{ *place }

func (m marked) Origin(context.Context) (bursar.Origin, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bursar.Origin{Written: m.written, Here: m.here, Reserved: maps.Clone(m.reserved)}, nil
}

func (m marked) Settle(context.Context) error {
	m.mu.Lock()
	here := m.here
	m.mu.Unlock()
	return m.around("settle", func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.stuck {
			m.place.written = here
		}
		return nil
	}, &committed{mark: here})
}

// shortSkip is how far pools are moved ahead, at least, where the scanner has to
// derive what was left out.
const shortSkip = 1 << 11

// farSkip is how far they are moved really.
const farSkip = 1 << 20

// restored is a gateway whose store can be set back.
type restored struct {
	*flow
	place *place
	// issued are all addresses that anybody was ever told.
	issued map[chain.Address]string
}

func newRestored(t *testing.T, canTell bool) *restored {
	t.Helper()
	r := &restored{issued: map[chain.Address]string{}}
	r.flow = newFlow(t, bursartest.Options{
		Store: func(now func() time.Time) bursar.Store {
			r.place = newPlace(t, "a", now)
			if canTell {
				return marked{r.place}
			}
			return r.place
		},
		Edit: func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff },
	})
	return r
}

// begin starts a gateway on the store, with pools that are moved a short way.
func (r *restored) begin() error {
	r.t.Helper()
	return r.beginWith(shortSkip)
}

func (r *restored) beginWith(skip uint32) error {
	r.t.Helper()
	require.NoError(r.t, r.Gateway.Stop(r.ctx()))
	gw, err := bursar.New(r.cfg)
	require.NoError(r.t, err)
	gw.SkipAhead(skip)
	r.t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	err = gw.Start(r.ctx())
	if err == nil {
		r.Gateway = gw
	}
	return err
}

// issue makes n payments, none of which may have an address that was told
// before.
func (r *restored) issue(n int) (last bursar.Payment) {
	r.t.Helper()
	for range n {
		p, err := r.Gateway.CreatePayment(r.ctx(), bursar.PaymentRequest{Asset: "local/USDC", Amount: decimal.NewFromInt(10)})
		require.NoError(r.t, err)
		require.Empty(r.t, r.issued[p.Address], "issued twice: %s", p.Address)
		r.issued[p.Address] = p.ID
		last = p
	}
	return last
}

// index is the place of a payment's address in its pool.
func (r *restored) index(p bursar.Payment) uint32 {
	r.t.Helper()
	row, err := r.Gateway.Address(r.ctx(), string(p.Address))
	require.NoError(r.t, err)
	return row.Index
}

// mark is the first index that the store never handed out.
func (r *restored) mark() uint32 {
	r.t.Helper()
	return r.pool().Next
}

func (r *restored) pool() (out bursar.Pool) {
	r.t.Helper()
	r.read(func(rd bursar.Reader) error {
		pools, err := rd.Pools(r.ctx())
		require.Len(r.t, pools, 1)
		out = pools[0]
		return err
	})
	return out
}

// alarms are the events about pools that were moved ahead, in the store.
func (r *restored) alarms() (out []bursar.Event) {
	r.t.Helper()
	r.read(func(rd bursar.Reader) (err error) {
		out, err = rd.Events(r.ctx(), bursar.EventQuery{Kinds: []bursar.Kind{bursar.AlertStoreRestored}})
		return err
	})
	return out
}

// alarm is the one alarm there is, about the one pool.
func (r *restored) alarm(reason string) bursar.SkippedPool {
	r.t.Helper()
	all := r.alarms()
	require.Len(r.t, all, 1)
	e := all[0]
	require.Equal(r.t, reason, e.Data.Reason)
	require.EqualValues(r.t, 1, e.Seq)
	require.Equal(r.t, e.Subject, e.Data.Subject)
	require.Len(r.t, e.Data.Restore.Pools, 1)
	p := e.Data.Restore.Pools[0]
	require.Equal(r.t, reason, p.Reason)
	require.Equal(r.t, r.pool().Name, p.Pool)
	return p
}
