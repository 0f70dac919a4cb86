package evm

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func balanceKey(token, holder string) string {
	return "eth_call/" + token + "/" + balanceOfCall + padded(holder)[2:]
}

func (n *fakeNode) set(key, result string) { n.state[strings.ToLower(key)] = result }

func TestBalances(t *testing.T) {
	n := newFakeNode(t)
	n.set("eth_getBalance/"+ann, "0xde0b6b3a7640000")
	n.set(balanceKey(coin, ben), word(77))
	c := n.client(t)
	native, token := c.Info().Native, watching([]string{coin}).assets[0]
	of := []chain.Holding{{Address: canonical(ann), Asset: native}, {Address: canonical(ben), Asset: token}, {Address: canonical(ben), Asset: native}}
	for _, at := range []chain.BlockHash{"", chain.BlockHash(n.blocks[0].hash)} {
		got, err := c.Balances(t.Context(), at, of)
		require.NoError(t, err)
		require.Equal(t, []chain.Amount{chain.NewAmount(1e18), chain.NewAmount(77), {}}, got)
	}
	require.Equal(t, []int{3, 3}, n.batches)
	none, err := c.Balances(t.Context(), "", nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestBalancesErrors(t *testing.T) {
	n := newFakeNode(t)
	c := n.client(t)
	native, token := c.Info().Native, watching([]string{coin}).assets[0]
	ask := func(at chain.BlockHash, h chain.Holding) error {
		_, err := c.Balances(t.Context(), at, []chain.Holding{h})
		return err
	}
	holder := canonical(ann)
	require.ErrorIs(t, ask(chain.BlockHash(hashOf("gone")), chain.Holding{Address: holder, Asset: native}), chain.ErrNotFound)
	require.NotErrorIs(t, ask(chain.BlockHash(hashOf("gone")), chain.Holding{Address: holder, Asset: native}), chain.ErrPruned, "it may come")
	require.ErrorIs(t, ask("", chain.Holding{Address: holder, Asset: token}), chain.ErrNoContract)
	n.set(balanceKey(coin, ann), word(1)+word(2)[2:])
	require.ErrorIs(t, ask("", chain.Holding{Address: holder, Asset: token}), chain.ErrTransient)
	n.set(balanceKey(coin, ann), "revert:paused")
	var refusal *RPCError
	require.ErrorAs(t, ask("", chain.Holding{Address: holder, Asset: token}), &refusal)
	n.bend = refusing("eth_getBalance", -32000, "missing trie node 12 (path )")
	require.ErrorIs(t, ask("", chain.Holding{Address: holder, Asset: native}), chain.ErrPruned)
	n.bend = refusing("eth_getBalance", -32000, "busy")
	require.ErrorIs(t, ask("", chain.Holding{Address: holder, Asset: native}), chain.ErrTransient)
	n.bend = nil

	var format *chain.FormatError
	require.ErrorAs(t, ask("0x12", chain.Holding{Address: holder, Asset: native}), &format)
	require.ErrorAs(t, ask("", chain.Holding{Address: "0x12", Asset: native}), &format)
	require.ErrorAs(t, ask("", chain.Holding{Address: holder, Asset: Ethereum().Info.Native}), &format, "the coin of another chain")
	require.ErrorAs(t, ask("", chain.Holding{Address: holder, Asset: mustToken(t, "eip155:1")}), &format, "a token of another chain")
}

// abiString encodes text as a contract returns it.
func abiString(text string) string {
	body := hex.EncodeToString([]byte(text))
	if r := len(body) % 64; r > 0 {
		body += strings.Repeat("0", 64-r)
	}
	return word(32) + word(uint64(len(text)))[2:] + body
}

func TestThreat_B17_InspectTellsDecimals(t *testing.T) {
	n := newFakeNode(t)
	c, token := n.client(t), watching([]string{coin}).assets[0]
	n.set("eth_getCode/"+coin, "0x6001")
	n.set("eth_call/"+coin+"/"+decimalsCall, word(6))
	word32 := "0x" + hex.EncodeToString([]byte("MKR")) + strings.Repeat("0", 58)
	for result, symbol := range map[string]string{
		abiString("USDT"): "USDT", word32: "MKR", abiString("USD₮0"): "USD₮0", abiString(""): "", abiString(strings.Repeat("x", 65)): "",
		abiString("a\nb"): "", abiString("\xff\xfe"): "", "0x": "", "0x1234": "", word(32) + word(1000)[2:]: "", word(0): "", word(1): "",
		word(64) + word(0)[2:] + word(0)[2:]: "", "revert:no": "", "0x" + strings.Repeat("f", 192): "",
	} {
		n.set("eth_call/"+coin+"/"+symbolCall, result)
		got, err := c.Inspect(t.Context(), token)
		require.NoError(t, err)
		require.Equal(t, uint8(6), got.Decimals, result)
		require.Equal(t, symbol, got.Symbol, result)
		require.Len(t, got.CodeHash, 66, result)
	}
	for _, result := range []string{word(256), "0x", "0x06", word(6) + word(6)[2:], "revert:no", "0x" + strings.Repeat("f", 64)} {
		n.set("eth_call/"+coin+"/"+decimalsCall, result)
		_, err := c.Inspect(t.Context(), token)
		require.ErrorIs(t, err, chain.ErrUnsupported, result)
	}
	n.set("eth_call/"+coin+"/"+decimalsCall, word(255))
	got, err := c.Inspect(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, uint8(255), got.Decimals)
}

func TestInspectErrors(t *testing.T) {
	n := newFakeNode(t)
	c, token := n.client(t), watching([]string{coin}).assets[0]
	_, err := c.Inspect(t.Context(), token)
	require.ErrorIs(t, err, chain.ErrNoContract, "no code")
	n.set("eth_getCode/"+coin, "0x6001")
	n.bend = refusing("eth_call", -32000, "busy")
	_, err = c.Inspect(t.Context(), token)
	require.ErrorIs(t, err, chain.ErrTransient)
	n.bend = refusing("eth_getCode", -32000, "busy")
	_, err = c.Inspect(t.Context(), token)
	require.ErrorIs(t, err, chain.ErrTransient)
	var format *chain.FormatError
	_, err = c.Inspect(t.Context(), mustToken(t, "eip155:1"))
	require.ErrorAs(t, err, &format)
	got, err := c.Inspect(t.Context(), c.Info().Native)
	require.NoError(t, err)
	require.Equal(t, chain.Token{Decimals: 18, Symbol: "ETH"}, got)
}

func FuzzSymbol(f *testing.F) {
	raw, _ := hex.DecodeString(abiString("USDT")[2:])
	f.Add(raw)
	f.Add(make([]byte, 32))
	f.Fuzz(func(t *testing.T, data []byte) {
		symbol := decodeSymbol(data)
		if len(symbol) > maxSymbol || strings.ContainsAny(symbol, "\n\x00") {
			t.Fatalf("symbol %q", symbol)
		}
	})
}

func ExampleToken() {
	usdc, err := Token("eip155:1", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "USDC", 6)
	fmt.Println(usdc.ID, err)
	// Output: eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 <nil>
}

func ExampleNew() {
	client, err := New(Config{Preset: Ethereum(), URL: "https://node.example/v3/a-secret-key"})
	fmt.Println(client, err)
	fmt.Println(client.Info().ID, client.Info().Confirmations)
	_, err = New(Config{Preset: Ethereum()})
	fmt.Println(err)
	// Output:
	// evm.Client{ethereum https://node.example} <nil>
	// eip155:1 12
	// evm: Config.URL: required
}

// Many balances are one call of code that exists for it alone; where the node knows
// no overrides, they are asked for one by one, and the node is not tried again.
func TestManyBalances(t *testing.T) {
	for name, refuse := range map[string]any{
		"it can":              nil,
		"it refuses":          object{"code": codeInvalidParams, "message": "too many arguments, want at most 2"},
		"it takes no notice":  "0x",
		"it returns too much": word(1),
	} {
		t.Run(name, func(t *testing.T) {
			n := newFakeNode(t)
			c := n.client(t)
			native, token := c.Info().Native, watching([]string{coin}).assets[0]
			var of []chain.Holding
			var want []chain.Amount
			for i := range 20 {
				holder := canonical(fmt.Sprintf("0x%040x", 0xabc000+i))
				n.set("eth_getBalance/"+string(holder), hexQuantity(uint64(i*i)))
				of, want = append(of, chain.Holding{Address: holder, Asset: native}), append(want, chain.NewAmount(uint64(i*i)))
			}
			n.set(balanceKey(coin, ann), word(77))
			of, want = append(of, chain.Holding{Address: canonical(ann), Asset: token}), append(want, chain.NewAmount(77))
			tried := 0
			n.bend = func(method string, params []any, result any) (any, object) {
				if method != "eth_call" || len(params) < 3 {
					return result, nil
				}
				tried++
				require.Equal(t, object{balancesAccount: object{"code": balancesCode}}, params[2])
				if refusal, ok := refuse.(object); ok {
					return nil, refusal
				}
				if refuse != nil {
					return refuse, nil
				}
				data := params[0].(object)["data"].(string)
				require.Len(t, data, 2+20*64)
				out := "0x"
				for i := range 20 {
					require.Equal(t, fmt.Sprintf("%064x", 0xabc000+i), data[2+64*i:][:64])
					out += word(uint64(i * i))[2:]
				}
				return out + word(0)[2:], nil
			}
			for range 2 {
				got, err := c.Balances(t.Context(), chain.BlockHash(n.blocks[0].hash), of)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			if refuse == nil {
				require.Equal(t, 2, tried)
				require.Zero(t, n.asked["eth_getBalance"])
			} else {
				require.Equal(t, 1, tried)
				require.Equal(t, 40, n.asked["eth_getBalance"])
			}
			n.bend = refusing("eth_call", -32000, "missing trie node 12 (path )")
			_, err := c.Balances(t.Context(), "", of)
			require.ErrorIs(t, err, chain.ErrPruned)
		})
	}
}
