package chaintest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// TestHiding: a node that hides a deposit tells of everything else.
func TestHiding(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	hidden := w.Pay("alice", w.own.Address, w.eth, amount(7))
	shown := w.Pay("bob", w.own.Address, w.usd, amount(8))
	w.Mine(1)
	w.client.Lie(chaintest.Hiding(hidden))
	p := w.page(t, 0, w.own.Address)
	require.Len(t, p.Transfers, 1)
	require.Equal(t, shown, p.Transfers[0].ID.Tx)
	require.Equal(t, chain.TxUnknown, w.state(t, hidden))
	require.Equal(t, chain.TxIncluded, w.state(t, shown))

	honest := w.client.Network().Client()
	watch := chaintest.NewWatch(honest.Codec(), []chain.Asset{w.usd}, w.own.Address)
	truth, err := honest.Transfers(t.Context(), 0, 1, watch)
	require.NoError(t, err)
	require.Len(t, truth.Transfers, 2)
	w.client.Lie(chaintest.Lies{})
	require.Equal(t, truth, w.page(t, 0, w.own.Address), "it tells the truth again")
}

// TestInventing: a made-up deposit fits its page as a real one does.
func TestInventing(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Pay("alice", w.own.Address, w.eth, amount(7))
	w.Mine(2)
	made := chain.Transfer{
		ID: chain.TransferID{Tx: "0x1", Ordinal: "n"}, Asset: w.eth.ID, From: w.Payer("nobody"), To: w.own.Address,
		Amount: amount(9), Block: 1, Via: chain.ViaDirect,
	}
	w.client.Lie(chaintest.Inventing(made))
	p := w.page(t, 0, w.own.Address)
	require.Len(t, p.Transfers, 2)
	require.Equal(t, made.ID, p.Transfers[1].ID, "behind the real one")
	require.Equal(t, p.Blocks[1].Hash, p.Transfers[1].Hash)
	require.Equal(t, chain.TxIncluded, w.state(t, "0x1"))
	require.Empty(t, w.page(t, 2, w.own.Address).Transfers, "in no other block")
}

// TestLies: each answer can be twisted.
func TestLies(t *testing.T) {
	w := newWorld(t, chaintest.Options{Finalized: true})
	w.Fund(w.own.Address, ether(1))
	w.Mine(9)
	w.client.Lie(chaintest.Lies{
		Head:     func(h chain.Head) chain.Head { h.Latest.Height = 99; return h },
		Headers:  func([]chain.BlockRef) []chain.BlockRef { return nil },
		Balances: func([]chain.Amount) []chain.Amount { return []chain.Amount{amount(5)} },
		Identity: func(i chain.Identity) chain.Identity { i.Genesis = "0x2"; return i },
		Token:    func(k chain.Token) chain.Token { k.Decimals = 3; return k },
		Draft:    func(d chain.Draft) chain.Draft { d.Fee = amount(4); return d },
	})
	head, err := w.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(99), head.Latest.Height)
	refs, err := w.client.Headers(t.Context(), 0, 3)
	require.NoError(t, err)
	require.Empty(t, refs)
	held, err := w.client.Balances(t.Context(), "", []chain.Holding{{Address: w.own.Address, Asset: w.eth}})
	require.NoError(t, err)
	require.Equal(t, []chain.Amount{amount(5)}, held)
	id, err := w.client.Identify(t.Context())
	require.NoError(t, err)
	require.Equal(t, chain.BlockHash("0x2"), id.Genesis)
	token, err := w.client.Inspect(t.Context(), w.usd)
	require.NoError(t, err)
	require.Equal(t, uint8(3), token.Decimals)
	d, err := w.client.Prepare(t.Context(), chain.Intent{Moves: []chain.Move{{From: w.own, To: w.Payer("x"), Asset: w.eth, Amount: amount(1)}}})
	require.NoError(t, err)
	require.Equal(t, amount(4), d.Fee)
}
