package bursar_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// stranger is a token that the kit's client does not list by itself and the
// configuration does not know.
func stranger(f *flow, symbol string) chain.Asset {
	return f.Chain.DeployToken(chaintest.TokenSpec{Symbol: symbol, Decimals: 8, Unlisted: true})
}

// accepted finds an asset among those the gateway lists.
func accepted(gw *bursar.Gateway, id chain.AssetID) (bursar.AcceptedAsset, bool) {
	for _, a := range gw.Assets() {
		if a.ID == id {
			return a, true
		}
	}
	return bursar.AcceptedAsset{}, false
}

func TestAddedTokenIsTakenAtOnce(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	dai := stranger(f, "DAI")
	_, err := f.Gateway.CreatePayment(f.ctx(), bursar.PaymentRequest{Asset: "local/DAI", Amount: amount("5")})
	isField(t, err, "PaymentRequest.Asset", bursar.CodeUnknown)
	tip := f.state().Tip().Height
	require.NoError(t, f.Gateway.AddAsset(f.ctx(), "local", dai))
	got, ok := accepted(f.Gateway, dai.ID)
	require.True(t, ok)
	require.Equal(t, bursar.AcceptedAsset{Asset: dai, Alias: "local/DAI", Added: true, Since: tip}, got)

	byAlias, byID := f.Create("DAI", "5"), f.Request(bursar.PaymentRequest{Asset: string(dai.ID), Amount: amount("7")})
	f.Pay(byAlias)
	f.Pay(byID)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(byAlias).Status)
	require.Equal(t, bursar.StatusSettled, f.Payment(byID).Status)
	require.Equal(t, "12", dai.Format(f.Chain.BalanceOf(f.Treasury, dai)), "swept too")
}

// TestAddedTokenOutlastsARestart: a payment in it is paid after the restart.
func TestAddedTokenOutlastsARestart(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	dai := stranger(f, "DAI")
	require.NoError(t, f.Gateway.AddAsset(f.ctx(), string(f.Chain.Info().ID), dai))
	p := f.Create("DAI", "5")
	f.Restart()
	_, known := accepted(f.Gateway, dai.ID)
	require.True(t, known)
	f.Pay(p)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
}

// TestAddedTokenOnAnotherInstance: what one adds, another one that does not scan
// takes payments in, and the one that scans watches.
func TestAddedTokenOnAnotherInstance(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two := f.twin("two")
	dai := stranger(f, "DAI")
	require.NoError(t, two.AddAsset(t.Context(), "local", dai), "by the one that does not scan")
	_, known := accepted(f.Gateway, dai.ID)
	require.False(t, known, "the other one has not looked yet")
	p := ask(t, two, "DAI")
	f.Pay(p)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	third := f.twin("three")
	eur := stranger(f, "EUR")
	require.NoError(t, f.Gateway.AddAsset(t.Context(), "local", eur))
	ask(t, third, "EUR")

	fourth := f.twin("four")
	jpy := stranger(f, "JPY")
	require.NoError(t, f.Gateway.AddAsset(t.Context(), "local", jpy))
	require.NoError(t, f.Store.Write(t.Context(), func(tx bursar.Tx) error {
		_, err := fourth.CreatePaymentTx(t.Context(), tx, bursar.PaymentRequest{Asset: "local/JPY", Amount: amount("1")})
		return err
	}), "inside a transaction too")

	require.NoError(t, f.Gateway.DisableAsset(t.Context(), "local/EUR"))
	require.NoError(t, third.Step(t.Context()), "it stands by, and looks")
	_, err := third.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/EUR", Amount: amount("1")})
	isField(t, err, "PaymentRequest.Asset", bursar.CodeUnknown)
}

func TestAddAssetIsCheckedAsAtStart(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	dai := stranger(f, "DAI")
	edit := func(change func(*chain.Asset)) chain.Asset { a := dai; change(&a); return a }
	nobody := f.Chain.Payer("nobody")
	for name, c := range map[string]struct {
		asset chain.Asset
		field string
		code  bursar.Code
	}{
		"decimals":      {edit(func(a *chain.Asset) { a.Decimals = 6 }), "AddAsset.Asset.Decimals", bursar.CodeMismatch},
		"no contract":   {edit(func(a *chain.Asset) { a.ID, a.Contract = erc20(nobody), nobody }), "AddAsset.Asset.Contract", bursar.CodeUnknown},
		"native":        {f.ETH, "", ""},
		"other coin":    {edit(func(a *chain.Asset) { a.Contract = "" }), "AddAsset.Asset.Contract", bursar.CodeRequired},
		"no symbol":     {edit(func(a *chain.Asset) { a.Symbol = "" }), "AddAsset.Asset.Symbol", bursar.CodeRequired},
		"symbol taken":  {edit(func(a *chain.Asset) { a.Symbol = "USDC" }), "AddAsset.Asset.Symbol", bursar.CodeDuplicate},
		"other chain":   {edit(func(a *chain.Asset) { a.ID = "eip155:1/erc20:" + chain.AssetID(dai.Contract) }), "AddAsset.Asset.ID", bursar.CodeMismatch},
		"id and code":   {edit(func(a *chain.Asset) { a.ID = erc20(nobody) }), "AddAsset.Asset.ID", bursar.CodeMismatch},
		"the treasury":  {edit(func(a *chain.Asset) { a.ID, a.Contract = erc20(f.Treasury), f.Treasury }), "AddAsset.Asset.Contract", bursar.CodeInvalid},
		"the sponsor":   {edit(func(a *chain.Asset) { a.ID, a.Contract = erc20(f.Sponsor), f.Sponsor }), "AddAsset.Asset.Contract", bursar.CodeInvalid},
		"configured":    {edit(func(a *chain.Asset) { *a = f.USDC; a.Minimum = chain.NewAmount(1) }), "AddAsset.Asset", bursar.CodeMismatch},
		"as configured": {f.USDC, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := f.state()
			err := f.Gateway.AddAsset(f.ctx(), "local", c.asset)
			if c.field == "" {
				require.NoError(t, err)
			} else {
				isField(t, err, c.field, c.code)
			}
			require.Equal(t, before, f.state(), "nothing was written")
		})
	}
	isField(t, f.Gateway.AddAsset(f.ctx(), "mars", dai), "AddAsset.Chain", bursar.CodeUnknown)
	f.Chain.FailNext(chaintest.MethodInspect, errNode, 1)
	require.ErrorIs(t, f.Gateway.AddAsset(f.ctx(), "local", dai), chain.ErrTransient)
	_, known := accepted(f.Gateway, dai.ID)
	require.False(t, known)
	require.ErrorIs(t, new(bursar.Gateway).AddAsset(f.ctx(), "local", dai), bursar.ErrNotStarted)
}

func erc20(a chain.Address) chain.AssetID { return "eip155:1337/erc20:" + chain.AssetID(a) }

func TestAddAssetTwice(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	dai := stranger(f, "DAI")
	require.NoError(t, f.Gateway.AddAsset(f.ctx(), "local", dai))
	state := f.state()
	require.NoError(t, f.Gateway.AddAsset(f.ctx(), "local", dai))
	require.Equal(t, state, f.state(), "nothing was written")
	other := dai
	other.Minimum = chain.NewAmount(3)
	isField(t, f.Gateway.AddAsset(f.ctx(), "local", other), "AddAsset.Asset", bursar.CodeMismatch)
	same := stranger(f, "DAI")
	isField(t, f.Gateway.AddAsset(f.ctx(), "local", same), "AddAsset.Asset.Symbol", bursar.CodeDuplicate)
	require.Equal(t, state, f.state())
}

// TestDisabledAsset: no new payment, and nothing of what exists is lost.
func TestDisabledAsset(t *testing.T) {
	for _, added := range []bool{false, true} {
		f := newFlow(t, bursartest.Options{})
		asset := f.USDC
		if added {
			asset = stranger(f, "DAI")
			require.NoError(t, f.Gateway.AddAsset(f.ctx(), "local", asset))
		}
		before := f.Create(asset.Symbol, "5")
		late := f.Create(asset.Symbol, "5")
		require.NoError(t, f.Gateway.DisableAsset(f.ctx(), "local/"+asset.Symbol))
		require.NoError(t, f.Gateway.DisableAsset(f.ctx(), string(asset.ID)), "twice")
		refused := func() {
			t.Helper()
			writes := len(dumpOf(t, f.Store).Payments)
			_, err := f.Gateway.CreatePayment(f.ctx(), bursar.PaymentRequest{Asset: string(asset.ID), Amount: amount("5")})
			isField(t, err, "PaymentRequest.Asset", bursar.CodeUnknown)
			require.ErrorContains(t, err, "disabled")
			require.Len(t, dumpOf(t, f.Store).Payments, writes)
		}
		refused()
		got, _ := accepted(f.Gateway, asset.ID)
		require.True(t, got.Disabled)
		require.Equal(t, added, got.Added)
		f.Pay(before)
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(before).Status, "credited and swept")
		f.Restart()
		refused()
		f.Pay(late)
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(late).Status, "also after a restart")
		page, err := f.Gateway.Payments(f.ctx(), bursar.PaymentFilter{Asset: "local/" + asset.Symbol}, 0, "")
		require.NoError(t, err)
		require.Len(t, page.Items, 2, "lists know it by its alias")
		if added {
			require.NoError(t, f.Gateway.AddAsset(f.ctx(), "local", asset))
			refused() // adding again is not enabling
		}
		require.NoError(t, f.Gateway.EnableAsset(f.ctx(), "local/"+asset.Symbol))
		require.NoError(t, f.Gateway.EnableAsset(f.ctx(), "local/"+asset.Symbol), "twice")
		f.Create(asset.Symbol, "5")
	}
}

func TestDisableUnknownAsset(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	isField(t, f.Gateway.DisableAsset(f.ctx(), "local/DAI"), "DisableAsset.Asset", bursar.CodeUnknown)
	isField(t, f.Gateway.EnableAsset(f.ctx(), ""), "EnableAsset.Asset", bursar.CodeUnknown)
	require.NoError(t, f.Gateway.EnableAsset(f.ctx(), "local/USDC"), "it is")
	require.Empty(t, f.state().Assets)
	require.NoError(t, f.Gateway.DisableAsset(f.ctx(), "local/ETH"), "the chain's coin too")
}

// TestAddAssetWhileAPageIsRead: a page that was asked for without the token is
// not committed, since a reorg may have brought the token's transfer into it.
func TestAddAssetWhileAPageIsRead(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: longLease})
	two := f.twin("two")
	dai := stranger(f, "DAI")
	var p bursar.Payment
	done := false
	f.Chain.Mine(1)
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodTransfers && !c.After && !done {
			done = true // after the last look at the assets, before the blocks are read
			if err := two.AddAsset(t.Context(), "local", dai); err != nil {
				return err
			}
			p = ask(t, two, "DAI")
			f.Pay(p)
			f.Chain.Reorg(1)
		}
		return nil
	})
	for range 5 { // the page is refused, or the reorg seen first; then it is read again
		if err := f.Gateway.Step(t.Context()); err != nil {
			require.True(t, errors.Is(err, bursar.ErrFenced) || errors.Is(err, chain.ErrReorg), "%v", err)
		}
	}
	f.Chain.Fail(nil)
	require.True(t, done)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
}

// TestAddAssetRacesTheScanner: both write the chain's row, many times, and
// nothing of either is lost.
func TestAddAssetRacesTheScanner(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Lease = 240 * time.Hour }})
	const n = 20
	tokens := make([]chain.Asset, n)
	for i := range tokens {
		tokens[i] = stranger(f, "T"+string(rune('A'+i)))
	}
	tip := f.state().Tip().Height
	many(2, func(i int) {
		for k := range n {
			if i == 0 {
				f.Chain.Mine(1)
				if err := f.Gateway.Step(t.Context()); err != nil && !errors.Is(err, bursar.ErrFenced) && !errors.Is(err, bursar.ErrConflict) {
					t.Error(err)
				}
			} else if err := f.Gateway.AddAsset(t.Context(), "local", tokens[k]); err != nil {
				t.Error(err)
			}
		}
	})
	f.Step()
	require.Len(t, f.state().Assets, n)
	require.Equal(t, tip+n, f.state().Tip().Height)
	for _, a := range tokens {
		_, known := accepted(f.Gateway, a.ID)
		require.True(t, known)
	}
}

// TestConfigurationCounts: a token that was added and is configured later is what
// the configuration says.
func TestConfigurationCounts(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	dai := stranger(f, "DAI")
	require.NoError(t, f.Gateway.AddAsset(f.ctx(), "local", dai))
	require.NoError(t, f.Gateway.DisableAsset(f.ctx(), "local/DAI"))
	cfg := f.cfg
	cfg.Chains = append([]bursar.Chain(nil), cfg.Chains...)
	mine := dai
	mine.Symbol, mine.Minimum = "XDAI", chain.NewAmount(500)
	cfg.Chains[0].Assets = append([]chain.Asset{mine}, cfg.Chains[0].Assets...)
	require.NoError(t, f.Gateway.Stop(t.Context()))
	gw := f.another(cfg)
	got, _ := accepted(gw, dai.ID)
	require.Equal(t, bursar.AcceptedAsset{Asset: mine, Alias: "local/XDAI", Disabled: true}, got)
}

// TestThreat_B3_ARowOfTheStoreIsNoToken: whoever can write to the database
// cannot pass one contract's money for another's.
func TestThreat_B3_ARowOfTheStoreIsNoToken(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	fake := stranger(f, "FAKE")
	fake.ID = erc20("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
	require.NoError(t, f.Store.Write(t.Context(), func(tx bursar.Tx) error {
		st, err := tx.Chain(t.Context(), f.Chain.Info().ID)
		if err != nil {
			return err
		}
		st.Assets = []bursar.AssetState{{Asset: fake, Added: true}}
		return tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}})
	}))
	f.Chain.Mine(1)
	require.ErrorIs(t, f.Gateway.Step(t.Context()), bursar.ErrInvariant)
	gw, err := bursar.New(f.cfg)
	require.NoError(t, err)
	require.ErrorIs(t, gw.Start(t.Context()), bursar.ErrInvariant)
}

func TestAssetsInOrder(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	b, a := stranger(f, "BBB"), stranger(f, "AAA")
	require.NoError(t, f.Gateway.AddAsset(f.ctx(), "local", b))
	require.NoError(t, f.Gateway.AddAsset(f.ctx(), "local", a))
	var symbols []string
	for _, x := range f.Gateway.Assets() {
		symbols = append(symbols, x.Symbol)
	}
	require.Equal(t, []string{"USDC", "USDT", "ETH", "BBB", "AAA"}, symbols)
	require.Empty(t, (*bursar.Gateway)(nil).Assets())
}

// TestAddedAssetsAreBounded: the row is written with every block.
func TestAddedAssetsAreBounded(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	require.NoError(t, f.Store.Write(t.Context(), func(tx bursar.Tx) error {
		st, err := tx.Chain(t.Context(), f.Chain.Info().ID)
		if err != nil {
			return err
		}
		for i := range bursar.MaxAddedAssets {
			contract := chain.Address(fmt.Sprintf("0x%040d", i))
			st.Assets = append(st.Assets, bursar.AssetState{Asset: chain.Asset{ID: erc20(contract), Contract: contract}, Disabled: true})
		}
		return tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}})
	}))
	isField(t, f.Gateway.AddAsset(f.ctx(), "local", stranger(f, "DAI")), "AddAsset.Asset", bursar.CodeOutOfRange)
	isField(t, f.Gateway.DisableAsset(f.ctx(), "local/USDC"), "DisableAsset.Asset", bursar.CodeOutOfRange)
}
