package bursar_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/sweeper"
)

// costs are those of the flow's chain.
func (f *flow) costs() bursar.SweepCosts {
	f.t.Helper()
	out, err := f.Gateway.SweepCosts(f.t.Context(), f.Chain.Info().ID)
	require.NoError(f.t, err)
	require.Equal(f.t, f.Chain.Info().ID, out.Chain)
	require.Equal(f.t, f.Chain.Info().Native.ID, out.Coin.ID)
	require.Empty(f.t, out.Unpriced)
	return out
}

// gathering is a flow whose tokens wait for company, and whose treasury has some.
func gathering(t *testing.T) *flow {
	f := batched(t, func(o *bursartest.Options) {
		o.Edit = func(c *bursar.Config) { c.Chains[0].Gather = time.Hour }
	})
	f.rich()
	return f
}

// rich has the treasury get some of a token, by a first sweep.
func (f *flow) rich() {
	f.t.Helper()
	f.crowd("USDC", 1)
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	require.Equal(f.t, units(f.t, f.USDC, "10"), f.Chain.BalanceOf(f.Treasury, f.USDC))
}

// permanent are addresses for tokens of customers.
func (f *flow) permanent(customers ...string) (out []chain.Address) {
	f.t.Helper()
	for _, c := range customers {
		at, err := f.Gateway.CreateAddress(f.t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: c, TokensOnly: true})
		require.NoError(f.t, err)
		out = append(out, at.Address)
	}
	return out
}

// deposit pays to addresses and brings the money to where it can be swept.
func (f *flow) deposit(asset chain.Asset, amount string, to ...chain.Address) {
	f.t.Helper()
	for _, a := range to {
		f.Chain.Pay("payer", a, asset, units(f.t, asset, amount))
	}
	f.Mine(int(max(f.Chain.Info().FinalityDepth, f.Chain.Info().Confirmations)))
}

// cost is what confirmed payouts of some kinds cost in all, but for the first so many.
func (f *flow) cost(skip int, kinds ...bursar.PayoutKind) (n int, gas uint64, fee chain.Amount) {
	f.t.Helper()
	for _, p := range f.payouts(kinds...)[skip:] {
		require.Equal(f.t, bursar.PayoutConfirmed, p.Status)
		var err error
		n, gas = n+1, gas+p.GasUsed
		fee, err = fee.Add(p.Fee)
		require.NoError(f.t, err)
	}
	return n, gas, fee
}

// near requires that a way cost what was told of it, within some percent.
func (f *flow) near(told bursar.SweepForecast, way chain.CollectionWay, n int, gas uint64, fee chain.Amount) {
	f.t.Helper()
	for _, c := range told.Ways {
		if c.Way == way {
			require.Equal(f.t, n, c.Transactions)
			require.InEpsilon(f.t, gas, c.Now.Gas, 0.04)
			require.InEpsilon(f.t, fee.Big().Uint64(), c.Now.Fee.Big().Uint64(), 0.04)
			return
		}
	}
	require.Fail(f.t, "nothing is told of that way", "%s: %+v", way, told)
}

// What is told of a batch is what it costs, the first time and the next.
func TestSweepCostsOfABatch(t *testing.T) {
	f := gathering(t)
	require.Empty(t, f.costs().Waiting)
	customers := f.permanent("ann", "bob")
	f.crowd("USDC", 3)
	f.deposit(f.USDC, "5", customers[0], customers[1], customers[1])
	got := f.costs()
	require.False(t, got.Off)
	require.Len(t, got.Waiting, 1)
	first := got.Waiting[0]
	require.Equal(t, f.USDC.ID, first.Asset.ID)
	require.Equal(t, chain.WayBatch, first.Way)
	require.Equal(t, sweeper.ReasonTogether, first.Reason)
	require.Equal(t, []int{5, 0, 6}, []int{first.Addresses, first.Delegating, first.Payments})
	require.Equal(t, units(t, f.USDC, "45"), first.Amount)
	require.Len(t, first.Ways, 2)
	require.Equal(t, chain.WayBatch, first.Ways[0].Way, "the chosen one comes first")
	require.Less(t, first.Ways[0].Now.Gas, first.Ways[1].Now.Gas)
	require.Greater(t, first.Ways[0].Next.Gas, first.Ways[0].Now.Gas)
	require.NotEmpty(t, first.Ways[0].Rules)
	require.Equal(t, got, f.costs(), "it changes nothing")

	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	n, gas, fee := f.cost(1, bursar.PayoutSweep)
	f.near(first, chain.WayBatch, n, gas, fee)
	require.Empty(t, f.costs().Waiting, "it is swept")

	f.crowd("USDC", 2)
	f.deposit(f.USDC, "5", customers...)
	again := f.costs().Waiting[0]
	require.Equal(t, []int{4, 2}, []int{again.Addresses, again.Delegating}, "who was in a batch delegates")
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	n, gas, fee = f.cost(2, bursar.PayoutSweep)
	f.near(again, chain.WayBatch, n, gas, fee)
	f.noBrokenRules()
}

// Chains that are not swept are told of too, and what is told of each address that pays
// for itself is what it costs once they are.
func TestSweepCostsWhereNothingIsSwept(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.rich()
	earlier := map[string]bool{}
	for _, p := range f.payouts(bursar.PayoutSweep, bursar.PayoutTopUp) {
		earlier[p.ID] = true
	}
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
	coins := []bursar.Payment{f.Create("ETH", "1"), f.Create("ETH", "2")}
	tokens := []bursar.Payment{f.Create("USDC", "10"), f.Create("USDC", "10"), f.Create("USDC", "10")}
	for _, p := range append(coins, tokens...) {
		f.Pay(p)
	}
	f.Chain.Pay("payer", f.Sponsor, f.USDC, units(t, f.USDC, "7"))
	f.Settle()
	got := f.costs()
	require.True(t, got.Off)
	require.Len(t, got.Waiting, 2, "what the sponsor has stays there: %+v", got.Waiting)
	of := map[chain.AssetID]bursar.SweepForecast{}
	for _, w := range got.Waiting {
		require.Empty(t, w.Way)
		require.Equal(t, sweeper.ReasonOff, w.Reason)
		of[w.Asset.ID] = w
	}
	coin, token := of[f.ETH.ID], of[f.USDC.ID]
	require.Equal(t, 2, coin.Payments)
	require.Equal(t, uint64(21_000), coin.Ways[0].Now.GasEach)
	require.Equal(t, uint64(1), coin.Ways[0].Now.Share, "46,200 gwei of 3 coins, rounded up")
	require.Zero(t, token.Ways[0].Now.Share, "what it is worth is not known")
	require.Contains(t, got.String(), "nothing is swept on this chain")

	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepFinal })
	f.Settle()
	f.Settle()
	var byTransfer, byTopUp struct {
		n   int
		gas uint64
		fee chain.Amount
	}
	for _, p := range f.payouts(bursar.PayoutSweep, bursar.PayoutTopUp) {
		if earlier[p.ID] {
			continue
		}
		sum := &byTopUp
		if p.Asset.Native() && p.Kind == bursar.PayoutSweep {
			sum = &byTransfer
		}
		sum.n, sum.gas = sum.n+1, sum.gas+p.GasUsed
		sum.fee = sumOf(t, sum.fee, p.Fee)
	}
	f.near(coin, chain.WayTransfer, byTransfer.n, byTransfer.gas, coin.Ways[0].Now.Fee)
	f.near(token, chain.WayTopUp, byTopUp.n, byTopUp.gas, byTopUp.fee)
	require.Empty(t, f.costs().Waiting)
	require.False(t, f.costs().Off)
}

// The way is that which the sweeper takes: for an address that may be paid in coin, and
// for what is too little.
func TestSweepCostsTellWhy(t *testing.T) {
	f := gathering(t)
	f.reconfigure(func(c *bursar.Config) {
		c.Chains[0].Assets = append([]chain.Asset(nil), c.Chains[0].Assets...)
		for i := range c.Chains[0].Assets {
			if c.Chains[0].Assets[i].ID == f.USDT.ID {
				c.Chains[0].Assets[i].SweepMinimum = units(t, f.USDT, "100")
			}
		}
	})
	f.crowd("USDT", 2)
	coin := f.Create("ETH", "1")
	// What the sponsor and the float have stays where it works.
	f.Chain.Pay("payer", f.Sponsor, f.USDC, units(t, f.USDC, "7"))
	f.refuse(chaintest.MethodPrepare)
	f.Chain.Pay("payer", coin.Address, f.USDC, units(t, f.USDC, "5"))
	f.crowd("USDC", 1)
	f.Mine(20)
	got := f.costs()
	require.Len(t, got.Waiting, 2, "what is in a payout under way does not wait: %+v", got.Waiting)
	require.Len(t, f.payouts(bursar.PayoutSweep), 2)
	for _, w := range got.Waiting {
		switch w.Asset.ID {
		case f.USDT.ID:
			require.Empty(t, w.Way)
			require.Equal(t, sweeper.ReasonBelowMinimum, w.Reason)
			require.Equal(t, 2, w.Payments)
		default:
			require.Equal(t, sweeper.ReasonTogether, w.Reason)
			require.Equal(t, 1, w.Addresses)
		}
	}
}

// Addresses that paid for themselves are there on the chain, and delegate to nobody; of
// those that coin may come to it is told that they go by themselves.
func TestSweepCostsOfAddressesThatPaidAlone(t *testing.T) {
	f := newFlow(t, bursartest.Options{Batches: true, Edit: func(c *bursar.Config) { c.Chains[0].MaxBatch = -1 }})
	at := f.permanent("ann")[0]
	coin, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	f.deposit(f.USDC, "5", at)
	f.Settle()
	require.Len(t, f.payouts(bursar.PayoutSweep), 1)
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
	f.deposit(f.USDC, "5", at, coin.Address)
	off := f.costs().Waiting[0]
	require.Equal(t, []int{2, 0}, []int{off.Addresses, off.Delegating})
	require.Equal(t, uint64(2*55_120+90_000), off.Ways[0].Next.Gas, "one of them is new on the chain")

	require.NoError(t, f.Gateway.Stop(t.Context()))
	cfg := f.cfg
	cfg.Chains = append([]bursar.Chain(nil), cfg.Chains...)
	cfg.Chains[0].Sweep, cfg.Chains[0].MaxBatch, cfg.Chains[0].Gather = bursar.SweepFinal, 0, time.Hour
	next, err := bursar.New(cfg)
	require.NoError(t, err)
	got, err := next.SweepCosts(t.Context(), f.Chain.Info().ID)
	require.NoError(t, err)
	require.Len(t, got.Waiting, 2)
	require.Equal(t, sweeper.ReasonTogether, got.Waiting[0].Reason)
	require.Zero(t, got.Waiting[0].Delegating, "it was in no batch")
	require.Equal(t, chain.WayTopUp, got.Waiting[1].Way)
	require.Equal(t, sweeper.ReasonCoinAddress, got.Waiting[1].Reason)
}

func TestSweepCostsRefuseAndDoWithout(t *testing.T) {
	f := gathering(t)
	_, err := f.Gateway.SweepCosts(t.Context(), "eip155:424242")
	f.field(err, "SweepCosts.Chain", bursar.CodeUnknown)
	_, err = f.Gateway.SweepCosts(t.Context(), "")
	f.field(err, "SweepCosts.Chain", bursar.CodeUnknown)
	var none *bursar.Gateway
	_, err = none.SweepCosts(t.Context(), f.Chain.Info().ID)
	require.ErrorIs(t, err, bursar.ErrNotStarted)
	named, err := f.Gateway.SweepCosts(t.Context(), bursar.ChainID(f.Chain.Info().Name))
	require.NoError(t, err)
	require.Equal(t, f.costs(), named)

	f.crowd("USDC", 2)
	f.deposit(f.USDC, "5")
	priced := f.costs()
	f.refuse(chaintest.MethodEstimate)
	got, err := f.Gateway.SweepCosts(t.Context(), f.Chain.Info().ID)
	require.NoError(t, err, "a node that is away is no error")
	require.Contains(t, got.Unpriced, errNode.Error())
	require.True(t, got.Price.IsZero())
	require.Equal(t, priced.Waiting[0].Ways[0].Now.Gas, got.Waiting[0].Ways[0].Now.Gas)
	require.True(t, got.Waiting[0].Ways[0].Now.Fee.IsZero())
	require.Contains(t, got.String(), "the price of gas is not known: ")
	f.Chain.Fail(nil)

	require.NoError(t, f.Gateway.Stop(t.Context()))
	stopped, err := f.Gateway.SweepCosts(t.Context(), f.Chain.Info().ID)
	require.NoError(t, err)
	require.Equal(t, priced.Waiting, stopped.Waiting)
	fresh, err := bursar.New(f.cfg)
	require.NoError(t, err)
	before, err := fresh.SweepCosts(t.Context(), f.Chain.Info().ID)
	require.NoError(t, err)
	require.Equal(t, priced.Waiting, before.Waiting, "before Start, with no address derived")
}

// What operators and programs read of it.
func TestSweepCostsAsTextAndJSON(t *testing.T) {
	f := gathering(t)
	f.crowd("USDC", 2)
	f.deposit(f.USDC, "5", f.permanent("ann")...)
	got := f.costs()
	text := got.String()
	require.Contains(t, text, "a unit of gas costs 0.0000000011 ETH now")
	require.Regexp(t, `(?m)^  25 USDC +3 +3 +batch +many addresses in one transaction +1 +\d{5} +0\.0000\d+ +\? +\d{6}$`, text)
	require.Regexp(t, `(?m)^ +or topup +6 +55120 +0\.000060632 +\? +145120$`, text)
	require.Contains(t, text, "then: a projection, under the rules of ")
	raw, err := json.Marshal(got)
	require.NoError(t, err)
	var back bursar.SweepCosts
	require.NoError(t, json.Unmarshal(raw, &back))
	require.Equal(t, got.Waiting, back.Waiting)
	for _, name := range []string{`"chain":`, `"price":"1100000000"`, `"way":"batch"`, `"reason":"together"`, `"gas_each":`, `"fee_each":"`} {
		require.Contains(t, string(raw), name)
	}
	require.NotContains(t, string(raw), `"off"`)
	got.Waiting = nil
	require.Contains(t, got.String(), "nothing waits to be swept")
}

// Money that is not believed is not told of: it is not swept.
func TestSweepCostsLeaveDoubtfulMoneyOut(t *testing.T) {
	f := newFlow(t, bursartest.Options{Chain: tagged(), SkipLedger: true})
	pin := f.pinned()
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
	p := f.Create("PIN", "10")
	f.Chain.SetFinalized(f.Chain.Head().Height)
	f.Pay(p)
	f.Mine(1)
	f.Chain.Upgrade(pin)
	f.Chain.Pay("later", p.Address, pin, units(t, pin, "7"))
	f.Mine(10)
	f.Chain.FollowFinalized()
	f.Mine(1)
	got := f.costs().Waiting
	require.Len(t, got, 1)
	require.Equal(t, units(t, pin, "10"), got[0].Amount)
	require.Equal(t, 1, got[0].Payments)
}

// What a batch left behind is told of as what it is: less, and to go by itself.
func TestSweepCostsOfWhatABatchLeftBehind(t *testing.T) {
	f := gathering(t)
	f.deposit(f.USDC, "10", f.permanent("ann", "bob")...)
	f.Chain.AdvanceTime(2 * time.Hour)
	f.Step()
	require.Equal(t, bursar.PayoutBroadcast, f.payouts(bursar.PayoutSweep)[1].Status)
	f.Chain.SetTransferRate(f.USDC, 1, 2)
	f.Mine(1)
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	f.refuse(chaintest.MethodPrepare) // what is left is planned, and given up
	f.Mine(7)
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
	for _, p := range f.payouts(bursar.PayoutSweep) {
		if p.Status == bursar.PayoutPlanned {
			_, err := f.Gateway.CancelPayout(f.ctx(), p.ID)
			require.NoError(t, err)
		}
	}
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep, c.Chains[0].Gather = bursar.SweepFinal, time.Hour })
	got := f.costs().Waiting
	require.Len(t, got, 1)
	require.Equal(t, units(t, f.USDC, "10"), got[0].Amount, "half of it is there")
	require.Equal(t, sweeper.ReasonMissed, got[0].Reason)
	require.Equal(t, []int{2, 2}, []int{got[0].Addresses, got[0].Delegating})
}
