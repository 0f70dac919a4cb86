package evm

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func TestThreat_B11_CallsThatWereUndone(t *testing.T) {
	n := newFakeNode(t)
	n.traces = true
	b := n.mine(fakeTx{from: customer, to: other, value: 9}, fakeTx{from: customer, to: other, nonce: 1, failed: true}, fakeTx{from: stranger, to: ben, value: 3})
	failed := func(f object) object { f["error"] = "Reverted"; delete(f, "result"); return f }
	kind := func(f object, callType string) object { f["action"].(object)["callType"] = callType; return f }
	b.frames = []object{
		innerCall(0, other, ann, 1, 0),                        // counts
		failed(innerCall(0, other, ann, 2, 1)),                // fails
		innerCall(0, other, ben, 3, 1, 0),                     // inside of what fails
		innerCall(0, other, ben, 4, 1, 0, 2),                  // and deeper
		innerCall(0, other, ben, 5, 10),                       // its path begins alike, no more
		kind(innerCall(0, other, ann, 6, 11), "delegatecall"), // moves nothing
		kind(innerCall(0, other, ann, 7, 12), "staticcall"),   //
		kind(innerCall(0, other, ann, 8, 13), "callcode"),     //
		innerCall(0, ann, ann, 9, 14),                         // to itself
		innerCall(0, other, ann, 0, 15),                       // nothing
		innerCall(1, other, ann, 10, 0),                       // the transaction failed
	}
	end := object{"type": "suicide", "transactionPosition": 0, "subtraces": 0, "traceAddress": []any{16}, "result": nil,
		"action": object{"address": strings.ToLower(other), "refundAddress": strings.ToLower(ann), "balance": "0x2a"}}
	b.frames = append(b.frames, end)
	n.pad(t, 40)
	c := n.far(t)
	p, err := c.Transfers(t.Context(), 1, 1, watching(nil, ann, ben))
	require.NoError(t, err)
	require.True(t, c.Capabilities().TraceBlock)
	var got []string
	for _, x := range p.Transfers {
		got = append(got, fmt.Sprint(x.ID.Ordinal, " ", x.Via, " ", x.Amount))
	}
	require.Equal(t, []string{"i:0 contract 1", "i:10 contract 5", "i:16 contract 42", "n direct 3"}, got)
	require.Equal(t, canonical(other), p.Transfers[0].From)
	require.Equal(t, uint32(2), p.Transfers[1].Key)
}

func TestThreat_B11_TraceAgainstTheReceipt(t *testing.T) {
	n := newFakeNode(t)
	n.traces = true
	b := n.mine(fakeTx{from: customer, to: other, value: 9, failed: true})
	b.frames = []object{innerCall(0, other, ann, 1, 0)}
	n.bend = func(method string, _ []any, result any) (any, object) {
		if frames, ok := result.([]object); ok && method == "trace_block" {
			for _, f := range frames {
				delete(f, "error")
			}
		}
		return result, nil
	}
	n.pad(t, 40)
	_, err := n.far(t).Transfers(t.Context(), 1, 1, watching(nil, ann))
	require.ErrorIs(t, err, chain.ErrTransient)
}

// Nodes have been seen to answer a question for traces with nothing at all.
func TestTracesThatAreNone(t *testing.T) {
	for name, change := range map[string]func([]object) any{
		"an empty object":       func([]object) any { return object{} },
		"nothing":               func([]object) any { return nil },
		"an empty list":         func([]object) any { return []object{} },
		"one missing":           func(f []object) any { return f[1:] },
		"two of one":            func(f []object) any { return append(f, f[0]) },
		"another order":         func(f []object) any { return append(f[1:], f[0]) },
		"objects without parts": func([]object) any { return []object{{}, {}} },
		"of another hash": func(f []object) any {
			g := maps.Clone(f[0])
			g["transactionHash"] = hashOf("x")
			return []object{g, f[1]}
		},
	} {
		for _, from := range []string{"the first page", "a later page"} {
			t.Run(name+", "+from, func(t *testing.T) {
				n := newFakeNode(t)
				n.traces = true
				n.mine(fakeTx{from: customer, to: ann, value: 5}, fakeTx{from: stranger, to: ann, value: 6})
				n.mine(fakeTx{from: customer, to: ann, value: 7, nonce: 1}, fakeTx{from: ann, to: ben, value: 8})
				n.pad(t, 40)
				c, w := n.far(t), watching(nil, ann)
				lie := from == "the first page"
				n.bend = func(method string, _ []any, result any) (any, object) {
					if frames, ok := result.([]object); ok && method == "trace_block" && lie && len(frames) > 0 {
						return change(frames), nil
					}
					return result, nil
				}
				p, err := c.Transfers(t.Context(), 1, 1, w)
				require.NoError(t, err)
				require.Len(t, p.Transfers, 2)
				lie = true
				p, err = c.Transfers(t.Context(), 2, 2, w)
				for range 3 {
					if err == nil {
						break
					}
					require.True(t, isReorgOrTransient(err), "%v", err)
					p, err = c.Transfers(t.Context(), 2, 2, w)
				}
				require.NoError(t, err, "it is read in another way")
				require.Len(t, p.Transfers, 1)
				require.Len(t, p.Spends, 1)
				require.False(t, c.Capabilities().TraceBlock)
				require.NotEmpty(t, c.Capabilities().Faults)
			})
		}
	}
}
