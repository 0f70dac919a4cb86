package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// TestDryRun: one who says that a move fails is outvoted.
func TestDryRun(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	w.signed()
	w.nodes[0].FailNext(chaintest.MethodDryRun, &chain.RevertError{Reason: "because"}, 1)
	dry, ok := chain.As[chain.DryRunner](w.q)
	require.True(t, ok)
	require.NoError(t, dry.DryRun(t.Context(), w.send(1)))
	for _, n := range w.nodes[:2] {
		n.FailNext(chaintest.MethodDryRun, &chain.RevertError{Reason: "because of " + fmt.Sprintf("%p", n)}, 1)
	}
	var revert *chain.RevertError
	require.ErrorAs(t, dry.DryRun(t.Context(), w.send(1)), &revert, "texts may differ")
}

// TestBroadcast: to everybody; one who takes it is enough; a refusal needs more
// who refuse than may have taken it.
func TestBroadcast(t *testing.T) {
	cheap := fmt.Errorf("%w: want more", chain.ErrUnderpriced)
	spent := fmt.Errorf("%w: nonce too low", chain.ErrLockSpent)
	for _, c := range []struct {
		name  string
		agree int
		errs  [3]error
		is    error // nil: success
	}{
		{"all take it", 2, [3]error{}, nil},
		{"one takes it", 2, [3]error{errAway, spent, nil}, nil},
		{"all refuse", 1, [3]error{spent, spent, spent}, chain.ErrLockSpent},
		{"two refuse", 2, [3]error{spent, errAway, spent}, chain.ErrLockSpent},
		{"one refuses, others unknown", 1, [3]error{spent, errAway, errAway}, chain.ErrTransient},
		{"one refuses, one unknown", 1, [3]error{errAway, spent, cheap}, chain.ErrTransient},
		{"all underpriced", 1, [3]error{cheap, cheap, cheap}, chain.ErrUnderpriced},
		{"most underpriced", 2, [3]error{cheap, spent, cheap}, chain.ErrUnderpriced},
		{"all different", 1, [3]error{cheap, spent, &chain.InsufficientFundsError{}}, chain.ErrTransient},
		{"all unknown", 1, [3]error{errAway, errAway, errAway}, chain.ErrTransient},
		{"too few refuse", 3, [3]error{spent, spent, chain.ErrWrongChain}, chain.ErrTransient},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{}, agree(c.agree))
			s := w.signed()
			for i, err := range c.errs {
				if err != nil {
					w.nodes[i].FailNext(chaintest.MethodBroadcast, err, 1)
				}
			}
			err := w.q.Broadcast(t.Context(), s)
			if c.is == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, c.is)
			}
			if errors.Is(c.is, chain.ErrTransient) {
				require.NotErrorIs(t, err, chain.ErrLockSpent, "what is not known must not be acted upon")
				require.NotErrorIs(t, err, chain.ErrUnderpriced)
			}
			for i, n := range w.nodes {
				require.Equal(t, 1, n.asked(chaintest.MethodBroadcast), "provider %d", i)
			}
		})
	}
}

// TestBroadcastWaitsABit: a slower provider gets the bytes too, and one that hangs
// holds nothing up.
func TestBroadcastWaitsABit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		s := w.signed()
		w.head()
		w.nodes[1].takes(quorum.DefaultHedgeLeast / 2)
		w.nodes[2].takes(time.Hour)
		began := time.Now()
		require.NoError(t, w.q.Broadcast(t.Context(), s))
		require.Equal(t, quorum.DefaultHedgeLeast, time.Since(began))
		require.Zero(t, w.nodes[1].cancelled())
		require.Equal(t, 1, w.nodes[2].cancelled())
	})
}

// TestPrepareAgrees: locks need agreement, and one who cannot draft is outvoted.
func TestPrepareAgrees(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	w.signed()
	truth, err := w.Chain.Client().Prepare(t.Context(), w.send(9))
	require.NoError(t, err)
	w.nodes[0].Lie(chaintest.Lies{Draft: func(d chain.Draft) chain.Draft { d.Locks = []chain.Lock{"nonce:0x1:77"}; return d }})
	d, err := w.q.Prepare(t.Context(), w.send(9))
	require.NoError(t, err)
	require.Equal(t, truth, d)
	w.nodes[1].FailNext(chaintest.MethodPrepare, &chain.InsufficientFundsError{}, 1)
	_, err = w.q.Prepare(t.Context(), w.send(9))
	var split *quorum.DivergenceError
	require.ErrorAs(t, err, &split, "three opinions")
	require.ErrorContains(t, err, "insufficient funds")

	signed, err := w.q.Sign(t.Context(), d, w.signer)
	require.NoError(t, err)
	bumper, ok := chain.As[chain.FeeBumper](w.q)
	require.True(t, ok)
	w.nodes[0].Lie(chaintest.Lies{Draft: func(d chain.Draft) chain.Draft { d.Fee, _ = d.Fee.Mul(1000); return d }})
	next, err := bumper.Bump(t.Context(), w.send(9), signed)
	require.NoError(t, err)
	require.Equal(t, truth.Locks, next.Locks)
	require.True(t, truth.Fee.Less(next.Fee))
	w.out("a", quorum.FaultPrice)
}

// TestPrepareAsksTheUpToDate: a node behind would draft with a spent nonce.
func TestPrepareAsksTheUpToDate(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, nil)
	s := w.signed()
	require.NoError(t, w.q.Broadcast(t.Context(), s))
	w.Mine(1)
	w.nodes[1].Lag(1)
	w.nodes[2].Lag(1)
	w.head()
	d, err := w.q.Prepare(t.Context(), w.send(9))
	require.NoError(t, err)
	require.NotEqual(t, s.Locks, d.Locks, "although the two behind are more")
}

// batches is a provider that moves many at once.
type batches struct {
	chain.Client
	bound chain.Batching
}

func (b batches) Batching() chain.Batching { return b.bound }

// One client that is configured otherwise, or cannot do it, is enough for none to do
// it: what one drafts another one signs.
func TestThreat_F1_BatchesWhereAllClientsAgree(t *testing.T) {
	same := chain.Batching{Treasury: "t", FeePayer: "p", MaxMoves: 400}
	ask := func(agree int, third any) (chain.Batching, bool) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
			c.Agree = agree
			for i := range c.Providers {
				if i < 2 {
					c.Providers[i].Client = batches{c.Providers[i].Client, same}
				} else if bound, ok := third.(chain.Batching); ok {
					c.Providers[i].Client = batches{c.Providers[i].Client, bound}
				}
			}
		})
		b, ok := chain.As[chain.Batcher](w.q)
		if !ok {
			return chain.Batching{}, false
		}
		return b.Batching(), true
	}
	for _, agree := range []int{1, 2} {
		got, ok := ask(agree, same)
		require.True(t, ok)
		require.Equal(t, same, got)
		for name, third := range map[string]any{
			"no batcher":       nil,
			"not set up":       chain.Batching{},
			"another treasury": chain.Batching{Treasury: "x", FeePayer: "p", MaxMoves: 400},
			"another payer":    chain.Batching{Treasury: "t", FeePayer: "x", MaxMoves: 400},
			"fewer moves":      chain.Batching{Treasury: "t", FeePayer: "p", MaxMoves: 399},
		} {
			_, ok := ask(agree, third)
			require.False(t, ok, name)
		}
	}
}

// works is a provider that tells of work.
type works struct {
	chain.Client
	work chain.Work
}

func (w works) Work(chain.Collection) chain.Work { return w.work }

// A figure is told where all clients tell the same.
func TestWorkThatAllTell(t *testing.T) {
	same := chain.Work{Now: 7, Next: 9, Rules: "some"}
	ask := func(third any) (chain.Work, bool) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
			for i := range c.Providers {
				inner := c.Providers[i].Client
				if work, ok := third.(chain.Work); ok && i == 2 {
					c.Providers[i].Client = works{inner, work}
				} else if i < 2 {
					c.Providers[i].Client = works{inner, same}
				} else {
					c.Providers[i].Client = struct{ chain.Client }{inner}
				}
			}
		})
		e, ok := chain.As[chain.WorkEstimator](w.q)
		if !ok {
			return chain.Work{}, false
		}
		return e.Work(chain.Collection{}), true
	}
	got, ok := ask(same)
	require.True(t, ok)
	require.Equal(t, same, got)
	for third, want := range map[chain.Work]chain.Work{
		{Now: 8, Next: 9, Rules: "some"}:  {Next: 9, Rules: "some"},
		{Now: 7, Next: 8, Rules: "some"}:  {Now: 7},
		{Now: 7, Next: 9, Rules: "other"}: {Now: 7},
		{}:                                {},
	} {
		got, ok := ask(third)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok = ask(nil)
	require.False(t, ok, "one cannot tell")
}

// market is a provider with a view of the market.
type market struct {
	chain.Client
	chain.FeeMarket
	err error
}

func (m *market) EstimateFees(context.Context) (chain.FeeMarket, error) { return m.FeeMarket, m.err }

func TestThreat_C21_EstimateIsTheMedian(t *testing.T) {
	ask := func(votes int, of ...*market) (chain.FeeMarket, error) {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
			c.Agree = votes
			for i := range c.Providers {
				of[i].Client = c.Providers[i].Client
				c.Providers[i].Client = of[i]
			}
		})
		e, ok := chain.As[chain.FeeEstimator](w.q)
		require.True(t, ok)
		return e.EstimateFees(t.Context())
	}
	says := func(now, usual uint64) *market {
		return &market{FeeMarket: chain.FeeMarket{Now: chain.NewAmount(now), Usual: chain.NewAmount(usual)}}
	}
	m, err := ask(2, says(1<<60, 20), says(11, 1<<60), says(10, 21))
	require.NoError(t, err)
	require.Equal(t, says(11, 21).FeeMarket, m, "one who lies decides nothing")
	m, err = ask(2, says(30, 20), &market{err: errAway}, says(10, 40))
	require.NoError(t, err)
	require.Equal(t, says(10, 20).FeeMarket, m, "the lower of two")
	_, err = ask(2, says(30, 20), &market{err: errAway}, &market{err: chain.ErrUnsupported})
	require.ErrorIs(t, err, chain.ErrTransient, "one alone is not enough")
}
