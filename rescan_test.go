package bursar_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// hiding is a node that leaves transfers out of its pages, while it is told to.
type hiding struct {
	chain.Client
	hide *atomic.Bool
	// between runs after a page was read.
	between *func()
	// keys is how many keys the last page was read for.
	keys *atomic.Int64
}

func (h hiding) asked() int { return int(h.keys.Load()) }

func (h hiding) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	h.keys.Store(int64(w.Len()))
	page, err := h.Client.Transfers(ctx, from, to, w)
	if h.hide.Load() {
		page.Transfers = nil
	}
	if do := *h.between; do != nil {
		*h.between = nil
		do()
	}
	return page, err
}

func (h hiding) As(target any) bool {
	switch to := target.(type) {
	case *chain.BalanceReader:
		return through(h.Client, to)
	case *chain.TokenInspector:
		return through(h.Client, to)
	case *chain.Identifier:
		return through(h.Client, to)
	}
	return false
}

// through looks a capability up in the client that is wrapped.
func through[T any](c chain.Client, to *T) (ok bool) {
	*to, ok = chain.As[T](c)
	return ok
}

// poorSight is a gateway whose node hid something for a while.
type poorSight struct {
	*flow
	node hiding
}

func newPoorSight(t *testing.T, o bursartest.Options) *poorSight {
	t.Helper()
	b := &poorSight{node: hiding{hide: new(atomic.Bool), between: new(func()), keys: new(atomic.Int64)}}
	o.SkipLedger = true // while something is hidden the ledger cannot agree
	o.Client = func(c chain.Client) chain.Client {
		b.node.Client = c
		return b.node
	}
	b.flow = newFlow(t, o)
	t.Cleanup(func() {
		if b.Gateway.Health(b.ctx()).Running {
			report, err := b.Gateway.Verify(b.ctx())
			require.NoError(t, err)
			require.Empty(t, report.Findings)
		}
	})
	return b
}

func (b *poorSight) rescan(from, to uint64) bursar.Rescanned {
	b.t.Helper()
	out, err := b.Gateway.Rescan(b.ctx(), bursar.RescanRequest{Chain: "local", From: from, To: to})
	require.NoError(b.t, err)
	return out
}

// hidden pays while the node hides it, and returns the block.
func (b *poorSight) hidden(pay func()) uint64 {
	b.t.Helper()
	b.node.hide.Store(true)
	pay()
	b.Mine(1)
	height := b.Chain.Head().Height
	b.Mine(3)
	b.node.hide.Store(false)
	return height
}

// TestThreat_C9_WhatANodeHidIsBookedByARescan once, however often it is repeated.
func TestThreat_C9_WhatANodeHidIsBookedByARescan(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	p := b.Create("USDC", "10")
	at := b.hidden(func() { b.Pay(p) })
	require.Equal(t, bursar.StatusPending, b.Payment(p).Status)

	dry, err := b.Gateway.Rescan(t.Context(), bursar.RescanRequest{Chain: string(b.Chain.Info().ID), From: 1, DryRun: true})
	require.NoError(t, err)
	require.False(t, dry.Written)
	require.Len(t, dry.Found, 1)
	require.Equal(t, p.Address, dry.Found[0].To)
	require.Equal(t, bursar.StatusPending, b.Payment(p).Status)
	require.Empty(t, b.rescan(1, at-1).Found)
	require.Empty(t, b.rescan(at+1, 0).Found)

	tip := b.state().Tip()
	out := b.rescan(at, at)
	require.True(t, out.Written)
	require.Equal(t, dry.Found, out.Found)
	require.Equal(t, at, out.From)
	require.Equal(t, at, out.To)
	require.Equal(t, bursar.StatusDetected, b.Payment(p).Status)
	require.Equal(t, tip, b.state().Tip(), "the cursor is the scanner's")
	for range 2 {
		out = b.rescan(1, 0)
		require.Empty(t, out.Found)
		require.Equal(t, tip.Height, out.To)
	}
	b.Mine(1)
	require.Equal(t, bursar.StatusConfirmed, b.Payment(p).Status, "it has been deep for long")
	require.Empty(t, b.rescan(1, 0).Found)
	b.Settle()
	require.Equal(t, bursar.StatusSettled, b.Payment(p).Status)
	b.noBrokenRules()
	require.Equal(t, []bursar.Kind{
		bursar.PaymentCreated, bursar.TransactionDetected, bursar.PaymentDetected, bursar.TransactionConfirmed, bursar.PaymentConfirmed, bursar.PaymentSettled,
	}, b.Kinds(p.ID))
}

// TestARescanJudgesByTheTimeOfTheBlock: money that came in time pays, even where
// the verdict was that none had come.
func TestARescanJudgesByTheTimeOfTheBlock(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	p := b.Create("USDC", "10")
	at := b.hidden(func() { b.Pay(p) })
	b.AdvanceTime(48 * time.Hour)
	b.Mine(10)
	require.Equal(t, bursar.StatusExpired, b.Payment(p).Status)
	require.Len(t, b.rescan(at, 0).Found, 1)
	b.Mine(1)
	require.Equal(t, bursar.StatusConfirmed, b.Payment(p).Status)
	require.Zero(t, b.count(bursar.PaymentLate, p.ID))
	require.Equal(t, 1, b.count(bursar.PaymentExpired, p.ID))
	b.noBrokenRules()
}

// TestARescanFindsWhatAnAssetAddedLaterBrought to a customer's address.
func TestARescanFindsWhatAnAssetAddedLaterBrought(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	dai := stranger(b.flow, "DAI")
	a, err := b.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: b.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	b.Chain.Pay("ann", a.Address, dai, units(t, dai, "3"))
	b.Mine(4)
	require.Empty(t, b.rescan(1, 0).Found)
	require.NoError(t, b.Gateway.AddAsset(t.Context(), "local", dai))
	require.Len(t, b.rescan(1, 0).Found, 1)
	b.Mine(1)
	sums, err := b.Gateway.Balances(t.Context(), a.Address)
	require.NoError(t, err)
	require.Len(t, sums, 1)
	require.Equal(t, units(t, dai, "3").Big(), sums[0].Confirmed)
	require.Empty(t, b.rescan(1, 0).Found)
}

// TestARescanLeavesTheGatewaysOwnAccountsAlone: what the sponsor had before the
// first block is capital already.
func TestARescanLeavesTheGatewaysOwnAccountsAlone(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	before := len(b.entries())
	require.Empty(t, b.rescan(1, 0).Found)
	require.Len(t, b.entries(), before)
}

// TestARescanDuringAReorg books nothing from the branch that was left.
func TestARescanDuringAReorg(t *testing.T) {
	for name, followed := range map[string]bool{"that the scanner has followed": true, "that only the node knows of": false} {
		t.Run(name, func(t *testing.T) {
			b := newPoorSight(t, bursartest.Options{})
			p := b.Create("USDC", "10")
			at := b.hidden(func() { b.Pay(p) })
			*b.node.between = func() {
				b.Chain.Reorg(4, chaintest.ReorgOptions{DropAll: true})
				if followed {
					b.Step()
				}
			}
			out, err := b.Gateway.Rescan(t.Context(), bursar.RescanRequest{Chain: "local", From: at, To: at})
			require.NoError(t, err)
			require.Equal(t, followed, len(out.Found) == 0, "the scanner takes back what lies on a branch that it leaves")
			b.Settle()
			for _, tx := range b.Transactions(p) {
				require.Equal(t, bursar.TxFailed, tx.Status)
			}
			require.Equal(t, bursar.StatusPending, b.Payment(p).Status)
			b.noBrokenRules()
		})
	}
}

func TestARescanThatFailsGoesOnLater(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	var at []uint64
	var orders []bursar.Payment
	for range 3 {
		p := b.Create("USDC", "10")
		orders = append(orders, p)
		at = append(at, b.hidden(func() { b.Pay(p) }))
		b.Mine(int(b.Chain.Info().PageBlocks))
	}
	calls := 0
	b.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodTransfers && !c.After {
			if calls++; calls == 3 {
				return errNode
			}
		}
		return nil
	})
	out, err := b.Gateway.Rescan(t.Context(), bursar.RescanRequest{Chain: "local", From: at[0]})
	require.ErrorIs(t, err, errNode)
	require.Equal(t, at[0]+2*b.Chain.Info().PageBlocks-1, out.To)
	require.Len(t, out.Found, 2)
	b.Chain.Fail(nil)
	require.Len(t, b.rescan(out.To+1, 0).Found, 1)
	b.Settle()
	for _, p := range orders {
		require.Equal(t, bursar.StatusSettled, b.Payment(p).Status)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	out, err = b.Gateway.Rescan(ctx, bursar.RescanRequest{Chain: "local", From: 7, To: 8})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, out.Found)
}

func TestRescanRefuses(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	tip := b.state().Tip().Height
	for field, reqs := range map[string][]bursar.RescanRequest{
		"RescanRequest.Chain": {{From: 1}, {Chain: "mars", From: 1}},
		"RescanRequest.From":  {{Chain: "local"}, {Chain: "local", From: tip + 1}, {Chain: "local", From: 3, To: 2}},
		"RescanRequest.To":    {{Chain: "local", From: 1, To: tip + 1}},
	} {
		for _, req := range reqs {
			_, err := b.Gateway.Rescan(t.Context(), req)
			var bad *bursar.FieldError
			require.ErrorAs(t, err, &bad, "%+v", req)
			require.Equal(t, field, bad.Field)
		}
	}
	require.NoError(t, b.Gateway.Stop(t.Context()))
	_, err := b.Gateway.Rescan(t.Context(), bursar.RescanRequest{Chain: "local", From: 1})
	require.ErrorIs(t, err, bursar.ErrStopped)
	_, err = (*bursar.Gateway)(nil).Rescan(t.Context(), bursar.RescanRequest{})
	require.ErrorIs(t, err, bursar.ErrNotStarted)
}

// TestARescanOfADoubtfulToken credits nothing that a scan would not have.
func TestARescanOfADoubtfulToken(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	fee := b.Chain.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenFee, Symbol: "FEE", Decimals: 6, Unlisted: true})
	fee.VerifyBalance = true
	b.reconfigure(func(c *bursar.Config) { c.Chains[0].Assets = append(slices.Clone(c.Chains[0].Assets), fee) })
	p := b.Create("FEE", "10")
	at := b.hidden(func() { b.Pay(p) })
	require.Len(t, b.rescan(at, at).Found, 1)
	b.Mine(1)
	require.Equal(t, bursar.StatusPending, b.Payment(p).Status)
	require.True(t, b.Transactions(p)[0].Suspense)
}

// TestThreat_C7_NoRescanOfAChainThatIsNotProved: a gateway starts although its node
// is away, and what answers later may be another chain's.
func TestThreat_C7_NoRescanOfAChainThatIsNotProved(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	p := b.Create("USDC", "10")
	at := b.hidden(func() { b.Pay(p) })
	b.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodIdentify {
			return errNode
		}
		return nil
	})
	b.reconfigure(func(*bursar.Config) {})
	_, err := b.Gateway.Rescan(t.Context(), bursar.RescanRequest{Chain: "local", From: at})
	require.ErrorIs(t, err, bursar.ErrChainNotReady)
	require.Empty(t, b.Transactions(p))
	b.Chain.Fail(nil)
	b.Step()
	require.Len(t, b.rescan(at, 0).Found, 1)
}

// TestARescanForSomeAddresses: a set that was imported is read for by itself, which
// asks a node for much less.
func TestARescanForSomeAddresses(t *testing.T) {
	b := newPoorSight(t, bursartest.Options{})
	p, q := b.Create("USDC", "10"), b.Create("USDT", "10")
	at := b.hidden(func() { b.Pay(p); b.Pay(q) })
	ask := func(addresses ...chain.Address) (bursar.Rescanned, error) {
		return b.Gateway.Rescan(b.ctx(), bursar.RescanRequest{Chain: "local", From: at, Addresses: addresses})
	}
	out, err := ask(chain.Address(strings.ToLower(string(p.Address))))
	require.NoError(t, err)
	require.Len(t, out.Found, 1)
	require.Equal(t, p.Address, out.Found[0].To)
	require.Equal(t, 1, b.node.asked(), "keys that the node was asked for")
	require.Empty(t, b.Transactions(q))
	for address, code := range map[chain.Address]bursar.Code{"0x12": bursar.CodeInvalid, b.Sponsor: bursar.CodeUnknown, b.Treasury: bursar.CodeUnknown} {
		_, err := ask(q.Address, address)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "RescanRequest.Addresses[1]", bad.Field)
		require.Equal(t, code, bad.Code)
	}
	require.Empty(t, b.Transactions(q), "nothing is read where a field is wrong")
	out, err = ask(p.Address, q.Address, q.Address)
	require.NoError(t, err)
	require.Len(t, out.Found, 1)
	b.Settle()
	require.Equal(t, bursar.StatusSettled, b.Payment(q).Status)
}
