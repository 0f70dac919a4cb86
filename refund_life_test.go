package bursar_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// newForgetful has a store that can be set back.
func newForgetful(t *testing.T) (f *flow, pl *place) {
	t.Helper()
	f = newRefunds(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
		pl = newPlace(t, "a", now)
		return pl
	}})
	return f, pl
}

// pausable lists a token that reverts while it is paused, and gives the float some.
func (f *flow) pausable() chain.Asset {
	f.t.Helper()
	a := f.list(f.Chain.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenPausable, Symbol: "PSE", Decimals: 6}))
	f.honest = append(f.honest, a.ID)
	f.fund(f.float(), a, "500")
	return a
}

// revert mines a block in which transfers of a token revert.
func (f *flow) revert(a chain.Asset) {
	f.t.Helper()
	f.Chain.Pause(a, true)
	f.Chain.Mine(1)
	f.Chain.Pause(a, false)
}

// TestThreat_D9_ASecondTryThatWasForgotten: the store is set back to when an approved refund's first
// attempt was on its way. In the life that is forgotten it failed, and the second one
// paid.
func TestThreat_D9_ASecondTryThatWasForgotten(t *testing.T) {
	for name, late := range map[string]bool{"broadcast": false, "confirming_failed": true} {
		t.Run(name, func(t *testing.T) {
			f, pl := newForgetful(t)
			tok := f.pausable()
			p := f.Create("PSE", "10")
			f.Pay(p)
			f.Settle()
			r := f.approve(p, all)
			f.Step()
			require.Equal(t, bursar.PayoutBroadcast, f.payout(r).Status)
			backup := pl.snapshot()
			f.revert(tok)
			f.Step()
			require.Equal(t, bursar.PayoutConfirmingFailed, f.payout(r).Status)
			if late {
				backup = pl.snapshot()
			}
			for range 200 {
				if f.payout(r).Status == bursar.PayoutConfirmed {
					break
				}
				f.Mine(1)
			}
			require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
			require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, tok))
			require.NoError(t, f.Gateway.Stop(f.ctx()))
			pl.restore(backup)
			f.Gateway = f.another(f.cfg)
			for range 100 {
				f.Chain.Mine(1)
				f.Step()
			}
			require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, tok), "it was paid twice, by itself")
		})
	}
}

// TestThreat_D9_ARetryThatWasForgotten: as above, where the backup has the refund as failed for
// good. In the forgotten life an operator had it tried again, and it was paid.
func TestThreat_D9_ARetryThatWasForgotten(t *testing.T) {
	f, pl := newForgetful(t)
	tok := f.pausable()
	p := f.Create("PSE", "10")
	f.Pay(p)
	f.Settle()
	r := f.approve(p, all)
	for range 200 {
		if f.payout(r).Status == bursar.PayoutFailed {
			break
		}
		f.Chain.AdvanceTime(10 * time.Minute)
		f.Step()
		f.revert(tok)
		f.Chain.Mine(1)
		f.Step()
	}
	require.Equal(t, bursar.PayoutFailed, f.payout(r).Status)
	backup := pl.snapshot()
	_, err := f.Gateway.RetryPayout(f.ctx(), r.ID)
	require.NoError(t, err)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
	require.NoError(t, f.Gateway.Stop(f.ctx()))
	pl.restore(backup)
	f.Gateway = f.another(f.cfg)
	f.Settle()
	require.Equal(t, "IN_DOUBT", f.payout(r).FailureCode, "nothing on it says that it may have been paid")
}

// TestThreat_A2_ADeadTryComesBackAndPays: an attempt that failed, final, is mined again after a
// reorg and pays. The refund is planned for its second try by then.
func TestThreat_A2_ADeadTryComesBackAndPays(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	tok := f.pausable()
	p := f.Create("PSE", "10")
	f.Pay(p)
	f.Settle()
	r := f.approve(p, all)
	f.Step()
	require.Equal(t, bursar.PayoutBroadcast, f.payout(r).Status)
	f.revert(tok)
	at := f.Chain.Head().Height
	f.refuse(chaintest.MethodPrepare)
	f.Step()
	for range 30 {
		if f.payout(r).Status == bursar.PayoutPlanned {
			break
		}
		f.Mine(1)
	}
	require.Equal(t, bursar.PayoutPlanned, f.payout(r).Status)
	f.Chain.Reorg(int(f.Chain.Head().Height - at + 1))
	f.Step()
	f.Mine(1)
	f.Chain.Fail(nil)
	f.Settle()
	if f.state().Halted != "" {
		require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	}
	for range 60 {
		f.Mine(1)
	}
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, tok))
}

type twoNodes struct {
	*chaintest.Client
	fast *chaintest.Client
}

func (c twoNodes) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	return c.fast.Prepare(ctx, in)
}

func (c twoNodes) Broadcast(ctx context.Context, s chain.Signed) error {
	return c.fast.Broadcast(ctx, s)
}

// TestThreat_D9_AForgottenLifeBehindALaggingNode: what makes drafts is ahead of what tells
// of blocks.
func TestThreat_D9_AForgottenLifeBehindALaggingNode(t *testing.T) {
	for _, lag := range []uint64{4, 6, 8, 10, 14} { // 3 confirmations
		t.Run(fmt.Sprint(lag), func(t *testing.T) {
			var slow *chaintest.Client
			f := newRefunds(t, bursartest.Options{SkipLedger: true, Client: func(c chain.Client) chain.Client {
				slow = c.(*chaintest.Client)
				return twoNodes{slow, slow.Network().Client()}
			}})
			p := f.settled("10")
			float := f.account(1, 1, f.float())
			slow.Lag(lag)
			f.refuse(chaintest.MethodPrepare)
			f.Settle()
			r := f.approve(p, all)
			f.Chain.Fail(nil)
			f.steal(float, f.USDC, p.Amount, r.To)
			f.Chain.Mine(1)
			for range 60 {
				f.Mine(1)
			}
			require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))
		})
	}
}

// TestThreat_F23_ATokenThatLeftTheConfiguration: nobody would see what an approved refund or
// withdrawal in it moved: it would count as failed, and be paid once more, and again.
func TestThreat_F23_ATokenThatLeftTheConfiguration(t *testing.T) {
	for name, kind := range map[string]bool{"refund": true, "withdrawal": false} {
		t.Run(name, func(t *testing.T) {
			f := newRefunds(t, bursartest.Options{SkipLedger: true})
			odd := f.list(f.Chain.DeployToken(chaintest.TokenSpec{Symbol: "ODD", Decimals: 6, Unlisted: true}))
			f.fund(f.float(), odd, "500")
			var w bursar.Payout
			var err error
			if kind {
				p := f.Create("ODD", "10")
				f.Pay(p)
				f.Settle()
				w, err = f.ask(p, all)
			} else {
				f.saved("ann", odd, "10")
				w, err = f.draw("ann", func(r *bursar.WithdrawRequest) { r.All, r.Asset = true, string(odd.ID) })
			}
			require.NoError(t, err)
			_, err = f.Gateway.ApprovePayout(f.ctx(), w.ID, f.approval(w, 100*time.Hour))
			require.NoError(t, err)
			f.reconfigure(func(c *bursar.Config) {
				c.Chains[0].Assets = slices.DeleteFunc(slices.Clone(c.Chains[0].Assets), func(a chain.Asset) bool { return a.ID == odd.ID })
			})
			for range 300 {
				f.Chain.Mine(1)
				_ = f.Gateway.Step(f.ctx())
			}
			require.False(t, w.Amount.Less(f.Chain.BalanceOf(w.To, odd)), "paid more than once")
		})
	}
}

// What leaves beyond the customer's deposits is told.
func TestWithdrawalThatMovedMore(t *testing.T) {
	f := newRefunds(t, bursartest.Options{SkipLedger: true})
	f.saved("ann", f.USDC, "10")
	f.granted("ann", func(r *bursar.WithdrawRequest) { r.All = true })
	f.Chain.SetTransferRate(f.USDC, 3, 2)
	f.Settle()
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	require.Equal(t, 1, f.count(bursar.AlertRefundUncovered, ""), "five are gone, and nobody is told")
}

// TestThreat_A2_AHalfWithdrawalComesBackWhole: a final withdrawal moved half, and the rest was
// withdrawn again. Then the first is mined anew, in full, and that is told.
func TestThreat_A2_AHalfWithdrawalComesBackWhole(t *testing.T) {
	f := newRefunds(t, bursartest.Options{SkipLedger: true})
	f.saved("ann", f.USDC, "10")
	before := f.Chain.Head().Height
	w := f.granted("ann", func(r *bursar.WithdrawRequest) { r.All = true })
	f.Chain.SetTransferRate(f.USDC, 1, 2)
	f.Settle()
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	require.Equal(t, units(t, f.USDC, "5"), f.payout(w).Moved)
	rest, err := f.draw("ann", func(r *bursar.WithdrawRequest) { r.All, r.Key = true, "k2" })
	require.NoError(t, err)
	require.Equal(t, units(t, f.USDC, "5"), rest.Amount)
	f.Chain.Reorg(int(f.Chain.Head().Height - before))
	f.Step()
	require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	f.Settle()
	require.Equal(t, 1, f.count(bursar.AlertRefundUncovered, ""), "five more are about to leave than came, and nobody is told")
}

// TestThreat_A2_WhatNeverCameIsNotPaidOut: a deposit is gone for good, and nobody does anything:
// the approved withdrawal of it waits.
func TestThreat_A2_WhatNeverCameIsNotPaidOut(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	at := f.saved("ann", f.USDC)
	before := f.Chain.Head().Height
	f.Chain.Pay("payer", at.Address, f.USDC, units(t, f.USDC, "10"))
	f.Settle()
	deposited := f.Chain.Head().Height
	f.refuse(chaintest.MethodPrepare)
	p := f.granted("ann", some("8"))
	f.Chain.Reorg(int(deposited-before), chaintest.ReorgOptions{DropAll: true})
	f.Step()
	f.Chain.Fail(nil)
	f.Settle() // and nobody does anything
	require.True(t, f.Chain.BalanceOf(p.To, f.USDC).IsZero(), "money that never came was paid out")
}

// TestThreat_A2_ARetryAfterItWasPaid: a foreign transaction took a refund's nonce, final. A reorg
// takes it away, and the refund's own transaction is mined in its place.
func TestThreat_A2_ARetryAfterItWasPaid(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	f.refuse(chaintest.MethodBroadcast)
	r := f.approve(p, all)
	f.Step()
	require.Equal(t, bursar.PayoutBroadcast, f.payout(r).Status)
	before := f.Chain.Head().Height
	thief := f.steal(f.account(1, 1, f.float()), f.USDC, chain.NewAmount(5), f.Chain.Payer("thief"))
	f.Mine(12)
	require.Equal(t, "LOCK_CONSUMED", f.payout(r).FailureCode)
	f.Chain.Fail(nil)
	f.Chain.Reorg(int(f.Chain.Head().Height-before), chaintest.ReorgOptions{Drop: []chain.TxID{thief}})
	_, err := f.Chain.Send(f.attempts(r)[0].Raw)
	require.NoError(t, err)
	f.Settle()
	f.Settle()
	for _, verb := range []func(context.Context, string) (bursar.Payout, error){f.Gateway.RetryPayout, f.Gateway.CancelPayout} {
		_, err = verb(f.ctx(), r.ID)
		require.ErrorIs(t, err, bursar.ErrPayoutClosed)
	}
	f.Settle()
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))
}

// A key names one withdrawal of a customer, whatever the asset.
func TestWithdrawalKeyOfAnotherAsset(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	at := f.saved("ann", f.USDC, "10")
	f.Chain.Pay("payer", at.Address, f.USDT, units(t, f.USDT, "10"))
	f.Settle()
	to := string(f.Chain.Payer("withdrawn"))
	_, err := f.Gateway.Withdraw(f.ctx(), bursar.WithdrawRequest{Customer: "ann", Asset: string(f.USDC.ID), To: to, Amount: decimal.RequireFromString("5"), Key: "k1"})
	require.NoError(t, err)
	_, err = f.Gateway.Withdraw(f.ctx(), bursar.WithdrawRequest{Customer: "ann", Asset: string(f.USDT.ID), To: to, Amount: decimal.RequireFromString("5"), Key: "k1"})
	require.ErrorIs(t, err, bursar.ErrIdempotencyConflict)
}

// One address serves two chains; what came on one is not paid out on the other.
func TestWithdrawalsOnTwoChains(t *testing.T) {
	var other *chaintest.Chain
	var twin chain.Asset
	f := newRefunds(t, bursartest.Options{SkipLedger: true, Edit: func(c *bursar.Config) {
		if other == nil {
			other = chaintest.New(chaintest.Options{Info: chain.Info{ID: "eip155:4242", Name: "other"}})
			twin = other.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
			other.Mine(1)
		}
		c.Chains = append(c.Chains, bursar.Chain{Client: other.Client(), Assets: []chain.Asset{twin}, Treasury: c.Chains[0].Treasury})
	}})
	other.Fund(f.Sponsor, chain.NewAmount(1e18))
	other.Pay("owner", f.float(), twin, units(t, twin, "500"))
	other.Fund(f.float(), chain.NewAmount(1e18))
	mine := func(n int) {
		for range n {
			other.Mine(1)
			f.Mine(1)
		}
	}
	mine(10)
	at := f.saved("ann", f.USDC, "10")
	other.Pay("payer", at.Address, twin, units(t, twin, "7"))
	mine(30)
	to := string(f.Chain.Payer("withdrawn"))
	first, err := f.Gateway.Withdraw(f.ctx(), bursar.WithdrawRequest{Customer: "ann", Asset: string(f.USDC.ID), To: to, Amount: decimal.RequireFromString("5"), Key: "k1"})
	require.NoError(t, err)
	second, err := f.Gateway.Withdraw(f.ctx(), bursar.WithdrawRequest{Customer: "ann", Asset: string(twin.ID), To: to, All: true, Key: "k2"})
	require.NoError(t, err)
	require.Equal(t, units(t, twin, "7"), second.Amount)
	for _, p := range []bursar.Payout{first, second} {
		_, err = f.Gateway.ApprovePayout(f.ctx(), p.ID, f.approval(p, time.Hour))
		require.NoError(t, err)
	}
	mine(40)
	require.Equal(t, bursar.PayoutConfirmed, f.payout(second).Status)
	require.Equal(t, "-5000000", f.on("customer:ann", f.USDC))
	require.Equal(t, "0", f.on("customer:ann", twin))
	other.Reorg(30, chaintest.ReorgOptions{Delay: 2})
	mine(5)
	_ = f.Gateway.ResumeChain(f.ctx(), "eip155:4242")
	mine(40)
	require.Equal(t, "-5000000", f.on("customer:ann", f.USDC))
	require.Equal(t, "0", f.on("customer:ann", twin))
	require.Equal(t, bursar.PayoutConfirmed, f.payout(second).Status)
	require.Empty(t, f.logs.broken())
	f.audited()
	_, err = f.Gateway.Withdraw(f.ctx(), bursar.WithdrawRequest{Customer: "ann", Asset: string(twin.ID), To: to, All: true, Key: "k1"})
	require.ErrorIs(t, err, bursar.ErrIdempotencyConflict, "the key stands for a withdrawal on the other chain")
}
