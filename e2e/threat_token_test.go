package e2e

import (
	"bytes"
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

// suspense is what the ledger has that came to an address and is nobody's.
func (x *till) suspense(at chain.Address, a chain.Asset) int64 {
	x.t.Helper()
	rows, err := x.gw.Ledger(x.t.Context(), "suspense:"+string(at))
	require.NoError(x.t, err)
	sum := new(big.Int)
	for _, row := range rows {
		if row.Asset == a.ID {
			sum.Add(sum, row.Sum)
		}
	}
	return -sum.Int64()
}

// Less arrives than the event says: the token keeps a part, or is worth less at the
// end of the block than in the middle of it. What did arrive is held, and nobody is
// credited.
func TestThreat_B6_LessThanTheEventSays(t *testing.T) {
	n := nodes.Simulated(t)
	fee, rebasing := newToken(t, n, "FEE", tokens.Fee("FEE", 6)), newToken(t, n, "BASE", tokens.Rebasing("BASE", 6))
	fee.VerifyBalance, rebasing.VerifyBalance = true, true
	x := openTill(t, n, tillOptions{assets: []chain.Asset{fee, rebasing}, treasury: vault(t, n)})
	x.enrich(fee)
	x.enrich(rebasing)
	for _, c := range []struct {
		asset   chain.Asset
		after   []byte
		arrived int64
	}{{fee, nil, 950}, {rebasing, tokens.Rebase(50), 500}} {
		p := x.askFor(c.asset, 1000)
		x.pay(p)
		if c.after != nil {
			n.Call(contractOf(c.asset), c.after)
		}
		x.mine(12)
		x.has(addressOf(p), c.asset, c.arrived)
		x.is(p, bursar.StatusPending)
		row := x.row(p)
		require.True(t, row.Suspense)
		require.Equal(t, chain.NewAmount(uint64(c.arrived)), row.Amount)
		require.Equal(t, c.arrived, x.suspense(p.Address, c.asset))
		require.Equal(t, 1, x.count(p.ID, bursar.AlertTokenAnomaly))
		require.Zero(t, x.count(p.ID, bursar.PaymentDetected))
		x.good()
	}
	// What a rebasing token pays in full is credited and swept.
	q := x.askFor(rebasing, 1000)
	x.pay(q)
	x.settle(q)
	x.good()
}

// The code behind a pinned token is changed, into one that tells of transfers and
// makes none.
func TestThreat_B7_UpgradeOfAProxy(t *testing.T) {
	n := nodes.Simulated(t)
	good, bad := newToken(t, n, "IMPL", tokens.Plain("IMPL", 6)), newToken(t, n, "IMPL", tokens.Phantom("IMPL", 6))
	usd := newToken(t, n, "USD", tokens.Proxy("USD", 6, contractOf(good)))
	inspector, ok := chain.As[chain.TokenInspector]((&till{t: t, n: n}).node(tillOptions{}))
	require.True(t, ok)
	token, err := inspector.Inspect(t.Context(), usd)
	require.NoError(t, err)
	require.Equal(t, "USD", token.Symbol)
	usd.CodeHash = token.CodeHash
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}})
	x.enrich(usd)
	before, after, again := x.askFor(usd, 500), x.askFor(usd, 600), x.askFor(usd, 700)
	x.pay(before)
	x.mine(3)
	x.is(before, bursar.StatusConfirmed)

	n.Call(contractOf(usd), tokens.UpgradeTo(contractOf(bad)))
	x.mine(1)
	tx := x.pay(after)
	x.mine(3)
	require.Len(t, x.receipt(tx.Hash()).Logs, 1, "it tells of a transfer")
	x.has(addressOf(after), usd, 0)
	x.is(after, bursar.StatusPending)
	require.True(t, x.row(after).Suspense)
	require.Equal(t, 1, x.count(after.ID, bursar.AlertTokenAnomaly))
	require.Zero(t, x.count(after.ID, bursar.PaymentDetected))
	x.is(before, bursar.StatusConfirmed)

	// With the pinned code again, it is believed again.
	n.Call(contractOf(usd), tokens.UpgradeTo(contractOf(good)))
	x.mine(1)
	x.pay(again)
	x.mine(3)
	x.is(again, bursar.StatusConfirmed)
}

// transferCall is the selector of transfer(address,uint256), as in JSON.
var transferCall = []byte("0xa9059cbb")

// The issuer freezes a deposit address, the treasury, or the token: the deposit
// stands, its sweep waits without a storm of tries, and goes on by itself.
func TestThreat_B20_Frozen(t *testing.T) {
	n := nodes.Simulated(t)
	usd := newToken(t, n, "USD", tokens.Freezable("USD", 6))
	var tries atomic.Int64
	asked := asks(func(body []byte) []byte {
		if bytes.Contains(body, []byte("eth_call")) && bytes.Contains(body, transferCall) {
			tries.Add(1)
		}
		return body
	})
	x := openTill(t, n, tillOptions{assets: []chain.Asset{usd}, treasury: vault(t, n), over: asked})
	x.enrich(usd)
	swept := int64(0)
	for name, freeze := range map[string]func(bursar.Payment, bool) []byte{
		"deposit":  func(p bursar.Payment, on bool) []byte { return tokens.Freeze(addressOf(p), on) },
		"treasury": func(_ bursar.Payment, on bool) []byte { return tokens.Freeze(x.treasury, on) },
		"token":    func(_ bursar.Payment, on bool) []byte { return tokens.Pause(on) },
	} {
		p := x.askFor(usd, 500)
		x.pay(p)
		x.mine(1)
		n.Call(contractOf(usd), freeze(p, true))
		x.mine(8)
		x.is(p, bursar.StatusConfirmed)
		require.True(t, x.payment(p).Final, name)
		rows, err := x.gw.Payouts(t.Context(), bursar.PayoutQuery{Statuses: []bursar.PayoutStatus{bursar.PayoutPlanned}})
		require.NoError(t, err)
		require.Len(t, rows, 1, name)
		tries.Store(0)
		for range 48 {
			x.wait(5 * time.Minute) // four hours
		}
		require.Positive(t, tries.Load(), name)
		require.LessOrEqual(t, tries.Load(), int64(12), "%s: once an hour in the long run", name)
		sweep, attempts, err := x.gw.Payout(t.Context(), rows[0].ID)
		require.NoError(t, err)
		require.Equal(t, bursar.PayoutPlanned, sweep.Status)
		require.Equal(t, "REVERTED", sweep.FailureCode)
		require.Empty(t, attempts, "no gas is spent on it")
		require.Equal(t, 1, x.count(sweep.ID, bursar.PayoutDeferred), "told once")
		x.has(addressOf(p), p.Asset, 500)
		x.good()

		n.Call(contractOf(usd), freeze(p, false))
		x.mine(1)
		x.wait(2 * time.Hour)
		x.settle(p)
		swept += 500
		x.has(x.treasury, usd, swept)
		x.good()
	}
	// A payer on the list cannot pay.
	n.Call(contractOf(usd), tokens.Freeze(x.payer.Address, true))
	x.mine(1)
	p := x.askFor(usd, 500)
	tx := x.payer.Send(node.Tx{To: bill(p).To, Data: bill(p).Data})
	x.mine(3)
	x.ended(0, tx)
	x.untouched(p)
}
