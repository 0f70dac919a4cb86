package e2e

import (
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	sweeping "github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

// installed is the contract of the till's treasury and sponsor, which an account of the
// wallet puts on the chain as a host would.
func (x *till) installed(treasury chain.Address) *sweeping.Sweeper {
	x.t.Helper()
	wallet, preset := walletOf(x.t, x.passphrase), evm.Local(x.n.ChainID)
	sponsor, err := bursar.SponsorOf(wallet, preset.Info, evm.Codec())
	require.NoError(x.t, err)
	sweeper, err := sweeping.New(sweeping.Params{
		Treasury: common.HexToAddress(string(treasury)), Owner: crypto.CreateAddress(x.n.Stranger(), 1<<41), Sponsor: common.HexToAddress(string(sponsor)),
	})
	require.NoError(x.t, err)
	(&fleet{t: x.t, n: x.n, sweeper: sweeper}).proxy()
	to, data := sweeper.Deployment()
	at := common.Address(to)
	x.n.Send(&at, nil, data, 2_000_000)
	x.n.Mine(1)
	return sweeper
}

func TestManyAreSweptTogetherAnvil(t *testing.T) { manyAreSweptTogether(t, nodes.Anvil) }
func TestManyAreSweptTogetherGeth(t *testing.T)  { manyAreSweptTogether(t, nodes.Geth) }

// manyAreSweptTogether: a gateway collects what a dozen customers paid in one
// transaction, leaves a frozen address behind, sweeps it by itself when it thaws, and
// the second time costs about half.
func manyAreSweptTogether(t *testing.T, open func(testing.TB) *node.Network) {
	n := open(t)
	asset := newToken(t, n, "FRZ", tokens.Freezable("FRZ", 6))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{asset}, treasury: vault(t, n), together: true, edit: func(c *bursar.Config) {
		c.Chains[0].Gather = time.Hour
	}})
	x.enrich(asset)
	sweeps := func() (out []bursar.Payout) {
		rows, err := x.gw.Payouts(t.Context(), bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutSweep}})
		require.NoError(t, err)
		return rows
	}
	var all []bursar.Payment
	for range 12 {
		p := x.askFor(asset, 10_000_000)
		x.pay(p)
		n.Mine(1)
		all = append(all, p)
	}
	frozen := all[7]
	n.Call(contractOf(asset), tokens.Freeze(addressOf(frozen), true))
	x.mine(8)
	require.Empty(t, sweeps(), "they wait for company")
	x.wait(2 * time.Hour)
	for i, p := range all {
		if i != 7 {
			x.settle(p)
		}
	}
	var whole bursar.Payout
	for _, p := range sweeps() {
		if p.Status == bursar.PayoutConfirmed {
			require.Empty(t, whole.ID, "one transaction")
			whole = p
		}
	}
	require.Len(t, whole.Sources, 11)
	require.Equal(t, "110000000", whole.Moved.String())
	x.has(x.treasury, asset, 110_000_000)
	x.is(frozen, bursar.StatusConfirmed)

	n.Call(contractOf(asset), tokens.Freeze(addressOf(frozen), false))
	x.mine(1)
	x.wait(3 * time.Hour)
	x.settle(frozen)
	x.has(x.treasury, asset, 120_000_000)

	// Permanent addresses for tokens delegate the first time, and pay less the second.
	gas := map[bool]uint64{}
	for _, again := range []bool{false, true} {
		for _, who := range []string{"ann", "bob", "cid"} {
			at, err := x.gw.CreateAddress(t.Context(), bursar.AddressRequest{Chain: x.client.Info().ID, Customer: who, TokensOnly: true})
			require.NoError(t, err)
			n.Call(contractOf(asset), tokens.Mint(common.HexToAddress(string(at.Address)), big.NewInt(5_000_000)))
		}
		before := len(sweeps())
		x.mine(8)
		x.wait(2 * time.Hour)
		for range 40 {
			if rows := sweeps(); len(rows) > before && rows[len(rows)-1].Status == bursar.PayoutConfirmed {
				break
			}
			x.mine(1)
		}
		last := sweeps()[len(sweeps())-1]
		require.Len(t, last.Sources, 3)
		gas[again] = last.GasUsed
	}
	require.Less(t, gas[true]*5, gas[false]*3, "%v", gas)
	x.has(x.treasury, asset, 150_000_000)
	x.good()
}
