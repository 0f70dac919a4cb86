package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
)

// TestThreat_B18_WellKnownSymbols: a token that everybody knows needs no contract, and
// its symbol is not to be had for another one.
func TestThreat_B18_WellKnownSymbols(t *testing.T) {
	polygon := func(assets string) string {
		return strings.Replace(strings.Replace(minimal, "  local:", "  polygon:", 1), "    describe: {chain_id: 31337}\n", "    assets:\n"+assets, 1)
	}
	f, err := load(t, polygon("      USDC: {minimum: 2}\n      USDC.e: {}\n      USDT: {contract: \"0xc2132D05D31c914a87C6611C10748AEb04B58e8F\", decimals: 6}\n"), seed...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	contracts := map[string]string{}
	for _, a := range cfg.Chains[0].Assets {
		contracts[a.Symbol] = string(a.Contract)
		require.EqualValues(t, 6, a.Decimals)
	}
	require.Equal(t, map[string]string{
		"USDC": "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USDC.e": "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174", "USDT": "0xc2132D05D31c914a87C6611C10748AEb04B58e8F",
	}, contracts)
	for name, c := range map[string]struct {
		asset, field string
		code         bursar.Code
		says         string
	}{
		"the bridge's under the issuer's name": {`USDC: {contract: "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174", decimals: 6}`, "chains.polygon.assets.USDC.contract", bursar.CodeMismatch, "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"},
		"somebody's own":                       {`USDT: {contract: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", decimals: 6}`, "chains.polygon.assets.USDT.contract", bursar.CodeMismatch, "0xc2132D05D31c914a87C6611C10748AEb04B58e8F"},
		"other decimals":                       {`USDC: {decimals: 18}`, "chains.polygon.assets.USDC.decimals", bursar.CodeMismatch, "6, not 18"},
		"nobody knows it":                      {`USDX: {decimals: 6}`, "chains.polygon.assets.USDX.contract", bursar.CodeRequired, "needs its contract"},
		"other letters":                        {`usdc: {decimals: 6}`, "chains.polygon.assets.usdc.contract", bursar.CodeRequired, "needs its contract"},
	} {
		f, err := load(t, polygon("      "+c.asset+"\n"), seed...)
		if err == nil {
			_, err = f.Build(memory.New())
		}
		found := faults(t, err)
		require.Contains(t, found, c.field, name)
		require.Equal(t, c.code, found[c.field].Code, name)
		require.Contains(t, found[c.field].Error(), c.says, name)
	}
}
