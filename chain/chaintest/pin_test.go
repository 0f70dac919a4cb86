package chaintest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// TestPinSeesAnAbandonedBranch: all reading calls of a stuck node tell of one
// branch, and agree with each other.
func TestPinSeesAnAbandonedBranch(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Mine(2)
	id := w.Pay("alice", w.own.Address, w.eth, amount(7))
	w.Mine(2)
	before := w.page(t, 0, w.own.Address)
	old := w.Reorg(2, chaintest.ReorgOptions{DropAll: true})
	late := w.Pay("bob", w.own.Address, w.eth, amount(9))
	w.Mine(3)

	w.client.Pin(old)
	head, err := w.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, before.Last(), head.Latest)
	headers, err := w.client.Headers(t.Context(), 0, 99)
	require.NoError(t, err)
	require.Equal(t, before.Blocks, headers)
	require.Equal(t, before, w.page(t, 0, w.own.Address))
	require.Equal(t, chain.TxIncluded, w.state(t, id))
	require.Equal(t, chain.TxPending, w.state(t, late), "it heard of it, and knows no block that has it")
	of := []chain.Holding{{Address: w.own.Address, Asset: w.eth}}
	held, err := w.client.Balances(t.Context(), "", of)
	require.NoError(t, err)
	require.Equal(t, amount(7), held[0])

	healthy := w.Chain.Client()
	held, err = healthy.Balances(t.Context(), "", of)
	require.NoError(t, err)
	require.Equal(t, amount(9), held[0], "others are not stuck")

	w.client.Pin("")
	require.Equal(t, chain.TxUnknown, w.state(t, id))
	require.Equal(t, chain.TxIncluded, w.state(t, late))
	require.Equal(t, uint64(8), w.page(t, 0).Last().Height)
	require.Panics(t, func() { w.client.Pin("0x1") })
}

// TestPinWithLag: lag counts from the pinned block, not from the network's head.
func TestPinWithLag(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Mine(4)
	id := w.Pay("alice", w.own.Address, w.eth, amount(7))
	w.Mine(1)
	old := w.Rewind(3)
	w.Drop(id)
	w.Mine(9)
	w.client.Pin(old)
	w.client.Lag(1)
	head, err := w.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(4), head.Latest.Height)
	require.Equal(t, chain.TxPending, w.state(t, id), "in the block that lag hides")
	require.Empty(t, w.page(t, 0, w.own.Address).Transfers)
	_, err = w.client.Balances(t.Context(), old, nil)
	require.ErrorIs(t, err, chain.ErrNotFound)
	w.client.Lag(0)
	require.Equal(t, chain.TxIncluded, w.state(t, id))
	_, err = w.client.Balances(t.Context(), old, nil)
	require.NoError(t, err)
}

// TestPinStandsStill: a node that is stuck on a block of the present branch does
// not see what grows on it.
func TestPinStandsStill(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Mine(3)
	w.client.Pin(w.Head().Hash)
	id := w.Pay("alice", w.own.Address, w.eth, amount(7))
	w.Mine(5)
	require.Equal(t, uint64(3), w.page(t, 0, w.own.Address).Last().Height)
	require.Equal(t, chain.TxPending, w.state(t, id))
	w.Return(w.Head().Hash)
	require.Equal(t, uint64(3), w.page(t, 0, w.own.Address).Last().Height)
}

// TestPinForgetsRivals: what another transaction of the pinned branch has
// displaced is unknown there, as to any node.
func TestPinForgetsRivals(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	first := w.Pay("alice", w.own.Address, w.eth, amount(7))
	w.Mine(1)
	old := w.Rewind(1)
	second := w.Replace(first, w.own.Address, w.eth, amount(8))
	w.Mine(2)
	w.client.Pin(old)
	require.Equal(t, chain.TxIncluded, w.state(t, first))
	require.Equal(t, chain.TxUnknown, w.state(t, second))
	w.client.Pin("")
	require.Equal(t, chain.TxUnknown, w.state(t, first))
	require.Equal(t, chain.TxIncluded, w.state(t, second))
}

// TestPinnedFinality: an abandoned branch has the finality that it had, and takes
// what is set for the present one only as far as they are one.
func TestPinnedFinality(t *testing.T) {
	w := newWorld(t, chaintest.Options{Finalized: true, Info: chain.Info{FinalityDepth: 4}})
	w.Mine(10)
	finalized := func() chain.BlockRef {
		head, err := w.client.Head(t.Context())
		require.NoError(t, err)
		require.NotNil(t, head.Finalized)
		return *head.Finalized
	}
	was := finalized()
	require.Equal(t, uint64(7), was.Height)
	old := w.Reorg(5)
	w.Mine(5)
	w.client.Pin(old)
	require.Equal(t, was, finalized())
	w.SetFinalized(9)
	fork, _ := w.Block(5)
	require.Equal(t, fork, finalized())
	w.SetFinalized(2)
	low, _ := w.Block(2)
	require.Equal(t, low, finalized())
	w.client.Pin("")
	require.Equal(t, low, finalized())
}

// TestPinnedPrepare: the nonce is the first that the pinned branch has not used.
func TestPinnedPrepare(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Fund(w.own.Address, ether(1))
	w.Mine(1)
	start := w.Head().Hash
	in := chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: w.own, To: w.Payer("shop"), Asset: w.eth, Amount: amount(100)}}}
	prepare := func() chain.Lock {
		d, err := w.client.Prepare(t.Context(), in)
		require.NoError(t, err)
		require.NoError(t, w.client.DryRun(t.Context(), in))
		return d.Locks[0]
	}
	fresh := prepare()
	d, err := w.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	s, err := w.client.Sign(t.Context(), d, w.signer)
	require.NoError(t, err)
	require.NoError(t, w.client.Broadcast(t.Context(), s))
	w.Mine(1)
	require.NotEqual(t, fresh, prepare())
	w.client.Pin(start)
	require.Equal(t, fresh, prepare())
	require.NoError(t, w.client.Broadcast(t.Context(), s), "the network knows it")
}
