package evm

import (
	"context"
	"errors"
	"slices"

	"github.com/holiman/uint256"
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
