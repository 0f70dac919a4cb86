package bursar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// gwei of the simulated fee market.
func gweis(n uint64) chain.Amount { return chain.NewAmount(n * 1_000_000_000) }

// TestThreat_F8_ASweepWaitsForACheaperHour: told once, no failure, no quarantine, no
// gas bought meanwhile; it goes on by itself when fees have fallen.
func TestThreat_F8_ASweepWaitsForACheaperHour(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Chains[0].LowFeePercent = 150 }})
	usual := gweis(2)
	f.Chain.SetFees(chaintest.Fees{BaseFee: gweis(10), Usual: usual})
	p := f.paid("USDC")
	for range 40 {
		f.Mine(1)
		f.Chain.AdvanceTime(10 * time.Minute)
	}
	sweep := f.only(bursar.PayoutSweep)
	require.Equal(t, bursar.PayoutPlanned, sweep.Status)
	require.Equal(t, "WAITING_FOR_LOWER_FEES", sweep.FailureCode)
	require.Contains(t, sweep.FailureReason, "fees of 10100000000 are above 3000000000")
	require.Zero(t, sweep.Failures)
	require.Equal(t, 1, f.count(bursar.PayoutDeferred, sweep.ID), "told once")
	require.Empty(t, f.payouts(bursar.PayoutTopUp), "no gas is bought for what waits")

	f.Chain.SetFees(chaintest.Fees{BaseFee: gweis(2), Usual: usual})
	f.Chain.AdvanceTime(10 * time.Minute)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Empty(t, f.payout(sweep).FailureCode)
	f.noBrokenRules()
	f.allSwept()
}

// TestASweepWaitsNoLongerThanItMay: then it is made at any price within its caps.
func TestASweepWaitsNoLongerThanItMay(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		c.Chains[0].LowFee, c.Chains[0].SweepWait = gweis(3), 2*time.Hour
	}})
	f.Chain.SetFees(chaintest.Fees{BaseFee: gweis(10)})
	p := f.paid("ETH")
	f.Mine(4)
	sweep := f.only(bursar.PayoutSweep)
	require.Equal(t, "WAITING_FOR_LOWER_FEES", sweep.FailureCode)
	f.Chain.AdvanceTime(2 * time.Hour)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.False(t, f.payout(sweep).SentAt.Before(sweep.CreatedAt.Add(2*time.Hour)))
	f.noBrokenRules()
}

// TestThreat_F6_ASweepBidsUpToItsBudget: cheap first, then dearer at the same nonce
// while nobody mines it, up to the whole budget and no further.
func TestThreat_F6_ASweepBidsUpToItsBudget(t *testing.T) {
	budget := chain.NewAmount(21000 * 100 * 1_000_000_000)
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		c.Chains[0].MaxFee, c.Chains[0].SweepDeadline = budget, 10*time.Hour
	}})
	p := f.paid("ETH")
	market := f.Chain.Fees()
	for range 90 {
		// Whenever it is signed the market is quiet, and whenever a block is made it is not.
		f.Chain.SetFees(chaintest.Fees{BaseFee: gweis(500)})
		f.Chain.Mine(1)
		f.Chain.SetFees(market)
		f.Chain.AdvanceTime(8 * time.Minute)
		require.NoError(t, f.Gateway.Step(t.Context()))
	}
	sweep := f.only(bursar.PayoutSweep)
	attempts := f.attempts(sweep)
	require.Len(t, attempts, 6, "the first, and five replacements")
	for i, a := range attempts {
		require.Equal(t, attempts[0].Locks, a.Locks)
		require.False(t, budget.Less(a.MaxFee))
		require.True(t, i == 0 || attempts[i-1].MaxFee.Less(a.MaxFee))
	}
	tenth, err := budget.MulDiv(chain.NewAmount(1), chain.NewAmount(10))
	require.NoError(t, err)
	require.True(t, attempts[2].MaxFee.Less(tenth), "cheap while there is time")
	require.Equal(t, budget, attempts[5].MaxFee)
	took := attempts[5].CreatedAt.Sub(attempts[0].CreatedAt)
	require.InDelta(t, 10*time.Hour, took, float64(time.Hour))

	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.False(t, budget.Less(f.payout(sweep).Fee))
	f.noBrokenRules()
	f.allSwept()
}
