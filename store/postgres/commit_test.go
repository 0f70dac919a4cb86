package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/internal/cutproxy"
	"github.com/bursar-go/bursar/store/postgres"
)

// proxied is a store behind a proxy, and one on the same database that is not.
type proxied struct {
	*postgres.Store
	proxy  *cutproxy.Proxy
	direct *postgres.Store
	dsn    string // directly
}

// behindProxy opens both. edit changes the connections of the first.
func behindProxy(t *testing.T, edit func(*pgxpool.Config)) *proxied {
	t.Helper()
	dsn := prepared(t)
	proxy, err := cutproxy.New(cutproxy.Options{Server: servers.Cluster(t).Socket()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	p := &proxied{proxy: proxy, direct: open(t, dsn), dsn: dsn}
	p.Store = openWith(t, servers.Cluster(t).DSNVia(proxy.Addr(), nameOf(t, dsn)), edit)
	return p
}

// scenario is a small life of a payment. Each step may be repeated: it finds what
// an earlier run has written.
func scenario() []step {
	p := payment("pay")
	return []step{
		{"create", func(ctx context.Context, tx bursar.Tx) error {
			// Without a question, as a creation without a key is.
			return tx.Apply(ctx, bursar.Batch{
				Payments: []bursar.Payment{p}, Addresses: []bursar.Address{address("pay", 0)}, Events: []bursar.Event{event("pay", 1)},
				Deliveries: []bursar.Delivery{delivery("pay", 1), delivery("b", 1), delivery("c", 1), delivery("d", 1), delivery("e", 1)},
			})
		}},
		{"see", func(ctx context.Context, tx bursar.Tx) error {
			rows, err := tx.Payments(ctx, bursar.PaymentQuery{IDs: []string{"pay"}})
			if err != nil || rows[0].Status == bursar.StatusDetected {
				return err
			}
			rows[0].Status, rows[0].Seq = bursar.StatusDetected, 2
			return tx.Apply(ctx, bursar.Batch{
				Payments: rows, Transactions: []bursar.Transaction{transaction("tx", "pay")}, Entries: []bursar.Entry{entry("e1", "live")},
				Events: []bursar.Event{event("pay", 2)}, Deliveries: []bursar.Delivery{delivery("pay", 2)},
			})
		}},
		{"claim", func(ctx context.Context, tx bursar.Tx) error {
			rows, err := tx.Deliveries(ctx, bursar.DeliveryQuery{Endpoint: "shop", DueBy: t0, Claim: true})
			for i := range rows {
				rows[i].LeasedUntil, rows[i].Attempts = t0.Add(1), rows[i].Attempts+1
				rows[i].NextAt = t0.Add(1e9)
			}
			return errors.Join(err, tx.Apply(ctx, bursar.Batch{Deliveries: rows}))
		}},
		{"sign", func(ctx context.Context, tx bursar.Tx) error {
			rows, err := tx.Payouts(ctx, bursar.PayoutQuery{IDs: []string{"out"}})
			if err != nil || len(rows) > 0 {
				return err
			}
			return tx.Apply(ctx, bursar.Batch{
				Payouts: []bursar.Payout{{ID: "out", Key: "k", Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned, Chain: mainnet, CreatedAt: t0}},
				Attempts: []bursar.Attempt{{
					ID: "try", PayoutID: "out", Group: 1, Chain: mainnet, TxID: "0x1", Raw: []byte{1},
					Locks: []chain.Lock{"nonce:1", "nonce:2"}, Open: true, CreatedAt: t0,
				}},
			})
		}},
		{"revert", func(ctx context.Context, tx bursar.Tx) error {
			rows, err := tx.Entries(ctx, bursar.EntryQuery{Subject: "p"})
			if err != nil || len(rows) > 1 {
				return err
			}
			back := entry("e2", "")
			back.Reverses, back.Debit, back.Credit = "e1", back.Credit, back.Debit
			return tx.Apply(ctx, bursar.Batch{Entries: []bursar.Entry{back}})
		}},
		{"scan", func(ctx context.Context, tx bursar.Tx) error {
			st, err := tx.Chain(ctx, mainnet)
			if err != nil || st.Final == 7 {
				return err
			}
			st.Final, st.UpdatedAt = 7, t0
			return tx.Apply(ctx, bursar.Batch{Chains: []bursar.ChainState{st}})
		}},
	}
}

// own reports whether a step writes a row that nobody else would write.
func (s step) own() bool { return slices.Contains([]string{"create", "see", "revert"}, s.name) }

type step struct {
	name string
	run  func(context.Context, bursar.Tx) error
}

// in runs the step in one Write.
func (s step) in(ctx context.Context, store bursar.Store) error {
	return store.Write(ctx, func(tx bursar.Tx) error { return s.run(ctx, tx) })
}

// course is what the store holds after each step of an undisturbed run.
func course(t *testing.T) (after []content) {
	t.Helper()
	s := open(t, prepared(t))
	after = append(after, contentOf(t, s))
	for _, step := range scenario() {
		require.NoError(t, step.in(t.Context(), s))
		after = append(after, contentOf(t, s))
	}
	return after
}

// told holds a Write to its word: nil means that the step is there, another error
// that it is not, and ErrUnknownOutcome either.
// It reports whether the step is there.
func told(t *testing.T, s bursar.Store, err error, before, after content) bool {
	t.Helper()
	got := contentOf(t, s)
	switch {
	case err == nil:
		require.Equal(t, after, got, "it was told to be there")
	case errors.Is(err, bursar.ErrUnknownOutcome):
		require.Contains(t, []content{before, after}, got)
	default:
		require.Equal(t, before, got, "it was told not to be there: %v", err)
	}
	return assert.ObjectsAreEqual(after, got)
}

// repeated runs a step that is there once more: nothing becomes double.
func repeated(t *testing.T, s bursar.Store, step step, after content) {
	t.Helper()
	if err := step.in(context.Background(), s); err != nil {
		require.ErrorIs(t, err, bursar.ErrConflict)
	}
	require.Equal(t, after, contentOf(t, s))
}

// onBoth runs a test on a server that numbers transactions and on one that does
// not, where the rows alone can tell.
func onBoth(t *testing.T, test func(t *testing.T, prepare func(*proxied) *proxied)) {
	t.Run("numbered", func(t *testing.T) { test(t, func(p *proxied) *proxied { return p }) })
	t.Run("rows alone", func(t *testing.T) {
		test(t, func(p *proxied) *proxied {
			p.Unnumbered()
			return p
		})
	})
}

func TestThreat_D2_EachCommitIsCutOnce(t *testing.T) {
	want := course(t)
	plans := map[string]func() cutproxy.Plan{
		"after COMMIT":  func() cutproxy.Plan { return cutproxy.AfterCommit(cutproxy.Nth(1)) },
		"before COMMIT": func() cutproxy.Plan { return cutproxy.BeforeCommit(cutproxy.Nth(1)) },
		"the answer":    func() cutproxy.Plan { return cutproxy.OnAnswer(cutproxy.Nth(1)) },
		"in the middle": func() cutproxy.Plan {
			// The statement of the batch that is bound last before its COMMIT.
			return cutproxy.On(func(m cutproxy.Message) bool { return m.Dir == cutproxy.ToServer && m.Type == 'B' }, cutproxy.Nth(3), cutproxy.CutAfter)
		},
	}
	for name, plan := range plans {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, prepare func(*proxied) *proxied) {
				p := prepare(behindProxy(t, nil))
				for i, step := range scenario() {
					p.proxy.SetPlan(plan())
					err := step.in(t.Context(), p)
					p.proxy.SetPlan(nil)
					// Rows that others may write too prove nothing.
					if p.Numbered() || step.own() || !errors.Is(err, bursar.ErrUnknownOutcome) {
						require.NoError(t, err, step.name)
					}
					require.EqualValues(t, i+1, p.proxy.Stats().Cut, "%s was not cut", step.name)
					told(t, p.direct, err, want[i], want[i+1])
					repeated(t, p, step, want[i+1])
				}
			})
		})
	}
}

// cuts cuts now and then, before or after a message in whichever direction, once
// the connection is made.
func cuts(seed uint64, oneIn int) cutproxy.Plan {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	return func(m cutproxy.Message) cutproxy.Decision {
		if m.Dir == cutproxy.ToClient && strings.ContainsRune("RSK", rune(m.Type)) {
			return cutproxy.Pass
		}
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(oneIn) > 0 {
			return cutproxy.Pass
		}
		return []cutproxy.Decision{cutproxy.CutBefore, cutproxy.CutAfter}[random.IntN(2)]
	}
}

func TestThreat_D2_CutsByChance(t *testing.T) {
	want := course(t)
	seeds := 24
	if testing.Short() {
		seeds = 4
	}
	cut, failed := int64(0), 0
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			p := behindProxy(t, nil)
			if seed%2 == 1 {
				p.Unnumbered()
			}
			for i, step := range scenario() {
				before, after := want[i], want[i+1]
				for tries := 0; ; tries++ {
					require.Less(t, tries, 50)
					p.proxy.SetPlan(cuts(uint64(1000*seed+100*i+tries), 150))
					err := step.in(t.Context(), p)
					p.proxy.SetPlan(nil)
					there := told(t, p.direct, err, before, after)
					if err == nil || there && errors.Is(err, bursar.ErrConflict) {
						break
					}
					failed++
					if there {
						before = after // nobody knew, and nothing takes it away again
					}
				}
				repeated(t, p, step, want[i+1])
			}
			cut += p.proxy.Stats().Cut
		})
	}
	require.Greater(t, cut, int64(seeds), "hardly anything was cut")
	t.Logf("%d cuts, of which %d showed", cut, failed)
}

// TestThreat_D2_NothingCountsTwice: additions are not idempotent, so that every
// wrong report shows in the sum.
func TestThreat_D2_NothingCountsTwice(t *testing.T) {
	onBoth(t, func(t *testing.T, prepare func(*proxied) *proxied) {
		p := prepare(behindProxy(t, nil))
		p.proxy.SetPlan(cuts(7, 80))
		var added, unknown atomic.Int64
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for range 25 {
					switch err := bump(t.Context(), p, mainnet); {
					case err == nil:
						added.Add(1)
					case errors.Is(err, bursar.ErrUnknownOutcome):
						unknown.Add(1)
					}
				}
			})
		}
		all.Wait()
		p.proxy.SetPlan(nil)
		n := seqOf(t, p.direct, mainnet)
		t.Logf("%d cuts: %d added, %d unknown, sum %d", p.proxy.Stats().Cut, added.Load(), unknown.Load(), n)
		require.GreaterOrEqual(t, n, added.Load(), "lost")
		require.LessOrEqual(t, n, added.Load()+unknown.Load(), "counted twice")
		require.Greater(t, added.Load(), int64(40))
		require.NotZero(t, p.proxy.Stats().Cut)
	})
}

// TestThreat_D2_AnotherWriterWasThereMeanwhile: the row is committed, the answer
// lost, and before the store can look another writer writes the row again.
func TestThreat_D2_AnotherWriterWasThereMeanwhile(t *testing.T) {
	onBoth(t, func(t *testing.T, prepare func(*proxied) *proxied) {
		p := prepare(behindProxy(t, nil))
		first := cutproxy.Nth(1)
		p.proxy.SetPlan(func(m cutproxy.Message) cutproxy.Decision {
			if m.Dir != cutproxy.ToClient || !m.Commit || !first() {
				return cutproxy.Pass
			}
			if err := bump(context.Background(), p.direct, mainnet); err != nil {
				t.Error(err)
			}
			return cutproxy.CutBefore
		})
		err := bump(t.Context(), p, mainnet)
		require.EqualValues(t, 1, p.proxy.Stats().Cut)
		require.EqualValues(t, 2, seqOf(t, p.direct, mainnet), "one of each writer")
		if t.Name() == "TestThreat_D2_AnotherWriterWasThereMeanwhile/numbered" {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, bursar.ErrUnknownOutcome, "the row says nothing any more")
		}
	})
}

// TestThreat_D2_TheLostTransactionIsStillAtWork: the server has all of it with its
// COMMIT and waits for somebody's lock. The store must not take it for undone.
func TestThreat_D2_TheLostTransactionIsStillAtWork(t *testing.T) {
	for _, end := range []string{"ROLLBACK", "COMMIT"} {
		t.Run("the other one ends by "+end, func(t *testing.T) {
			onBoth(t, func(t *testing.T, prepare func(*proxied) *proxied) {
				looks := make(chan struct{})
				var once sync.Once
				cut := atomic.Bool{}
				p := prepare(behindProxy(t, func(c *pgxpool.Config) {
					c.ConnConfig.Tracer = statements{func(string) {
						if cut.Load() {
							once.Do(func() { close(looks) })
						}
					}}
				}))
				require.NoError(t, bump(t.Context(), p.direct, mainnet, "eip155:2"))
				other, err := pgx.Connect(t.Context(), p.dsn)
				require.NoError(t, err)
				defer other.Close(context.Background())
				_, err = other.Exec(t.Context(), "BEGIN; UPDATE bursar.chains SET genesis = 'another' WHERE chain = 'eip155:2'")
				require.NoError(t, err)

				first := cutproxy.Nth(1)
				p.proxy.SetPlan(func(m cutproxy.Message) cutproxy.Decision {
					if m.Dir != cutproxy.ToServer || !m.Commit || !first() {
						return cutproxy.Pass
					}
					cut.Store(true)
					return cutproxy.CutAfter
				})
				result := make(chan error, 1)
				go func() { result <- bump(context.Background(), p, mainnet, "eip155:2") }()
				<-looks
				untilWaiting(t, p.dsn, 1)
				select {
				case err := <-result:
					t.Fatalf("it did not wait: %v", err)
				default:
				}
				_, err = other.Exec(t.Context(), end)
				require.NoError(t, err)
				err = <-result
				if errors.Is(err, bursar.ErrUnknownOutcome) && strings.HasSuffix(t.Name(), "/rows_alone") {
					// Others might have counted on from the same number: that is the truth.
					err = nil
				}
				require.NoError(t, err)
				require.EqualValues(t, 2, seqOf(t, p.direct, mainnet))
				require.EqualValues(t, 2, seqOf(t, p.direct, "eip155:2"))
			})
		})
	}
}

// TestThreat_G8_CanceledDuringTheCommit: whatever moment the caller gives up at,
// what it is told is true.
func TestThreat_G8_CanceledDuringTheCommit(t *testing.T) {
	p := behindProxy(t, nil)
	n := int64(0)
	seen := map[bool]int{}
	for at := int64(1); at <= 45; at += 2 {
		require.NoError(t, bump(t.Context(), p, mainnet)) // on a connection that is ready
		n++
		ctx, cancel := context.WithCancel(t.Context())
		pick := cutproxy.Nth(at)
		p.proxy.SetPlan(func(cutproxy.Message) cutproxy.Decision {
			if pick() {
				cancel()
			}
			return cutproxy.Pass
		})
		err := bump(ctx, p, mainnet)
		p.proxy.SetPlan(nil)
		cancel()
		require.NotErrorIs(t, err, bursar.ErrUnknownOutcome)
		if err == nil {
			n++
		}
		seen[err == nil]++
		require.Equal(t, n, seqOf(t, p.direct, mainnet), "canceled at message %d: %v", at, err)
	}
	require.Len(t, seen, 2, "some are told to have happened, and some not")
}

// TestThreat_D2_ReservationsNeverOverlap: an answer that is lost loses indexes, and
// hands out none twice.
func TestThreat_D2_ReservationsNeverOverlap(t *testing.T) {
	p := behindProxy(t, nil)
	p.proxy.SetPlan(cuts(3, 15))
	next := uint32(0)
	for range 30 {
		first, err := p.Reserve(t.Context(), "60/0", 10)
		if err != nil {
			continue
		}
		require.GreaterOrEqual(t, first, next)
		next = first + 10
	}
	require.NotZero(t, p.proxy.Stats().Cut)
	require.NotZero(t, next)
}
