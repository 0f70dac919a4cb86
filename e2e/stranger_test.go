package e2e

import (
	"crypto/ed25519"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
	"github.com/bursar-go/bursar/e2e/node"
)

func TestStrangersArePaidAnvil(t *testing.T) { strangersArePaid(t, nodes.Anvil) }
func TestStrangersArePaidGeth(t *testing.T)  { strangersArePaid(t, nodes.Geth) }

// strangersArePaid: refunds and a withdrawal leave the float one after the other, each
// once, in coin and in a token, and the books are those of the chain.
func strangersArePaid(t *testing.T, open func(testing.TB) *node.Network) {
	n := open(t)
	asset := newToken(t, n, "USD", tokens.Plain("USD", 6))
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	x := openTill(t, n, tillOptions{assets: []chain.Asset{asset}, treasury: vault(t, n), edit: func(c *bursar.Config) {
		c.Approvers = []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}
	}})
	x.enrich(asset)
	id := x.client.Info().ID
	float, err := x.gw.Float(id)
	require.NoError(t, err)
	n.Fund(common.HexToAddress(string(float)), big.NewInt(1e18))
	n.Call(contractOf(asset), tokens.Mint(common.HexToAddress(string(float)), big.NewInt(1_000_000_000)))
	x.mine(1)

	bought := x.askFor(asset, 10_000_000)
	x.pay(bought)
	x.mine(1)
	coin := x.ask(5_000_000_000_000_000)
	x.pay(coin)
	x.mine(1)
	saved, err := x.gw.CreateAddress(t.Context(), bursar.AddressRequest{Chain: id, Customer: "ann"})
	require.NoError(t, err)
	n.Call(contractOf(asset), tokens.Mint(common.HexToAddress(string(saved.Address)), big.NewInt(7_000_000)))
	x.settle(bought)
	x.settle(coin)

	to := n.Account("refunded").Address
	back := func(of bursar.Payment, amount int64, name string) bursar.Payout {
		p, err := x.gw.Refund(t.Context(), of.ID, bursar.RefundRequest{To: to.Hex(), Amount: decimal.New(amount, -int32(of.Asset.Decimals)), Key: name})
		require.NoError(t, err)
		return p
	}
	out, err := x.gw.Withdraw(t.Context(), bursar.WithdrawRequest{Customer: "ann", Asset: string(asset.ID), To: to.Hex(), All: true, Key: "all"})
	require.NoError(t, err)
	all := []bursar.Payout{back(bought, 4_000_000, "a"), back(coin, 2_000_000_000_000_000, "b"), out, back(bought, 6_000_000, "c")}
	had := x.held(to, x.client.Info().Native)
	for _, p := range all {
		a := chain.Approval{Payout: p.ID, Asset: p.Asset.ID, To: p.To, Amount: p.Amount, NotAfter: time.Now().Add(time.Hour)}
		a.Signature = ed25519.Sign(key, a.Message())
		_, err := x.gw.ApprovePayout(t.Context(), p.ID, a)
		require.NoError(t, err)
	}
	for _, p := range all {
		x.paidOut(p)
	}
	x.has(to, asset, 17_000_000)
	got := new(big.Int).Sub(x.held(to, x.client.Info().Native), had)
	require.EqualValues(t, 2_000_000_000_000_000, got.Int64())
	require.Equal(t, bought.Amount, x.payment(bought).Refunded)
	x.good()
}

// paidOut mines until a payout is final.
func (x *till) paidOut(p bursar.Payout) {
	x.t.Helper()
	for range 60 {
		got, attempts, err := x.gw.Payout(x.t.Context(), p.ID)
		require.NoError(x.t, err)
		if got.Status == bursar.PayoutConfirmed {
			require.Len(x.t, attempts, 1)
			return
		}
		x.mine(1)
	}
	require.Fail(x.t, "not paid", "%s", p.ID)
}
