package chaintest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// heights tells where the transfers to our own address are.
func heights(p chain.Page) map[chain.TxID]uint64 {
	out := map[chain.TxID]uint64{}
	for _, x := range p.Transfers {
		out[x.ID.Tx] = x.Block
	}
	return out
}

func TestReorgOptions(t *testing.T) {
	for name, c := range map[string]struct {
		options func(a, b chain.TxID) chaintest.ReorgOptions
		head    uint64 // after a reorg of the two blocks above height 1
		want    func(a, b chain.TxID) map[chain.TxID]uint64
		order   func(a, b chain.TxID) []chain.TxID
		waiting int
	}{
		"all again in the first new block": {
			options: func(_, _ chain.TxID) chaintest.ReorgOptions { return chaintest.ReorgOptions{} },
			head:    4,
			want:    func(a, b chain.TxID) map[chain.TxID]uint64 { return map[chain.TxID]uint64{a: 2, b: 2} },
			order:   func(a, b chain.TxID) []chain.TxID { return []chain.TxID{a, b} },
		},
		"one dropped": {
			options: func(a, _ chain.TxID) chaintest.ReorgOptions {
				return chaintest.ReorgOptions{Drop: []chain.TxID{a}}
			},
			head:  4,
			want:  func(_, b chain.TxID) map[chain.TxID]uint64 { return map[chain.TxID]uint64{b: 2} },
			order: func(_, b chain.TxID) []chain.TxID { return []chain.TxID{b} },
		},
		"all dropped": {
			options: func(_, _ chain.TxID) chaintest.ReorgOptions { return chaintest.ReorgOptions{DropAll: true} },
			head:    4,
			want:    func(_, _ chain.TxID) map[chain.TxID]uint64 { return map[chain.TxID]uint64{} },
		},
		"later": {
			options: func(_, _ chain.TxID) chaintest.ReorgOptions { return chaintest.ReorgOptions{Delay: 2, Length: 5} },
			head:    6,
			want:    func(a, b chain.TxID) map[chain.TxID]uint64 { return map[chain.TxID]uint64{a: 4, b: 4} },
			order:   func(a, b chain.TxID) []chain.TxID { return []chain.TxID{a, b} },
		},
		"not yet": {
			options: func(_, _ chain.TxID) chaintest.ReorgOptions { return chaintest.ReorgOptions{Delay: 3} },
			head:    4,
			want:    func(_, _ chain.TxID) map[chain.TxID]uint64 { return map[chain.TxID]uint64{} },
			waiting: 2,
		},
		"reversed": {
			options: func(_, _ chain.TxID) chaintest.ReorgOptions { return chaintest.ReorgOptions{Reverse: true} },
			head:    4,
			want:    func(a, b chain.TxID) map[chain.TxID]uint64 { return map[chain.TxID]uint64{a: 2, b: 2} },
			order:   func(a, b chain.TxID) []chain.TxID { return []chain.TxID{b, a} },
		},
		"the second first": {
			options: func(_, b chain.TxID) chaintest.ReorgOptions {
				return chaintest.ReorgOptions{First: []chain.TxID{b}}
			},
			head:  4,
			want:  func(a, b chain.TxID) map[chain.TxID]uint64 { return map[chain.TxID]uint64{a: 2, b: 2} },
			order: func(a, b chain.TxID) []chain.TxID { return []chain.TxID{b, a} },
		},
		"a shorter branch": {
			options: func(_, _ chain.TxID) chaintest.ReorgOptions { return chaintest.ReorgOptions{Length: 1} },
			head:    2,
			want:    func(a, b chain.TxID) map[chain.TxID]uint64 { return map[chain.TxID]uint64{a: 2, b: 2} },
			order:   func(a, b chain.TxID) []chain.TxID { return []chain.TxID{a, b} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{})
			w.Mine(1)
			a := w.Pay("alice", w.own.Address, w.eth, amount(1))
			w.Mine(1)
			b := w.Pay("bob", w.own.Address, w.usd, amount(2))
			w.Mine(1)
			before := w.page(t, 0, w.own.Address)
			require.Equal(t, map[chain.TxID]uint64{a: 2, b: 3}, heights(before))

			require.Equal(t, before.Last().Hash, w.Reorg(2, c.options(a, b)))
			after := w.page(t, 0, w.own.Address)
			require.Equal(t, c.head, after.Last().Height)
			require.Equal(t, before.Blocks[:2], after.Blocks[:2], "what lies below stays")
			for i := 2; i < min(len(before.Blocks), len(after.Blocks)); i++ {
				require.NotEqual(t, before.Blocks[i].Hash, after.Blocks[i].Hash)
			}
			require.Equal(t, c.want(a, b), heights(after))
			require.Len(t, w.Mempool(), c.waiting)
			if c.order != nil {
				var order []chain.TxID
				for _, x := range after.Transfers {
					order = append(order, x.ID.Tx)
				}
				require.Equal(t, c.order(a, b), order)
			}
		})
	}
}

func TestReorgKeepsTheOrderOfNonces(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	first := w.Pay("alice", w.own.Address, w.eth, amount(1))
	second := w.Pay("alice", w.own.Address, w.eth, amount(2))
	w.Mine(1)
	w.Reorg(1, chaintest.ReorgOptions{Reverse: true, First: []chain.TxID{second}})
	p := w.page(t, 0, w.own.Address)
	require.Len(t, p.Transfers, 2)
	require.Equal(t, first, p.Transfers[0].ID.Tx)
}

func TestBranchesDifferEvenAtTheSameTime(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Mine(1)
	at := w.Head()
	old := w.Rewind(1)
	w.MineAt(at.Time)
	other := w.Head()
	require.NotEqual(t, at.Hash, other.Hash)
	w.Return(old)
	w.MineAt(at.Time)
	above := w.Head().Hash
	w.Return(old)
	w.MineAt(at.Time)
	require.NotEqual(t, above, w.Head().Hash)
}

func TestWhatWasMinedComesBeforeWhatWaited(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	mined := w.Pay("alice", w.own.Address, w.eth, amount(1))
	w.Mine(1)
	waits := w.Pay("bob", w.own.Address, w.eth, amount(2))
	w.Rewind(1)
	require.Equal(t, []chain.TxID{mined, waits}, w.Mempool())
}

func TestStateDependentAmount(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Pay("alice", w.own.Address, w.usd, amount(101))
	w.Mine(1)
	before := w.page(t, 1, w.own.Address).Transfers
	w.SetTransferRate(w.usd, 1, 2)
	old := w.Reorg(1)
	after := w.page(t, 1, w.own.Address).Transfers
	require.Len(t, after, 1)
	require.Equal(t, before[0].ID, after[0].ID, "the same transfer")
	require.Equal(t, amount(50), after[0].Amount, "moves another amount")
	require.Equal(t, amount(50), w.BalanceOf(w.own.Address, w.usd))

	w.SetTransferRate(w.usd, 0, 1)
	w.Reorg(int(w.Head().Height))
	require.Empty(t, w.page(t, 1, w.own.Address).Transfers, "or none")
	w.Return(old)
	require.Equal(t, before, w.page(t, 1, w.own.Address).Transfers, "what a block did, it did")
	require.Panics(t, func() { w.SetTransferRate(w.usd, 1, 0) })
	require.Panics(t, func() { w.SetTransferRate(w.eth, 1, 1) })
}

func TestReturnToAnOldBranch(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Mine(1)
	inA := w.Pay("alice", w.own.Address, w.eth, amount(1))
	w.Mine(1)
	a := w.page(t, 0, w.own.Address)
	headA := w.Reorg(1, chaintest.ReorgOptions{Delay: 9})
	inB := w.Pay("bob", w.own.Address, w.eth, amount(2))
	w.MineOnly(inB)
	b := w.page(t, 0, w.own.Address)
	require.Equal(t, map[chain.TxID]uint64{inB: 4}, heights(b))
	headB := w.Head().Hash

	w.Return(headA)
	require.Equal(t, a, w.page(t, 0, w.own.Address))
	require.Equal(t, []chain.TxID{inB}, w.Mempool(), "what only B had waits again")
	require.Equal(t, chain.TxIncluded, w.state(t, inA))
	w.Return(headB)
	require.Equal(t, b, w.page(t, 0, w.own.Address))
	require.Equal(t, []chain.TxID{inA}, w.Mempool())

	w.Return(headA)
	w.Mine(1)
	require.Equal(t, b.Blocks[1], w.page(t, 0).Blocks[1])
	require.NotEqual(t, b.Blocks[3].Hash, w.Head().Hash, "a block on A is none of B's")
	require.Equal(t, amount(3), w.BalanceOf(w.own.Address, w.eth))
	require.Panics(t, func() { w.Return("0x1") })
}

func TestRewindMakesTheHeadGoBack(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Mine(3)
	id := w.Pay("alice", w.own.Address, w.eth, amount(1))
	w.Mine(1)
	old := w.Rewind(2)
	require.Equal(t, uint64(2), w.Head().Height)
	require.Equal(t, chain.TxPending, w.state(t, id))
	_, err := w.client.Transfers(t.Context(), 3, 3, chaintest.NewWatch(w.client.Codec(), nil))
	require.ErrorIs(t, err, chain.ErrNotFound)
	w.Return(old)
	require.Equal(t, chain.TxIncluded, w.state(t, id))
	require.Panics(t, func() { w.Rewind(5) }, "the genesis block stays")
	require.Panics(t, func() { w.Reorg(-1) })
}

func TestBalancesOfAbandonedBlocks(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Pay("alice", w.own.Address, w.eth, amount(5))
	w.Mine(1)
	old := w.Reorg(1, chaintest.ReorgOptions{DropAll: true})
	of := []chain.Holding{{Address: w.own.Address, Asset: w.eth}}
	then, err := w.client.Balances(t.Context(), old, of)
	require.NoError(t, err)
	require.Equal(t, []chain.Amount{amount(5)}, then)
	now, err := w.client.Balances(t.Context(), "", of)
	require.NoError(t, err)
	require.Equal(t, []chain.Amount{{}}, now)
}

func TestGrantsSurviveReorgs(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Grant(w.own.Address, w.eth, amount(5))
	require.True(t, w.BalanceOf(w.own.Address, w.eth).IsZero(), "the next block pays")
	w.Mine(1)
	require.Equal(t, amount(5), w.BalanceOf(w.own.Address, w.eth))
	require.Empty(t, w.page(t, 0, w.own.Address).Transfers, "no transaction shows it")
	old := w.Reorg(1)
	require.Equal(t, amount(5), w.BalanceOf(w.own.Address, w.eth))
	w.Return(old)
	w.Mine(2)
	require.Equal(t, amount(5), w.BalanceOf(w.own.Address, w.eth), "once on every branch")
	w.Grant(w.own.Address, w.usd, amount(6))
	w.Mine(1)
	require.Equal(t, amount(6), w.BalanceOf(w.own.Address, w.usd))
}

func TestFinalizedTag(t *testing.T) {
	w := newWorld(t, chaintest.Options{Finalized: true})
	final := func() uint64 {
		h, err := w.client.Head(t.Context())
		require.NoError(t, err)
		require.NotNil(t, h.Finalized)
		return h.Finalized.Height
	}
	require.Zero(t, final())
	w.Mine(10)
	require.Equal(t, uint64(5), final(), "the block with six confirmations")
	w.SetFinalized(3)
	require.Equal(t, uint64(3), final(), "backwards")
	w.Mine(10)
	require.Equal(t, uint64(3), final(), "stalled")
	w.FollowFinalized()
	require.Equal(t, uint64(15), final())
	require.Panics(t, func() { w.SetFinalized(99) })

	plain := newWorld(t, chaintest.Options{})
	plain.Mine(10)
	h, err := plain.client.Head(t.Context())
	require.NoError(t, err)
	require.Nil(t, h.Finalized)
	require.Panics(t, func() { plain.SetFinalized(1) })
}

// script does a bit of everything.
func script(c *chaintest.Chain) []chain.BlockHash {
	usd := c.DeployToken(chaintest.TokenSpec{Decimals: 6})
	to := c.Payer("shop")
	a := c.Pay("alice", to, c.Info().Native, amount(1))
	c.Pay("bob", to, usd, amount(2))
	c.PayFailed("carol", to, usd, amount(3))
	c.Replace(a, to, usd, amount(4))
	c.Mine(2)
	c.AdvanceTime(time.Minute)
	c.PayMany("dave", chaintest.Payment{To: to, Asset: usd, Amount: amount(5)}, chaintest.Payment{To: to, Asset: c.Info().Native, Amount: amount(6)})
	c.Mine(1)
	old := c.Reorg(2)
	c.Grant(to, usd, amount(7))
	c.Mine(3)
	c.Return(old)
	c.Mine(2)
	var out []chain.BlockHash
	for h := uint64(0); ; h++ {
		b, ok := c.Block(h)
		if !ok {
			return out
		}
		out = append(out, b.Hash)
	}
}

func TestTheSameScriptGivesTheSameChain(t *testing.T) {
	one := script(chaintest.New(chaintest.Options{}))
	require.Equal(t, one, script(chaintest.New(chaintest.Options{})))
	require.NotEqual(t, one, script(chaintest.New(chaintest.Options{Start: time.Unix(1_700_000_000, 0)})))
	require.NotEqual(t, one, script(chaintest.New(chaintest.Options{Info: chain.Info{ID: "eip155:1"}})))
}

func BenchmarkMineEmpty(b *testing.B) {
	c := chaintest.New(chaintest.Options{})
	for b.Loop() {
		c.Mine(1)
	}
}

func BenchmarkPage50(b *testing.B) {
	c := chaintest.New(chaintest.Options{})
	client := c.Client()
	for range 50 {
		c.Pay("alice", c.Payer("shop"), c.Info().Native, amount(1))
		c.Mine(1)
	}
	w := chaintest.NewWatch(client.Codec(), nil, c.Payer("shop"))
	for b.Loop() {
		if _, err := client.Transfers(b.Context(), 1, 50, w); err != nil {
			b.Fatal(err)
		}
	}
}
