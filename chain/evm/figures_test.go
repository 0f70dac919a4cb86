package evm

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// figures answers the calls of a writer from a few figures. Its answers pass
// through JSON in both directions, as those of a node do.
type figures struct {
	t testing.TB

	base     *uint256.Int // nil: a chain without EIP-1559
	tip      uint64
	balance  string // wei, decimal
	units    uint64 // what alice has of usdc
	count    uint64
	gas      uint64
	returned string           // what the token's transfer returns, hex
	code     string           // of every address
	broken   map[string]error // by method
	answers  map[string]any   // by method, before all figures
	asked    []string         // methods in order
	params   map[string][]any // the last of each method
}

func newNode(t testing.TB) *figures {
	return &figures{
		t: t, base: uint256.NewInt(10 * gwei), tip: gwei, balance: "1000000000000000000", units: 100_000_000,
		count: 5, gas: 21000, returned: "0x" + strings.Repeat("0", 63) + "1", code: "0x60",
		broken: map[string]error{}, answers: map[string]any{}, params: map[string][]any{},
	}
}

func (n *figures) writer() writer {
	return writer{node: n, chain: 1, coin: nativeAsset(1), highest: *uint256.NewInt(absurdPrice)}
}

func (n *figures) call(ctx context.Context, method string, out any, params ...any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sent, err := json.Marshal(params)
	require.NoError(n.t, err)
	var received []any
	require.NoError(n.t, json.Unmarshal(sent, &received))
	n.asked = append(n.asked, method)
	n.params[method] = received
	if err := n.broken[method]; err != nil {
		return err
	}
	answer, err := n.answer(method, received)
	if err != nil {
		return err
	}
	text, err := json.Marshal(answer)
	require.NoError(n.t, err)
	return json.Unmarshal(text, out)
}

func (n *figures) many(ctx context.Context, questions []question) error {
	for i := range questions {
		q := &questions[i]
		q.err = n.call(ctx, q.method, q.out, q.params...)
	}
	return ctx.Err()
}

func (n *figures) answer(method string, params []any) (any, error) {
	if answer, ok := n.answers[method]; ok {
		return answer, nil
	}
	switch method {
	case "eth_getBlockByNumber":
		require.Equal(n.t, []any{"latest", false}, params)
		if n.base == nil {
			return map[string]any{"number": "0x1"}, nil
		}
		return map[string]any{"number": "0x1", "baseFeePerGas": n.base.Hex()}, nil
	case "eth_gasPrice", "eth_maxPriorityFeePerGas":
		return uint256.NewInt(n.tip).Hex(), nil
	case "eth_feeHistory":
		return nil, refused(codeMethodNotFound, "the method does not exist")
	case "eth_getBalance":
		require.Equal(n.t, []any{string(alice), "latest"}, params)
		return uint256.MustFromDecimal(n.balance).Hex(), nil
	case "eth_getTransactionCount":
		require.Equal(n.t, []any{string(alice), "latest"}, params)
		return uint256.NewInt(n.count).Hex(), nil
	case "eth_estimateGas":
		return uint256.NewInt(n.gas).Hex(), nil
	case "eth_getCode":
		return n.code, nil
	case "eth_call":
		data, _ := params[0].(map[string]any)["data"].(string)
		if strings.HasPrefix(data, "0x70a08231") {
			return hexWord(n.units), nil
		}
		return n.returned, nil
	}
	return nil, fmt.Errorf("unexpected call of %s", method)
}

func hexWord(v uint64) string { return fmt.Sprintf("0x%064x", v) }

func refused(code int64, message string) *RPCError { return &RPCError{Code: code, Message: message} }

// aliceKey is the first key of the published development mnemonic.
func aliceKey(t testing.TB) *secp256k1.PrivateKey {
	raw, err := hex.DecodeString("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
	require.NoError(t, err)
	return secp256k1.PrivKeyFromBytes(raw)
}

// fakeSigner signs with one key whatever it gets, and can bend the result.
type fakeSigner struct {
	key  *secp256k1.PrivateKey
	bend func([][]byte) [][]byte
	err  error
	seen []chain.SignRequest
}

func (f *fakeSigner) Sign(_ context.Context, requests []chain.SignRequest) ([][]byte, error) {
	f.seen = append(f.seen, requests...)
	if f.err != nil {
		return nil, f.err
	}
	var out [][]byte
	for _, r := range requests {
		_, digest, err := Codec().Decode(r)
		if err != nil {
			return nil, err
		}
		compact := ecdsa.SignCompact(f.key, digest, false)
		out = append(out, append(compact[1:], compact[0]-27))
	}
	if f.bend != nil {
		out = f.bend(out)
	}
	return out, nil
}

var aliceAccount = chain.Account{Address: alice, Key: chain.KeyRef{Wallet: "w", Path: "m/44'/60'/0'/0/0"}}

func pay(asset chain.Asset, amount uint64) chain.Intent {
	return chain.Intent{
		Purpose: chain.PurposeCollection,
		Moves:   []chain.Move{{From: aliceAccount, To: bob, Asset: asset, Amount: chain.NewAmount(amount)}},
	}
}

func payAll(asset chain.Asset) chain.Intent {
	in := pay(asset, 0)
	in.Moves[0].All = true
	return in
}

func payNative(amount uint64) chain.Intent { return pay(nativeAsset(1), amount) }
func payToken(amount uint64) chain.Intent  { return pay(tokenAsset(1, usdc), amount) }

func cancellation() chain.Intent {
	in := payNative(0)
	in.Purpose, in.Moves[0].To = chain.PurposeCancel, alice
	return in
}

// txOf decodes a draft's payload.
func txOf(t testing.TB, d chain.Draft) *transaction {
	tx, err := decodeTx(d.Payload)
	require.NoError(t, err)
	return tx
}

// lender answers the first eth_call with a lack of funds, and those that bring
// their own balance with then.
type lender struct {
	*figures
	then error
}

func (l *lender) call(ctx context.Context, method string, out any, params ...any) error {
	if len(params) < 3 {
		return refused(-32000, "insufficient funds for transfer")
	}
	overrides, ok := params[2].(map[string]any)
	require.True(l.t, ok)
	require.Contains(l.t, overrides, string(alice))
	if l.then != nil {
		return l.then
	}
	return l.figures.call(ctx, method, out, params...)
}
