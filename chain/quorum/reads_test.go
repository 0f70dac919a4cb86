package quorum_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// TestIncoherentPages: what is no page at all is nobody's answer.
func TestIncoherentPages(t *testing.T) {
	for name, lie := range map[string]func(chain.Page) chain.Page{
		"empty":       func(chain.Page) chain.Page { return chain.Page{} },
		"other start": func(p chain.Page) chain.Page { p.Blocks = p.Blocks[1:]; return p },
		"gap":         func(p chain.Page) chain.Page { p.Blocks = slices.Delete(slices.Clone(p.Blocks), 1, 2); return p },
		"no hash":     func(p chain.Page) chain.Page { p.Blocks = slices.Clone(p.Blocks); p.Blocks[0].Hash = ""; return p },
		"foreign": func(p chain.Page) chain.Page {
			p.Transfers = slices.Clone(p.Transfers)
			p.Transfers[0].Hash = "0x1"
			return p
		},
		"nothing": func(p chain.Page) chain.Page {
			p.Transfers = slices.Clone(p.Transfers)
			p.Transfers[0].Amount = chain.Amount{}
			return p
		},
		"twice": func(p chain.Page) chain.Page {
			p.Transfers = slices.Insert(slices.Clone(p.Transfers), 0, p.Transfers[0])
			return p
		},
		"unordered": func(p chain.Page) chain.Page {
			p.Transfers = slices.Clone(p.Transfers)
			slices.Reverse(p.Transfers)
			return p
		},
		"foreign spend": func(p chain.Page) chain.Page {
			p.Spends = []chain.TxStatus{{ID: "0x1", State: chain.TxIncluded}}
			return p
		},
		"unmined spend": func(p chain.Page) chain.Page { p.Spends = []chain.TxStatus{{ID: "0x1", Block: p.Blocks[0]}}; return p },
		"more than asked": func(p chain.Page) chain.Page {
			p.Blocks = append(slices.Clone(p.Blocks), chain.BlockRef{Height: p.Last().Height + 1, Hash: "0x9", Parent: p.Last().Hash})
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{}, nil)
			for range 2 {
				w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
				w.Mine(1)
			}
			w.head()
			w.nodes[0].Lie(chaintest.Lies{Page: lie})
			p, err := w.page(9)
			require.NoError(t, err)
			require.Equal(t, w.truth(9), p)
			require.Equal(t, uint64(1), w.status("a").Counters.Failures)
		})
	}
}

// TestIncoherentAnswers: of the other calls.
func TestIncoherentAnswers(t *testing.T) {
	of := []chain.Holding{{}}
	for name, c := range map[string]struct {
		lie chaintest.Lies
		ask func(*world) error
	}{
		"head without hash": {
			chaintest.Lies{Head: func(h chain.Head) chain.Head { h.Latest.Hash = ""; return h }},
			func(w *world) error { require.Equal(w.t, w.Head(), w.head().Latest); return nil },
		},
		"final above newest": {
			chaintest.Lies{Head: func(h chain.Head) chain.Head { h.Finalized = &chain.BlockRef{Height: 99, Hash: "0x1"}; return h }},
			func(w *world) error { require.Equal(w.t, uint64(5), w.head().Finalized.Height); return nil },
		},
		"headers from elsewhere": {
			chaintest.Lies{Headers: func(r []chain.BlockRef) []chain.BlockRef { return r[1:] }},
			func(w *world) error {
				refs, err := w.q.Headers(w.t.Context(), 3, 6)
				require.Len(w.t, refs, 4)
				return err
			},
		},
		"no balances": {
			chaintest.Lies{Balances: func([]chain.Amount) []chain.Amount { return nil }},
			func(w *world) error {
				reader, _ := chain.As[chain.BalanceReader](w.q)
				of[0] = chain.Holding{Address: w.own.Address, Asset: w.eth}
				got, err := reader.Balances(w.t.Context(), "", of)
				require.Len(w.t, got, 1)
				return err
			},
		},
		"another transaction": {
			chaintest.Lies{Status: func(s chain.TxStatus) chain.TxStatus { s.ID = "0x1"; return s }},
			func(w *world) error {
				s, err := w.q.Status(w.t.Context(), "0x77")
				require.Equal(w.t, chain.TxID("0x77"), s[0].ID)
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{Finalized: true}, func(_ *world, c *quorum.Config) { c.FailAfter = 1 })
			w.nodes[0].Lie(c.lie)
			require.NoError(t, c.ask(w))
			w.out("a", quorum.FaultIncoherent)
		})
	}
}

// TestPagesOfDifferentLength: a page is as long as enough operators tell it.
func TestPagesOfDifferentLength(t *testing.T) {
	short := func(n int) chaintest.Lies {
		return chaintest.Lies{Page: func(p chain.Page) chain.Page {
			out := chain.Page{Blocks: p.Blocks[:n]}
			for _, x := range p.Transfers {
				if x.Block <= out.Last().Height {
					out.Transfers = append(out.Transfers, x)
				}
			}
			return out
		}}
	}
	w := newWorld(t, chaintest.Options{}, agree(2))
	s := w.signed()
	w.Mine(1)
	for i := range 6 {
		w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
		if i == 4 {
			require.NoError(t, w.q.Broadcast(t.Context(), s))
		}
		w.Mine(1)
	}
	w.head()
	require.Len(t, w.truth(13).Spends, 1)
	w.nodes[0].Lie(short(2))
	w.nodes[1].Lie(short(4))
	p, err := w.page(13)
	require.NoError(t, err)
	require.Equal(t, w.truth(13).Blocks[:2], p.Blocks, "as far as the first two go")
	require.Len(t, p.Transfers, 2)
	require.Empty(t, p.Spends)
	w.nodes[0].Lie(chaintest.Inventing(w.made(13)))
	p, err = w.page(13)
	require.NoError(t, err)
	require.Equal(t, w.truth(13).Blocks[:4], p.Blocks, "as far as the other two do")
	require.Len(t, p.Transfers, 4)
	w.out("a", quorum.FaultContradicted)
}

// TestPageUpToADispute: what two agree on is told, with nothing that comes later.
func TestPageUpToADispute(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, func(_ *world, c *quorum.Config) { c.Agree, c.Providers = 2, c.Providers[:2] })
	s := w.signed()
	first := w.Head().Height
	for range 3 {
		w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
		w.Mine(1)
	}
	require.NoError(t, w.q.Broadcast(t.Context(), s))
	w.Mine(1)
	require.Len(t, w.truth(first+1).Spends, 1)
	w.nodes[0].Lie(chaintest.Inventing(w.made(first + 3)))
	p, err := w.page(first + 1)
	require.NoError(t, err)
	require.Equal(t, w.truth(first + 1).Blocks[:2], p.Blocks)
	require.Len(t, p.Transfers, 2)
	require.Empty(t, p.Spends)
	_, err = w.page(first + 3)
	require.ErrorIs(t, err, chain.ErrTransient)
}

// TestSiblingsAtTheTip: two newest blocks are no quarrel. The head is the one
// before, pages end there, and nobody is put aside.
func TestSiblingsAtTheTip(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	old := w.Head().Hash
	w.Reorg(1)
	w.Rewind(1)
	require.Equal(t, uint64(10), w.Head().Height)
	require.NotEqual(t, old, w.Head().Hash)
	w.nodes[1].Pin(old)
	w.nodes[2].Fail(func(chaintest.Call) error { return errAway })
	require.Equal(t, uint64(9), w.head().Latest.Height)
	p, err := w.page(8)
	require.NoError(t, err)
	require.Equal(t, uint64(9), p.Last().Height)
	for range 3 {
		w.head()
	}
	w.out("c", quorum.FaultTransport)
	w.nodes[1].Pin("")
	require.Equal(t, w.Head(), w.head().Latest)

	w = newWorld(t, chaintest.Options{}, agree(2))
	old = w.Head().Hash
	w.Reorg(1)
	w.Rewind(1)
	w.nodes[1].Pin(old)
	require.Equal(t, w.Head(), w.head().Latest, "two against one")
	p, err = w.page(10)
	require.NoError(t, err)
	require.Equal(t, w.truth(10), p)
	require.False(t, w.status("b").Aside, "which is no fault so early")
}

// TestStatus: what is in a block needs agreement; that something waits needs one
// who has it.
func TestStatus(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	s := w.signed()
	state := func() chain.TxState {
		t.Helper()
		got, err := w.q.Status(t.Context(), s.ID)
		require.NoError(t, err)
		return got[0].State
	}
	require.Equal(t, chain.TxUnknown, state())
	require.NoError(t, w.q.Broadcast(t.Context(), s))
	w.nodes[0].Lie(chaintest.Lies{Status: func(s chain.TxStatus) chain.TxStatus { return chain.TxStatus{ID: s.ID, State: chain.TxUnknown} }})
	require.Equal(t, chain.TxPending, state())
	w.Mine(1)
	require.Equal(t, chain.TxIncluded, state(), "two against one")
	w.nodes[2].Fail(func(chaintest.Call) error { return errAway })
	_, err := w.q.Status(t.Context(), s.ID)
	var split *quorum.DivergenceError
	require.ErrorAs(t, err, &split)
	require.ErrorContains(t, err, "in no block")
	require.ErrorContains(t, err, "included in block")
	got, err := w.q.Status(t.Context())
	require.NoError(t, err)
	require.Empty(t, got)
}

// TestBalances: amounts need agreement, at one block that all speak of.
func TestBalances(t *testing.T) {
	for liar := range 3 {
		w := newWorld(t, chaintest.Options{}, agree(2))
		w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
		w.Mine(1)
		w.head()
		w.nodes[liar].Lie(chaintest.Lies{Balances: func([]chain.Amount) []chain.Amount { return []chain.Amount{chain.NewAmount(1e18)} }})
		reader, _ := chain.As[chain.BalanceReader](w.q)
		for _, at := range []chain.BlockHash{"", w.Head().Hash} {
			got, err := reader.Balances(t.Context(), at, []chain.Holding{{Address: w.own.Address, Asset: w.eth}})
			require.NoError(t, err)
			require.Equal(t, []chain.Amount{chain.NewAmount(7)}, got)
		}
		if liar < 2 {
			w.out(string(rune('a'+liar)), quorum.FaultContradicted)
		}
	}
}

// TestBalancesOfTheNewestBlock: all are asked about one and the same.
func TestBalancesOfTheNewestBlock(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	w.Pay("alice", w.own.Address, w.eth, chain.NewAmount(7))
	w.Mine(1)
	w.nodes[1].Lag(1)
	w.nodes[2].Fail(func(chaintest.Call) error { return errAway })
	reader, _ := chain.As[chain.BalanceReader](w.q)
	got, err := reader.Balances(t.Context(), "", []chain.Holding{{Address: w.own.Address, Asset: w.eth}})
	require.NoError(t, err)
	require.Equal(t, []chain.Amount{{}}, got, "what both have")
}

// TestInternal: what moved inside of a block needs agreement among those who can
// look there.
func TestInternal(t *testing.T) {
	w := newWorld(t, chaintest.Options{}, agree(2))
	w.PaySelfDestruct("alice", w.own.Address, chain.NewAmount(7))
	w.Mine(1)
	at := w.Head()
	truth, err := w.Chain.Client().Internal(t.Context(), at, []chain.Address{w.own.Address})
	require.NoError(t, err)
	require.Len(t, truth.Transfers, 1)
	internal := func() (chain.Internals, error) {
		tracer, ok := chain.As[chain.Tracer](w.q)
		require.True(t, ok)
		return tracer.Internal(t.Context(), at, []chain.Address{w.own.Address})
	}
	w.nodes[0].Lie(chaintest.Lies{Internal: func(in chain.Internals) chain.Internals {
		in.Transfers = append(in.Transfers, w.made(at.Height))
		return in
	}})
	got, err := internal()
	require.NoError(t, err)
	require.Equal(t, truth, got)
	require.False(t, w.status("a").Aside, "it may only see more")
	w.nodes[1].Trace(false)
	_, err = internal()
	var split *quorum.DivergenceError
	require.ErrorAs(t, err, &split)
	w.nodes[2].Trace(false)
	_, err = internal()
	require.ErrorIs(t, err, chain.ErrTransient, "one alone")
	w.nodes[0].Trace(false)
	_, err = internal()
	require.ErrorIs(t, err, chain.ErrUnsupported)
}

// TestHeadStale: a head that stands still is told, and that it goes on is too.
func TestHeadStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{}, nil)
		w.head()
		time.Sleep(4 * time.Minute)
		w.head()
		require.Empty(t, w.conditions(quorum.HeadStale))
		time.Sleep(time.Second)
		w.head()
		w.head()
		require.Len(t, w.conditions(quorum.HeadStale), 1)
		require.Contains(t, w.conditions(quorum.HeadStale)[0].Reason, "4m1s")
		w.Mine(1)
		w.head()
		require.Len(t, w.conditions(quorum.HeadStale), 2)
		require.False(t, w.conditions(quorum.HeadStale)[1].Active)
		require.Equal(t, time.Now(), w.q.View().Rose)
	})
}

// TestHeadOnDemand: a chain that makes blocks when there is something to do has no
// stale head.
func TestHeadOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{Info: chain.Info{OnDemandBlocks: true}}, nil)
		w.head()
		time.Sleep(24 * time.Hour)
		w.head()
		require.Empty(t, w.conditions(quorum.HeadStale))
	})
}

// pusher is a node that pushes heads.
type pusher struct {
	*node
	begun atomic.Int64
	fails bool
}

func (p *pusher) SubscribeHeads(ctx context.Context, wake chan<- struct{}) error {
	p.begun.Add(1)
	if p.fails {
		return errAway
	}
	tick := time.NewTicker(12 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			select {
			case wake <- struct{}{}:
			default:
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestSubscribeHeads: any provider wakes; one that fails is begun again; all end
// with the context.
func TestSubscribeHeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var good, bad *pusher
		w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
			c.Agree = 2
			good, bad = &pusher{node: w.nodes[1]}, &pusher{node: w.nodes[2], fails: true}
			c.Providers[1].Client, c.Providers[2].Client = good, bad
		})
		source, ok := chain.As[chain.HeadSubscriber](w.q)
		require.True(t, ok)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		wake := make(chan struct{}, 10)
		require.ErrorIs(t, source.SubscribeHeads(ctx, wake), context.DeadlineExceeded)
		require.Len(t, wake, 5)
		require.Equal(t, int64(1), good.begun.Load())
		require.Equal(t, int64(7), bad.begun.Load())
	})
	_, ok := chain.As[chain.HeadSubscriber](newWorld(t, chaintest.Options{}, nil).q)
	require.False(t, ok, "nobody pushes")
}
