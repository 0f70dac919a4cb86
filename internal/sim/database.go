package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
)

// errGone is what a client of a server sees that was replaced.
var errGone = errors.New("sim: the connection is gone")

// record is one commit of the database, as data, so that it can be made again.
type record struct {
	at      time.Time
	batches []bursar.Batch // of a Write
	pool    string         // of a reservation
	count   uint32
	name    string // of a lease
	holder  string
	ttl     time.Duration
	settled string // of a Settle: the mark
}

// database is what all instances share. A backup is a length of its journal.
type database struct {
	store   *memory.Store
	journal []record
	batches int // in the journal
	// generation counts replacements: a transaction of an older one is lost.
	generation int
	skew       time.Duration
	replay     time.Time // the clock while the journal is made again
	// written is the mark in the data, here that of the place.
	written, here string
	// remembers is true where the place keeps reservations apart from the data, as
	// a file beside a database does; elsewhere the place gets a new mark.
	remembers bool
	reserved  map[string]uint32
	seed      uint64
	told      func(bursar.Batch) // of each batch, once it is committed
	leased    func(holder string, f bursar.Fence)
}

func newDatabase(remembers bool, seed uint64, told func(bursar.Batch)) *database {
	d := &database{here: "place 1", remembers: remembers, reserved: map[string]uint32{}, seed: seed, told: told}
	d.open()
	return d
}

func (d *database) open() { d.store = memory.NewWith(memory.Options{Now: d.now, Seed: d.seed}) }

func (d *database) now() time.Time {
	if !d.replay.IsZero() {
		return d.replay
	}
	return time.Now().Add(d.skew)
}

func (d *database) note(r record) {
	r.at = d.now()
	d.journal = append(d.journal, r)
	d.batches += len(r.batches)
	if !d.replay.IsZero() {
		return
	}
	for _, b := range r.batches {
		d.told(b)
	}
}

// rewind replaces the data by those after the first n commits, and returns how
// many batches that keeps.
func (d *database) rewind(ctx context.Context, n int) (int, error) {
	old := d.journal[:n]
	d.open()
	d.journal, d.batches, d.written = nil, 0, ""
	d.generation++
	defer func() { d.replay = time.Time{} }()
	for _, r := range old {
		d.replay = r.at
		if err := d.again(ctx, r); err != nil {
			return 0, fmt.Errorf("sim: replay of the journal: %w", err)
		}
	}
	if !d.remembers {
		d.here = fmt.Sprintf("place %d", d.generation+1)
	}
	return d.batches, nil
}

func (d *database) again(ctx context.Context, r record) error {
	switch {
	case r.pool != "":
		_, err := d.reserve(ctx, r.pool, r.count)
		return err
	case r.name != "":
		_, err := d.acquire(ctx, r.name, r.holder, r.ttl)
		return err
	case r.settled != "":
		d.settle(r.settled)
		return nil
	}
	return d.write(ctx, func(tx bursar.Tx) ([]bursar.Batch, error) {
		for _, b := range r.batches {
			if err := tx.Apply(ctx, b); err != nil {
				return nil, err
			}
		}
		return r.batches, nil
	})
}

// write commits what fn applies, and notes it.
func (d *database) write(ctx context.Context, fn func(bursar.Tx) ([]bursar.Batch, error)) error {
	var batches []bursar.Batch
	err := d.store.Write(ctx, func(tx bursar.Tx) (err error) {
		batches, err = fn(tx)
		return err
	})
	if err == nil && len(batches) > 0 {
		d.note(record{batches: batches})
	}
	return err
}

func (d *database) reserve(ctx context.Context, pool string, n uint32) (uint32, error) {
	first, err := d.store.Reserve(ctx, pool, n)
	if err == nil {
		d.note(record{pool: pool, count: n})
		d.reserved[pool] = max(d.reserved[pool], first+n)
	}
	return first, err
}

func (d *database) acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	fence, err := d.store.Acquire(ctx, name, holder, ttl)
	if err == nil {
		d.note(record{name: name, holder: holder, ttl: ttl})
		if d.replay.IsZero() {
			d.leased(holder, fence)
		}
	}
	return fence, err
}

func (d *database) settle(mark string) {
	d.written = mark
	d.note(record{settled: mark})
}

func (d *database) origin() bursar.Origin {
	o := bursar.Origin{Written: d.written, Here: d.here}
	if d.remembers {
		o.Reserved = maps.Clone(d.reserved)
	}
	return o
}

// storeOf is the database as one process reaches it.
type storeOf struct {
	w *world
	p *process
}

var (
	_ bursar.Store    = storeOf{}
	_ bursar.Original = storeOf{}
)

// before is what a fault does before an effect on the store.
func before(v verdict) error {
	switch {
	case v.err != nil:
		return v.err
	case v.fault == StoreFail:
		return errors.New("sim: the store fails")
	case v.fault == StoreUnknown:
		return bursar.ErrUnknownOutcome
	}
	return nil
}

// after is what a fault does after it.
func (s storeOf) after(v verdict) error {
	switch v.fault {
	case StoreLost:
		return bursar.ErrUnknownOutcome
	case KillAfter:
		s.p.dead.Store(true)
		return errKilled
	}
	return nil
}

// Read implements bursar.Store.
func (s storeOf) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	if err := before(s.w.gate.enter(ctx, s.p, "store/read", "")); err != nil {
		return err
	}
	return s.w.db.store.Read(ctx, fn)
}

// Write implements bursar.Store. It stops between its snapshot and its commit, so
// that others commit in between.
func (s storeOf) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	if v := s.w.gate.enter(ctx, s.p, "store/begin", ""); v.err != nil {
		return v.err
	}
	for {
		var v verdict
		born := s.w.db.generation
		err := s.w.db.write(ctx, func(tx bursar.Tx) ([]bursar.Batch, error) {
			seen := &seeingTx{Tx: tx}
			if err := fn(seen); err != nil || len(seen.batches) == 0 {
				return nil, err
			}
			v = s.w.gate.enter(ctx, s.p, "store/commit", about(seen.batches))
			switch {
			case v.err == nil && s.w.db.generation != born:
				return nil, errGone
			case v.fault == StoreConflict:
				return nil, errAgain
			}
			return seen.batches, before(v)
		})
		if errors.Is(err, errAgain) {
			continue
		}
		if err != nil {
			return err
		}
		return s.after(v)
	}
}

var errAgain = errors.New("sim: a serialization failure")

// about names a batch by its rows, without what differs between runs.
func about(batches []bursar.Batch) string {
	var b []byte
	for _, x := range batches {
		b = fmt.Appendf(b, "p%d t%d a%d o%d s%d d%d c%d e%d v%d", len(x.Payments), len(x.Transactions), len(x.Addresses), len(x.Payouts),
			len(x.Attempts), len(x.Deliveries), len(x.Chains), len(x.Entries), len(x.Events))
	}
	return string(b)
}

// Reserve implements bursar.Store.
func (s storeOf) Reserve(ctx context.Context, pool string, n uint32) (uint32, error) {
	v := s.w.gate.enter(ctx, s.p, "store/reserve", pool)
	if err := before(v); err != nil {
		return 0, err
	}
	first, err := s.w.db.reserve(ctx, pool, n)
	if err == nil {
		err = s.after(v)
	}
	if err != nil {
		return 0, err
	}
	return first, nil
}

// Acquire implements bursar.Store.
func (s storeOf) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	v := s.w.gate.enter(ctx, s.p, "store/acquire", name)
	if err := before(v); err != nil {
		return bursar.Fence{}, err
	}
	fence, err := s.w.db.acquire(ctx, name, holder, ttl)
	if err == nil {
		err = s.after(v)
	}
	if err != nil {
		return bursar.Fence{}, err
	}
	return fence, nil
}

// Origin implements bursar.Original.
func (s storeOf) Origin(ctx context.Context) (bursar.Origin, error) {
	if err := before(s.w.gate.enter(ctx, s.p, "store/origin", "")); err != nil {
		return bursar.Origin{}, err
	}
	return s.w.db.origin(), nil
}

// Settle implements bursar.Original.
func (s storeOf) Settle(ctx context.Context) error {
	v := s.w.gate.enter(ctx, s.p, "store/settle", "")
	if err := before(v); err != nil {
		return err
	}
	s.w.db.settle(s.w.db.here)
	return s.after(v)
}

// Close implements bursar.Store: the database outlives its clients.
func (s storeOf) Close() error { return nil }

// seeingTx notes what is applied.
type seeingTx struct {
	bursar.Tx
	batches []bursar.Batch
}

func (t *seeingTx) Apply(ctx context.Context, b bursar.Batch) error {
	if err := t.Tx.Apply(ctx, b); err != nil {
		return err
	}
	t.batches = append(t.batches, shallow(b))
	return nil
}

// shallow keeps a batch as it is now: its rows may be written again by the
// caller, what they point to may not.
func shallow(b bursar.Batch) bursar.Batch {
	b.Fences, b.Payments, b.Transactions = slices.Clone(b.Fences), slices.Clone(b.Payments), slices.Clone(b.Transactions)
	b.Addresses, b.Payouts, b.Attempts = slices.Clone(b.Addresses), slices.Clone(b.Payouts), slices.Clone(b.Attempts)
	b.Deliveries, b.Chains = slices.Clone(b.Deliveries), slices.Clone(b.Chains)
	b.Entries, b.Events = slices.Clone(b.Entries), slices.Clone(b.Events)
	return b
}
