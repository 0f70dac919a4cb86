package storetest

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/memory"
)

// flaw is a store that breaks one rule, and the rule.
type flaw struct {
	rule string
	make func() *broken
}

// brokenRows do not return what they were given.
func brokenRows() map[string]flaw {
	type S = bursar.Store
	return map[string]flaw{
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
	}
}

// brokenWrites write what they must not.
func brokenWrites() map[string]flaw {
	type S = bursar.Store
	return map[string]flaw{
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
	}
}

// brokenVersions let two worlds mix.
func brokenVersions() map[string]flaw {
	type S = bursar.Store
	return map[string]flaw{
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
			// What the closure read is of no account: the versions are those of the
			// snapshot in which the batch is written, however late that is.
			return &broken{write: func(s S, ctx context.Context, fn func(bursar.Tx) error) error {
				got, err := collected(s, ctx, fn)
				if err != nil {
					return err
				}
				return s.Write(ctx, func(tx bursar.Tx) error {
					for _, b := range got {
						b.Chains = slices.Clone(b.Chains)
						for i := range b.Chains {
							c, err := tx.Chain(ctx, b.Chains[i].Chain)
							if err != nil {
								return err
							}
							b.Chains[i].Version = c.Version
						}
						if err := tx.Apply(ctx, b); err != nil {
							return err
						}
					}
					return nil
				})
			}}
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
	}
}

// brokenQueries answer something else.
func brokenQueries() map[string]flaw {
	return map[string]flaw{
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
	}
}

// brokenRules drop a rule.
func brokenRules() map[string]flaw {
	type S = bursar.Store
	return map[string]flaw{
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
	}
}
