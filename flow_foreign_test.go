package bursar_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
)

func (f *flow) steal(from chain.Account, asset chain.Asset, n chain.Amount, to chain.Address) chain.TxID {
	f.t.Helper()
	signed := f.forge(from, asset, n, to)
	id, err := f.Chain.Send(signed.Raw)
	require.NoError(f.t, err)
	return id
}

func (f *flow) forge(from chain.Account, asset chain.Asset, n chain.Amount, to chain.Address) chain.Signed {
	f.t.Helper()
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(f.t, err)
	client := f.Chain.Client()
	id := client.Info().ID
	signer, err := hdwallet.NewSigner(hdwallet.Policy{
		Codecs: map[chain.ID]chain.Codec{id: client.Codec()}, Treasury: map[chain.ID][]chain.Address{id: {to}},
	}, wallet)
	require.NoError(f.t, err)
	draft, err := client.Prepare(f.ctx(), chain.Intent{
		Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: from, To: to, Asset: asset, Amount: n}},
	})
	require.NoError(f.t, err)
	require.Empty(f.t, draft.Needs)
	signed, err := client.Sign(f.ctx(), draft, signer)
	require.NoError(f.t, err)
	return signed
}

func (f *flow) account(change, index uint32, address chain.Address) chain.Account {
	f.t.Helper()
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(f.t, err)
	a, err := wallet.Account(f.Chain.Info().CoinType)
	require.NoError(f.t, err)
	return chain.Account{Address: address, Key: a.KeyRef(change, index)}
}

func (f *flow) drainSponsor() {
	f.t.Helper()
	all := f.Chain.BalanceOf(f.Sponsor, f.ETH)
	f.steal(f.account(1, 0, f.Sponsor), f.ETH, all.SubFloor(chain.NewAmount(1e14)), f.Chain.Payer("owner"))
	f.Mine(8)
}

func TestThreat_F4_AForeignTransactionOfOurKey(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.Chain.FailNext(chaintest.MethodBroadcast, errNode, 1_000)
	p := f.paid("ETH")
	f.Mine(4)
	sweep := f.only(bursar.PayoutSweep)
	require.Equal(t, bursar.PayoutBroadcast, sweep.Status)
	thief := f.Chain.Payer("thief")
	f.steal(sweep.From, f.ETH, units(t, f.ETH, "9"), thief)
	f.Mine(1)
	require.Equal(t, 1, f.count(bursar.AlertKeyCompromised, string(f.Chain.Info().ID)), "told at once")
	require.Equal(t, bursar.PayoutBroadcast, f.payout(sweep).Status, "a reorg may still take it back")
	require.Equal(t, units(t, f.ETH, "9").String(), f.Balance(f.ETH, bursar.Account("suspense:"+string(p.Address))).String())

	// It comes and goes with its block.
	a := f.Chain.Reorg(1, chaintest.ReorgOptions{Delay: 4})
	f.Step()
	require.Zero(t, f.Balance(f.ETH, bursar.Account("suspense:"+string(p.Address))).Sign())
	f.Chain.Return(a)
	f.Step()
	f.Mine(8)
	got := f.payout(sweep)
	require.Equal(t, bursar.PayoutHalted, got.Status)
	require.Equal(t, "LOCK_CONSUMED", got.FailureCode)
	require.Equal(t, 1, f.count(bursar.AlertKeyCompromised, sweep.ID))
	require.Len(t, f.attempts(sweep), 1, "nothing new is signed")
	f.noBrokenRules()
}

func TestThreat_F4_AForeignFailureCostsGasToo(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.paid("USDC")
	f.Settle()
	f.Chain.Fund(p.Address, chain.NewAmount(1e17))
	f.PayAsset(p, f.USDC, "5")
	f.Mine(1)
	f.steal(f.account(0, 0, p.Address), f.USDC, units(t, f.USDC, "4"), f.Sponsor)
	f.Chain.SetTransferRate(f.USDC, 0, 1) // it moves nothing when it is mined
	f.Mine(1)
	require.Equal(t, 1, f.count(bursar.AlertKeyCompromised, string(f.Chain.Info().ID)))
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	f.Mine(1)
	f.Reorg(2)
	f.Mine(3)
	require.Empty(t, f.logs.broken())
}

func (f *flow) pinned() chain.Asset {
	f.t.Helper()
	a := f.Chain.DeployToken(chaintest.TokenSpec{Symbol: "PIN", Decimals: 6})
	return f.list(f.pin(a))
}

func (f *flow) pin(a chain.Asset) chain.Asset {
	f.t.Helper()
	token, err := f.Chain.Client().Inspect(f.ctx(), a)
	require.NoError(f.t, err)
	a.CodeHash = token.CodeHash
	return a
}

func TestThreat_B7_GoodMoneyBesideDoubtful(t *testing.T) {
	f := newFlow(t, bursartest.Options{Chain: tagged(), SkipLedger: true})
	pin := f.pinned()
	p := f.Create("PIN", "10")
	f.Chain.SetFinalized(f.Chain.Head().Height)
	f.Pay(p)
	f.Mine(1)
	f.Chain.Upgrade(pin)
	f.Chain.Pay("later", p.Address, pin, units(t, pin, "7"))
	f.Mine(10)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	f.Chain.FollowFinalized() // both are final in the same moment
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Equal(t, units(t, pin, "10"), f.Chain.BalanceOf(f.Treasury, pin), "what is believed is swept, the rest stays")
	require.Equal(t, units(t, pin, "7"), f.Chain.BalanceOf(p.Address, pin))
	require.Empty(t, f.logs.broken())
}

func TestThreat_B7_DoubtfulMoneyIsMinedAgainAndBelieved(t *testing.T) {
	f := newFlow(t, bursartest.Options{SkipLedger: true})
	pin := f.pinned()
	f.Chain.Upgrade(pin)
	p := f.Create("PIN", "10")
	f.Pay(p)
	f.Mine(2)
	require.Equal(t, bursar.StatusPending, f.Payment(p).Status)
	f.reconfigure(func(c *bursar.Config) {
		for i, a := range c.Chains[0].Assets {
			if a.ID == pin.ID {
				c.Chains[0].Assets = slices.Clone(c.Chains[0].Assets)
				c.Chains[0].Assets[i] = f.pin(a)
			}
		}
	})
	f.Reorg(2)
	require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(f.Treasury, pin))
	require.Zero(t, f.Balance(pin, bursar.Account("suspense:"+string(p.Address))).Sign())
	require.Empty(t, f.logs.broken())
}

func TestThreat_F4_AForeignMoveBetweenOurAddresses(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Chain.Fund(p.Address, chain.NewAmount(1e17))
	f.Pay(p)
	f.Mine(1)
	f.steal(f.account(0, 0, p.Address), f.USDC, units(t, f.USDC, "4"), f.Sponsor)
	f.Mine(1)
	require.Equal(t, units(t, f.USDC, "4").String(), f.Balance(f.USDC, bursar.Account("U:"+string(f.Sponsor))).String())
	require.Zero(t, f.Balance(f.USDC, bursar.Account("suspense:"+string(p.Address))).Sign())
	require.Empty(t, f.logs.broken())
}
