package evm_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
)

func live() []evm.Preset {
	return []evm.Preset{
		evm.Ethereum(), evm.BSC(), evm.Polygon(), evm.Arbitrum(), evm.Avalanche(), evm.Fantom(), evm.Sonic(), evm.Base(), evm.Optimism(),
	}
}

// TestThreat_B18_KnownTokensAreToldApart: a symbol is one contract, and a contract one
// symbol; each is written with its checksum, and the issuer's own have the plain name.
func TestThreat_B18_KnownTokensAreToldApart(t *testing.T) {
	for _, p := range live() {
		symbols, contracts, own := map[string]bool{}, map[chain.Address]bool{}, map[string]bool{}
		for _, k := range p.Tokens() {
			a := k.Asset
			require.False(t, symbols[a.Symbol], "%s on %s", a.Symbol, p.Info.Name)
			require.False(t, contracts[a.Contract], "%s on %s", a.Contract, p.Info.Name)
			symbols[a.Symbol], contracts[a.Contract] = true, true
			parsed, err := evm.Codec().Parse(string(a.Contract))
			require.NoError(t, err)
			require.Equal(t, a.Contract, parsed)
			require.Equal(t, p.Info.ID, a.ID.Chain())
			require.NotEmpty(t, k.Issuer)
			if !k.Bridged {
				require.False(t, own[k.Issuer+a.Symbol])
				own[k.Issuer+a.Symbol] = true
			}
			found, err := p.Token(a.Symbol)
			require.NoError(t, err)
			require.Equal(t, a, found)
			decimals := uint8(6)
			if p.Info.Name == "bsc" || a.Symbol == "DAI" {
				decimals = 18
			}
			require.Equal(t, decimals, a.Decimals, "B17: %s on %s", a.Symbol, p.Info.Name)
		}
		if p.Info.Name != "fantom" {
			require.True(t, symbols["USDC"] && symbols["USDT"], p.Info.Name)
		}
	}
	_, err := evm.Polygon().Token("USDC.b")
	var bad *chain.FormatError
	require.ErrorAs(t, err, &bad)
	require.Contains(t, err.Error(), "USDC, USDC.e, USDT")
	_, err = evm.Local(1337).Token("USDC")
	require.ErrorAs(t, err, &bad)
}

func ExamplePreset_Token() {
	usdc, _ := evm.Polygon().Token("USDC")
	bridged, _ := evm.Polygon().Token("USDC.e")
	fmt.Println(usdc.Contract, usdc.Decimals)
	fmt.Println(bridged.Contract)
	_, err := evm.Polygon().Token("usdc")
	fmt.Println(err)
	// Output:
	// 0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359 6
	// 0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174
	// chain: token symbol "usdc": known on polygon are USDC, USDC.e, USDT
}
