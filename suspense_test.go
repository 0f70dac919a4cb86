package bursar_test

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// oddToken is a kit with one more token, changed by edit before it is listed.
func oddToken(t *testing.T, spec chaintest.TokenSpec, edit func(*chaintest.Chain, *chain.Asset)) (*bursartest.Kit, chain.Asset) {
	t.Helper()
	// Contracts get their addresses by their order, so that a chain of the same
	// deployments tells the asset beforehand.
	var odd chain.Asset
	c := chaintest.New(chaintest.Options{})
	c.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	c.DeployToken(chaintest.TokenSpec{Symbol: "USDT", Decimals: 6, Kind: chaintest.TokenNoReturn})
	odd = c.DeployToken(spec)
	edit(c, &odd)
	kit := bursartest.New(t, bursartest.Options{
		Tokens: []chaintest.TokenSpec{spec},
		Edit:   func(cfg *bursar.Config) { cfg.Chains[0].Assets = append(cfg.Chains[0].Assets, odd) },
	})
	return kit, odd
}

func request(symbol, amount string) bursar.PaymentRequest {
	return bursar.PaymentRequest{Asset: "local/" + symbol, Amount: decimal.RequireFromString(amount)}
}

func TestThreat_B6_FeeOnTransferIsHeldInSuspense(t *testing.T) {
	kit, odd := oddToken(t, chaintest.TokenSpec{Kind: chaintest.TokenFee, Symbol: "FEE", Decimals: 6}, func(_ *chaintest.Chain, a *chain.Asset) { a.VerifyBalance = true })
	p := kit.Request(request("FEE", "100"))
	kit.Pay(p)
	kit.Settle()
	p = kit.Payment(p)
	require.Equal(t, bursar.StatusPending, p.Status, "95 of 100 arrived: nothing is credited by itself")
	require.True(t, p.Received.IsZero() && p.Held.IsZero())
	e := kit.WaitEvent(bursar.AlertTokenAnomaly, p.ID)
	require.Equal(t, "100", e.Data.Amount)
	require.Equal(t, "95", e.Data.Received)
	require.Equal(t, "-95000000", kit.Balance(odd, bursar.Account("suspense:"+string(p.Address))).String())
	require.Equal(t, "95000000", kit.Balance(odd, bursar.Account("F:"+string(p.Address))).String())
	_, err := kit.Gateway.AcceptPayment(t.Context(), p.ID, "k")
	require.ErrorIs(t, err, bursar.ErrNothingToAccept)

	// The same token without the check is believed, and the ledger is off: this
	// is what the check is for.
	plain, _ := oddToken(t, chaintest.TokenSpec{Symbol: "FEE", Decimals: 6}, func(_ *chaintest.Chain, a *chain.Asset) { a.VerifyBalance = true })
	q := plain.Request(request("FEE", "100"))
	plain.Pay(q)
	plain.Settle()
	require.Equal(t, bursar.StatusSettled, plain.Payment(q).Status, "an honest token passes the check, through its sweep too")
}

func TestThreat_B6_SuspenseIsUndoneByAReorg(t *testing.T) {
	kit, odd := oddToken(t, chaintest.TokenSpec{Kind: chaintest.TokenFee, Symbol: "FEE", Decimals: 6}, func(_ *chaintest.Chain, a *chain.Asset) { a.VerifyBalance = true })
	p := kit.Request(request("FEE", "100"))
	kit.Pay(p)
	kit.Mine(2)
	kit.Reorg(2, chaintest.ReorgOptions{DropAll: true})
	require.Equal(t, "0", kit.Balance(odd, bursar.Account("suspense:"+string(p.Address))).String())
	require.Contains(t, kit.Kinds(p.ID), bursar.TransactionOrphaned)
}

func TestThreat_B7_UpgradedTokenIsFrozen(t *testing.T) {
	kit, odd := oddToken(t, chaintest.TokenSpec{Symbol: "PIN", Decimals: 6}, func(c *chaintest.Chain, a *chain.Asset) {
		token, err := c.Client().Inspect(t.Context(), *a)
		require.NoError(t, err)
		a.CodeHash = token.CodeHash
	})
	p := kit.Request(request("PIN", "10"))
	kit.Pay(p)
	kit.Confirm()
	require.Equal(t, bursar.StatusConfirmed, kit.Payment(p).Status, "the pinned code is believed")
	q := kit.Request(request("PIN", "10"))
	kit.Chain.Upgrade(odd)
	kit.Pay(q)
	kit.Settle()
	require.Equal(t, bursar.StatusPending, kit.Payment(q).Status)
	e := kit.WaitEvent(bursar.AlertTokenAnomaly, q.ID)
	require.Contains(t, e.Data.Reason, "pinned")
	require.Equal(t, "-10000000", kit.Balance(odd, bursar.Account("suspense:"+string(q.Address))).String())
}
