package chaintest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// world is a simulated chain with one client and a few accounts of ours.
type world struct {
	*chaintest.Chain
	client *chaintest.Client
	signer *chaintest.Signer
	own    chain.Account
	eth    chain.Asset
	usd    chain.Asset
}

func newWorld(t *testing.T, o chaintest.Options) *world {
	t.Helper()
	w := &world{Chain: chaintest.New(o)}
	w.client = w.Chain.Client()
	w.signer = chaintest.NewSigner(w.client.Codec(), t.Name())
	w.own = w.signer.Account("own")
	w.eth = w.Chain.Info().Native
	w.usd = w.DeployToken(chaintest.TokenSpec{Symbol: "USD", Decimals: 6})
	return w
}

// page reads the chain from a height to the head.
func (w *world) page(t *testing.T, from uint64, addresses ...chain.Address) chain.Page {
	t.Helper()
	p, err := w.client.Transfers(t.Context(), from, ^uint64(0), chaintest.NewWatch(w.client.Codec(), []chain.Asset{w.usd}, addresses...))
	require.NoError(t, err)
	return p
}

func (w *world) state(t *testing.T, id chain.TxID) chain.TxState {
	t.Helper()
	s, err := w.client.Status(t.Context(), id)
	require.NoError(t, err)
	return s[0].State
}

func amount(n uint64) chain.Amount { return chain.NewAmount(n) }

func ether(n uint64) chain.Amount {
	a, err := chain.NewAmount(n).Mul(1_000_000_000_000_000_000)
	if err != nil {
		panic(err)
	}
	return a
}

func TestPaymentsAreSeen(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	native := w.Pay("alice", w.own.Address, w.eth, amount(7))
	token := w.Pay("bob", w.own.Address, w.usd, amount(25))
	require.Equal(t, []chain.TxID{native, token}, w.Mempool())
	require.Equal(t, chain.TxPending, w.state(t, native))
	w.Mine(1)
	require.Empty(t, w.Mempool())

	p := w.page(t, 0, w.own.Address)
	require.Len(t, p.Blocks, 2)
	require.Len(t, p.Transfers, 2)
	require.Equal(t, chain.Transfer{
		ID: chain.TransferID{Tx: native, Ordinal: "n"}, Asset: w.eth.ID, From: w.Payer("alice"), To: w.own.Address,
		Amount: amount(7), Block: 1, Hash: p.Blocks[1].Hash, Via: chain.ViaDirect,
	}, p.Transfers[0])
	require.Equal(t, "t:"+string(w.usd.Contract)+":"+string(w.own.Address)+":0", p.Transfers[1].ID.Ordinal)
	require.Equal(t, amount(25), w.BalanceOf(w.own.Address, w.usd))
}

func TestOwnTransactionsAreExecuted(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Fund(w.own.Address, ether(1))
	w.Mine(1)
	in := chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: w.own, To: w.Payer("shop"), Asset: w.eth, Amount: amount(100)}}}
	d, err := w.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	s, err := w.client.Sign(t.Context(), d, w.signer)
	require.NoError(t, err)
	require.NoError(t, w.client.Broadcast(t.Context(), s))
	require.NoError(t, w.client.Broadcast(t.Context(), s), "again")
	w.Mine(1)
	require.NoError(t, w.client.Broadcast(t.Context(), s), "already mined")
	require.Equal(t, chain.TxIncluded, w.state(t, s.ID))
	require.Equal(t, amount(100), w.BalanceOf(w.Payer("shop"), w.eth))
}

func TestReorgMinesAgain(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	id := w.Pay("alice", w.own.Address, w.eth, amount(7))
	w.Mine(1)
	before := w.page(t, 1, w.own.Address)
	old := w.Reorg(1)
	require.Equal(t, before.Last().Hash, old)
	after := w.page(t, 1, w.own.Address)
	require.Len(t, after.Blocks, 2)
	require.NotEqual(t, before.Blocks[0].Hash, after.Blocks[0].Hash)
	require.Equal(t, before.Transfers[0].ID, after.Transfers[0].ID)
	require.Equal(t, chain.TxIncluded, w.state(t, id))

	w.Return(old)
	require.Equal(t, before, w.page(t, 1, w.own.Address), "A, B, A")
}

func TestClock(t *testing.T) {
	start := time.Date(2025, 5, 1, 0, 0, 0, 0, time.UTC)
	w := newWorld(t, chaintest.Options{Start: start})
	w.Mine(2)
	require.Equal(t, start.Add(24*time.Second), w.Head().Time)
	w.AdvanceTime(time.Hour)
	require.Equal(t, start.Add(24*time.Second), w.Head().Time)
	require.Equal(t, start.Add(time.Hour+24*time.Second), w.Now())
	w.Mine(1)
	require.Equal(t, start.Add(time.Hour+36*time.Second), w.Head().Time)
	w.MineAt(start)
	require.Equal(t, start, w.Head().Time, "block times may go back")
	w.Mine(1)
	require.Equal(t, start.Add(time.Hour+48*time.Second), w.Head().Time)
}
