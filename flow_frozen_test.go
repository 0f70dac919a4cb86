package bursar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// TestThreat_B20_AFrozenAddressHoldsNobodyUp: an issuer freezes a deposit address, or
// the treasury, after the payer has paid. The payment stands; its sweep waits, is tried
// ever more seldom, and is told once; what is not frozen is swept meanwhile; and the
// sweep goes on by itself when the issuer thinks better of it.
func TestThreat_B20_AFrozenAddressHoldsNobodyUp(t *testing.T) {
	for _, kind := range []chaintest.TokenKind{chaintest.TokenBlacklist, chaintest.TokenPausable} {
		t.Run(string(kind), func(t *testing.T) {
			f := newFlow(t, bursartest.Options{})
			odd := f.list(f.Chain.DeployToken(chaintest.TokenSpec{Kind: kind, Symbol: "ODD", Decimals: 6}))
			f.honest = append(f.honest, odd.ID)
			stuck, free := f.Create("ODD", "10"), f.Create("USDC", "10")
			f.Pay(stuck)
			f.Pay(free)
			f.Mine(1)
			freeze := func(on bool) {
				if kind == chaintest.TokenPausable {
					f.Chain.Pause(odd, on)
				} else {
					f.Chain.Blacklist(odd, stuck.Address, on)
				}
			}
			freeze(true)
			// Gas is spent for the free one alone.
			for range 4 {
				f.Settle()
			}
			require.Equal(t, bursar.StatusSettled, f.Payment(free).Status)
			require.Equal(t, bursar.StatusConfirmed, f.Payment(stuck).Status)
			tries := 0
			f.Chain.Fail(func(c chaintest.Call) error {
				if c.Method == chaintest.MethodPrepare {
					tries++
				}
				return nil
			})
			f.Mine(1200) // four hours
			require.Positive(t, tries)
			require.LessOrEqual(t, tries, 12, "once an hour in the long run")
			f.Chain.Fail(nil)
			var sweep bursar.Payout
			for _, p := range f.payouts() {
				require.False(t, p.Kind == bursar.PayoutTopUp && p.To == stuck.Address, "no gas is bought for what cannot move")
				if p.From.Address == stuck.Address {
					sweep = p
				}
			}
			require.Equal(t, bursar.PayoutPlanned, sweep.Status)
			require.Equal(t, "REVERTED", sweep.FailureCode)
			require.Equal(t, 1, f.count(bursar.PayoutDeferred, sweep.ID), "told once")
			require.Empty(t, f.attempts(sweep), "nothing is signed that cannot succeed")

			freeze(false)
			f.Mine(1)
			f.AdvanceTime(time.Hour)
			f.Settle()
			f.Settle()
			require.Equal(t, bursar.StatusSettled, f.Payment(stuck).Status)
			require.Equal(t, units(t, odd, "10"), f.Chain.BalanceOf(f.Treasury, odd))
			f.noBrokenRules()
			f.allSwept()
		})
	}
}

// TestThreat_B20_APayerOnTheListCannotPay: a transfer that the token refuses is none.
func TestThreat_B20_APayerOnTheListCannotPay(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	odd := f.list(f.Chain.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenBlacklist, Symbol: "ODD", Decimals: 6}))
	f.honest = append(f.honest, odd.ID)
	p := f.Create("ODD", "10")
	f.Chain.Blacklist(odd, f.Chain.Payer("shady"), true)
	f.Mine(1)
	f.Chain.Pay("shady", p.Address, odd, units(t, odd, "10"))
	f.Settle()
	require.True(t, f.Chain.BalanceOf(p.Address, odd).IsZero())
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	require.Empty(t, f.Transactions(p))
	f.Pay(p)
	f.Settle()
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
}
