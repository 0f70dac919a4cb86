package evm

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// workClient is a client of a chain, with and without batches.
func workClient(t *testing.T, p Preset, s *contracts.Sweeper) *Client {
	c, err := New(Config{URL: "http://127.0.0.1:1", Preset: p, Sweeper: s})
	require.NoError(t, err)
	return c
}

// What the client tells is what package contracts measured, by the kind of the token.
func TestWork(t *testing.T) {
	p := Ethereum()
	c := workClient(t, p, testSweeper(t))
	token := func(symbol string) chain.Asset {
		a, err := p.Token(symbol)
		require.NoError(t, err)
		return a
	}
	for _, it := range []struct {
		of   chain.Collection
		want chain.Work
	}{
		{chain.Collection{Asset: p.Info.Native, Way: chain.WayTransfer, First: 3, Again: 2}, chain.Work{Now: 105_000, Next: 105_000}},
		{chain.Collection{Asset: token("DAI"), Way: chain.WayTopUp, First: 2}, chain.Work{Now: 2 * 50_242, Next: 2 * 238_554}},
		{chain.Collection{Asset: token("DAI"), Way: chain.WayTopUp, Again: 2}, chain.Work{Now: 2 * 50_242, Next: 2 * 54_954}},
		{chain.Collection{Asset: token("USDT"), Way: chain.WayTopUp, First: 1}, chain.Work{Now: 58_910, Next: 245_488}},
		{chain.Collection{Asset: token("USDC"), Way: chain.WayTopUp, First: 1}, chain.Work{Now: 57_481, Next: 244_665}},
	} {
		it.want.Rules = "Amsterdam (EIP-2780, EIP-8037, EIP-8038)"
		require.Equal(t, it.want, c.Work(it.of), "%+v", it.of)
	}
	fresh, err := contracts.GasOf(contracts.Osaka, contracts.Fresh, contracts.Proxied)
	require.NoError(t, err)
	later, err := contracts.GasOf(contracts.Osaka, contracts.Reused, contracts.Proxied)
	require.NoError(t, err)
	usdc := token("USDC")
	require.Equal(t, fresh.With(30, later, 70), c.Work(chain.Collection{Asset: usdc, Way: chain.WayBatch, First: 30, Again: 70}).Now)
	require.Greater(t, c.Work(chain.Collection{Asset: usdc, Way: chain.WayBatch, First: 30, Again: 70}).Now, c.Work(chain.Collection{Asset: usdc, Way: chain.WayBatch, Again: 100}).Now)

	for _, none := range []chain.Collection{
		{Asset: p.Info.Native, Way: chain.WayTopUp, First: 1}, {Asset: usdc, Way: chain.WayTransfer, First: 1}, {Asset: usdc, Way: "by hand", First: 1},
		{Asset: usdc, First: 1}, {Asset: usdc, Way: chain.WayBatch}, {Asset: usdc, Way: chain.WayTopUp, First: -1, Again: -1},
	} {
		require.Zero(t, c.Work(none).Now, "%+v", none)
		require.Zero(t, c.Work(none).Next, "%+v", none)
		require.Empty(t, c.Work(none).Rules, "%+v", none)
	}
	require.Zero(t, workClient(t, p, nil).Work(chain.Collection{Asset: usdc, Way: chain.WayBatch, First: 1}), "it makes no batches")
	require.NotZero(t, workClient(t, p, nil).Work(chain.Collection{Asset: usdc, Way: chain.WayTopUp, First: 1}))
}

// Tokens of the same name elsewhere, and those of bridges, are other contracts.
func TestWorkKnowsTokensByContract(t *testing.T) {
	for preset, want := range map[string]struct {
		p     Preset
		class map[string]contracts.Class
	}{
		"ethereum":  {Ethereum(), map[string]contracts.Class{"USDC": contracts.Proxied, "USDT": contracts.Checked, "DAI": contracts.Plain}},
		"avalanche": {Avalanche(), map[string]contracts.Class{"USDC": contracts.Proxied, "USDT": contracts.Plain, "USDT.e": contracts.Plain}},
		"polygon":   {Polygon(), map[string]contracts.Class{"USDC": contracts.Proxied, "USDC.e": contracts.Plain, "USDT": contracts.Plain}},
		"bsc":       {BSC(), map[string]contracts.Class{"USDC": contracts.Plain, "USDT": contracts.Plain}},
	} {
		c := workClient(t, want.p, nil)
		require.Equal(t, contracts.Coin, c.classOf(want.p.Info.Native))
		for symbol, class := range want.class {
			a, err := want.p.Token(symbol)
			require.NoError(t, err)
			require.Equal(t, class, c.classOf(a), "%s %s", preset, symbol)
		}
	}
	c := workClient(t, Ethereum(), nil)
	fake, err := Token("eip155:1", string(bob), "USDC", 6)
	require.NoError(t, err)
	require.Equal(t, contracts.Plain, c.classOf(fake))
}
