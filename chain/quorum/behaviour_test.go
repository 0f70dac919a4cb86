package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errForbidden = errors.New("403 forbidden: " + strings.Repeat("no ", 1000))

// TestFailover: whoever fails is followed by the next one, in the same call.
func TestFailover(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, nil)
	w.head()
	w.nodes[0].FailNext(chaintest.MethodTransfers, errAway, 1)
	w.nodes[1].FailNext(chaintest.MethodTransfers, errForbidden, 1)
	p, err := w.page(5)
	require.NoError(t, err)
	require.Equal(t, w.truth(5), p)
	require.Equal(t, 1, w.nodes[2].asked(chaintest.MethodTransfers))
	_, err = w.page(5)
	require.NoError(t, err)
	require.Equal(t, 2, w.nodes[2].asked(chaintest.MethodTransfers), "the one that did not fail lately comes first")
}

// TestFailoverToThoseAway: a provider that was away, and is not due yet, is tried
// where the last one that is in fails.
func TestFailoverToThoseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		w.head()
		for i := range 2 {
			w.nodes[i].Fail(func(chaintest.Call) error { return errAway })
		}
		for range 5 {
			w.head()
			time.Sleep(2 * quorum.DefaultCooldown)
		}
		w.nodes[0].Fail(nil)
		require.True(t, w.status("a").Until.After(time.Now()))
		w.nodes[2].Fail(func(chaintest.Call) error { return errAway })
		_, err := w.page(5)
		require.NoError(t, err)
		require.Equal(t, w.Head(), w.head().Latest)
		require.False(t, w.status("a").Aside)
	})
}

// TestUnavailable: the error tells what each provider did, and what they have in
// common.
func TestUnavailable(t *testing.T) {
	pruned := fmt.Errorf("%w: archive wanted", chain.ErrPruned)
	for _, c := range []struct {
		name string
		errs [3]error
		is   error
	}{
		{"away", [3]error{errAway, errAway, errAway}, chain.ErrTransient},
		{"pruned", [3]error{pruned, pruned, pruned}, chain.ErrPruned},
		{"unknown", [3]error{chain.ErrNotFound, chain.ErrNotFound, chain.ErrNotFound}, chain.ErrNotFound},
		{"pruned or unknown", [3]error{chain.ErrNotFound, pruned, pruned}, chain.ErrPruned},
		{"reorg", [3]error{chain.ErrReorg, chain.ErrReorg, chain.ErrReorg}, chain.ErrReorg},
		{"unsupported", [3]error{chain.ErrUnsupported, chain.ErrUnsupported, chain.ErrUnsupported}, chain.ErrUnsupported},
		{"refused", [3]error{errForbidden, errForbidden, errForbidden}, chain.ErrTransient},
		{"mixed", [3]error{chain.ErrNotFound, errAway, chain.ErrReorg}, chain.ErrTransient},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{}, nil)
			for i, err := range c.errs {
				w.nodes[i].FailNext(chaintest.MethodBalances, err, 1)
			}
			reader, ok := chain.As[chain.BalanceReader](w.q)
			require.True(t, ok)
			_, err := reader.Balances(t.Context(), w.Head().Hash, []chain.Holding{{Address: w.own.Address, Asset: w.eth}})
			require.ErrorIs(t, err, c.is)
			var u *quorum.UnavailableError
			require.ErrorAs(t, err, &u)
			require.Len(t, u.Faults, 3)
			if fault, ok := map[string]quorum.Fault{
				"away": quorum.FaultTransport, "pruned": quorum.FaultPruned, "unknown": quorum.FaultBehind, "reorg": quorum.FaultReorg,
				"unsupported": quorum.FaultUnsupported, "refused": quorum.FaultRefused,
			}[c.name]; ok {
				require.Equal(t, fault, u.Faults[0].Fault)
			}
			require.Equal(t, "Balances", u.Call)
			require.ErrorContains(t, err, "Balances: 0 of 1 operators answered; a ")
		})
	}
}

// TestDefiniteErrorsAreAnswers: what follows from the question is not asked of
// the next provider, and keeps its type.
func TestDefiniteErrorsAreAnswers(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, nil)
	reader, _ := chain.As[chain.BalanceReader](w.q)
	nothing := w.usd
	nothing.Contract = w.own.Address
	_, err := reader.Balances(t.Context(), w.Head().Hash, []chain.Holding{{Address: w.own.Address, Asset: nothing}})
	require.ErrorIs(t, err, chain.ErrNoContract)
	require.Zero(t, w.nodes[1].asked(chaintest.MethodBalances))
	_, err = w.q.Prepare(t.Context(), w.send(1))
	var poor *chain.InsufficientFundsError
	require.ErrorAs(t, err, &poor)
	_, err = w.q.Transfers(t.Context(), 5, 4, w.watch())
	var bad *chain.FormatError
	require.ErrorAs(t, err, &bad)
	_, err = w.q.Transfers(t.Context(), 4, 5, nil)
	require.ErrorAs(t, err, &bad)
	_, err = w.q.Headers(t.Context(), 5, 4)
	require.ErrorAs(t, err, &bad)
	for _, s := range w.q.Providers() {
		require.Zero(t, s.Counters.Failures)
	}
}

// TestHedge: a slow provider is not waited for much longer than it usually takes;
// the one that lost is cancelled, and gone when the call returns.
func TestHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		for _, n := range w.nodes {
			n.takes(100 * time.Millisecond)
		}
		for range 5 {
			w.head()
			_, err := w.page(5)
			require.NoError(t, err)
		}
		require.Zero(t, w.nodes[1].asked(chaintest.MethodTransfers), "nobody else is asked while the first is as usual")
		require.Equal(t, 100*time.Millisecond, w.status("a").Latency)
		w.nodes[0].takes(time.Hour)
		began, before := time.Now(), w.nodes[0].cancelled()
		_, err := w.page(5)
		require.NoError(t, err)
		require.Equal(t, 400*time.Millisecond, time.Since(began), "three times as long as usual, and then the other's time")
		require.Equal(t, before+1, w.nodes[0].cancelled())
		require.Zero(t, w.nodes[2].asked(chaintest.MethodTransfers))
		require.Zero(t, w.status("a").Counters.Failures, "it was only late")
	})
}

// deaf is a client that ignores its context.
type deaf struct{ *node }

func (d deaf) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	return d.node.Transfers(context.WithoutCancel(ctx), from, to, w)
}

// TestDeafClient: who ignores being cancelled is waited for a moment, and left
// behind alone; when it answers at last, nobody is held up by it.
func TestDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) { c.Providers[0].Client = deaf{w.nodes[0]} })
		w.head()
		w.nodes[0].takes(time.Minute)
		began := time.Now()
		_, err := w.page(5)
		require.NoError(t, err)
		require.Equal(t, quorum.DefaultHedgeMost+100*time.Millisecond, time.Since(began))
		time.Sleep(time.Minute)
		synctest.Wait() // the bubble ends only where all of its goroutines have
	})
}

// TestHedgeBounds: whatever was measured, the wait is bounded; and who is given
// up after the longest wait has failed, and is put aside for it in the end.
func TestHedgeBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
			c.HedgeLeast, c.HedgeMost = 200*time.Millisecond, time.Second
		})
		w.head()
		w.nodes[0].takes(time.Hour)
		began := time.Now()
		w.head()
		require.Equal(t, 200*time.Millisecond, time.Since(began))
		for range 12 {
			began = time.Now()
			w.head()
			require.LessOrEqual(t, time.Since(began), time.Second)
		}
		w.out("a", quorum.FaultTransport)
		began = time.Now()
		w.head()
		require.Zero(t, time.Since(began))
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) { c.HedgeLeast = 200 * time.Millisecond })
		w.nodes[0].takes(time.Millisecond)
		for range 4 {
			_, err := w.page(5)
			require.NoError(t, err)
		}
		w.nodes[0].takes(time.Hour)
		began := time.Now()
		_, err := w.page(5)
		require.NoError(t, err)
		require.Equal(t, 200*time.Millisecond, time.Since(began))
	})
}

// TestOnlyOneLeft: a single provider is waited for as long as the caller does.
func TestOnlyOneLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) { c.Providers = c.Providers[:1] })
		w.nodes[0].takes(20 * time.Second)
		_, err := w.page(5)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = w.q.Transfers(ctx, 5, 6, w.watch())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, w.status("a").Counters.Failures, "the caller gave up")
	})
}

// TestBreaker: after some failures in a row a provider is left alone, comes back
// by one attempt, and stays away longer each time.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		w.head()
		w.nodes[0].Fail(func(chaintest.Call) error { return errAway })
		for range quorum.DefaultFailAfter - 1 {
			w.head()
			require.False(t, w.status("a").Aside)
		}
		w.head()
		w.out("a", quorum.FaultTransport)
		cool := quorum.DefaultCooldown
		for range 8 {
			require.Equal(t, time.Now().Add(cool), w.status("a").Until)
			before := w.nodes[0].all()
			time.Sleep(cool - time.Millisecond)
			w.head()
			require.Equal(t, before, w.nodes[0].all())
			time.Sleep(time.Millisecond)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { w.head() })
			}
			wg.Wait()
			require.Equal(t, before+1, w.nodes[0].all(), "one attempt")
			cool = min(2*cool, quorum.DefaultMaxCooldown)
		}
		w.nodes[0].Fail(nil)
		time.Sleep(cool)
		w.head()
		require.False(t, w.status("a").Aside)
		told := w.conditions(quorum.ProviderAside)
		require.Len(t, told, 2, "it begins once and ends once")
		require.True(t, told[0].Active)
		require.Equal(t, "a", told[0].Provider)
		require.Equal(t, quorum.FaultTransport, told[0].Fault)
		require.False(t, told[1].Active)

		time.Sleep(2 * quorum.DefaultMaxCooldown)
		w.head()
		w.nodes[0].Fail(func(chaintest.Call) error { return errAway })
		for range quorum.DefaultFailAfter {
			w.head()
		}
		require.Equal(t, time.Now().Add(quorum.DefaultCooldown), w.status("a").Until, "what is long ago is forgotten")
	})
}

// TestComingBack: a provider whose cool-down is over is asked last until it has
// proved itself, and then begins anew. What it said is kept, though not all of it.
func TestComingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		w.head()
		for range quorum.DefaultFailAfter {
			w.nodes[0].FailNext(chaintest.MethodTransfers, errForbidden, 1)
			_, err := w.page(5)
			require.NoError(t, err)
			time.Sleep(quorum.DefaultCooldown)
		}
		w.out("a", quorum.FaultRefused)
		require.Less(t, len(w.status("a").Reason), 600)
		before := w.nodes[0].all()
		_, err := w.page(5)
		require.NoError(t, err)
		require.Equal(t, before, w.nodes[0].all())
		w.head()
		require.False(t, w.status("a").Aside)
		w.nodes[0].FailNext(chaintest.MethodTransfers, errForbidden, 1)
		_, err = w.page(5)
		require.NoError(t, err)
		require.False(t, w.status("a").Aside, "one failure is not three")
		for range quorum.DefaultFailAfter {
			time.Sleep(quorum.DefaultCooldown)
			w.nodes[0].FailNext(chaintest.MethodTransfers, errForbidden, 1)
			_, err := w.page(5)
			require.NoError(t, err)
		}
		until := w.status("a").Until
		time.Sleep(time.Until(until))
		w.nodes[0].Fail(func(chaintest.Call) error { return errAway })
		w.head()
		require.True(t, w.status("a").Until.After(until), "a failed attempt to come back is enough")
	})
}

// TestOneAttempt: however many calls wait for a provider to come back, it is asked
// once whether it is the right one, and they go on elsewhere meanwhile.
func TestOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) { c.FailAfter = 1 })
		w.head()
		w.nodes[0].FailNext(chaintest.MethodHead, errAway, 1)
		w.head()
		w.out("a", quorum.FaultTransport)
		time.Sleep(quorum.DefaultCooldown)
		w.nodes[0].takes(20 * time.Millisecond)
		before := w.nodes[0].asked(chaintest.MethodIdentify)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := w.q.Head(t.Context())
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, before+1, w.nodes[0].asked(chaintest.MethodIdentify))
		require.False(t, w.status("a").Aside)
	})
}

// TestPanicsAreContained: of a provider's client, and of the hook.
func TestPanicsAreContained(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
		c.FailAfter = 1
		c.OnCondition = func(quorum.Condition) { panic("hook") }
	})
	w.nodes[0].Lie(chaintest.Lies{Page: func(chain.Page) chain.Page { panic("client") }})
	p, err := w.page(5)
	require.NoError(t, err)
	require.Equal(t, w.truth(5), p)
	w.out("a", quorum.FaultIncoherent)
	require.Contains(t, w.status("a").Reason, "client")
}

// bare is a client without any capability.
type bare struct{ chain.Client }

// TestCapabilities: they are there where enough operators have them, and never
// go around the quorum.
func TestCapabilities(t *testing.T) {
	with := func(k, able int) *quorum.Client {
		return newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
			c.Agree = k
			for i := able; i < 3; i++ {
				c.Providers[i].Client = bare{w.nodes[i]}
			}
		}).q
	}
	for _, c := range []struct {
		k, able int
		want    bool
	}{{1, 0, false}, {1, 1, true}, {2, 1, false}, {2, 2, true}, {3, 2, false}, {3, 3, true}} {
		q := with(c.k, c.able)
		_, balances := chain.As[chain.BalanceReader](q)
		_, identifies := chain.As[chain.Identifier](q)
		_, inspects := chain.As[chain.TokenInspector](q)
		_, tries := chain.As[chain.DryRunner](q)
		_, bumps := chain.As[chain.FeeBumper](q)
		_, traces := chain.As[chain.Tracer](q)
		for _, got := range []bool{balances, identifies, inspects, tries, bumps, traces} {
			require.Equal(t, c.want, got, "%d of %d", c.k, c.able)
		}
		_, err := q.Head(t.Context())
		require.NoError(t, err)
	}
	w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) { c.Providers[0].Client = bare{w.nodes[0]} })
	inspector, _ := chain.As[chain.TokenInspector](w.q)
	_, err := inspector.Inspect(t.Context(), w.usd)
	require.NoError(t, err, "the first one cannot, the second does")
}

// TestConcurrentUse: everything at once, with a provider that comes and goes.
func TestConcurrentUse(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	s := w.signed()
	w.nodes[0].Fail(func(c chaintest.Call) error {
		if c.After {
			return nil
		}
		if w.nodes[0].all()%3 == 0 {
			return errAway
		}
		return nil
	})
	reader, _ := chain.As[chain.BalanceReader](w.q)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				_, err := w.q.Head(t.Context())
				_, err2 := w.page(5)
				_, err3 := w.q.Status(t.Context(), s.ID)
				_, err4 := reader.Balances(t.Context(), "", []chain.Holding{{Address: w.own.Address, Asset: w.eth}})
				err5 := w.q.Broadcast(t.Context(), s)
				_, err6 := w.q.Prepare(t.Context(), w.send(1))
				if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
					t.Error(err)
				}
				w.q.Providers()
				w.q.View()
			}
		})
	}
	wg.Wait()
}

// TestDeterministic: the same clock and the same chance give the same history.
func TestDeterministic(t *testing.T) {
	history := func() (out string) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{}, nil)
			var b strings.Builder
			for i := range 40 {
				w.Mine(1)
				w.nodes[i%3].FailNext(chaintest.MethodTransfers, errAway, i%2)
				w.nodes[(i+1)%3].Lag(uint64(i % 4))
				h := w.head()
				p, err := w.page(h.Latest.Height)
				fmt.Fprintln(&b, h, p, err)
				for _, s := range w.q.Providers() {
					fmt.Fprintf(&b, "%+v\n", s)
				}
				time.Sleep(time.Second)
			}
			out = b.String()
		})
		return out
	}
	require.Equal(t, history(), history())
}
