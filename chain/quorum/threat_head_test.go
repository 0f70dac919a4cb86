package quorum_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// TestThreat_A12_FinalityTakenBack: whoever lowers a final block is put aside,
// and nobody's word lowers ours.
func TestThreat_A12_FinalityTakenBack(t *testing.T) {
	for _, k := range []int{1, 2} {
		for liar := range 3 {
			t.Run(fmt.Sprintf("agree %d, liar %d", k, liar), func(t *testing.T) {
				w := newWorld(t, chaintest.Options{Finalized: true}, agree(k))
				before := w.head()
				require.Equal(t, uint64(5), before.Finalized.Height)
				low, _ := w.Block(2)
				w.nodes[liar].Lie(chaintest.Lies{Head: func(h chain.Head) chain.Head { h.Finalized = &low; return h }})
				require.Equal(t, before, w.head())
				w.out(w.status(string(rune('a'+liar))).Name, quorum.FaultFinality)
				w.Mine(1)
				require.Equal(t, uint64(6), w.head().Finalized.Height, "the others' goes on")
			})
		}
	}
}

// TestThreat_A12_FloorHolds: where everybody takes finality back, ours stays, and
// nothing is answered.
func TestThreat_A12_FloorHolds(t *testing.T) {
	w := newWorld(t, chaintest.Options{Finalized: true}, nil)
	before := w.head()
	w.SetFinalized(2)
	_, err := w.q.Head(t.Context())
	require.ErrorIs(t, err, chain.ErrTransient)
	require.Equal(t, before, w.q.View().Head)
	for _, s := range w.q.Providers() {
		require.Equal(t, quorum.FaultFinality, s.Fault)
	}
}

// TestThreat_A12_LiarsServeTheirTime: who lied is not tried before its cool-down is
// over, although nobody else is left.
func TestThreat_A12_LiarsServeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{Finalized: true}, nil)
		w.head()
		w.SetFinalized(2)
		for range 2 {
			_, err := w.q.Head(t.Context())
			require.ErrorIs(t, err, chain.ErrTransient)
			time.Sleep(quorum.DefaultCooldown)
		}
		require.Equal(t, time.Now().Add(quorum.DefaultCooldown), w.status("a").Until, "twice as long the second time")
		before := w.nodes[0].all()
		_, err := w.q.Head(t.Context())
		require.ErrorIs(t, err, chain.ErrTransient)
		require.Equal(t, before, w.nodes[0].all())
	})
}

// TestThreat_A12_FinalityRisesWhileAHeadIsHeld: they are told apart.
func TestThreat_A12_FinalityRisesWhileAHeadIsHeld(t *testing.T) {
	w := newWorld(t, chaintest.Options{Finalized: true}, nil)
	before := w.head()
	w.nodes[0].Fail(func(chaintest.Call) error { return errAway })
	w.nodes[1].Lag(2)
	w.nodes[2].Lag(2)
	w.SetFinalized(7)
	after := w.head()
	require.Equal(t, before.Latest, after.Latest)
	require.Equal(t, uint64(7), after.Finalized.Height)
}

// final makes a client tell another final block.
func final(change func(*chain.BlockRef)) chaintest.Lies {
	return chaintest.Lies{Head: func(h chain.Head) chain.Head {
		f := *h.Finalized
		change(&f)
		h.Finalized = &f
		return h
	}}
}

// TestThreat_A12_ExchangedFinalBlock: another hash at a height that the provider
// itself had called final.
func TestThreat_A12_ExchangedFinalBlock(t *testing.T) {
	w := newWorld(t, chaintest.Options{Finalized: true}, nil)
	at, _ := w.Block(4)
	w.nodes[1].Lie(final(func(f *chain.BlockRef) { *f = at }))
	before := w.head()
	require.Equal(t, uint64(5), before.Finalized.Height)
	w.nodes[1].Lie(final(func(f *chain.BlockRef) { *f = at; f.Hash = "0xother" }))
	require.Equal(t, before, w.head())
	w.out("b", quorum.FaultFinality)
}

// TestThreat_A12_AnotherFinalBlock: another hash at the height that we go by, told
// by one who had told none before.
func TestThreat_A12_AnotherFinalBlock(t *testing.T) {
	w := newWorld(t, chaintest.Options{Finalized: true}, nil)
	w.nodes[2].FailNext(chaintest.MethodHead, errAway, 1)
	before := w.head()
	w.nodes[2].Lie(final(func(f *chain.BlockRef) { f.Hash = "0xother" }))
	require.Equal(t, before, w.head())
	w.out("c", quorum.FaultFinality)
}

// TestThreat_A12_FinalityOfASlowerProvider: one that learns of finality later is
// no liar, and lowers nothing when it takes over.
func TestThreat_A12_FinalityOfASlowerProvider(t *testing.T) {
	for _, k := range []int{1, 2} {
		w := newWorld(t, chaintest.Options{Finalized: true}, agree(k))
		low, _ := w.Block(3)
		for i := k; i < 3; i++ {
			w.nodes[i].Lie(final(func(f *chain.BlockRef) { *f = low }))
		}
		before := w.head()
		require.Equal(t, uint64(5), before.Finalized.Height)
		w.nodes[0].Fail(func(chaintest.Call) error { return errAway })
		w.Mine(1)
		after := w.head()
		require.Equal(t, w.Head(), after.Latest)
		require.Equal(t, before.Finalized, after.Finalized)
		require.False(t, w.status("b").Aside)
	}
}

// TestThreat_A12_NoHeadBelowFinality: whoever has not reached what is final has no
// head for us, however long the others are away.
func TestThreat_A12_NoHeadBelowFinality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{Finalized: true}, func(_ *world, c *quorum.Config) { c.MaxBehind = 100 })
		w.nodes[1].Lag(8)
		w.nodes[2].Lag(8)
		before := w.head()
		w.nodes[0].Fail(func(chaintest.Call) error { return errAway })
		for range 20 {
			time.Sleep(time.Minute)
			_, err := w.q.Head(t.Context())
			require.ErrorIs(t, err, chain.ErrTransient)
		}
		require.Equal(t, before, w.q.View().Head)
	})
}

// split makes a second chain that is the first one up to now, then grows
// otherwise, and returns a client of it.
func split(w *world, o chaintest.Options) *chaintest.Chain {
	twin := chaintest.New(o)
	usd := twin.DeployToken(chaintest.TokenSpec{Symbol: "USD", Decimals: 6})
	twin.Mine(10)
	require.Equal(w.t, w.Head(), twin.Head(), "the same until the split")
	// A branch that was begun anew hashes otherwise.
	twin.Rewind(3)
	twin.Mine(9)
	twin.Pay("mallory", w.Payer("shop"), usd, chain.NewAmount(1))
	w.Mine(6)
	require.NotEqual(w.t, w.Head().Hash, twin.Head().Hash)
	return twin
}

// TestThreat_A20_CheckpointTellsForks: a node on the other side of a split has
// our chain id and genesis, and not our checkpoint.
func TestThreat_A20_CheckpointTellsForks(t *testing.T) {
	var other *chaintest.Chain
	w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
		other = split(w, chaintest.Options{})
		w.nodes[0].Client = other.Client()
		at, _ := w.Block(9)
		c.Checkpoints = []chain.BlockRef{{Height: at.Height, Hash: at.Hash}}
	})
	require.Equal(t, w.Head().Hash, w.head().Latest.Hash)
	w.out("a", quorum.FaultWrongChain)
	p, err := w.page(5)
	require.NoError(t, err)
	require.Equal(t, w.truth(5), p)
}

// TestThreat_A20_ForkIsOutvoted: without a checkpoint, the majority tells.
func TestThreat_A20_ForkIsOutvoted(t *testing.T) {
	for liar := range 3 {
		w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
			c.Agree = 2
			w.nodes[liar].Client = split(w, chaintest.Options{}).Client()
		})
		require.Equal(t, w.Head().Hash, w.head().Latest.Hash)
		p, err := w.page(5)
		require.NoError(t, err)
		require.Equal(t, w.truth(5), p)
		w.out(string(rune('a'+liar)), quorum.FaultFork)
	}
}

// TestThreat_A20_SplitHaltsCrediting: one against one is nobody's chain.
func TestThreat_A20_SplitHaltsCrediting(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
		c.Agree = 2
		c.Providers = c.Providers[:2]
		w.nodes[1].Client = split(w, chaintest.Options{}).Client()
	})
	var split *quorum.DivergenceError
	_, err := w.q.Head(t.Context())
	require.ErrorAs(t, err, &split)
	require.ErrorIs(t, err, chain.ErrTransient)
	require.Equal(t, "head", split.What)
	require.Equal(t, []string{"a"}, split.Said[0].Providers)
	require.Equal(t, []string{"b"}, split.Said[1].Providers)
	_, err = w.page(9)
	require.ErrorAs(t, err, &split)
	require.Equal(t, uint64(9), split.Height)
	require.ErrorContains(t, err, "page at height 9: a: block 9 0x")
	require.True(t, w.q.View().Diverged)
	require.Len(t, w.conditions(quorum.Diverged), 1)
	p, err := w.page(5)
	require.NoError(t, err, "before the split they agree")
	require.Equal(t, uint64(7), p.Last().Height)
	require.False(t, w.q.View().Diverged)
}

// TestThreat_C1_LaggingBehindBalancer: a node whose head came from another node
// behind the same address has no say in what that block holds.
func TestThreat_C1_LaggingBehindBalancer(t *testing.T) {
	for _, k := range []int{1, 2} {
		w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) { c.Agree, c.FailAfter = k, 1 })
		w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
		w.Mine(1)
		require.Equal(t, uint64(11), w.head().Latest.Height)
		w.nodes[0].Lag(4)
		p, err := w.page(11)
		require.NoError(t, err)
		require.Len(t, p.Transfers, 1)
		refs, err := w.q.Headers(t.Context(), 11, 11)
		require.NoError(t, err)
		require.Equal(t, p.Blocks, refs, "nor does it say that there is none")
		w.out("a", quorum.FaultIncoherent)
	}
}

// TestThreat_C1_NothingIsNoAnswer: nobody who is behind the view says what there
// is not.
func TestThreat_C1_NothingIsNoAnswer(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, nil)
	w.nodes[0].Lag(2)
	require.Equal(t, uint64(10), w.head().Latest.Height)
	for _, n := range w.nodes[1:] {
		n.FailNext(chaintest.MethodHeaders, errAway, 1)
	}
	_, err := w.q.Headers(t.Context(), 10, 10)
	require.ErrorIs(t, err, chain.ErrTransient)
	refs, err := w.q.Headers(t.Context(), 11, 11)
	require.NoError(t, err)
	require.Empty(t, refs, "above everything")
}

// TestThreat_C1_BehindIsAskedLast: who is known not to have a block is not asked.
func TestThreat_C1_BehindIsAskedLast(t *testing.T) {
	for _, k := range []int{1, 2} {
		w := newWorld(t, chaintest.Options{}, agree(k))
		w.nodes[0].Lag(2)
		require.Equal(t, uint64(10), w.head().Latest.Height)
		_, err := w.page(10)
		require.NoError(t, err)
		require.Zero(t, w.nodes[0].asked(chaintest.MethodTransfers))
		w.nodes[0].Lag(0)
		w.Mine(60)
		w.nodes[0].Lag(50)
		require.Equal(t, uint64(70), w.head().Latest.Height)
		w.out("a", quorum.FaultBehind)
	}
}

// TestThreat_C2_LeaderIsKept: where one is believed, the view does not change
// between two branches because another one is faster for a moment; it does when
// the leader falls behind for good, and goes back to the first of the Config as
// soon as that changes nothing.
func TestThreat_C2_LeaderIsKept(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, nil)
	old := w.head().Latest
	w.Reorg(1)
	w.Rewind(1)
	require.NotEqual(t, old, w.Head())
	w.nodes[0].Pin(old.Hash)
	for range 5 {
		require.Equal(t, old, w.head().Latest, "b and c have another one")
	}
	w.Mine(1)
	for range 3 {
		require.Equal(t, old, w.head().Latest)
	}
	require.Equal(t, w.Head(), w.head().Latest, "a has stood still for long enough")
	page := func(by int) {
		t.Helper()
		before := w.nodes[by].asked(chaintest.MethodTransfers)
		_, err := w.page(8)
		require.NoError(t, err)
		require.Equal(t, before+1, w.nodes[by].asked(chaintest.MethodTransfers))
	}
	page(1)
	w.nodes[0].Pin("")
	w.Rewind(1)
	branch := w.Head()
	w.Mine(1)
	w.nodes[1].Pin(branch.Hash)
	w.nodes[2].Pin(branch.Hash)
	w.Rewind(1)
	w.nodes[1].Pin("")
	w.nodes[2].Pin("")
	require.Equal(t, w.Head(), w.head().Latest)
	page(0)
}

// TestThreat_C2_HeadHeldOverASwitch: another provider's lower head is not ours,
// until nobody has told the higher one for a while.
func TestThreat_C2_HeadHeldOverASwitch(t *testing.T) {
	for _, k := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{}, agree(k))
			for i := k; i < 3; i++ {
				w.nodes[i].Lag(uint64(i + 1))
			}
			before := w.head()
			require.Equal(t, uint64(10), before.Latest.Height)
			w.nodes[0].Fail(func(chaintest.Call) error { return errAway })
			for range 3 {
				require.Equal(t, before, w.head(), "too few others have it")
				time.Sleep(time.Minute)
			}
			time.Sleep(2 * time.Minute)
			require.Equal(t, map[int]uint64{1: 8, 2: 7}[k], w.head().Latest.Height, "a has been away for long")
			w.nodes[0].Fail(nil)
			time.Sleep(quorum.DefaultMaxCooldown)
			require.Equal(t, before, w.head())
		})
	}
}

// TestThreat_C2_LateAnswersTakeNothingBack: of two calls at once, the one that
// heard of the older head comes last: neither the head nor finality fell.
func TestThreat_C2_LateAnswersTakeNothingBack(t *testing.T) {
	for _, k := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{Finalized: true}, agree(k))
			for _, n := range w.nodes {
				n.takes(100 * time.Millisecond)
			}
			w.head()
			for _, n := range w.nodes {
				n.takes(0)
				var held atomic.Bool
				n.Fail(func(c chaintest.Call) error {
					if c.Method == chaintest.MethodHead && c.After && held.CompareAndSwap(false, true) {
						time.Sleep(50 * time.Millisecond)
					}
					return nil
				})
			}
			var late chain.Head
			var wg sync.WaitGroup
			wg.Go(func() { late = w.head() })
			time.Sleep(time.Millisecond)
			w.Mine(1)
			newer := w.head()
			require.Equal(t, w.Head(), newer.Latest)
			wg.Wait()
			require.Equal(t, newer, late)
			require.Equal(t, newer, w.q.View().Head)
			for _, s := range w.q.Providers() {
				require.False(t, s.Aside, s.Reason)
			}
		})
	}
}

// TestThreat_C2_TrueRollbackIsSeen: the very provider that told the head went
// back, and so did all others: that is news.
func TestThreat_C2_TrueRollbackIsSeen(t *testing.T) {
	for _, k := range []int{1, 2, 3} {
		w := newWorld(t, chaintest.Options{}, agree(k))
		require.Equal(t, uint64(10), w.head().Latest.Height)
		w.Rewind(3)
		require.Equal(t, uint64(7), w.head().Latest.Height)
		w.Mine(2)
		require.Equal(t, w.Head(), w.head().Latest)
	}
}

// TestThreat_A20_TwoCamps: as many on either side of a split are nobody's chain,
// although each side is large enough.
func TestThreat_A20_TwoCamps(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
		c.Agree = 2
		other := split(w, chaintest.Options{})
		w.nodes[1].Client = other.Client()
		c.Providers = append(c.Providers, quorum.Provider{Name: "d", Client: other.Client()})
	})
	var camps *quorum.DivergenceError
	_, err := w.q.Head(t.Context())
	require.ErrorAs(t, err, &camps)
	require.Equal(t, []string{"a", "c"}, camps.Said[0].Providers)
	require.Equal(t, []string{"b", "d"}, camps.Said[1].Providers)
	_, err = w.page(9)
	require.ErrorAs(t, err, &camps)
	for _, s := range w.q.Providers() {
		require.False(t, s.Aside)
	}
}

// TestThreat_A20_OperatorsCountForHeights: the height of two URLs of one operator
// is one operator's height, and the head is what a second one has.
func TestThreat_A20_OperatorsCountForHeights(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) {
		c.Agree = 2
		c.Providers[0].Operator, c.Providers[1].Operator = "fast", "fast"
	})
	w.nodes[2].Lag(5)
	require.Equal(t, uint64(5), w.head().Latest.Height)
}

// TestThreat_A20_CheckpointNotReached: who has not got so far cannot be checked, and
// is not asked.
func TestThreat_A20_CheckpointNotReached(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
		at, _ := w.Block(9)
		c.Checkpoints = []chain.BlockRef{{Height: at.Height, Hash: at.Hash}}
	})
	w.nodes[0].Lag(5)
	for range quorum.DefaultFailAfter {
		w.head()
	}
	w.out("a", quorum.FaultTransport)
	require.Contains(t, w.status("a").Reason, "does not have the checkpoint at height 9")
	require.Zero(t, w.nodes[0].asked(chaintest.MethodHead))
}

// TestThreat_A20_OperatorsCountForHeads: two URLs on one side are one voice.
func TestThreat_A20_OperatorsCountForHeads(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
		c.Agree = 2
		c.Providers[0].Operator, c.Providers[1].Operator = "fork", "fork"
		other := split(w, chaintest.Options{})
		w.nodes[0].Client, w.nodes[1].Client = other.Client(), other.Client()
	})
	_, err := w.q.Head(t.Context())
	var split *quorum.DivergenceError
	require.ErrorAs(t, err, &split)
}
