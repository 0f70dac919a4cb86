package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
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
	type S = bursar.Store
	for name, c := range map[string]struct {
		rule string
		make func() *broken
	}{
		"keeps what it is given until the commit": {"given slices and maps are not kept", func() *broken {
			return &broken{write: func(s S, ctx context.Context, fn func(bursar.Tx) error) error {
				got, err := collected(s, ctx, fn)
				if err != nil {
					return err
				}
				return applyAll(s, ctx, got)
			}}
		}},
		"returns the rows it keeps": {"returned rows are the caller's own", func() *broken {
			kept := map[string]map[string]string{}
			return paymentsBy(func(r bursar.Reader, ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
				rows, err := r.Payments(ctx, q)
				for i := range rows {
					if m, ok := kept[rows[i].ID]; ok {
						rows[i].Metadata = m
					}
					kept[rows[i].ID] = rows[i].Metadata
				}
				return rows, err
			})
		}},
		"forgets a column": {"every field of every row survives", func() *broken {
			return batches(func(b *bursar.Batch) {
				b.Payments = slices.Clone(b.Payments)
				for i := range b.Payments {
					b.Payments[i].SweepFee = chain.Amount{}
				}
			})
		}},
		"keeps amounts as 64 bits": {"amounts up to 2^256-1 survive", func() *broken {
			return batches(func(b *bursar.Batch) {
				b.Transactions = slices.Clone(b.Transactions)
				for i := range b.Transactions {
					b.Transactions[i].Amount = chain.NewAmount(b.Transactions[i].Amount.Big().Uint64())
				}
			})
		}},
		"keeps times as seconds": {"times keep microseconds and zero stays zero", func() *broken {
			return batches(func(b *bursar.Batch) {
				b.Payments = slices.Clone(b.Payments)
				for i := range b.Payments {
					b.Payments[i].CreatedAt = b.Payments[i].CreatedAt.Truncate(time.Second)
				}
			})
		}},
		"ignores fences": {"D6 a batch with an older epoch is ErrFenced and leaves nothing", func() *broken {
			return batches(func(b *bursar.Batch) { b.Fences = nil })
		}},
		"checks fences before the closure": {"D6 a zombie whose closure began before the take-over is refused", func() *broken {
			return batches(func(b *bursar.Batch) { b.Fences = nil })
		}},
		"commits table by table": {"D1 nothing is left of a batch with an event that leaves a gap", func() *broken {
			return &broken{write: func(s S, ctx context.Context, fn func(bursar.Tx) error) error {
				got, err := collected(s, ctx, fn)
				for _, b := range got {
					for _, only := range tables(b) {
						err = errors.Join(err, applyAll(s, ctx, []bursar.Batch{only}))
					}
				}
				return err
			}}
		}},
		"commits Apply by Apply": {"several Applies are one commit", func() *broken {
			return &broken{write: func(s S, ctx context.Context, fn func(bursar.Tx) error) error {
				got, err := collected(s, ctx, fn)
				for _, b := range got {
					err = errors.Join(err, applyAll(s, ctx, []bursar.Batch{b}))
				}
				return err
			}}
		}},
		"commits in spite of an error": {"an error of fn comes back as it is and nothing is written", func() *broken {
			return &broken{write: func(s S, ctx context.Context, fn func(bursar.Tx) error) error {
				got, err := collected(s, ctx, fn)
				return errors.Join(applyAll(s, ctx, got), err)
			}}
		}},
		"swallows panics": {"a panic of fn passes through, nothing is written, the store lives", func() *broken {
			return &broken{write: func(s S, ctx context.Context, fn func(bursar.Tx) error) (err error) {
				defer func() { _ = recover() }()
				return s.Write(ctx, fn)
			}}
		}},
		"never runs a closure again": {"D3 fn runs again on a fresh snapshot when another writer was faster", func() *broken {
			return &broken{write: func(s S, ctx context.Context, fn func(bursar.Tx) error) error {
				runs := 0
				return s.Write(ctx, func(tx bursar.Tx) error {
					if runs++; runs > 1 {
						return errOwn
					}
					return fn(tx)
				})
			}}
		}},
		"reads each query anew": {"Read sees nothing of later writes, in any table", func() *broken {
			b := &broken{Store: memory.New()}
			b.reader = func(r bursar.Reader) bursar.Reader {
				return twisted{Reader: r, payments: func(_ bursar.Reader, ctx context.Context, q bursar.PaymentQuery) (rows []bursar.Payment, err error) {
					err = b.Store.Read(ctx, func(r bursar.Reader) error { rows, err = r.Payments(ctx, q); return err })
					return rows, err
				}}
			}
			return b
		}},
		"checks no versions": {"writers of one row lose no update", func() *broken {
			b := &broken{Store: memory.New()}
			b.apply = func(batch bursar.Batch) bursar.Batch {
				_ = b.Store.Read(context.Background(), func(r bursar.Reader) error {
					batch.Chains = slices.Clone(batch.Chains)
					for i := range batch.Chains {
						c, _ := r.Chain(context.Background(), batch.Chains[i].Chain)
						batch.Chains[i].Version = c.Version
					}
					return nil
				})
				return batch
			}
			return b
		}},
		"hands out an index twice": {"S1 a crowd gets disjoint ranges", func() *broken {
			return &broken{reserve: func(s S, ctx context.Context, pool string, n uint32) (uint32, error) {
				first, err := s.Reserve(ctx, pool, n)
				return first - first%2, err
			}}
		}},
		"passes the last index": {"2^31-1 is the last index", func() *broken {
			return &broken{reserve: func(s S, ctx context.Context, pool string, n uint32) (uint32, error) {
				first, err := s.Reserve(ctx, pool, n)
				if errors.Is(err, bursar.ErrInvariant) {
					return 1 << 31, nil
				}
				return first, err
			}}
		}},
		"keeps an epoch through a take-over": {"D8 an expired lease is taken with the epoch raised by one", func() *broken {
			return &broken{acquire: func(s S, ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
				f, err := s.Acquire(ctx, name, holder, ttl)
				f.Epoch = 1
				return f, err
			}}
		}},
		"gives a lease to everybody": {"D5 of a crowd one gets the lease", func() *broken {
			return &broken{acquire: func(s S, ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
				return s.Acquire(ctx, name, "all", ttl)
			}}
		}},
		"ignores the limit": {"payments", func() *broken {
			return paymentsBy(func(r bursar.Reader, ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
				q.Limit = 0
				return r.Payments(ctx, q)
			})
		}},
		"takes an empty list for no row": {"payments", func() *broken {
			return paymentsBy(func(r bursar.Reader, ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
				q.Statuses = nil
				return r.Payments(ctx, q)
			})
		}},
		"pages by offset": {"G19 payments", func() *broken {
			return paymentsBy(func(r bursar.Reader, ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
				after, limit := q.After, q.Limit
				q.After, q.Limit = bursar.Cursor{}, 0
				rows, err := r.Payments(ctx, q)
				for i, p := range rows {
					if p.ID == after.ID {
						rows = rows[min(i, len(rows)):] // The row of the cursor comes again.
						break
					}
				}
				if limit > 0 {
					rows = rows[:min(limit, len(rows))]
				}
				return rows, err
			})
		}},
		"shows a lane behind its head": {"a lane lets through its lowest pending number alone", func() *broken {
			return &broken{reader: func(r bursar.Reader) bursar.Reader {
				return twisted{Reader: r, deliveries: func(r bursar.Reader, ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
					due := q.DueBy
					q.DueBy = time.Time{}
					rows, err := r.Deliveries(ctx, q)
					return slices.DeleteFunc(rows, func(d bursar.Delivery) bool {
						return !due.IsZero() && (d.NextAt.After(due) || d.Status == bursar.DeliveryDone)
					}), err
				}}
			}}
		}},
		"keeps balances that drift": {"D15 balances are the sums of the entries", func() *broken {
			return &broken{reader: func(r bursar.Reader) bursar.Reader {
				return twisted{Reader: r, balances: func(r bursar.Reader, ctx context.Context, q bursar.BalanceQuery) ([]bursar.Balance, error) {
					rows, err := r.Balances(ctx, q)
					for i := range rows {
						rows[i].Sum = new(big.Int).Add(rows[i].Sum, big.NewInt(1))
					}
					return rows, err
				}}
			}}
		}},
		"shows reversed entries": {"Unreversed leaves out the reversed and the reversal", func() *broken {
			return &broken{reader: func(r bursar.Reader) bursar.Reader {
				return twisted{Reader: r, entries: func(r bursar.Reader, ctx context.Context, q bursar.EntryQuery) ([]bursar.Entry, error) {
					q.Unreversed = false
					return r.Entries(ctx, q)
				}}
			}}
		}},
		"forgets live keys": {"one of many writers wins S3 an unreversed entry's live key", func() *broken {
			return batches(func(b *bursar.Batch) {
				b.Entries = slices.Clone(b.Entries)
				for i := range b.Entries {
					b.Entries[i].Live = ""
				}
			})
		}},
		"forgets locks": {"D4 an open attempt's lock among payouts", func() *broken {
			return batches(func(b *bursar.Batch) {
				b.Attempts = slices.Clone(b.Attempts)
				for i := range b.Attempts {
					b.Attempts[i].Chain += chain.ID(b.Attempts[i].ID)
				}
			})
		}},
		"mends sequence numbers": {"D1 nothing is left of a batch with a first event that is not number 1", func() *broken {
			return batches(func(b *bursar.Batch) {
				b.Events = slices.Clone(b.Events)
				for i := range b.Events {
					if b.Events[i].Subject == "new" {
						b.Events[i].Seq = 1
					}
				}
			})
		}},
		"ignores the context": {"a context done inside fn writes nothing", func() *broken {
			return &broken{write: func(s S, _ context.Context, fn func(bursar.Tx) error) error { return s.Write(context.Background(), fn) }}
		}},
		"cannot be closed": {"a closed store says so everywhere", func() *broken {
			return &broken{close: func(S) error { return nil }}
		}},
		"lists what was reserved in an aborted transaction again": {"F25 what was reserved inside a transaction that failed stays reserved", func() *broken {
			return &broken{reserve: func(bursar.Store, context.Context, string, uint32) (uint32, error) { return 0, nil }}
		}},
		"answers with the wall clock of the moment": {"Now is one time for the closure, in UTC and whole microseconds", func() *broken {
			return &broken{reader: func(r bursar.Reader) bursar.Reader { return moving{r} }}
		}},
		"loses random rows": {"D18 random batches and queries agree with the model", func() *broken {
			return paymentsBy(func(r bursar.Reader, ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
				rows, err := r.Payments(ctx, q)
				return rows[:min(len(rows), 2)], err
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rule := find(t, c.rule)
			require.False(t, verdict(t, rule, func() bursar.Store { return memory.New() }), "the check fails on a good store")
			require.True(t, verdict(t, rule, func() bursar.Store {
				b := c.make()
				if b.Store == nil {
					b.Store = memory.New()
				}
				return b
			}), "the check %q does not see it", c.rule)
		})
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
	scramble(b)
	require.NotEmpty(t, differ(fullBatch(1), b))
	require.NotEmpty(t, differ(fullBatch(1), fullBatch(2)))
	require.Empty(t, differ(bursar.Payment{}, bursar.Payment{Metadata: map[string]string{}}))
	require.Empty(t, differ(t0, t0.In(time.FixedZone("", 3600))))
	require.NotEmpty(t, differ(&t0, (*time.Time)(nil)))
	require.NotEmpty(t, differ(map[string]string{"a": "1"}, map[string]string{"b": "1"}))
	require.NotEmpty(t, differ(big.NewInt(1), big.NewInt(2)))
}
