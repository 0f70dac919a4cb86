package evm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// fakeCall is a call of a transaction with those that it makes.
type fakeCall struct {
	kind, from, to string // kind as callTracer has it
	value          uint64
	failed         bool
	calls          []fakeCall
}

// tree writes a call as callTracer does.
func (c fakeCall) tree() object {
	o := object{"type": c.kind, "from": strings.ToLower(c.from), "to": strings.ToLower(c.to), "gas": "0x1", "gasUsed": "0x1", "input": "0x", "value": hexQuantity(c.value)}
	if c.failed {
		o["error"], o["revertReason"] = "execution reverted", "no"
	}
	if c.kind == "STATICCALL" || c.kind == "DELEGATECALL" && c.value == 0 {
		delete(o, "value")
	}
	var inner []any
	for _, x := range c.calls {
		inner = append(inner, x.tree())
	}
	if inner != nil {
		o["calls"] = inner
	}
	return o
}

// flat writes a call as trace_block does.
func (c fakeCall) flat(b *fakeBlock, tx int, path ...any) []any {
	action := object{"callType": strings.ToLower(c.kind), "from": strings.ToLower(c.from), "to": strings.ToLower(c.to), "value": hexQuantity(c.value), "gas": "0x1", "input": "0x"}
	o := object{"type": "call", "action": action, "blockHash": b.hash, "blockNumber": b.height, "transactionHash": b.txs[tx]["hash"],
		"transactionPosition": tx, "traceAddress": append([]any{}, path...), "subtraces": len(c.calls), "result": object{"gasUsed": "0x1", "output": "0x"}}
	switch c.kind {
	case "CREATE":
		o["type"], o["action"] = "create", object{"from": strings.ToLower(c.from), "value": hexQuantity(c.value), "gas": "0x1", "init": "0x"}
		o["result"] = object{"address": strings.ToLower(c.to), "code": "0x", "gasUsed": "0x1"}
	case "SELFDESTRUCT":
		o["type"], o["action"] = "suicide", object{"address": strings.ToLower(c.from), "refundAddress": strings.ToLower(c.to), "balance": hexQuantity(c.value)}
		o["result"] = nil
	}
	if c.failed {
		o["error"] = "Reverted"
		delete(o, "result")
	}
	out := []any{o}
	for i, x := range c.calls {
		out = append(out, x.flat(b, tx, append(append([]any{}, path...), i)...)...)
	}
	return out
}

const wallet = "0x0000000000000000000000000000000000A11E70"

// traced is a node with a block of transactions, of which these are the calls.
func traced(t *testing.T, dialect string, calls ...fakeCall) (*fakeNode, *fakeBlock) {
	n := newFakeNode(t)
	var txs []fakeTx
	for i, c := range calls {
		txs = append(txs, fakeTx{from: c.from, to: c.to, value: c.value, nonce: uint64(i)})
	}
	b := n.mine(txs...)
	n.bend = func(method string, params []any, result any) (any, object) {
		switch {
		case method != dialect && (method == "trace_block" || method == "debug_traceBlockByHash"):
			return nil, object{"code": codeMethodNotFound, "message": "the method " + method + " does not exist/is not available"}
		case method == "trace_block" && params[0] == hexQuantity(b.height):
			out := []any{object{"type": "reward", "action": object{"author": wallet, "rewardType": "block", "value": "0x1"}, "blockHash": b.hash, "traceAddress": []any{}, "result": nil}}
			for i, c := range calls {
				out = append(out, c.flat(b, i)...)
			}
			return out, nil
		case method == "debug_traceBlockByHash" && params[0] == b.hash:
			var out []any
			for i, c := range calls {
				out = append(out, object{"txHash": b.txs[i]["hash"], "result": c.tree()})
			}
			return out, nil
		}
		return result, nil
	}
	return n, b
}

func (b *fakeBlock) ref() chain.BlockRef {
	return chain.BlockRef{Height: b.height, Hash: chain.BlockHash(b.hash)}
}

func calls(to string, value uint64, inner ...fakeCall) fakeCall {
	return fakeCall{kind: "CALL", from: wallet, to: to, value: value, calls: inner}
}

func traceDialects() []string { return []string{"trace_block", "debug_traceBlockByHash"} }

func TestInternal(t *testing.T) {
	for _, dialect := range traceDialects() {
		t.Run(dialect, func(t *testing.T) {
			n, b := traced(t, dialect,
				calls(ann, 5), // a plain payment, which is in pages
				calls(stranger, 9, calls(ann, 3), calls(stranger, 6, calls(ben, 2), calls(other, 4)), calls(ann, 1)),
				calls(stranger, 8, fakeCall{kind: "CREATE", from: stranger, to: coin, value: 8, calls: []fakeCall{{kind: "SELFDESTRUCT", from: coin, to: ben, value: 8}}}),
			)
			c := n.client(t)
			got, err := c.Internal(t.Context(), b.ref(), []chain.Address{canonical(ann), canonical(ben)})
			require.NoError(t, err)
			require.Empty(t, got.Beneficiary)
			var lines []string
			for _, x := range got.Transfers {
				require.Equal(t, c.Info().Native.ID, x.Asset)
				require.Equal(t, chain.ViaContract, x.Via)
				require.Equal(t, b.ref(), chain.BlockRef{Height: x.Block, Hash: x.Hash})
				require.Equal(t, b.txs[x.TxIndex]["hash"], string(x.ID.Tx))
				lines = append(lines, fmt.Sprint(x.TxIndex, " ", x.ID.Ordinal, " ", x.From == canonical(coin), " ", x.To == canonical(ann), " ", x.Amount))
			}
			require.Equal(t, []string{"1 i:0 false true 3", "1 i:1.0 false false 2", "1 i:2 false true 1", "2 i:0.0 true false 8"}, lines)
			got, err = c.Internal(t.Context(), b.ref(), []chain.Address{canonical(customer)})
			require.NoError(t, err)
			require.Empty(t, got.Transfers)
		})
	}
}

// Of what was reverted nothing counts, at any depth; nor do the kinds of calls that
// act on the caller's own account.
func TestThreat_B11_OnlyLastingCallsCount(t *testing.T) {
	failed := func(c fakeCall) fakeCall { c.failed = true; return c }
	for _, dialect := range traceDialects() {
		for name, c := range map[string]fakeCall{
			"the call itself":      calls(stranger, 5, failed(calls(ann, 5))),
			"the call around":      calls(stranger, 5, failed(calls(other, 5, calls(ann, 5)))),
			"the call around that": calls(stranger, 5, failed(calls(other, 5, calls(other, 5, calls(other, 5, calls(ann, 5)))))),
			"the transaction":      failed(calls(stranger, 5, calls(other, 5, calls(ann, 5)))),
			"a delegate call":      calls(stranger, 5, fakeCall{kind: "DELEGATECALL", from: stranger, to: ann, value: 5}),
			"a code call":          calls(stranger, 5, fakeCall{kind: "CALLCODE", from: stranger, to: ann, value: 5}),
			"a static call":        calls(stranger, 5, fakeCall{kind: "STATICCALL", from: stranger, to: ann}),
			"nothing":              calls(stranger, 5, calls(ann, 0)),
			"to itself":            calls(stranger, 5, fakeCall{kind: "CALL", from: ann, to: ann, value: 5}),
		} {
			t.Run(dialect+" "+name, func(t *testing.T) {
				// A second transaction has a path of the same name that lasts.
				n, b := traced(t, dialect, c, calls(stranger, 7, calls(other, 1, calls(ben, 7))))
				got, err := n.client(t).Internal(t.Context(), b.ref(), []chain.Address{canonical(ann), canonical(ben)})
				require.NoError(t, err)
				require.Len(t, got.Transfers, 1)
				require.Equal(t, canonical(ben), got.Transfers[0].To)
			})
		}
	}
	// 1.0 is not inside of 1 alone: nor is 10 inside of 1.
	many := make([]fakeCall, 11)
	for i := range many {
		many[i] = calls(other, 1)
	}
	many[1].failed, many[10] = true, calls(ann, 3)
	for _, dialect := range traceDialects() {
		n, b := traced(t, dialect, calls(stranger, 20, many...))
		got, err := n.client(t).Internal(t.Context(), b.ref(), []chain.Address{canonical(ann)})
		require.NoError(t, err)
		require.Len(t, got.Transfers, 1)
		require.Equal(t, "i:10", got.Transfers[0].ID.Ordinal)
	}
}

func TestThreat_B13_WithdrawalsAndBeneficiary(t *testing.T) {
	n, b := traced(t, "none")
	n.bend = func(method string, _ []any, result any) (any, object) {
		if method == "eth_getBlockByHash" {
			o := result.(object)
			o["miner"] = strings.ToLower(ben)
			o["withdrawals"] = []any{
				object{"index": "0x10", "validatorIndex": "0x1", "address": strings.ToLower(ann), "amount": "0x3b9aca00"},
				object{"index": "0x11", "validatorIndex": "0x2", "address": strings.ToLower(other), "amount": "0x1"},
				object{"index": "0x12", "validatorIndex": "0x2", "address": strings.ToLower(ann), "amount": "0x0"},
			}
		}
		return result, nil
	}
	got, err := n.client(t).Internal(t.Context(), b.ref(), []chain.Address{canonical(ann)})
	require.NoError(t, err)
	require.Equal(t, canonical(ben), got.Beneficiary)
	require.Len(t, got.Transfers, 1)
	x := got.Transfers[0]
	require.Equal(t, chain.TransferID{Ordinal: "w:16"}, x.ID)
	require.Equal(t, "1000000000000000000", x.Amount.String(), "gwei")
	require.Equal(t, chain.ViaProtocol, x.Via)
	require.Empty(t, x.From)
}

// A node that cannot trace is asked once in each way, and not again.
func TestInternalOfANodeThatCannotTrace(t *testing.T) {
	n, b := traced(t, "none", calls(stranger, 5, calls(ann, 5)))
	c := n.client(t)
	for range 3 {
		got, err := c.Internal(t.Context(), b.ref(), []chain.Address{canonical(ann)})
		require.NoError(t, err)
		require.Empty(t, got.Transfers)
	}
	require.Equal(t, 1, n.asked["trace_block"])
	require.Equal(t, 1, n.asked["debug_traceBlockByHash"])
}

// An answer that contradicts the block is none.
func TestInternalContradictions(t *testing.T) {
	for _, dialect := range traceDialects() {
		whole := func() (*fakeNode, *fakeBlock) {
			return traced(t, dialect, calls(stranger, 5, calls(ann, 5)), calls(stranger, 6, calls(ann, 6)))
		}
		last := 1 // elements of the last transaction
		if dialect == "trace_block" {
			last = 2
		}
		bends := map[string]func(b *fakeBlock, list []any) any{
			"none":                  func(*fakeBlock, []any) any { return nil },
			"an empty one":          func(*fakeBlock, []any) any { return []any{} },
			"without the last one":  func(_ *fakeBlock, list []any) any { return list[:len(list)-last] },
			"a foreign transaction": func(_ *fakeBlock, list []any) any { return append(list, foreign(list[len(list)-1])) },
			"no object":             func(*fakeBlock, []any) any { return []any{7} },
			"empty objects":         func(*fakeBlock, []any) any { return []any{object{}, object{}} },
		}
		if dialect == "trace_block" {
			bends["another block"] = func(_ *fakeBlock, list []any) any {
				list[1].(object)["blockHash"] = hashOf("elsewhere")
				return list
			}
		} else {
			bends["one twice"] = func(_ *fakeBlock, list []any) any { return append(list, list[0]) }
			bends["without its result"] = func(_ *fakeBlock, list []any) any {
				delete(list[0].(object), "result")
				return list
			}
		}
		for name, bend := range bends {
			t.Run(dialect+" "+name, func(t *testing.T) {
				n, b := whole()
				good := n.bend
				n.bend = func(method string, params []any, result any) (any, object) {
					out, refusal := good(method, params, result)
					if method == dialect {
						return bend(b, out.([]any)), nil
					}
					return out, refusal
				}
				_, err := n.client(t).Internal(t.Context(), b.ref(), []chain.Address{canonical(ann)})
				require.ErrorIs(t, err, chain.ErrTransient)
			})
		}
	}
}

// foreign is the trace of a transaction that is not in the block.
func foreign(of any) object {
	o := object{}
	for k, v := range of.(object) {
		o[k] = v
	}
	if o["txHash"] != nil {
		o["txHash"] = hashOf("foreign")
	} else {
		o["transactionHash"] = hashOf("foreign")
	}
	return o
}

func TestInternalErrors(t *testing.T) {
	n, b := traced(t, "debug_traceBlockByHash", calls(stranger, 5, calls(ann, 5)))
	c := n.client(t)
	to := []chain.Address{canonical(ann)}
	ref := b.ref()
	ref.Hash = chain.BlockHash(hashOf("unknown"))
	_, err := c.Internal(t.Context(), ref, to)
	require.ErrorIs(t, err, chain.ErrNotFound)
	ref = b.ref()
	ref.Height++
	_, err = c.Internal(t.Context(), ref, to)
	require.ErrorIs(t, err, chain.ErrTransient)
	ref.Hash = "0x1"
	var format *chain.FormatError
	_, err = c.Internal(t.Context(), ref, to)
	require.ErrorAs(t, err, &format)
	_, err = c.Internal(t.Context(), b.ref(), []chain.Address{"nobody"})
	require.ErrorAs(t, err, &format)
	_, err = c.Internal(t.Context(), b.ref(), to)
	require.NoError(t, err)
	n.bend = refusing("debug_traceBlockByHash", -32000, "required historical state unavailable (reexec=128)")
	_, err = c.Internal(t.Context(), b.ref(), to)
	require.ErrorIs(t, err, chain.ErrPruned)
	n.bend = refusing("debug_traceBlockByHash", -32000, "historical state is not available")
	_, err = c.Internal(t.Context(), b.ref(), to)
	require.ErrorIs(t, err, chain.ErrPruned, "and not a node that cannot trace")
	n.bend = refusing("debug_traceBlockByHash", -32000, "execution timeout")
	_, err = c.Internal(t.Context(), b.ref(), to)
	require.ErrorIs(t, err, chain.ErrTransient)
}

// The EVM nests calls to a depth of 1,024.
func TestInternalDepth(t *testing.T) {
	nested := func(depth int) fakeCall {
		c := calls(ann, 5)
		for range depth - 1 {
			c = calls(other, 5, c)
		}
		return calls(stranger, 5, c)
	}
	n, b := traced(t, "debug_traceBlockByHash", nested(1024))
	got, err := n.client(t).Internal(t.Context(), b.ref(), []chain.Address{canonical(ann)})
	require.NoError(t, err)
	require.Len(t, got.Transfers, 1)
	require.Equal(t, "i:0"+strings.Repeat(".0", 1023), got.Transfers[0].ID.Ordinal)
	n, b = traced(t, "debug_traceBlockByHash", nested(1100))
	_, err = n.client(t).Internal(t.Context(), b.ref(), []chain.Address{canonical(ann)})
	require.ErrorIs(t, err, chain.ErrTransient)
}
