package chaintest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

func TestReplaceTakesTheNonce(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	old := w.Pay("alice", w.own.Address, w.eth, amount(5))
	by := w.Replace(old, w.Payer("elsewhere"), w.usd, amount(6))
	require.Equal(t, []chain.TxID{by}, w.Mempool())
	require.Equal(t, chain.TxUnknown, w.state(t, old))
	w.Mine(1)
	require.Equal(t, chain.TxIncluded, w.state(t, by))
	require.Empty(t, w.page(t, 0, w.own.Address).Transfers)
	require.Equal(t, amount(6), w.BalanceOf(w.Payer("elsewhere"), w.usd))
	require.Panics(t, func() { w.Replace(by, w.own.Address, w.eth, amount(1)) }, "it does not wait")

	twice := w.Replace(w.Pay("alice", w.own.Address, w.eth, amount(5)), w.own.Address, w.eth, amount(7))
	twice = w.Replace(twice, w.own.Address, w.eth, amount(8))
	w.Mine(1)
	require.Equal(t, chain.TxIncluded, w.state(t, twice))
	require.Equal(t, amount(8), w.BalanceOf(w.own.Address, w.eth))
}

func TestDropForgets(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	id := w.Pay("alice", w.own.Address, w.eth, amount(5))
	require.True(t, w.Drop(id))
	require.False(t, w.Drop(id))
	require.Equal(t, chain.TxUnknown, w.state(t, id))
	w.Mine(1)
	require.Empty(t, w.page(t, 0, w.own.Address).Transfers)
}

func TestPayFailed(t *testing.T) {
	for _, demand := range []bool{false, true} {
		w := newWorld(t, chaintest.Options{Info: chain.Info{OnDemandBlocks: demand}})
		native := w.PayFailed("alice", w.own.Address, w.eth, amount(5))
		token := w.PayFailed("bob", w.own.Address, w.usd, amount(5))
		if !demand {
			w.Mine(1)
		}
		require.Equal(t, chain.TxFailed, w.state(t, native))
		require.Equal(t, chain.TxFailed, w.state(t, token))
		require.Empty(t, w.page(t, 0, w.own.Address).Transfers)
		require.True(t, w.BalanceOf(w.own.Address, w.eth).IsZero())
		require.True(t, w.BalanceOf(w.own.Address, w.usd).IsZero())
	}
}

func TestPayManyNativeIsInvisibleButThere(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	id := w.PayMany("exchange",
		chaintest.Payment{To: w.own.Address, Asset: w.eth, Amount: amount(5)},
		chaintest.Payment{To: w.own.Address, Asset: w.usd, Amount: amount(6)},
		chaintest.Payment{To: w.own.Address, Asset: w.usd, Amount: amount(7)})
	w.Mine(1)
	require.Equal(t, chain.TxIncluded, w.state(t, id))
	p := w.page(t, 0, w.own.Address)
	require.Len(t, p.Transfers, 2, "the internal payment shows no log")
	require.Equal(t, []chain.Amount{amount(6), amount(7)}, []chain.Amount{p.Transfers[0].Amount, p.Transfers[1].Amount})
	require.Equal(t, amount(5), w.BalanceOf(w.own.Address, w.eth), "the balance tells it")
}

func TestSpamOfZeroTransfers(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	parts := make([]chaintest.Payment, 2000)
	for i := range parts {
		parts[i] = chaintest.Payment{To: w.own.Address, Asset: w.usd}
	}
	parts[1500].Amount = amount(9)
	spam := w.PayMany("poisoner", parts...)
	w.Mine(1)
	require.Equal(t, chain.TxIncluded, w.state(t, spam))
	p := w.page(t, 0, w.own.Address)
	require.Len(t, p.Transfers, 1)
	require.Contains(t, p.Transfers[0].ID.Ordinal, ":1500", "events of nothing are counted")
}

func TestTokenKinds(t *testing.T) {
	for kind, c := range map[chaintest.TokenKind]struct {
		moves, seen bool
	}{
		chaintest.TokenPlain:     {true, true},
		chaintest.TokenNoReturn:  {true, true},
		chaintest.TokenFalse:     {false, false},
		chaintest.TokenLookAlike: {true, false},
		chaintest.TokenSpoofer:   {true, false},
		chaintest.TokenNFT:       {true, false},
		chaintest.TokenLongData:  {true, false},
		chaintest.TokenRebasing:  {true, true},
		chaintest.TokenPausable:  {true, true},
		chaintest.TokenBlacklist: {true, true},
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, chaintest.Options{})
			a := w.DeployToken(chaintest.TokenSpec{Kind: kind, Symbol: "USD", Decimals: 6, Imitates: w.usd})
			id := w.Pay("alice", w.own.Address, a, amount(5))
			w.Mine(1)
			require.Equal(t, c.moves, w.BalanceOf(w.own.Address, a) == amount(5))
			st, err := w.client.Status(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, chain.TxIncluded, st[0].State)
			require.Equal(t, c.seen, len(st[0].Transfers) == 1)
			token, err := w.client.Inspect(t.Context(), a)
			require.NoError(t, err)
			require.Equal(t, uint8(6), token.Decimals)
			require.Equal(t, "USD", token.Symbol)
			require.NotEmpty(t, token.CodeHash)
		})
	}
}

func TestTransactionsIsTheWholeTruth(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	fake := w.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenLookAlike})
	w.Pay("alice", w.own.Address, w.eth, amount(1))
	w.Pay("bob", w.own.Address, fake, amount(2))
	w.PayFailed("carol", w.own.Address, w.eth, amount(3))
	w.Mine(1)
	all := w.Transactions(1)
	require.Len(t, all, 3)
	require.Equal(t, amount(1), all[0].Transfers[0].Amount)
	require.Equal(t, fake.ID, all[1].Transfers[0].Asset)
	require.Equal(t, chain.TxFailed, all[2].State)
	require.Empty(t, w.Transactions(9))
	require.Equal(t, uint64(1), w.Nonce(w.Payer("alice")))
}

func TestMineOnly(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	a := w.Pay("alice", w.own.Address, w.eth, amount(1))
	b := w.Pay("bob", w.own.Address, w.eth, amount(2))
	c := w.Pay("carol", w.own.Address, w.eth, amount(3))
	w.MineOnly()
	require.Len(t, w.Mempool(), 3)
	w.MineOnly(c, a)
	require.Equal(t, []chain.TxID{b}, w.Mempool())
	p := w.page(t, 0, w.own.Address)
	require.Equal(t, []chain.TxID{c, a}, []chain.TxID{p.Transfers[0].ID.Tx, p.Transfers[1].ID.Tx})
	require.Panics(t, func() { w.MineOnly(a) })
}

// TestNonsenseInAScriptPanics: a test whose script is wrong must not pass.
func TestNonsenseInAScriptPanics(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	other := w.usd
	other.ID = "eip155:1/erc20:0x1"
	for name, f := range map[string]func(){
		"address":   func() { w.Pay("alice", "0x1", w.eth, amount(1)) },
		"asset":     func() { w.Pay("alice", w.own.Address, other, amount(1)) },
		"chain id":  func() { chaintest.New(chaintest.Options{Info: chain.Info{ID: "bip122:1"}}) },
		"time":      func() { w.AdvanceTime(-1) },
		"no error":  func() { w.FailNext(chaintest.MethodHead, nil, 1) },
		"watch":     func() { chaintest.NewWatch(w.client.Codec(), nil, "0x1") },
		"imitation": func() { w.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenSpoofer}) },
	} {
		require.Panics(t, f, name)
	}
}
