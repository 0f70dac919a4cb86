package evm

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// What is asked of the fee history. A block of the recent past has one vote,
// however much was paid in it, and the median decides: one block with an auction
// in it moves nothing.
const (
	// recentBlocks is how far back the present price is read.
	recentBlocks = 20
	// leastVotes is how many blocks with traffic make a market. With three one
	// outlier is still outvoted; below, the node's own suggestion is as good.
	leastVotes = 3
	// lowShare and usualShare are percentiles of the gas of a block: what the
	// cheapest tenth paid at most, and the half.
	lowShare, usualShare = 10, 50
)

// A day of history is read as daySamples short looks, so that the hours of the
// day have the same weight and a quiet night does not stand for all of it.
const daySamples = 8

// tips is what goes to the makers of blocks, in wei per unit of gas: Low was
// enough for some transactions of a usual block, Usual for half of its gas.
// Without EIP-1559 they are whole prices.
type tips struct{ Low, Usual uint256.Int }

// feeHistory is an answer of eth_feeHistory. Base has one more entry than there
// are blocks, that of the block to come; Reward one row for each block, with one
// entry for each percentile.
type feeHistory struct {
	Base   []hexNumber   `json:"baseFeePerGas"`
	Reward [][]hexNumber `json:"reward"`
}

// history asks what was paid in some blocks up to newest. nil, without an error,
// means that the node does not tell: it lacks the method, refuses it, or answers
// something that is no history.
func (w writer) history(ctx context.Context, blocks uint64, newest string) (*feeHistory, error) {
	var out *feeHistory
	err := w.ask(ctx, "eth_feeHistory", &out, hexQuantity(blocks), newest, []int{lowShare, usualShare})
	var malformed *DecodeError
	if _, refused := refusal(err); refused || errors.As(err, &malformed) {
		return nil, nil
	}
	return out, err
}

// market takes what the blocks of the history have in common, and reports
// whether they have had enough traffic to tell. Blocks in which nothing was paid
// have no vote, so that a quiet chain does not look like a free one.
func (h *feeHistory) market() (tips, bool) {
	if h == nil {
		return tips{}, false
	}
	var low, usual []uint256.Int
	for _, row := range h.Reward[:min(len(h.Reward), recentBlocks)] {
		if len(row) != 2 || row[1].v.IsZero() || row[1].v.BitLen() > priceBits {
			continue
		}
		usual = append(usual, row[1].v)
		// Not above the usual, whatever the node says of both.
		low = append(low, *smaller(&row[0].v, &row[1].v))
	}
	if len(usual) < leastVotes {
		return tips{}, false
	}
	return tips{Low: median(low), Usual: median(usual)}, true
}

// median of at least one number; of two in the middle the lower one.
func median(of []uint256.Int) uint256.Int {
	slices.SortFunc(of, func(a, b uint256.Int) int { return a.Cmp(&b) })
	return of[(len(of)-1)/2]
}

func smaller(a, b *uint256.Int) *uint256.Int {
	if b.Lt(a) {
		return b
	}
	return a
}

// prices are what a unit of gas cost in each of the blocks: base fee and the
// usual tip. Where a block had neither, it says nothing.
func (h *feeHistory) prices() (out []uint256.Int) {
	if h == nil {
		return nil
	}
	for i, row := range h.Reward[:min(len(h.Reward), recentBlocks)] {
		var one uint256.Int
		if i < len(h.Base) {
			one = h.Base[i].v
		}
		if len(row) != 2 || one.BitLen() > priceBits || row[1].v.BitLen() > priceBits {
			continue
		}
		if one.Add(&one, &row[1].v); !one.IsZero() {
			out = append(out, one)
		}
	}
	return out
}

// EstimateFees tells the price of gas for the next block, base fee and usual tip
// together, and its median over the last day, read from a few blocks each three
// hours. Usual is zero where the node tells too little of the past: it lacks
// eth_feeHistory or the chain is young.
//
// It makes up to eleven requests. Errors are those of the node.
func (c *Client) EstimateFees(ctx context.Context) (chain.FeeMarket, error) {
	return c.writer().feeMarket(ctx, c.Info().BlockTime)
}

func (w writer) feeMarket(ctx context.Context, blockTime time.Duration) (chain.FeeMarket, error) {
	q, err := w.market(ctx)
	if err != nil {
		return chain.FeeMarket{}, err
	}
	head, err := w.number(ctx, "eth_blockNumber")
	if err != nil {
		return chain.FeeMarket{}, err
	}
	var paid []uint256.Int
	stride := uint64(max(24*time.Hour/daySamples/max(blockTime, time.Millisecond), recentBlocks))
	for i := range uint64(daySamples) {
		if !head.IsUint64() || head.Uint64() < i*stride {
			break
		}
		look, err := w.history(ctx, recentBlocks, hexQuantity(head.Uint64()-i*stride))
		if err != nil {
			return chain.FeeMarket{}, err
		}
		paid = append(paid, look.prices()...)
	}
	out := chain.FeeMarket{Now: amountOf(new(uint256.Int).Add(&q.Base, &q.Tip))}
	if len(paid) >= leastVotes {
		usual := median(paid)
		out.Usual = amountOf(&usual)
	}
	return out, nil
}
