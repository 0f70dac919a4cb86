package storetest

import (
	"context"
	"fmt"
	"math/big"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/stretchr/testify/require"
)

// recorder is a test that may fail without failing the test around it.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	log      []string
	cleanups []func()
}

func (r *recorder) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }
func (r *recorder) Error(args ...any)                 { r.fail(fmt.Sprint(args...)) }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fail()                             { r.fail("Fail") }
func (r *recorder) FailNow()                          { r.fail("FailNow"); runtime.Goexit() }
func (r *recorder) Failed() bool                      { r.mu.Lock(); defer r.mu.Unlock(); return r.failed }
func (r *recorder) Helper()                           {}
func (r *recorder) Log(...any)                        {}
func (r *recorder) Logf(string, ...any)               {}
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }

func (r *recorder) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.log = append(r.log, text)
}

// verdict runs one check on a store and reports whether it failed.
func verdict(t *testing.T, c check, open func() bursar.Store) bool {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.fail(fmt.Sprint("panic: ", p))
			}
		}()
		c.run(newKit(r, open))
	}()
	<-done
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
	return r.Failed()
}

func find(t *testing.T, rule string) check {
	for _, g := range groups() {
		for _, c := range g.checks {
			if strings.HasSuffix(c.rule, rule) {
				return c
			}
		}
	}
	t.Fatalf("no check %q", rule)
	return check{}
}

// broken is a store with a hook wherever one of them can go wrong.
type broken struct {
	bursar.Store
	write   func(s bursar.Store, ctx context.Context, fn func(bursar.Tx) error) error
	read    func(s bursar.Store, ctx context.Context, fn func(bursar.Reader) error) error
	reserve func(s bursar.Store, ctx context.Context, pool string, n uint32) (uint32, error)
	acquire func(s bursar.Store, ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error)
	close   func(s bursar.Store) error
	// apply changes a batch on its way in, reader what is read.
	apply  func(b bursar.Batch) bursar.Batch
	reader func(r bursar.Reader) bursar.Reader
}

type brokenTx struct {
	bursar.Reader
	tx    bursar.Tx
	apply func(b bursar.Batch) bursar.Batch
}

func (t brokenTx) Apply(ctx context.Context, b bursar.Batch) error {
	if t.apply != nil {
		b = t.apply(b)
	}
	return t.tx.Apply(ctx, b)
}

func (b *broken) look(r bursar.Reader) bursar.Reader {
	if b.reader != nil {
		return b.reader(r)
	}
	return r
}

func (b *broken) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	own := func(tx bursar.Tx) error { return fn(brokenTx{b.look(tx), tx, b.apply}) }
	if b.write != nil {
		return b.write(b.Store, ctx, own)
	}
	return b.Store.Write(ctx, own)
}

func (b *broken) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	own := func(r bursar.Reader) error { return fn(b.look(r)) }
	if b.read != nil {
		return b.read(b.Store, ctx, own)
	}
	return b.Store.Read(ctx, own)
}

func (b *broken) Reserve(ctx context.Context, pool string, n uint32) (uint32, error) {
	if b.reserve != nil {
		return b.reserve(b.Store, ctx, pool, n)
	}
	return b.Store.Reserve(ctx, pool, n)
}

func (b *broken) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	if b.acquire != nil {
		return b.acquire(b.Store, ctx, name, holder, ttl)
	}
	return b.Store.Acquire(ctx, name, holder, ttl)
}

func (b *broken) Close() error {
	if b.close != nil {
		return b.close(b.Store)
	}
	return b.Store.Close()
}

// views replace single answers of a reader.
type twisted struct {
	bursar.Reader
	payments   func(r bursar.Reader, ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error)
	balances   func(r bursar.Reader, ctx context.Context, q bursar.BalanceQuery) ([]bursar.Balance, error)
	deliveries func(r bursar.Reader, ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error)
	entries    func(r bursar.Reader, ctx context.Context, q bursar.EntryQuery) ([]bursar.Entry, error)
}

func (t twisted) Payments(ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
	if t.payments != nil {
		return t.payments(t.Reader, ctx, q)
	}
	return t.Reader.Payments(ctx, q)
}

func (t twisted) Balances(ctx context.Context, q bursar.BalanceQuery) ([]bursar.Balance, error) {
	if t.balances != nil {
		return t.balances(t.Reader, ctx, q)
	}
	return t.Reader.Balances(ctx, q)
}

func (t twisted) Deliveries(ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	if t.deliveries != nil {
		return t.deliveries(t.Reader, ctx, q)
	}
	return t.Reader.Deliveries(ctx, q)
}

func (t twisted) Entries(ctx context.Context, q bursar.EntryQuery) ([]bursar.Entry, error) {
	if t.entries != nil {
		return t.entries(t.Reader, ctx, q)
	}
	return t.Reader.Entries(ctx, q)
}

// paymentsBy is a store whose payments come out changed.
func paymentsBy(change func(r bursar.Reader, ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error)) *broken {
	return &broken{reader: func(r bursar.Reader) bursar.Reader { return twisted{Reader: r, payments: change} }}
}

// batches is a store whose batches go in changed.
func batches(change func(b *bursar.Batch)) *broken {
	return &broken{apply: func(b bursar.Batch) bursar.Batch { change(&b); return b }}
}

// collected runs a closure by itself and returns what it applied.
func collected(s bursar.Store, ctx context.Context, fn func(bursar.Tx) error) (got []bursar.Batch, err error) {
	err = s.Read(ctx, func(r bursar.Reader) error { return fn(&collector{Reader: r, got: &got}) })
	return got, err
}

type collector struct {
	bursar.Reader
	got *[]bursar.Batch
}

func (c *collector) Apply(_ context.Context, b bursar.Batch) error {
	*c.got = append(*c.got, b)
	return nil
}

func applyAll(s bursar.Store, ctx context.Context, all []bursar.Batch) error {
	return s.Write(ctx, func(tx bursar.Tx) error {
		for _, b := range all {
			if err := tx.Apply(ctx, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// The suite is worth what it finds: each of these stores breaks one rule, and
// the rule's check must fail on it and pass on the store underneath.
func TestThreat_D18_BrokenStoresAreFound(t *testing.T) {
	for _, flaws := range []map[string]flaw{brokenRows(), brokenWrites(), brokenVersions(), brokenQueries(), brokenRules()} {
		for name, f := range flaws {
			t.Run(name, func(t *testing.T) {
				rule := find(t, f.rule)
				require.False(t, verdict(t, rule, func() bursar.Store { return memory.New() }), "the check fails on a good store")
				require.True(t, verdict(t, rule, func() bursar.Store {
					b := f.make()
					if b.Store == nil {
						b.Store = memory.New()
					}
					return b
				}), "the check %q does not see it", f.rule)
			})
		}
	}
}

// moving is a reader whose time moves on.
type moving struct{ bursar.Reader }

func (moving) Now() time.Time { return time.Now() }

func TestRulesHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups() {
		for _, c := range g.checks {
			require.False(t, seen[g.name+c.rule], "%s/%s twice", g.name, c.rule)
			seen[g.name+c.rule] = true
		}
	}
	require.Greater(t, len(seen), 150)
}

func TestDifferSeesEveryField(t *testing.T) {
	require.Empty(t, differ(fullBatch(1), fullBatch(1)))
	b := fullBatch(1)
	scramble(reflect.ValueOf(&b))
	require.NotEmpty(t, differ(fullBatch(1), b))
	require.NotEmpty(t, differ(fullBatch(1), fullBatch(2)))
	require.Empty(t, differ(bursar.Payment{}, bursar.Payment{Metadata: map[string]string{}}))
	require.Empty(t, differ(t0, t0.In(time.FixedZone("", 3600))))
	require.NotEmpty(t, differ(&t0, (*time.Time)(nil)))
	require.NotEmpty(t, differ(map[string]string{"a": "1"}, map[string]string{"b": "1"}))
	require.NotEmpty(t, differ(big.NewInt(1), big.NewInt(2)))
}
