package evm

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/bursar-go/bursar/chain"
)

// signers knows which nonces the watched accounts can have used in a stretch of
// blocks. A raw block does not say who sent its transactions, and to find out
// costs as much as everything else in it; a transaction whose nonce none of our
// accounts used in that stretch is not ours, whoever sent it.
//
// The rule it rests on: the nonce of an account never falls, and each
// transaction that it signs has the nonce that it had before. An account that
// has the nonce a at one block and b at a later one has signed exactly those
// with the nonces from a to b-1 between the two. (Contract code run by the
// account can raise it too, which makes the list longer than it must be.)
type signers struct {
	// The stretch goes from the block after the one at height after up to upTo.
	after uint64
	upTo  blockID
	// spans are sorted and do not overlap.
	spans []nonceSpan
	// known are the accounts that were asked for.
	known map[[addressLength]byte]struct{}
	// seen, whole and opaque count the raw blocks that were read with this, those
	// of them that had to be read in full, and for a type that is not understood;
	// useless is the conclusion.
	seen, whole, opaque atomic.Uint64
	useless             atomic.Bool
	// still is nil where it is not known which accounts had no part in the stretch.
	still *stillness
}

// nonceSpan are the nonces from first up to, but not including, end.
type nonceSpan struct{ first, end uint64 }

// covers reports whether the page lies inside of the stretch.
func (s *signers) covers(p *plan) bool {
	return s != nil && p.from > s.after && p.from+uint64(p.n)-1 <= s.upTo.height
}

// possible reports whether a transaction with that nonce may be ours.
func (s *signers) possible(nonce uint64) bool {
	i, found := slices.BinarySearchFunc(s.spans, nonce, func(span nonceSpan, n uint64) int { return cmp.Compare(span.first, n) })
	return found || i > 0 && nonce < s.spans[i-1].end
}

// updateSigners returns what is known of the accounts of w, for a page that
// begins at from. It asks about accounts that old does not know, which is all
// of them where old is nil; then the stretch ends at the head. It returns nil
// where the node does not answer such questions. Where still is true it compares
// balances too.
func (c *Client) updateSigners(ctx context.Context, old *signers, from uint64, head *blockID, w chain.Watch, still bool) (*signers, error) {
	s := old
	if s == nil {
		s = &signers{upTo: *head, after: from - 1}
	}
	var asked []account
	for key := range w.Keys() {
		if len(key) == addressLength {
			a := account{key: [addressLength]byte(key)}
			if _, ok := s.known[a.key]; !ok {
				asked = append(asked, a)
			}
		}
	}
	if old != nil && len(asked) == 0 {
		return old, nil
	}
	if from == 0 {
		// There is no block before the first one.
		return nil, nil
	}
	var end *standing
	var err error
	if still = still && (old == nil || old.still != nil); still {
		if end, err = c.standingOf(ctx, asked, &s.upTo.hash); err != nil {
			return nil, err
		}
	}
	spans, before, err := c.signed(ctx, asked, s, end)
	if err != nil || spans == nil {
		return nil, err
	}
	// Others may be reading the old one.
	next := &signers{after: s.after, upTo: s.upTo, known: make(map[[addressLength]byte]struct{}, len(s.known)+len(asked))}
	for account := range s.known {
		next.known[account] = struct{}{}
	}
	for _, a := range asked {
		next.known[a.key] = struct{}{}
	}
	next.spans = merge(slices.Concat(s.spans, spans))
	if before != nil && end != nil {
		from, err := c.standingOf(ctx, asked, &before.hash)
		if err != nil {
			return nil, err
		}
		next.still = c.withStill(s.still, asked, from, end)
	}
	c.signers.Store(next)
	return next, nil
}

// signed asks for the nonces that accounts have used in a stretch, and notes which
// of them used any. Those that have never used one, and those that end shows to be
// empty, cost no second question. A node that has no state so old leaves the first
// nonces at zero, which only makes more transactions possible. It returns nil where
// the node does not answer, and the block before the stretch where there is need of
// it: for that too, and where end is known.
func (c *Client) signed(ctx context.Context, asked []account, s *signers, end *standing) (spans []nonceSpan, before *header, err error) {
	some := make([]int, 0, len(asked))
	for i := range asked {
		if asked[i].signs = false; end == nil || !end.empty[i] {
			some = append(some, i)
		}
	}
	ends, err := c.noncesOf(ctx, asked, some, s.upTo.hash)
	if err != nil || ends == nil {
		return nil, nil, err
	}
	var used []int
	var last []uint64
	for k, i := range some {
		if ends[k] > 0 {
			used, last = append(used, i), append(last, ends[k])
		}
	}
	spans = []nonceSpan{}
	if len(used) == 0 && end == nil {
		return spans, nil, nil
	}
	if before, err = c.blockBefore(ctx, s.after); err != nil {
		return nil, nil, err
	}
	firsts := make([]uint64, len(used))
	if before != nil {
		values, err := c.noncesOf(ctx, asked, used, before.hash)
		if err != nil {
			return nil, nil, err
		}
		copy(firsts, values)
	}
	for k, i := range used {
		if asked[i].signs = last[k] > firsts[k]; asked[i].signs {
			spans = append(spans, nonceSpan{firsts[k], last[k]})
		}
	}
	return spans, before, nil
}

// noncesOf asks for the nonces of some of the accounts.
func (c *Client) noncesOf(ctx context.Context, all []account, places []int, at [32]byte) ([]uint64, error) {
	some := make([]account, len(places))
	for k, i := range places {
		some[k] = all[i]
	}
	return c.nonces(ctx, some, at)
}

// blockBefore is the block of a height, or nil where the node does not say.
func (c *Client) blockBefore(ctx context.Context, height uint64) (*header, error) {
	var h header
	found := false
	r := newCall("eth_getBlockByNumber", func(s *scanner) { found = s.header(&h) }, hexQuantity(height), false)
	if err := c.do(ctx, r); err != nil {
		return nil, err
	}
	if r.err != nil || !found || h.height != height {
		return nil, r.err
	}
	return &h, nil
}

// nonces asks for the nonces of accounts in the state after a block. It returns
// nil where the node does not have that state, or does not take hashes.
func (c *Client) nonces(ctx context.Context, accounts []account, at [32]byte) ([]uint64, error) {
	out := make([]uint64, len(accounts))
	if len(accounts) == 0 {
		return out, nil
	}
	calls := make([]*call, len(accounts))
	block := stateOf(&at)
	for i := range accounts {
		calls[i] = newCall("eth_getTransactionCount", intoUint64(&out[i]), hexBytes(accounts[i].key[:]), block)
	}
	// Their answers are small, so that as many go into a request as nodes take.
	if err := c.doBy(ctx, max(c.batchSize(), c.smallBatch()), calls...); err != nil {
		return nil, err
	}
	for _, r := range calls {
		if r.err != nil {
			return nil, nil //nolint:nilerr // without an answer there is another way
		}
	}
	return out, nil
}

// merge sorts the spans and joins those that touch.
func merge(spans []nonceSpan) []nonceSpan {
	slices.SortFunc(spans, func(x, y nonceSpan) int { return cmp.Compare(x.first, y.first) })
	out := spans[:0]
	for _, s := range spans {
		if len(out) > 0 && s.first <= out[len(out)-1].end {
			out[len(out)-1].end = max(out[len(out)-1].end, s.end)
			continue
		}
		out = append(out, s)
	}
	return out
}
