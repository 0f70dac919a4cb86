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

// tiered is a gateway where 2 confirmations are enough below 100 USDC, 5 below
// 1000, and finality, which lies 10 deep, is asked for above.
func tiered(t *testing.T, edit func(*bursar.Chain, chain.Asset)) *flow {
	t.Helper()
	return newFlow(t, bursartest.Options{
		Chain: chaintest.Options{Info: chain.Info{FinalityDepth: 10}},
		Edit: func(c *bursar.Config) {
			net := &c.Chains[0]
			net.Confirmations, net.Sweep = 2, bursar.SweepOff
			usdc := net.Assets[0]
			net.Tiers = []bursar.Tier{{Asset: usdc.ID, From: units(t, usdc, "100"), Confirmations: 5}, {Asset: usdc.ID, From: units(t, usdc, "1000"), Final: true}}
			if edit != nil {
				edit(net, usdc)
			}
		},
	})
}

// depthOf mines until a payment is confirmed, and returns how deep its money is.
func (f *flow) depthOf(p bursar.Payment) int {
	f.t.Helper()
	for depth := 1; depth < 30; depth++ {
		f.Mine(1)
		if f.Payment(p).Status == bursar.StatusConfirmed {
			return depth
		}
	}
	require.FailNow(f.t, "it is never confirmed")
	return 0
}

func TestMoreMoneyWaitsLonger(t *testing.T) {
	for amount, depth := range map[string]int{"99.999999": 2, "100": 5, "999": 5, "1000": 10, "5000": 10} {
		f := tiered(t, nil)
		p := f.Create("USDC", amount)
		require.Equal(t, depth == 10, p.Policy.Final)
		f.Pay(p)
		require.Equal(t, depth, f.depthOf(p), amount)
		f.noBrokenRules()

		eth := f.Create("ETH", "5000")
		f.Pay(eth)
		require.Equal(t, 2, f.depthOf(eth), "a tier is about its asset")
	}
}

// TestThreat_A22_SplittingDoesNotEvadeATier: all that lies in blocks for a payment
// counts together, and what is confirmed stays so.
func TestThreat_A22_SplittingDoesNotEvadeATier(t *testing.T) {
	f := tiered(t, nil)
	p := f.Create("USDC", "90")
	require.EqualValues(t, 2, p.RequiredConfirmations)
	f.PayAmount(p, "60")
	f.Mine(1)
	f.PayAmount(p, "60")
	f.Mine(1) // the first one would be deep enough
	txs := f.Transactions(p)
	require.Len(t, txs, 2)
	for _, tx := range txs {
		require.Equal(t, bursar.TxConfirming, tx.Status)
		require.EqualValues(t, 5, tx.Required)
	}
	require.EqualValues(t, 5, f.Payment(p).RequiredConfirmations)
	f.Mine(3)
	require.Equal(t, bursar.TxConfirmed, f.Transactions(p)[0].Status, "5 deep")
	require.Equal(t, bursar.TxConfirming, f.Transactions(p)[1].Status, "4 deep")
	f.Mine(1)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	f.PayAmount(p, "900")
	f.Mine(6)
	require.True(t, f.Payment(p).Policy.Final)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status, "what is confirmed stays so")
	require.Equal(t, bursar.TxConfirming, f.Transactions(p)[2].Status)
	f.Mine(4)
	require.Equal(t, bursar.TxConfirmed, f.Transactions(p)[2].Status)

	p = f.Create("USDC", "90")
	f.PayAmount(p, "60")
	f.Mine(2)
	f.PayAmount(p, "60")
	f.Mine(1)
	txs = f.Transactions(p)
	require.Equal(t, []bursar.TransactionStatus{bursar.TxConfirmed, bursar.TxConfirming}, []bursar.TransactionStatus{txs[0].Status, txs[1].Status})
	require.Equal(t, []uint64{2, 5}, []uint64{txs[0].Required, txs[1].Required})
	f.noBrokenRules()
	report, err := f.Gateway.Verify(t.Context())
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// TestAPaymentMayAskForFinality whatever its amount, and a tier that asks for it is
// no other request.
func TestAPaymentMayAskForFinality(t *testing.T) {
	f := tiered(t, nil)
	req := bursar.PaymentRequest{Asset: "local/USDC", Amount: amount("1"), IdempotencyKey: "small", Policy: &bursar.AmountPolicy{Final: true}}
	small := f.Request(req)
	f.Pay(small)
	require.Equal(t, 10, f.depthOf(small))
	req.Policy = &bursar.AmountPolicy{}
	_, err := f.Gateway.CreatePayment(t.Context(), req)
	require.ErrorIs(t, err, bursar.ErrIdempotencyConflict)

	req = bursar.PaymentRequest{Asset: "local/USDC", Amount: amount("2000"), IdempotencyKey: "large", Policy: &bursar.AmountPolicy{}}
	large := f.Request(req)
	require.True(t, large.Policy.Final)
	require.False(t, req.Policy.Final, "the caller's own is left alone")
	require.Equal(t, large.ID, f.Request(req).ID)
	f.Mine(1)
	f.noBrokenRules()
}

// TestADepositCountsByItself, whoever else pays to a customer's address.
func TestADepositCountsByItself(t *testing.T) {
	f := tiered(t, nil)
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	for _, n := range []string{"60", "70", "500", "1500"} {
		f.Chain.Pay("ann", a.Address, f.USDC, units(t, f.USDC, n))
	}
	confirmed := func() (out []string) {
		page, err := f.Gateway.Transactions(t.Context(), bursar.TransactionFilter{AddressID: a.ID}, 0, "")
		require.NoError(t, err)
		for _, tx := range page.Items {
			if tx.Status == bursar.TxConfirmed {
				out = append(out, f.USDC.Format(tx.Amount))
			}
		}
		return out
	}
	f.Mine(2)
	require.ElementsMatch(t, []string{"60", "70"}, confirmed())
	f.Mine(3)
	require.ElementsMatch(t, []string{"60", "70", "500"}, confirmed())
	f.Mine(4)
	require.Len(t, confirmed(), 3)
	f.Mine(1)
	require.Len(t, confirmed(), 4)
	f.noBrokenRules()
}

// TestAFinalTierFollowsTheChainsTag and not a depth, where there is one.
func TestAFinalTierFollowsTheChainsTag(t *testing.T) {
	f := newFlow(t, bursartest.Options{Chain: tagged(), Edit: func(c *bursar.Config) {
		usdc := c.Chains[0].Assets[0]
		c.Chains[0].Tiers = []bursar.Tier{{Asset: usdc.ID, From: units(t, usdc, "5"), Final: true}}
	}})
	f.Chain.SetFinalized(1)
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Mine(30)
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status)
	e, err := f.Gateway.Explain(t.Context(), p.ID)
	require.NoError(t, err)
	require.Equal(t, bursar.ReasonNotFinal, e.Reasons[0].Code, "%+v", e.Reasons)
	f.Chain.SetFinalized(f.Payment(p).Block - 1)
	f.Mine(1)
	require.Equal(t, bursar.StatusDetected, f.Payment(p).Status)
	f.Chain.SetFinalized(f.Payment(p).Block)
	f.Step()
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	f.noBrokenRules()
}

// TestExposureIsCapped: what does not fit waits for what is confirmed to be final,
// or to be so itself.
func TestExposureIsCapped(t *testing.T) {
	f := tiered(t, func(c *bursar.Chain, usdc chain.Asset) {
		c.Tiers, c.Exposure = nil, []bursar.Exposure{{Asset: usdc.ID, Max: units(t, usdc, "100")}}
	})
	var orders []bursar.Payment
	for _, n := range []string{"60", "50", "40", "500"} {
		p := f.Create("USDC", n)
		f.Pay(p)
		f.Mine(1)
		orders = append(orders, p)
	}
	eth := f.Create("ETH", "5000")
	f.Pay(eth)
	f.Mine(2)
	status := func() (out []bursar.Status) {
		for _, p := range append(orders, eth) {
			out = append(out, f.Payment(p).Status)
		}
		return out
	}
	const d, c = bursar.StatusDetected, bursar.StatusConfirmed
	require.Equal(t, []bursar.Status{c, d, c, d, c}, status(), "60 and 40 fit; another asset has no cap")
	e, err := f.Gateway.Explain(t.Context(), orders[1].ID)
	require.NoError(t, err)
	require.Equal(t, bursar.ReasonNotFinal, e.Reasons[0].Code, "%+v", e.Reasons)
	require.Contains(t, e.Reasons[0].Text, "100 USDC")
	f.Mine(4) // the first one is 10 deep and final
	require.Equal(t, []bursar.Status{c, c, c, d, c}, status())
	f.Mine(2)
	require.Equal(t, []bursar.Status{c, c, c, d, c}, status(), "500 alone is too much")
	f.Mine(1)
	require.Equal(t, []bursar.Status{c, c, c, c, c}, status(), "until it is final itself")

	f.Mine(10)
	orders = nil
	for _, n := range []string{"60", "60"} {
		p := f.Create("USDC", n)
		f.Pay(p)
		orders = append(orders, p)
	}
	f.Mine(2) // both are deep enough with the same block
	require.ElementsMatch(t, []bursar.Status{c, d, c}, status())
	f.noBrokenRules()
}

// TestThreat_A22_ATimeIsABoundOnBlocks of a chain that makes four a second.
func TestThreat_A22_ATimeIsABoundOnBlocks(t *testing.T) {
	for after, want := range map[time.Duration]uint64{0: 3, time.Second: 4, 1100 * time.Millisecond: 5, 500 * time.Millisecond: 3} {
		f := newFlow(t, bursartest.Options{
			Chain: chaintest.Options{Info: chain.Info{BlockTime: 250 * time.Millisecond}},
			Edit:  func(c *bursar.Config) { c.Chains[0].Confirmations, c.Chains[0].ConfirmAfter = 3, after },
		})
		require.Equal(t, want, f.Create("USDC", "1").RequiredConfirmations)
	}
}

func TestTiersAreChecked(t *testing.T) {
	one := chain.NewAmount(1)
	two := chain.NewAmount(2)
	for field, edits := range map[string][]func(*bursar.Chain, chain.AssetID){
		"Config.Chains[0].Tiers[0].Asset": {func(c *bursar.Chain, _ chain.AssetID) { c.Tiers = []bursar.Tier{{From: one, Confirmations: 3}} }},
		"Config.Chains[0].Tiers[0].From":  {func(c *bursar.Chain, a chain.AssetID) { c.Tiers = []bursar.Tier{{Asset: a, Confirmations: 3}} }},
		"Config.Chains[0].Tiers[1].From": {func(c *bursar.Chain, a chain.AssetID) {
			c.Tiers = []bursar.Tier{{Asset: a, From: two, Confirmations: 3}, {Asset: a, From: two, Confirmations: 4}}
		}},
		"Config.Chains[0].Tiers[0].Confirmations": {
			func(c *bursar.Chain, a chain.AssetID) { c.Tiers = []bursar.Tier{{Asset: a, From: one}} },
			func(c *bursar.Chain, a chain.AssetID) {
				c.Tiers = []bursar.Tier{{Asset: a, From: one, Confirmations: c.Client.Info().MaxReorg}}
			},
		},
		"Config.Chains[0].Tiers[1].Confirmations": {func(c *bursar.Chain, a chain.AssetID) {
			c.Tiers = []bursar.Tier{{Asset: a, From: one, Confirmations: 5}, {Asset: a, From: two, Confirmations: 4}}
		}},
		"Config.Chains[0].Tiers[1].Final": {func(c *bursar.Chain, a chain.AssetID) {
			c.Tiers = []bursar.Tier{{Asset: a, From: one, Final: true}, {Asset: a, From: two, Confirmations: 4}}
		}},
		"Config.Chains[0].Exposure[0].Asset": {func(c *bursar.Chain, _ chain.AssetID) { c.Exposure = []bursar.Exposure{{Max: one}} }},
		"Config.Chains[0].Exposure[1].Asset": {func(c *bursar.Chain, a chain.AssetID) {
			c.Exposure = []bursar.Exposure{{Asset: a, Max: one}, {Asset: a, Max: one}}
		}},
		"Config.Chains[0].Exposure[0].Max": {func(c *bursar.Chain, a chain.AssetID) { c.Exposure = []bursar.Exposure{{Asset: a}} }},
		"Config.Chains[0].ConfirmAfter":    {func(c *bursar.Chain, _ chain.AssetID) { c.ConfirmAfter = -1 }},
		"Config.Chains[0].Confirmations":   {func(c *bursar.Chain, _ chain.AssetID) { c.ConfirmAfter = 1000 * time.Hour }},
	} {
		for _, edit := range edits {
			cfg, _, _ := config(t)
			edit(&cfg.Chains[0], cfg.Chains[0].Client.Info().Native.ID)
			_, err := bursar.New(cfg)
			var bad *bursar.FieldError
			require.ErrorAs(t, err, &bad, field)
			require.Equal(t, field, bad.Field)
		}
	}
}
