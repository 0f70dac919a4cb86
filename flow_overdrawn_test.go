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

// TestThreat_F9_DustOfAnHourAgo: gas for a token was paid out of the coin at the same
// address, so that a sweep of all of it takes in what came a moment ago, and a reorg
// takes that back. It can never be mined, and another one takes what is there.
func TestThreat_F9_DustOfAnHourAgo(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "c"})
	require.NoError(t, err)
	f.Chain.Pay("payer", a.Address, f.ETH, units(t, f.ETH, "10"))
	f.Chain.Pay("payer", a.Address, f.USDC, units(t, f.USDC, "5"))
	coin := func() *bursar.Payout {
		for _, p := range f.payouts(bursar.PayoutSweep) {
			if p.Asset.ID == f.ETH.ID {
				return &p
			}
		}
		return nil
	}
	var dust chain.TxID
	for range 60 {
		if p := coin(); p != nil && p.Status == bursar.PayoutBroadcast {
			break
		}
		dust = f.Chain.Pay("payer", a.Address, f.ETH, chain.NewAmount(1))
		f.Mine(1)
	}
	require.Equal(t, bursar.PayoutBroadcast, coin().Status)
	f.Reorg(1, chaintest.ReorgOptions{Drop: []chain.TxID{dust}})
	for range 3 {
		f.AdvanceTime(10 * time.Minute)
		f.Settle()
	}
	require.Equal(t, bursar.PayoutConfirmed, coin().Status)
	require.Len(t, f.attempts(*coin()), 2)
	require.True(t, f.Chain.BalanceOf(a.Address, f.ETH).Less(chain.NewAmount(100)), "dust alone is left")
	f.noBrokenRules()
}
