package chain_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// The vectors are the examples of CAIP-2 and CAIP-19 themselves, and what lies
// just outside of their grammars.
func TestParseID(t *testing.T) {
	for text, want := range map[string][2]string{
		"eip155:1": {"eip155", "1"},
		"bip122:000000000019d6689c085ae165831e93":   {"bip122", "000000000019d6689c085ae165831e93"},
		"cosmos:cosmoshub-3":                        {"cosmos", "cosmoshub-3"},
		"cosmos:Binance-Chain-Tigris":               {"cosmos", "Binance-Chain-Tigris"},
		"starknet:SN_GOERLI":                        {"starknet", "SN_GOERLI"},
		"lip9:9ee11e9df416b18b":                     {"lip9", "9ee11e9df416b18b"},
		"chainstd:8c3444cf8970a9e41a706fab93e7a6c4": {"chainstd", "8c3444cf8970a9e41a706fab93e7a6c4"},
		"abc:" + strings.Repeat("x", 32):            {"abc", strings.Repeat("x", 32)},
		"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp":   {"solana", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"},
	} {
		id, err := chain.ParseID(text)
		require.NoError(t, err, text)
		require.Equal(t, want[0], id.Namespace())
		require.Equal(t, want[1], id.Reference())
	}
	for _, text := range []string{
		"", ":", "eip155", "eip155:", ":1", "ei:1", "toolongns:1", "EIP155:1", "eip_155:1", "eip155:1:2", "eip155:a b",
		"eip155:" + strings.Repeat("1", 33), "eip155:1/slip44:60", "eip155:ä", "eip155:1\n", " eip155:1", "eip155:%31", "eip155:1.5",
	} {
		_, err := chain.ParseID(text)
		var bad *chain.FormatError
		require.ErrorAs(t, err, &bad, "%q", text)
		require.Equal(t, "chain id", bad.What)
		require.NotEmpty(t, bad.Reason)
	}
}

func TestParseAssetID(t *testing.T) {
	for text, want := range map[string][3]string{
		"eip155:1/slip44:60": {"eip155:1", "slip44", "60"},
		"bip122:000000000019d6689c085ae165831e93/slip44:0":          {"bip122:000000000019d6689c085ae165831e93", "slip44", "0"},
		"cosmos:cosmoshub-3/slip44:118":                             {"cosmos:cosmoshub-3", "slip44", "118"},
		"eip155:1/erc20:0x6b175474e89094c44da98b954eedeac495271d0f": {"eip155:1", "erc20", "0x6b175474e89094c44da98b954eedeac495271d0f"},
		"hedera:mainnet/nft:0.0.55492":                              {"hedera:mainnet", "nft", "0.0.55492"},
		"abc:1/def:" + strings.Repeat("%", 128):                     {"abc:1", "def", strings.Repeat("%", 128)},
	} {
		id, err := chain.ParseAssetID(text)
		require.NoError(t, err, text)
		require.Equal(t, want, [3]string{string(id.Chain()), id.Namespace(), id.Reference()})
		made, err := chain.MakeAssetID(id.Chain(), id.Namespace(), id.Reference())
		require.NoError(t, err)
		require.Equal(t, id, made)
	}
	for _, text := range []string{
		"", "/", "eip155:1", "eip155:1/", "eip155:1/erc20", "eip155:1/erc20:", "eip155:1/:60", "eip155/slip44:60", "/slip44:60",
		"eip155:1/sl:60", "eip155:1/SLIP44:60", "eip155:1/toolongns:60", "eip155:1/erc721:0x06/771769", "eip155:1/erc20:a:b",
		"eip155:1/erc20:a_b", "eip155:1/erc20:a b", "eip155:1/erc20:é", "eip155:1/erc20:" + strings.Repeat("a", 129),
	} {
		_, err := chain.ParseAssetID(text)
		var bad *chain.FormatError
		require.ErrorAs(t, err, &bad, "%q", text)
		require.Equal(t, "asset id", bad.What)
		require.NotEmpty(t, bad.Reason)
	}
	// A part must not smuggle in a separator.
	_, err := chain.MakeAssetID("eip155:1/slip44:60", "x", "y")
	require.Error(t, err)
	_, err = chain.MakeAssetID("eip155:1", "erc20:0x1", "y")
	require.Error(t, err)
}

// FuzzIDs compares the parsers with the grammars as CAIP-2 and CAIP-19 write
// them, and wants the parts to make the whole again.
func FuzzIDs(f *testing.F) {
	for _, s := range []string{"eip155:1", "eip155:1/slip44:60", "cosmos:cosmoshub-3", "a:b", "eip155:1/erc20:0xA0b8/1", ":/:", "eip155:1\n"} {
		f.Add(s)
	}
	caip2 := `[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}`
	id := regexp.MustCompile(`\A` + caip2 + `\z`)
	asset := regexp.MustCompile(`\A` + caip2 + `/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}\z`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := chain.ParseID(text)
		require.Equal(t, id.MatchString(text), err == nil, "%q", text)
		if err == nil {
			require.Equal(t, text, c.Namespace()+":"+c.Reference())
		}
		a, err := chain.ParseAssetID(text)
		require.Equal(t, asset.MatchString(text), err == nil, "%q", text)
		if err == nil {
			require.Equal(t, text, string(a.Chain())+"/"+a.Namespace()+":"+a.Reference())
		}
		// Accessors take anything.
		_, _, _ = chain.AssetID(text).Chain(), chain.AssetID(text).Namespace(), chain.AssetID(text).Reference()
	})
}

func TestTransferIDNamesOneMovement(t *testing.T) {
	require.Equal(t, "0xab/t:0xT:0xR:0", chain.TransferID{Tx: "0xab", Ordinal: "t:0xT:0xR:0"}.String())
	require.NotEqual(t, chain.TransferID{Tx: "0xab", Ordinal: "n"}, chain.TransferID{Tx: "0xab", Ordinal: "o:0"})
}

func TestPageLast(t *testing.T) {
	p := chain.Page{Blocks: []chain.BlockRef{{Height: 1}, {Height: 2}}}
	require.EqualValues(t, 2, p.Last().Height)
}
