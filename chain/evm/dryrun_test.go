package evm

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func dryRun(t testing.TB, n *figures, in chain.Intent) error {
	return n.writer().dryRun(t.Context(), in)
}

func TestDryRun(t *testing.T) {
	in := payNative(1000)
	in.Moves = append(in.Moves, payToken(0).Moves[0])
	n := newNode(t)
	require.NoError(t, dryRun(t, n, in))
	require.Equal(t, []string{"eth_call", "eth_call"}, n.asked, "neither fees nor nonces")

	n.returned = hexWord(0)
	var revert *chain.RevertError
	require.ErrorAs(t, dryRun(t, n, in), &revert)

	requireFormat(t, dryRun(t, n, chain.Intent{}), "intent's moves")
	in.Coins = []chain.Coin{{}}
	require.ErrorIs(t, dryRun(t, n, in), chain.ErrUnsupported)
}

// A treasury that rejects payments shows before the first sweep, also when the
// address that is to be swept has nothing yet.
func TestThreat_F2_RejectingTreasury(t *testing.T) {
	n := newNode(t)
	n.broken["eth_call"] = &RPCError{Code: 3, Message: "execution reverted", Data: errorString("go away")}
	var revert *chain.RevertError
	require.ErrorAs(t, dryRun(t, n, payNative(1000)), &revert)
	require.Equal(t, "go away", revert.Reason)

	lend := &lender{figures: newNode(t), then: n.broken["eth_call"]}
	w := lend.writer()
	w.node = lend
	require.ErrorAs(t, w.dryRun(t.Context(), payNative(1000)), &revert)
	require.Equal(t, "go away", revert.Reason)
	lend.then = nil
	require.NoError(t, w.dryRun(t.Context(), payNative(1000)))
	lend.then = refused(codeInvalidParams, "too many arguments, want at most 2")
	var poor *chain.InsufficientFundsError
	require.ErrorAs(t, w.dryRun(t.Context(), payNative(1000)), &poor)
	require.Equal(t, chain.NewAmount(1000), poor.Required)
}

func TestDryRunNodeFailure(t *testing.T) {
	n := newNode(t)
	n.broken["eth_call"] = &TransportError{err: chain.ErrTransient}
	require.ErrorIs(t, dryRun(t, n, payNative(1)), chain.ErrTransient)
	require.ErrorIs(t, dryRun(t, n, payToken(1)), chain.ErrTransient)
}

// errorString is the data of revert("text") as nodes send it.
func errorString(text string) []byte {
	padded := text + strings.Repeat("\x00", (32-len(text)%32)%32)
	data := "0x08c379a0" + hexWord(32)[2:] + hexWord(uint64(len(text)))[2:] + hexBytes([]byte(padded))[2:]
	out, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return out
}

func TestRevertReasons(t *testing.T) {
	long := strings.Repeat("x", 1000)
	quoted := func(s string) []byte { return []byte(`"` + s + `"`) }
	for name, c := range map[string]struct {
		err  *RPCError
		want string // empty: no revert
	}{
		"error string":     {&RPCError{Code: 3, Message: "execution reverted: no", Data: errorString("no")}, "no"},
		"long string":      {&RPCError{Code: 3, Data: errorString(long)}, long[:256]},
		"no UTF-8":         {&RPCError{Code: 3, Data: errorString("a\xff")}, "a\uFFFD"},
		"panic":            {&RPCError{Code: 3, Data: quoted("0x4e487b71" + hexWord(17)[2:])}, "panic 0x11"},
		"custom":           {&RPCError{Code: 3, Data: quoted("0xe450d38c" + hexWord(1)[2:])}, "custom error 0xe450d38c"},
		"lying length":     {&RPCError{Code: 3, Data: quoted("0x08c379a0" + hexWord(32)[2:] + strings.Repeat("f", 64))}, "custom error 0x08c379a0"},
		"cut short":        {&RPCError{Code: 3, Message: "execution reverted", Data: quoted("0x08c3")}, "execution reverted"},
		"no data":          {&RPCError{Code: -32000, Message: "execution reverted"}, "execution reverted"},
		"parity":           {&RPCError{Code: -32015, Message: "VM execution error.", Data: quoted("Reverted 0xe450d38c")}, "custom error 0xe450d38c"},
		"object":           {&RPCError{Code: -32603, Message: "VM Exception while processing", Data: []byte(`{"data":"0xe450d38c"}`)}, "custom error 0xe450d38c"},
		"gas":              {&RPCError{Code: -32000, Message: "gas required exceeds allowance (30000000)"}, "gas required exceeds allowance (30000000)"},
		"invalid opcode":   {&RPCError{Code: -32000, Message: "invalid opcode: INVALID"}, "invalid opcode: INVALID"},
		"no revert":        {err: &RPCError{Code: -32000, Message: "header not found"}},
		"rate limit":       {err: &RPCError{Code: -32005, Message: "limit exceeded"}},
		"data of no sense": {&RPCError{Code: 3, Message: "execution reverted", Data: quoted("0xzz")}, "execution reverted"},
	} {
		got := asRevert(c.err)
		var revert *chain.RevertError
		if c.want == "" {
			require.ErrorIs(t, got, c.err, name)
			require.NotErrorAs(t, got, &revert, name)
			continue
		}
		require.ErrorAs(t, got, &revert, name)
		require.Equal(t, c.want, revert.Reason, name)
	}
}

func FuzzRevertReason(f *testing.F) {
	f.Add(errorString("no"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if reason := revertReason(revertData(raw)); len(reason) > 4*256 {
			t.Fatalf("%d bytes", len(reason))
		}
		_ = revertReason(raw)
	})
}
