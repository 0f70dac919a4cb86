package chaintest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

var errNode = errors.New("the node is down")

func pay(w *world, n uint64) chain.Intent {
	return chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: w.own, To: w.Payer("shop"), Asset: w.eth, Amount: amount(n)}}}
}

func (w *world) signed(t *testing.T, in chain.Intent) chain.Signed {
	t.Helper()
	d, err := w.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	s, err := w.client.Sign(t.Context(), d, w.signer)
	require.NoError(t, err)
	return s
}

func (w *world) fund(t *testing.T) {
	t.Helper()
	w.Fund(w.own.Address, ether(1))
	w.Mine(1)
}

func TestUnknownOutcomeOfABroadcast(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	s := w.signed(t, pay(w, 5))

	w.client.FailNext(chaintest.MethodBroadcast, errNode, 1)
	require.ErrorIs(t, w.client.Broadcast(t.Context(), s), errNode)
	require.Empty(t, w.Mempool(), "failed before it had an effect")

	w.client.FailNextAfter(chaintest.MethodBroadcast, errNode, 1)
	require.ErrorIs(t, w.client.Broadcast(t.Context(), s), errNode)
	require.Equal(t, []chain.TxID{s.ID}, w.Mempool(), "only the answer was lost")
	require.NoError(t, w.client.Broadcast(t.Context(), s))
}

func TestFaultsOfEveryMethod(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	s := w.signed(t, pay(w, 5))
	draft, err := w.client.Prepare(t.Context(), pay(w, 5))
	require.NoError(t, err)
	set := chaintest.NewWatch(w.client.Codec(), nil)
	calls := map[chaintest.Method]func(ctx context.Context) error{
		chaintest.MethodHead:      func(ctx context.Context) error { _, err := w.client.Head(ctx); return err },
		chaintest.MethodHeaders:   func(ctx context.Context) error { _, err := w.client.Headers(ctx, 0, 1); return err },
		chaintest.MethodTransfers: func(ctx context.Context) error { _, err := w.client.Transfers(ctx, 0, 1, set); return err },
		chaintest.MethodStatus:    func(ctx context.Context) error { _, err := w.client.Status(ctx, s.ID); return err },
		chaintest.MethodPrepare:   func(ctx context.Context) error { _, err := w.client.Prepare(ctx, pay(w, 5)); return err },
		chaintest.MethodSign:      func(ctx context.Context) error { _, err := w.client.Sign(ctx, draft, w.signer); return err },
		chaintest.MethodBroadcast: func(ctx context.Context) error { return w.client.Broadcast(ctx, s) },
		chaintest.MethodBalances:  func(ctx context.Context) error { _, err := w.client.Balances(ctx, "", nil); return err },
		chaintest.MethodIdentify:  func(ctx context.Context) error { _, err := w.client.Identify(ctx); return err },
		chaintest.MethodInspect:   func(ctx context.Context) error { _, err := w.client.Inspect(ctx, w.usd); return err },
		chaintest.MethodDryRun:    func(ctx context.Context) error { return w.client.DryRun(ctx, pay(w, 5)) },
		chaintest.MethodFates:     func(ctx context.Context) error { _, err := w.client.Fates(ctx, ""); return err },
		chaintest.MethodEstimate:  func(ctx context.Context) error { _, err := w.client.EstimateFees(ctx); return err },
		chaintest.MethodBump:      func(ctx context.Context) error { _, err := w.client.Bump(ctx, pay(w, 5), s); return err },
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for method, call := range calls {
		require.NoError(t, call(t.Context()), method)
		require.ErrorIs(t, call(cancelled), context.Canceled, method)
		w.client.FailNext(method, errNode, 2)
		require.ErrorIs(t, call(t.Context()), errNode, method)
		require.ErrorIs(t, call(t.Context()), errNode, method)
		require.NoError(t, call(t.Context()), "%s: twice and not again", method)
		w.FailNext(method, errNode, 1)
		require.ErrorIs(t, call(t.Context()), errNode, "%s: for all clients of the chain", method)
	}
}

// TestHookMayUseTheChain would hang if a lock were held while it is called.
func TestHookMayUseTheChain(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	other := w.Chain.Client()
	var seen []chaintest.Call
	w.client.Fail(func(c chaintest.Call) error {
		seen = append(seen, c)
		w.Mine(1)
		_, err := other.Head(t.Context())
		return err
	})
	h, err := w.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(1), h.Latest.Height, "mined before the answer")
	require.Equal(t, uint64(2), w.Head().Height, "and after it")
	require.Equal(t, []chaintest.Call{{Method: chaintest.MethodHead}, {Method: chaintest.MethodHead, After: true}}, seen)
	w.client.Fail(nil)
	_, err = w.client.Head(t.Context())
	require.NoError(t, err)
	require.Len(t, seen, 2)
}

// miningWatch is foreign code that uses the chain while a page is made.
type miningWatch struct {
	*chaintest.WatchSet
	sim *chaintest.Chain
}

func (m miningWatch) Match(key []byte) (uint32, bool) {
	m.sim.Reorg(1)
	return m.WatchSet.Match(key)
}

func TestPageIsOfOneMoment(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.Pay("alice", w.own.Address, w.eth, amount(5))
	w.Mine(1)
	before := w.Head()
	p, err := w.client.Transfers(t.Context(), 1, 1, miningWatch{chaintest.NewWatch(w.client.Codec(), nil, w.own.Address), w.Chain})
	require.NoError(t, err)
	require.Equal(t, []chain.BlockRef{before}, p.Blocks)
	require.Equal(t, before.Hash, p.Transfers[0].Hash)
}

func TestLaggingClient(t *testing.T) {
	w := newWorld(t, chaintest.Options{Finalized: true})
	slow := w.Chain.Client()
	slow.Lag(2)
	w.Mine(3)
	id := w.Pay("alice", w.own.Address, w.eth, amount(5))
	w.Mine(1)
	h, err := slow.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(2), h.Latest.Height)
	require.LessOrEqual(t, h.Finalized.Height, h.Latest.Height)
	w.SetFinalized(4)
	h, err = slow.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, h.Latest, *h.Finalized, "nothing beyond its head is final")
	_, err = slow.Transfers(t.Context(), 3, 3, chaintest.NewWatch(slow.Codec(), nil))
	require.ErrorIs(t, err, chain.ErrNotFound)
	st, err := slow.Status(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, chain.TxPending, st[0].State)
	of := []chain.Holding{{Address: w.own.Address, Asset: w.eth}}
	got, err := slow.Balances(t.Context(), "", of)
	require.NoError(t, err)
	require.True(t, got[0].IsZero())
	_, err = slow.Balances(t.Context(), w.Head().Hash, of)
	require.ErrorIs(t, err, chain.ErrNotFound, "it does not have that block yet")
	require.Equal(t, chain.TxIncluded, w.state(t, id), "another client is not behind")
	w.Lag(100)
	h, err = w.client.Head(t.Context())
	require.NoError(t, err)
	require.Zero(t, h.Latest.Height, "never below the first block")
}

func TestSweepLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	in := pay(w, 0)
	in.Moves[0].All = true
	s := w.signed(t, in)
	require.NoError(t, w.client.Broadcast(t.Context(), s))
	w.Mine(1)
	require.Equal(t, chain.TxIncluded, w.state(t, s.ID))
	require.True(t, w.BalanceOf(w.own.Address, w.eth).IsZero())
}

func TestBumpedSweepGivesUpNoMore(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	in := pay(w, 0)
	in.Moves[0].All = true
	old := w.signed(t, in)
	require.NoError(t, w.client.Broadcast(t.Context(), old))
	w.Grant(w.own.Address, w.eth, ether(1))
	w.MineOnly()
	d, err := w.client.Bump(t.Context(), in, old)
	require.NoError(t, err)
	total, err := d.Intent.Moves[0].Amount.Add(d.Fee)
	require.NoError(t, err)
	require.Equal(t, ether(1), total, "what came in since stays out of it")
	s, err := w.client.Sign(t.Context(), d, w.signer)
	require.NoError(t, err)
	require.NoError(t, w.client.Broadcast(t.Context(), s))
	require.Equal(t, []chain.TxID{s.ID}, w.Mempool())
	w.Mine(1)
	require.Equal(t, ether(1), w.BalanceOf(w.own.Address, w.eth))
	_, err = w.client.Bump(t.Context(), in, old)
	require.ErrorIs(t, err, chain.ErrLockSpent)
}

func TestBudgetLowersTheCapBeforeItRefuses(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	in := pay(w, 5)
	d, err := w.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	in.MaxFee = amount(21_000 * 1_300_000_000)
	lower, err := w.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	require.True(t, lower.Fee.Less(d.Fee))
	require.Equal(t, in.MaxFee, lower.Fee)
	in.MaxFee = amount(21_000 * 1_200_000_000)
	_, err = w.client.Prepare(t.Context(), in)
	var high *chain.FeeTooHighError
	require.ErrorAs(t, err, &high)
	require.Equal(t, amount(21_000*1_225_000_000), high.Fee, "the least that would do")
}

func TestRefusedIntents(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	move := pay(w, 5).Moves[0]
	spoil := func(f func(*chain.Move)) chain.Intent {
		m := move
		f(&m)
		return chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{m}}
	}
	format := map[string]chain.Intent{
		"source":      spoil(func(m *chain.Move) { m.From.Address = "0x1" }),
		"destination": spoil(func(m *chain.Move) { m.To = "" }),
		"nowhere":     spoil(func(m *chain.Move) { m.To = "0x0000000000000000000000000000000000000000" }),
		"itself":      spoil(func(m *chain.Move) { m.To = m.From.Address }),
		"nothing":     spoil(func(m *chain.Move) { m.Amount = chain.Amount{} }),
		"contract":    spoil(func(m *chain.Move) { m.Asset, m.To = w.usd, w.usd.Contract }),
		"other chain": spoil(func(m *chain.Move) { m.Asset.ID = "eip155:1/slip44:60" }),
		"cancel":      {Purpose: chain.PurposeCancel, Moves: []chain.Move{move}},
		"lock":        {Moves: []chain.Move{move}, Reuse: []chain.Lock{"utxo:1:2"}},
	}
	for name, in := range format {
		_, err := w.client.Prepare(t.Context(), in)
		var bad *chain.FormatError
		require.ErrorAs(t, err, &bad, name)
	}
	for name, in := range map[string]chain.Intent{
		"no moves":  {},
		"coins":     {Moves: []chain.Move{move}, Coins: []chain.Coin{{}}},
		"fee payer": {Moves: []chain.Move{move}, FeePayer: w.signer.Account("sponsor")},
	} {
		_, err := w.client.Prepare(t.Context(), in)
		require.ErrorIs(t, err, chain.ErrUnsupported, name)
	}
	unknown := spoil(func(m *chain.Move) { m.Asset = w.usd; m.Asset.Contract = w.Payer("no token") })
	_, err := w.client.Prepare(t.Context(), unknown)
	require.ErrorIs(t, err, chain.ErrNotFound)
	var reverted *chain.RevertError
	_, err = w.client.Prepare(t.Context(), spoil(func(m *chain.Move) { m.To = w.Rejecter() }))
	require.ErrorAs(t, err, &reverted)
}

func TestBroadcastOfAnotherChainOrID(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	good := w.signed(t, pay(w, 5))
	for name, f := range map[string]func(s *chain.Signed){
		"chain": func(s *chain.Signed) { s.Chain = "eip155:1" },
		"id":    func(s *chain.Signed) { s.ID = "0x1" },
	} {
		bad := good
		f(&bad)
		var format *chain.FormatError
		require.ErrorAs(t, w.client.Broadcast(t.Context(), bad), &format, name)
	}
	require.Empty(t, w.Mempool())
}

func TestSpendTellsTokensNotWatched(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	w.Grant(w.own.Address, w.usd, amount(9))
	w.Mine(1)
	in := pay(w, 9)
	in.Moves[0].Asset = w.usd
	require.NoError(t, w.client.Broadcast(t.Context(), w.signed(t, in)))
	w.Mine(1)
	p, err := w.client.Transfers(t.Context(), 3, 3, chaintest.NewWatch(w.client.Codec(), nil, w.own.Address))
	require.NoError(t, err)
	require.Len(t, p.Spends, 1)
	require.Len(t, p.Spends[0].Transfers, 1, "listed by the client, though not asked for")
	require.Less(t, p.Spends[0].Fee.Big().Uint64(), uint64(1_500_000)*gwei, "the gas limit has a margin that is not used")
}

func TestConcurrentUse(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	w.fund(t)
	in, set := pay(w, 5), chaintest.NewWatch(w.client.Codec(), []chain.Asset{w.usd}, w.own.Address)
	var wg sync.WaitGroup
	do := func(f func(i int)) {
		wg.Go(func() {
			for i := range 50 {
				f(i)
			}
		})
	}
	do(func(int) { w.Pay("alice", w.own.Address, w.usd, amount(1)) })
	do(func(int) { w.Mine(1) })
	do(func(i int) {
		if i%5 == 0 {
			w.Reorg(1)
		}
		w.AdvanceTime(time.Second)
		w.DeployToken(chaintest.TokenSpec{})
	})
	do(func(int) { _, _ = w.client.Transfers(t.Context(), 1, 50, set) })
	do(func(int) { _, _ = w.client.Prepare(t.Context(), in) })
	do(func(i int) {
		w.Lag(uint64(i % 3))
		_, _ = w.client.Head(t.Context())
		_ = w.BalanceOf(w.own.Address, w.usd)
	})
	wg.Wait()
	w.Mine(1)
	require.Equal(t, amount(50), w.BalanceOf(w.own.Address, w.usd))
}

func TestSignerRefusesWhatItDoesNotUnderstand(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	good := chain.SignRequest{Chain: w.Chain.Info().ID, Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Key: w.own.Key, Payload: []byte{2, 1}}
	_, err := w.signer.Sign(t.Context(), []chain.SignRequest{good})
	require.Error(t, err)
	good.Key.Wallet = "another"
	var refused *chain.PolicyError
	_, err = w.signer.Sign(t.Context(), []chain.SignRequest{good})
	require.ErrorAs(t, err, &refused)
	require.Empty(t, w.signer.Signed())
	require.NotEqual(t, w.own.Address, w.signer.Account("else").Address)
	require.Equal(t, w.own, chaintest.NewSigner(w.client.Codec(), t.Name()).Account("own"))
}
