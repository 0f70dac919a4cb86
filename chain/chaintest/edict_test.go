package chaintest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// deploy makes a listed token of a kind, of which our own account holds 1000.
func (w *world) deploy(kind chaintest.TokenKind) chain.Asset {
	a := w.DeployToken(chaintest.TokenSpec{Kind: kind, Decimals: 6, Imitates: w.usd})
	w.Grant(w.own.Address, a, amount(1000))
	w.Grant(w.own.Address, w.eth, ether(1))
	w.Mine(1)
	return a
}

// transfer is our own account's intent to move some of a token.
func (w *world) transfer(a chain.Asset, n uint64) chain.Intent {
	return chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: w.own, To: w.Payer("shop"), Asset: a, Amount: amount(n)}}}
}

// requireRefused: both ways of trying a transfer see the token's refusal.
func (w *world) requireRefused(t *testing.T, in chain.Intent, reason string) {
	t.Helper()
	_, err := w.client.Prepare(t.Context(), in)
	for _, err := range []error{err, w.client.DryRun(t.Context(), in)} {
		var revert *chain.RevertError
		require.ErrorAs(t, err, &revert)
		require.Contains(t, revert.Reason, reason)
	}
}

func (w *world) requireMoves(t *testing.T, in chain.Intent) {
	t.Helper()
	_, err := w.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	require.NoError(t, w.client.DryRun(t.Context(), in))
}

func TestPause(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	a := w.deploy(chaintest.TokenPausable)
	w.Pause(a, true)
	w.requireMoves(t, w.transfer(a, 5))
	id := w.Pay("alice", w.own.Address, a, amount(7))
	other := w.Pay("alice", w.own.Address, w.usd, amount(7))
	w.Mine(1)
	require.Equal(t, chain.TxFailed, w.state(t, id))
	require.Equal(t, chain.TxIncluded, w.state(t, other), "another token")
	require.Equal(t, amount(1000), w.BalanceOf(w.own.Address, a))
	w.requireRefused(t, w.transfer(a, 5), "paused")
	batch := w.PayMany("bob", chaintest.Payment{To: w.own.Address, Asset: a, Amount: amount(1)}, chaintest.Payment{To: w.own.Address, Asset: w.usd, Amount: amount(1)})
	w.Mine(1)
	require.Equal(t, chain.TxFailed, w.state(t, batch), "all of it")
	require.Equal(t, amount(7), w.BalanceOf(w.own.Address, w.usd))

	w.Pause(a, false)
	w.Mine(1)
	w.requireMoves(t, w.transfer(a, 5))
}

func TestBlacklist(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	a := w.deploy(chaintest.TokenBlacklist)
	w.Blacklist(a, w.own.Address, true)
	w.Mine(1)
	w.requireRefused(t, w.transfer(a, 5), "blacklisted")
	in := w.Pay("alice", w.own.Address, a, amount(7))
	others := w.Pay("alice", w.Payer("bob"), a, amount(7))
	coin := w.Pay("alice", w.own.Address, w.eth, amount(7))
	w.Mine(1)
	require.Equal(t, chain.TxFailed, w.state(t, in), "nor can it receive")
	require.Equal(t, chain.TxIncluded, w.state(t, others))
	require.Equal(t, chain.TxIncluded, w.state(t, coin))
	w.Blacklist(a, w.own.Address, false)
	w.Mine(1)
	w.requireMoves(t, w.transfer(a, 5))
}

func TestRebase(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	a := w.deploy(chaintest.TokenRebasing)
	other := w.deploy(chaintest.TokenRebasing)
	w.Grant(w.Payer("x"), a, amount(3))
	w.Mine(1)
	w.Rebase(a, 3, 2)
	require.Equal(t, amount(1000), w.BalanceOf(w.own.Address, a), "not before a block")
	w.Mine(1)
	require.Equal(t, amount(1500), w.BalanceOf(w.own.Address, a))
	require.Equal(t, amount(4), w.BalanceOf(w.Payer("x"), a), "rounded down")
	require.Equal(t, amount(1000), w.BalanceOf(w.own.Address, other))
	require.Empty(t, w.Transactions(w.Head().Height), "nothing tells")
	w.requireMoves(t, w.transfer(a, 1500))
	w.Rebase(a, 0, 1)
	w.Mine(1)
	require.True(t, w.BalanceOf(w.own.Address, a).IsZero())
}

// TestEdictsBelongToTheirBlock: a reorg undoes what an owner did and does it again
// on the new branch, once; an abandoned branch keeps it.
func TestEdictsBelongToTheirBlock(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	pausable, rebasing, blacklist := w.deploy(chaintest.TokenPausable), w.deploy(chaintest.TokenRebasing), w.deploy(chaintest.TokenBlacklist)
	calm := w.Head().Hash
	w.Pause(pausable, true)
	w.Rebase(rebasing, 2, 1)
	w.Blacklist(blacklist, w.own.Address, true)
	w.Mine(1)
	requireAll := func(done bool) {
		t.Helper()
		held, err := w.client.Balances(t.Context(), "", []chain.Holding{{Address: w.own.Address, Asset: rebasing}})
		require.NoError(t, err)
		if done {
			require.Equal(t, amount(2000), held[0])
			w.requireRefused(t, w.transfer(pausable, 5), "paused")
			w.requireRefused(t, w.transfer(blacklist, 5), "blacklisted")
		} else {
			require.Equal(t, amount(1000), held[0])
			w.requireMoves(t, w.transfer(pausable, 5))
			w.requireMoves(t, w.transfer(blacklist, 5))
		}
	}
	requireAll(true)
	old := w.Rewind(1)
	requireAll(false)
	w.client.Pin(old)
	requireAll(true)
	w.client.Pin("")
	w.Mine(2)
	requireAll(true)
	w.Return(old)
	requireAll(true)
	w.Mine(1)
	requireAll(true)
	w.client.Pin(calm)
	requireAll(false)
}

// TestEdictsKeepTheirOrder: what a reorg carries over comes before what waits.
func TestEdictsKeepTheirOrder(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	a := w.deploy(chaintest.TokenRebasing)
	w.Grant(w.own.Address, a, amount(1))
	w.Rebase(a, 3, 1)
	w.Mine(1)
	w.Rebase(a, 1, 2)
	w.Rewind(1)
	w.Mine(1)
	require.Equal(t, amount(1001*3/2), w.BalanceOf(w.own.Address, a), "rounded after the first, not before")
}

// TestReorgOfEachTokenKind: what a payment in any token did is undone by a reorg
// that loses it, done again by one that does not, and is as it was on the way back.
func TestReorgOfEachTokenKind(t *testing.T) {
	for kind, arrives := range map[chaintest.TokenKind]uint64{
		chaintest.TokenPlain: 40, chaintest.TokenNoReturn: 40, chaintest.TokenFalse: 0, chaintest.TokenLookAlike: 40, chaintest.TokenSpoofer: 40,
		chaintest.TokenNFT: 40, chaintest.TokenLongData: 40, chaintest.TokenFee: 38,
		chaintest.TokenRebasing: 40, chaintest.TokenPausable: 40, chaintest.TokenBlacklist: 40,
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, chaintest.Options{})
			a := w.deploy(kind)
			held := func() uint64 { return w.BalanceOf(w.own.Address, a).Big().Uint64() - 1000 }
			id := w.Pay("alice", w.own.Address, a, amount(40))
			w.Mine(1)
			require.Equal(t, arrives, held())
			with := w.page(t, 0, w.own.Address)

			old := w.Rewind(1)
			require.Zero(t, held())
			require.Equal(t, chain.TxPending, w.state(t, id))
			w.Drop(id)
			w.Mine(2)
			require.Zero(t, held())
			require.Equal(t, chain.TxUnknown, w.state(t, id))

			without := w.Head().Hash
			w.Return(old)
			require.Equal(t, arrives, held())
			require.Equal(t, with, w.page(t, 0, w.own.Address))
			require.Equal(t, chain.TxIncluded, w.state(t, id))

			w.Return(without)
			require.Zero(t, held())
			w.Mine(1)
			require.Equal(t, arrives, held(), "it waited again, since one branch had it")
			require.Len(t, w.Transactions(w.Head().Height), 1)
		})
	}
}

func TestPaySelfDestruct(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	id := w.PaySelfDestruct("alice", w.own.Address, amount(7))
	refused := w.PayMany("alice", chaintest.Payment{To: w.Rejecter(), Asset: w.eth, Amount: amount(3)})
	forced := w.PaySelfDestruct("alice", w.Rejecter(), amount(9))
	w.Mine(1)
	require.Equal(t, chain.TxIncluded, w.state(t, id))
	require.Equal(t, amount(7), w.BalanceOf(w.own.Address, w.eth))
	require.Empty(t, w.page(t, 0, w.own.Address).Transfers, "only the balance tells")
	st, err := w.client.Status(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, w.Destructor(), st[0].Transfers[0].To, "the transaction names the contract")
	require.Equal(t, chain.TxFailed, w.state(t, refused))
	require.Equal(t, chain.TxIncluded, w.state(t, forced), "no code of the receiver runs")
	require.Equal(t, amount(9), w.BalanceOf(w.Rejecter(), w.eth))
	old := w.Rewind(1)
	require.True(t, w.BalanceOf(w.own.Address, w.eth).IsZero())
	w.Return(old)
	require.Equal(t, amount(7), w.BalanceOf(w.own.Address, w.eth))
}

func TestOwnersNeedTheirKind(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	rebasing := w.deploy(chaintest.TokenRebasing)
	for name, f := range map[string]func(){
		"pause":     func() { w.Pause(w.usd, true) },
		"blacklist": func() { w.Blacklist(w.usd, w.own.Address, true) },
		"rebase":    func() { w.Rebase(w.eth, 1, 1) },
		"fraction":  func() { w.Rebase(rebasing, 1, 0) },
	} {
		require.Panics(t, f, name)
	}
}
