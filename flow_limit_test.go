package bursar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
)

// TestThreat_F20_ALimitHoldsSweepsUpAndLosesNone: they go on by themselves once
// the window has passed, and so they do after a halt.
func TestThreat_F20_ALimitHoldsSweepsUpAndLosesNone(t *testing.T) {
	var f *flow
	var signer *hdwallet.Signer
	f = newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		net, usdc := c.Chains[0], c.Chains[0].Assets[0]
		id := net.Client.Info().ID
		var err error
		signer, err = hdwallet.NewSigner(hdwallet.Policy{
			Codecs: map[chain.ID]chain.Codec{id: net.Client.Codec()}, Treasury: map[chain.ID][]chain.Address{id: {net.Treasury}},
			Limits: []hdwallet.Limit{{Asset: usdc.ID, Window: 24 * time.Hour, Max: units(t, usdc, "20")}}, Now: func() time.Time { return f.Chain.Now() },
		}, c.Wallet)
		require.NoError(t, err)
		c.Signer = signer
	}})
	var orders []bursar.Payment
	for range 3 {
		p := f.Create("USDC", "10")
		f.Pay(p)
		orders = append(orders, p)
	}
	settled := func() (n int) {
		for _, p := range orders {
			if f.Payment(p).Status == bursar.StatusSettled {
				n++
			}
		}
		return n
	}
	f.Mine(40)
	require.Equal(t, 2, settled())
	var refused []bursar.Payout
	for _, p := range f.payouts(bursar.PayoutSweep) {
		if p.FailureCode == "SIGNER_REFUSED" {
			refused = append(refused, p)
		}
	}
	require.Len(t, refused, 1)
	require.Contains(t, refused[0].FailureReason, "limit")
	f.AdvanceTime(25 * time.Hour)
	f.Mine(40)
	require.Equal(t, 3, settled())

	signer.Halt("somebody else holds the machine")
	p := f.Create("ETH", "1")
	f.Pay(p)
	f.Mine(40)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	require.True(t, f.Chain.BalanceOf(f.Treasury, f.ETH).IsZero())
	signer.Resume()
	f.AdvanceTime(2 * time.Hour)
	f.Mine(40)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	f.noBrokenRules()
}
