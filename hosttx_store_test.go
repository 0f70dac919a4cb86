package bursar_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
)

// errRollback is a host that changes its mind.
var errRollback = errors.New("the host rolls back")

// count adds one to a row of the host's, which is kept among the chain states:
// it commits with the transaction or not at all.
func count(ctx context.Context, tx bursar.Tx, name string) error {
	row, err := tx.Chain(ctx, hostRow(name))
	if err != nil {
		return err
	}
	row.Seq++
	return tx.Apply(ctx, bursar.Batch{Chains: []bursar.ChainState{row}})
}

func hostRow(name string) chain.ID { return chain.ID("host:" + name) }

// counted reads a row of the host's.
func counted(t testing.TB, s bursar.Store, name string) (n int64) {
	t.Helper()
	require.NoError(t, s.Read(context.Background(), func(r bursar.Reader) error {
		row, err := r.Chain(context.Background(), hostRow(name))
		n = row.Seq
		return err
	}))
	return n
}

// sqlStore behaves as a store on a database with one writer does inside a host's
// transaction: there is one at a time, it sees what it wrote, it tells conflicts
// at once and goes on after them, and it reserves by itself. Everything is in the
// store underneath, so that a crash there takes all or nothing.
type sqlStore struct {
	bursar.Store
	writer chan struct{}
	waits  chan struct{} // where set, somebody has to wait for the writer
	hosts  atomic.Int64  // calls of WriteHost

	mu    sync.Mutex
	names map[string]bool // pools
}

var _ bursar.HostWriter = (*sqlStore)(nil)

func newSQLStore(below bursar.Store) *sqlStore {
	return &sqlStore{Store: below, writer: make(chan struct{}, 1), names: map[string]bool{}}
}

func (s *sqlStore) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	select {
	case s.writer <- struct{}{}:
	default:
		if s.waits != nil {
			s.waits <- struct{}{}
		}
		select {
		case s.writer <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-s.writer }()
	return s.Store.Write(ctx, func(tx bursar.Tx) error {
		t := &sqlTx{Tx: tx, s: s, taken: map[string]uint32{}}
		if err := fn(t); err != nil {
			return err
		}
		return t.flush(ctx)
	})
}

func (s *sqlStore) WriteHost(ctx context.Context, fn func(bursar.Tx) error) error {
	s.hosts.Add(1)
	return s.Write(ctx, fn)
}

func (s *sqlStore) Reserve(ctx context.Context, pool string, n uint32) (first uint32, err error) {
	err = s.Write(ctx, func(tx bursar.Tx) error {
		first, err = tx.(bursar.TxReserver).Reserve(ctx, pool, n)
		return err
	})
	return first, err
}

func (s *sqlStore) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	return s.Store.Read(ctx, func(r bursar.Reader) error { return fn(&sqlReader{r, s}) })
}

type sqlReader struct {
	bursar.Reader
	s *sqlStore
}

// Pools tells committed reservations alone.
func (r *sqlReader) Pools(ctx context.Context) (out []bursar.Pool, err error) {
	r.s.mu.Lock()
	names := make([]string, 0, len(r.s.names))
	for name := range r.s.names {
		names = append(names, name)
	}
	r.s.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		row, err := r.Chain(ctx, hostRow(name))
		if err != nil {
			return nil, err
		}
		if row.Seq > 0 {
			out = append(out, bursar.Pool{Name: name, Next: uint32(row.Seq)})
		}
	}
	return out, nil
}

type sqlTx struct {
	bursar.Tx
	s        *sqlStore
	taken    map[string]uint32 // pool → reserved in this transaction
	payments []bursar.Payment
	rows     []bursar.Address
}

// Reserve implements bursar.TxReserver.
func (t *sqlTx) Reserve(ctx context.Context, pool string, n uint32) (uint32, error) {
	t.s.mu.Lock()
	t.s.names[pool] = true
	t.s.mu.Unlock()
	row, err := t.Chain(ctx, hostRow(pool))
	first := uint32(row.Seq) + t.taken[pool]
	t.taken[pool] += n
	return first, err
}

// flush writes the reservations.
func (t *sqlTx) flush(ctx context.Context) error {
	var b bursar.Batch
	for pool, n := range t.taken {
		row, err := t.Chain(ctx, hostRow(pool))
		if err != nil {
			return err
		}
		row.Seq += int64(n)
		b.Chains = append(b.Chains, row)
	}
	if len(b.Chains) == 0 {
		return nil
	}
	return t.Tx.Apply(ctx, b)
}

func (t *sqlTx) Pools(ctx context.Context) ([]bursar.Pool, error) {
	return (&sqlReader{t.Tx, t.s}).Pools(ctx)
}

// Payments sees what the transaction wrote.
func (t *sqlTx) Payments(ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
	out, err := t.Tx.Payments(ctx, q)
	for _, p := range t.payments {
		p.Version++
		at := slices.IndexFunc(out, func(o bursar.Payment) bool { return o.ID == p.ID })
		switch {
		case at >= 0:
			out[at] = p
		case slices.Contains(q.IDs, p.ID) || p.IdempotencyKey != "" && slices.Contains(q.IdempotencyKeys, p.IdempotencyKey):
			out = append(out, p)
		}
	}
	return out, err
}

// Apply tells a taken address at once, and changes nothing then.
func (t *sqlTx) Apply(ctx context.Context, b bursar.Batch) error {
	for _, row := range b.Addresses {
		old, err := t.Addresses(ctx, bursar.AddressQuery{IDs: []string{row.ID}})
		if err != nil {
			return err
		}
		own := slices.ContainsFunc(t.rows, func(a bursar.Address) bool { return a.ID == row.ID })
		if own || row.Version == 0 && len(old) > 0 {
			return fmt.Errorf("%w: address %s", bursar.ErrConflict, row.ID)
		}
	}
	t.payments = append(t.payments, b.Payments...)
	t.rows = append(t.rows, b.Addresses...)
	return t.Tx.Apply(ctx, b)
}

// till is a gateway by hand on a store of the test's choice.
type till struct {
	*office
	gw    *bursar.Gateway
	chain *chaintest.Chain
}

// newTill is a till on a memory store, or on one underneath wrap.
func newTill(t testing.TB, wrap func(bursar.Store) bursar.Store, notify ...bursar.Notifier) *till {
	t.Helper()
	c := chaintest.New(chaintest.Options{})
	c.Mine(1)
	o := &office{t: t, store: memory.NewWith(memory.Options{Now: c.Now})}
	if wrap != nil {
		o.store = wrap(o.store)
	}
	o.cfg = bursar.Config{
		Store: o.store, Wallet: wallet(t, bursartest.Mnemonic, ""), Manual: true, Lease: 10 * time.Minute,
		Chains: []bursar.Chain{{Client: c.Client(), Treasury: c.Payer("treasury")}},
	}
	quiet(&o.cfg)
	return &till{office: o, chain: c, gw: o.open("till", notify...)}
}

func onSQL(s bursar.Store) bursar.Store { return newSQLStore(s) }

// host runs a transaction of the host's.
func (k *till) host(fn func(ctx context.Context, tx bursar.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return k.store.Write(ctx, func(tx bursar.Tx) error { return fn(ctx, tx) })
}

// eth is a request for one coin.
func eth(key string) bursar.PaymentRequest {
	return bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1"), IdempotencyKey: key}
}

// onBoth runs a test on a store that is plain and on one with a single writer.
func onBoth(t *testing.T, test func(*testing.T, func(bursar.Store) bursar.Store)) {
	t.Run("memory", func(t *testing.T) { test(t, nil) })
	t.Run("one writer", func(t *testing.T) { test(t, onSQL) })
}
