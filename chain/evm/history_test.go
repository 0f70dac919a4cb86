package evm

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// historyOf makes the answer of a fee history: in each block the low and the usual tip.
func historyOf(blocks ...[2]uint64) map[string]any {
	var rows [][]string
	for _, b := range blocks {
		rows = append(rows, []string{hexQuantity(b[0]), hexQuantity(b[1])})
	}
	return map[string]any{"oldestBlock": "0x1", "reward": rows}
}

func marketOf(t *testing.T, n *figures) *quote {
	q, err := n.writer().market(t.Context())
	require.NoError(t, err)
	return &q
}

func TestMarketIsWhatBlocksPaid(t *testing.T) {
	n := newNode(t)
	n.tip = 77 // what the node suggests
	n.answers["eth_feeHistory"] = historyOf([2]uint64{1, 5}, [2]uint64{2, 3}, [2]uint64{0, 0}, [2]uint64{3, 4})
	q := marketOf(t, n)
	require.Equal(t, uint64(4), q.Tip.Uint64(), "the median of the blocks with traffic")
	require.Equal(t, uint64(2), q.LowTip.Uint64())
	require.Equal(t, []any{"0x14", "latest", []any{10.0, 50.0}}, n.params["eth_feeHistory"])
	require.NotContains(t, n.asked, "eth_maxPriorityFeePerGas")

	// Without EIP-1559 the same answer has whole prices.
	n.base = nil
	q = marketOf(t, n)
	require.False(t, q.Dynamic)
	require.Equal(t, uint64(4), q.Tip.Uint64())
	require.NotContains(t, n.asked, "eth_gasPrice")
}

// TestMarketFallsBack: what is no history, or tells too little, leaves the node's
// own suggestion, and a chain without any traffic one gwei.
func TestMarketFallsBack(t *testing.T) {
	few := historyOf([2]uint64{5, 9000}, [2]uint64{0, 0}, [2]uint64{5, 9000})
	for name, answer := range map[string]any{
		"none":        nil,
		"no rows":     map[string]any{},
		"null rows":   map[string]any{"reward": []any{nil, nil, nil, nil}},
		"empty":       historyOf([2]uint64{}, [2]uint64{}, [2]uint64{}, [2]uint64{}),
		"too few":     few,
		"short rows":  map[string]any{"reward": [][]string{{"0x5"}, {"0x5"}, {"0x5"}}},
		"over 2^128":  map[string]any{"reward": [][]string{{"0x1", huge}, {"0x1", huge}, {"0x1", huge}}},
		"three terms": map[string]any{"reward": [][]string{{"0x1", "0x2", "0x3"}, {"0x1", "0x2", "0x3"}, {"0x1", "0x2", "0x3"}}},
	} {
		for _, base := range []*uint256.Int{uint256.NewInt(gwei), nil} {
			n := newNode(t)
			n.base, n.tip = base, 33
			n.answers["eth_feeHistory"] = answer
			q := marketOf(t, n)
			require.Equal(t, uint64(33), q.Tip.Uint64(), name)
			require.Equal(t, q.Tip, q.LowTip, name)
		}
	}
	n := newNode(t)
	n.broken["eth_feeHistory"] = &DecodeError{Reason: "unexpected result"}
	require.Equal(t, uint64(gwei), marketOf(t, n).Tip.Uint64())
	n.broken["eth_maxPriorityFeePerGas"] = refused(codeMethodNotFound, "the method does not exist")
	n.tip = 33
	require.Equal(t, uint64(gwei), marketOf(t, n).Tip.Uint64(), "nobody knows")

	n.broken["eth_feeHistory"] = &TransportError{err: chain.ErrTransient}
	_, err := n.writer().market(t.Context())
	require.ErrorIs(t, err, chain.ErrTransient, "a node that is away is no node without the method")
}

const huge = "0x" + "100000000000000000000000000000000"

// One block in which somebody paid a fortune, or nothing at all, is one vote.
func TestThreat_C21_OneBlockIsNoMarket(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := newNode(t)
		n.base = uint256.NewInt(10 * gwei)
		count := rapid.IntRange(3, recentBlocks).Draw(r, "blocks")
		blocks := make([][2]uint64, count)
		lowest, highest := uint64(1<<62), uint64(0)
		for i := range blocks {
			tip := rapid.Uint64Range(gwei, 2*gwei).Draw(r, "tip")
			blocks[i] = [2]uint64{tip / 2, tip}
			if i > 0 {
				lowest, highest = min(lowest, tip), max(highest, tip)
			}
		}
		odd := rapid.SampledFrom([]uint64{0, 1, 1 << 60}).Draw(r, "odd")
		if blocks[0] = [2]uint64{odd, odd}; odd == 0 && count == 3 {
			return // two votes are no market
		}
		rand.Shuffle(count, func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
		n.answers["eth_feeHistory"] = historyOf(blocks...)
		q, err := n.writer().market(t.Context())
		require.NoError(r, err)
		require.GreaterOrEqual(r, q.Tip.Uint64(), lowest)
		require.LessOrEqual(r, q.Tip.Uint64(), highest)
		require.False(r, q.LowTip.Gt(&q.Tip))
		require.False(r, q.LowTip.IsZero())
	})
}

// FuzzFeeHistory: whatever a node writes, no panic and no price that is none.
func FuzzFeeHistory(f *testing.F) {
	f.Add(`{"reward":[["0x1","0x2"],["0x1","0x2"],["0x1","0x2"]],"baseFeePerGas":["0x7"]}`)
	f.Add(`{"reward":[["0x0","0x0"],null,[],["0x2","0x1"]]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var h *feeHistory
		if json.Unmarshal([]byte(text), &h) != nil {
			return
		}
		if m, ok := h.market(); ok && (m.Low.Gt(&m.Usual) || m.Usual.IsZero() || m.Usual.BitLen() > priceBits) {
			t.Fatal(m)
		}
		for _, p := range h.prices() {
			if p.IsZero() || p.BitLen() > priceBits+1 {
				t.Fatal(p)
			}
		}
	})
}

// dayNode answers histories by their newest block, and notes which were asked for.
type dayNode struct {
	*figures
	head  uint64
	at    func(newest uint64) any
	asked []uint64
}

func (n *dayNode) call(ctx context.Context, method string, out any, params ...any) error {
	if method == "eth_blockNumber" {
		n.answers[method] = hexQuantity(n.head)
	}
	if method == "eth_feeHistory" {
		newest := n.head
		if text := params[1].(string); text != "latest" {
			newest = uint256.MustFromHex(text).Uint64()
			n.asked = append(n.asked, newest)
		}
		n.answers[method] = n.at(newest)
	}
	return n.figures.call(ctx, method, out, params...)
}

func TestEstimateFees(t *testing.T) {
	const perLook = 900 // blocks of 12 s in three hours
	history := func(base, tip uint64) any {
		h := historyOf([2]uint64{tip, tip}, [2]uint64{tip, tip}, [2]uint64{tip, tip})
		h["baseFeePerGas"] = []string{hexQuantity(base), hexQuantity(base), hexQuantity(base), hexQuantity(base)}
		return h
	}
	estimate := func(n *dayNode) chain.FeeMarket {
		w := n.writer()
		w.node = n
		f, err := w.feeMarket(t.Context(), 12*time.Second)
		require.NoError(t, err)
		return f
	}
	n := &dayNode{figures: newNode(t), head: 100_000}
	n.at = func(newest uint64) any {
		if newest == n.head {
			return history(90*gwei, 10*gwei) // a spike, now
		}
		return history(20*gwei, gwei)
	}
	n.base = uint256.NewInt(90 * gwei)
	require.Equal(t, chain.FeeMarket{Now: chain.NewAmount(100 * gwei), Usual: chain.NewAmount(21 * gwei)}, estimate(n))
	var want []uint64
	for i := range uint64(daySamples) {
		want = append(want, 100_000-i*perLook)
	}
	require.Equal(t, want, n.asked)

	n.asked, n.head = nil, 2*perLook
	estimate(n)
	require.Equal(t, []uint64{2 * perLook, perLook, 0}, n.asked, "a young chain has no more")

	// Without a base fee the history has whole prices, and quiet blocks none.
	n.base = nil
	n.at = func(newest uint64) any {
		return historyOf([2]uint64{1, 5 * gwei}, [2]uint64{0, 0}, [2]uint64{1, 5 * gwei}, [2]uint64{1, 5 * gwei})
	}
	require.Equal(t, chain.FeeMarket{Now: chain.NewAmount(5 * gwei), Usual: chain.NewAmount(5 * gwei)}, estimate(n))

	// A node without the method knows the present alone.
	n.at = func(uint64) any { return nil }
	require.Equal(t, chain.FeeMarket{Now: chain.NewAmount(gwei)}, estimate(n))

	w := n.writer()
	n.broken["eth_blockNumber"] = &TransportError{err: chain.ErrTransient}
	w.node = n
	_, err := w.feeMarket(t.Context(), 12*time.Second)
	require.ErrorIs(t, err, chain.ErrTransient)
}
