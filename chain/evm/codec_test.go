package evm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

const (
	// The first accounts of the published development mnemonic, and a contract.
	alice = chain.Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
	bob   = chain.Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
	usdc  = chain.Address("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
)

// requireFormat wants a *chain.FormatError about what.
func requireFormat(t *testing.T, err error, what string) {
	t.Helper()
	var format *chain.FormatError
	require.ErrorAs(t, err, &format)
	require.Equal(t, what, format.What)
}

func TestParse(t *testing.T) {
	// The examples of EIP-55.
	for _, text := range []string{
		"0x52908400098527886E0F7030069857D2E4169EE7",
		"0x8617E340B3D01FA5F11F306F4090FD50E238070D",
		"0xde709f2102306220921060314715629080e2fb77",
		"0x27b1fdb04752bbc536007a920d24acb045561c26",
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
		"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
		"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
		"0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
	} {
		for _, variant := range []string{text, strings.ToLower(text), "0x" + strings.ToUpper(text[2:])} {
			got, err := Codec().Parse(variant)
			require.NoError(t, err)
			require.Equal(t, chain.Address(text), got)
		}
	}
	got, err := Codec().Parse(string(zeroAddress))
	require.NoError(t, err, "the zero address is an address; refusing to pay it is the caller's")
	require.Equal(t, zeroAddress, got)
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             "",
		"no prefix":         string(alice)[2:],
		"upper prefix":      "0X" + string(alice)[2:],
		"39 digits":         string(alice)[:41],
		"41 digits":         string(alice) + "0",
		"space before":      " " + string(alice),
		"space behind":      string(alice) + " ",
		"no hex":            "0xg39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
		"full-width digits": "0x" + strings.Repeat("0", 38) + "\uff11",
		"name":              "vitalik.eth",
		"two of them":       string(alice) + string(bob),
	} {
		_, err := Codec().Parse(text)
		requireFormat(t, err, "address")
		require.NotContains(t, err.Error(), "checksum", name)
	}
}

// Each single change of case in a checksummed address is seen.
func TestThreat_F1_ChecksumGuardsEachLetter(t *testing.T) {
	letters := 0
	for i, c := range alice {
		flipped := strings.ToUpper(string(c))
		if flipped == string(c) {
			flipped = strings.ToLower(string(c))
		}
		if i < 2 || flipped == string(c) {
			continue
		}
		letters++
		_, err := Codec().Parse(string(alice)[:i] + flipped + string(alice)[i+1:])
		requireFormat(t, err, "address")
	}
	require.Greater(t, letters, 10)
}

func TestAddressesAgreeWithGoEthereum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "raw")
		want := common.BytesToAddress(raw).Hex()
		got, err := Codec().Format(raw)
		require.NoError(t, err)
		require.Equal(t, chain.Address(want), got)
		keys, err := Codec().WatchKeys(got)
		require.NoError(t, err)
		require.Equal(t, [][]byte{raw}, keys)
	})
}

func TestFormatRefuses(t *testing.T) {
	for _, n := range []int{0, 19, 21, 32} {
		_, err := Codec().Format(make([]byte, n))
		requireFormat(t, err, "address key")
	}
	_, err := Codec().WatchKeys("0x12")
	requireFormat(t, err, "address")
}

func TestFromPublicKeyAgreesWithGoEthereum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 31, 31).Draw(t, "key")
		key := secp256k1.PrivKeyFromBytes(append(seed, 1)).PubKey()
		want := crypto.PubkeyToAddress(*key.ToECDSA()).Bytes()
		prefix := []byte("kept")
		for _, public := range [][]byte{key.SerializeCompressed(), key.SerializeUncompressed()} {
			got, err := Codec().FromPublicKey(prefix, public)
			require.NoError(t, err)
			require.Equal(t, append([]byte("kept"), want...), got)
		}
	})
}

func TestFromPublicKeyRefuses(t *testing.T) {
	g, err := hex.DecodeString("0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8")
	require.NoError(t, err)
	change := func(i int, b byte) []byte {
		out := append([]byte(nil), g...)
		out[i] = b
		return out
	}
	overPrime := append([]byte{2}, []byte(strings.Repeat("\xff", 32))...)
	noRoot := append([]byte{2}, make([]byte, 32)...)
	noRoot[32] = 5 // 5^3 + 7 is no square
	for name, key := range map[string][]byte{
		"nil":                 nil,
		"private key":         g[1:33],
		"bare point":          g[1:],
		"hybrid":              change(0, 6),
		"compressed, long":    change(0, 2),
		"uncompressed, short": g[:33],
		"beside the curve":    change(64, 0),
		"x over the prime":    overPrime,
		"x of no point":       noRoot,
		"infinity":            make([]byte, 65),
	} {
		got, err := Codec().FromPublicKey([]byte("kept"), key)
		requireFormat(t, err, "public key")
		require.Equal(t, "kept", string(got), name)
		require.NotContains(t, err.Error(), "79be", "keys stay out of errors")
	}
}

func TestFromPublicKeyDoesNotAllocate(t *testing.T) {
	key := secp256k1.PrivKeyFromBytes([]byte{7}).PubKey()
	codec, dst := Codec(), make([]byte, 0, 20)
	for _, public := range [][]byte{key.SerializeUncompressed(), key.SerializeCompressed()} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if _, err := codec.FromPublicKey(dst, public); err != nil {
				t.Fatal(err)
			}
		}))
	}
}

func BenchmarkFromPublicKey(b *testing.B) {
	key := secp256k1.PrivKeyFromBytes([]byte{7}).PubKey()
	for name, public := range map[string][]byte{"65": key.SerializeUncompressed(), "33": key.SerializeCompressed()} {
		b.Run(name, func(b *testing.B) {
			codec, dst := Codec(), make([]byte, 0, 20)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.FromPublicKey(dst, public); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestPath(t *testing.T) {
	require.Equal(t, "m/44'/60'/0'/0/0", Codec().Path(0, 0))
	require.Equal(t, "m/44'/60'/0'/1/2147483647", Codec().Path(1, 1<<31-1))
}

func TestNativeAssetID(t *testing.T) {
	for id, want := range map[chain.ID]chain.AssetID{
		"eip155:1":     "eip155:1/slip44:60",
		"eip155:56":    "eip155:56/slip44:714",
		"eip155:137":   "eip155:137/slip44:966",
		"eip155:250":   "eip155:250/slip44:1007",
		"eip155:146":   "eip155:146/slip44:10007",
		"eip155:43114": "eip155:43114/slip44:9005",
		"eip155:42161": "eip155:42161/slip44:60",
		"eip155:31337": "eip155:31337/slip44:60",
	} {
		got, err := NativeAssetID(id)
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = chain.ParseAssetID(string(got))
		require.NoError(t, err)
	}
	for _, id := range []chain.ID{"", "eip155", "eip155:", "eip155:0", "eip155:01", "eip155:+1", "eip155:x", "bip122:1", "eip155:18446744073709551616"} {
		_, err := NativeAssetID(id)
		requireFormat(t, err, "chain id")
	}
}

func nativeAsset(number uint64) chain.Asset {
	return chain.Asset{ID: nativeID(number), Symbol: "ETH", Decimals: 18}
}

func tokenAsset(number uint64, contract chain.Address) chain.Asset {
	return chain.Asset{ID: tokenID(number, contract), Symbol: "USDC", Decimals: 6, Contract: contract}
}

func TestPaymentURI(t *testing.T) {
	for _, c := range []struct {
		asset  chain.Asset
		amount uint64
		want   string
	}{
		{nativeAsset(1), 2014000000000000000, "ethereum:" + string(bob) + "@1?value=2014000000000000000"},
		{nativeAsset(1), 0, "ethereum:" + string(bob) + "@1"},
		{tokenAsset(137, usdc), 25000000, "ethereum:" + string(usdc) + "@137/transfer?address=" + string(bob) + "&uint256=25000000"},
		{tokenAsset(137, usdc), 0, "ethereum:" + string(usdc) + "@137/transfer?address=" + string(bob)},
	} {
		got, err := Codec().PaymentURI(c.asset, bob, chain.NewAmount(c.amount))
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
}

func TestPaymentURIRefuses(t *testing.T) {
	_, err := Codec().PaymentURI(nativeAsset(1), "bob", chain.NewAmount(1))
	requireFormat(t, err, "address")
	_, err = Codec().PaymentURI(tokenAsset(1, "0x1"), bob, chain.NewAmount(1))
	requireFormat(t, err, "address")
	_, err = Codec().PaymentURI(chain.Asset{ID: "bip122:0/slip44:0"}, bob, chain.NewAmount(1))
	requireFormat(t, err, "chain id")
}

func FuzzParse(f *testing.F) {
	f.Add(string(alice))
	f.Add(strings.ToLower(string(bob)))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Codec().Parse(text)
		if err != nil {
			var format *chain.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("%v", err)
			}
			return
		}
		if !strings.EqualFold(string(got), text) {
			t.Fatalf("%q became %q", text, got)
		}
		if again, err := Codec().Parse(string(got)); err != nil || again != got {
			t.Fatalf("%q: %q, %v", got, again, err)
		}
	})
}

func ExampleCodec() {
	address, err := Codec().Parse("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
	fmt.Println(address, err)
	_, err = Codec().Parse("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eB48")
	fmt.Println(err)
	// Output:
	// 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 <nil>
	// chain: address "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eB48": wrong EIP-55 checksum
}
