package evm

import (
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// KnownToken is a dollar token that many shops take.
type KnownToken struct {
	// Asset is the token; its Symbol is what people call it, which tells those of the
	// issuer from those of a bridge (USDC, USDC.e).
	Asset chain.Asset
	// Issuer is who owes the dollar where Bridged is false.
	Issuer string
	// Bridged is true where the issuer has not issued the token on this chain: it is
	// a claim on whoever holds the issuer's tokens elsewhere, and may be worth less.
	// A payer who sends the one where the other was asked for has not paid.
	Bridged bool
}

// knownToken is a row of knownTokens.
type knownToken struct {
	chain            chain.ID
	symbol, contract string
	decimals         uint8
	issuer           string
	bridged          bool
}

// knownTokens are told apart by contract. Their decimals are compared with the
// contract's at start, like anybody's.
func knownTokens() []knownToken {
	const circle, tether, sky = "Circle", "Tether", "Sky"
	return []knownToken{
		{"eip155:1", "USDC", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", 6, circle, false},
		{"eip155:1", "USDT", "0xdAC17F958D2ee523a2206206994597C13D831ec7", 6, tether, false},
		{"eip155:1", "DAI", "0x6B175474E89094C44Da98b954EedeAC495271d0F", 18, sky, false},
		{"eip155:10", "USDC", "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85", 6, circle, false},
		{"eip155:10", "USDC.e", "0x7F5c764cBc14f9669B88837ca1490cCa17c31607", 6, circle, true},
		{"eip155:10", "USDT", "0x94b008aA00579c1307B0EF2c499aD98a8ce58e58", 6, tether, true},
		{"eip155:56", "USDC", "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d", 18, circle, true},
		{"eip155:56", "USDT", "0x55d398326f99059fF775485246999027B3197955", 18, tether, true},
		{"eip155:137", "USDC", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", 6, circle, false},
		{"eip155:137", "USDC.e", "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174", 6, circle, true},
		{"eip155:137", "USDT", "0xc2132D05D31c914a87C6611C10748AEb04B58e8F", 6, tether, true},
		{"eip155:146", "USDC", "0x29219dd400f2Bf60E5a23d13Be72B486D4038894", 6, circle, false},
		{"eip155:146", "USDT", "0x6047828dc181963ba44974801FF68e538dA5eaF9", 6, tether, true},
		{"eip155:8453", "USDC", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", 6, circle, false},
		{"eip155:8453", "USDbC", "0xd9aAEc86B65D86f6A7B5B1b0c42FFA531710b6CA", 6, circle, true},
		{"eip155:8453", "USDT", "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2", 6, tether, true},
		{"eip155:42161", "USDC", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", 6, circle, false},
		{"eip155:42161", "USDC.e", "0xFF970A61A04b1cA14834A43f5dE4533eBDDB5CC8", 6, circle, true},
		{"eip155:42161", "USDT", "0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9", 6, tether, true},
		{"eip155:43114", "USDC", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", 6, circle, false},
		{"eip155:43114", "USDC.e", "0xA7D7079b0FEaD91F3e65f86E8915Cb59c1a4C664", 6, circle, true},
		{"eip155:43114", "USDT", "0x9702230A8Ea53601f5cD2dc00fDBc13d4dF4A8c7", 6, tether, false},
		{"eip155:43114", "USDT.e", "0xc7198437980c041c805A1EDcbA50c1Ce5db95118", 6, tether, true},
	}
}

// Tokens returns the dollar tokens that are known on the chain, by symbol; none on
// Fantom, where those that there were are worth little, and on test networks.
func (p Preset) Tokens() []KnownToken {
	var out []KnownToken
	for _, k := range knownTokens() {
		if k.chain != p.Info.ID {
			continue
		}
		if a, err := Token(k.chain, k.contract, k.symbol, k.decimals); err == nil {
			out = append(out, KnownToken{Asset: a, Issuer: k.issuer, Bridged: k.bridged})
		}
	}
	slices.SortFunc(out, func(a, b KnownToken) int { return strings.Compare(a.Asset.Symbol, b.Asset.Symbol) })
	return out
}

// Token returns the known token with exactly that symbol, else a
// *chain.FormatError that names those there are.
func (p Preset) Token(symbol string) (chain.Asset, error) {
	var names []string
	for _, k := range p.Tokens() {
		if k.Asset.Symbol == symbol {
			return k.Asset, nil
		}
		names = append(names, k.Asset.Symbol)
	}
	reason := "none is known on " + p.Info.Name
	if len(names) > 0 {
		reason = "known on " + p.Info.Name + " are " + strings.Join(names, ", ")
	}
	return chain.Asset{}, &chain.FormatError{What: "token symbol", Text: symbol, Reason: reason}
}
