package evm

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

const (
	// maxSpenders is how many replacements are told of at once; the others are the
	// next time.
	maxSpenders = 8
	// spenderDepth is how many blocks below the final one are searched: full nodes
	// keep the states of the newest 128.
	spenderDepth = 128
)

var _ chain.MempoolWatcher = (*Client)(nil)

// Fates tells what became of pending transactions: what the node knows of them, and
// of those it does not know whether another one used their nonce by the final block.
// Where the node no longer has that block's state, nothing counts as replaced. Who
// replaced one is found among the last 128 blocks before it.
func (c *Client) Fates(ctx context.Context, final chain.BlockHash, of ...chain.Waiting) ([]chain.Fate, error) {
	ids := make([]chain.TxID, len(of))
	for i, w := range of {
		ids[i] = w.ID
	}
	states, err := c.Status(ctx, ids...)
	if err != nil {
		return nil, err
	}
	out := make([]chain.Fate, len(of))
	var open []lockSearch
	for i, w := range of {
		s := states[i]
		out[i] = chain.Fate{State: s.State, Block: s.Block}
		if owner, nonce, ok := splitNonceLock(w.Lock); ok && s.State == chain.TxUnknown {
			open = append(open, lockSearch{fate: &out[i], id: w.ID, owner: owner, nonce: nonce})
		}
	}
	if final == "" || len(open) == 0 {
		return out, nil
	}
	return out, c.replacements(ctx, final, open)
}

// lockSearch looks for who used a nonce.
type lockSearch struct {
	fate  *chain.Fate
	id    chain.TxID
	owner chain.Address
	nonce uint64
	count uint64 // the account's nonce at the block that was asked about
}

// splitNonceLock is the inverse of nonceLock.
func splitNonceLock(l chain.Lock) (owner chain.Address, nonce uint64, ok bool) {
	parts := strings.Split(string(l), ":")
	if len(parts) != 3 || parts[0] != "nonce" {
		return "", 0, false
	}
	raw, err := parseAddress(parts[1])
	if err != nil {
		return "", 0, false
	}
	nonce, err = strconv.ParseUint(parts[2], 10, 64)
	return checksummed(raw), nonce, err == nil
}

// replacements completes the fates of transactions that the node does not know.
func (c *Client) replacements(ctx context.Context, final chain.BlockHash, open []lockSearch) error {
	at, err := blockParam(final)
	if err != nil {
		return err
	}
	var top header
	found := false
	calls := []*call{newCall("eth_getBlockByHash", func(s *scanner) { found = s.header(&top) }, string(final), false)}
	for i := range open {
		calls = append(calls, newCall("eth_getTransactionCount", intoUint64(&open[i].count), string(open[i].owner), at))
	}
	if err := c.do(ctx, calls...); err != nil {
		return readError(err)
	}
	told := 0
	for i := range open {
		o := &open[i]
		switch err := calls[i+1].err; {
		case !found || calls[0].err != nil, isStateless(err), err == nil && o.count <= o.nonce:
			continue
		case err != nil:
			return readError(err)
		}
		if told++; told > maxSpenders {
			return nil
		}
		by, err := c.spender(ctx, o, top.height)
		if err != nil {
			return err
		}
		// A node that does not find the transaction itself by its hash may have it in
		// a block: then it was not replaced.
		if by != o.id {
			o.fate.Replaced, o.fate.By = true, by
		}
	}
	return nil
}

// isStateless reports whether a node does not tell because it does not keep, or has
// no way to name, that block's state.
func isStateless(err error) bool {
	var refusal *RPCError
	return isPruned(err) || isUnknownBlock(err) || errors.As(err, &refusal) && (refusal.Code == codeInvalidParams || refusal.Code == codeMethodNotFound)
}

// spender finds the transaction that used a nonce by a block of that height; empty
// where the states below it are gone or it lies further back.
func (c *Client) spender(ctx context.Context, o *lockSearch, height uint64) (chain.TxID, error) {
	used := func(h uint64) (bool, error) {
		var n uint64
		err := c.one(ctx, newCall("eth_getTransactionCount", intoUint64(&n), string(o.owner), hexQuantity(h)))
		return n > o.nonce, err
	}
	low, high := height-min(height, spenderDepth), height // not used at low, used at high
	for step := uint64(1); high > low; step *= 2 {
		probe := high - min(high-low, step)
		taken, err := used(probe)
		switch {
		case isStateless(err), err == nil && taken && probe == low:
			return "", nil
		case err != nil:
			return "", readError(err)
		case !taken:
			low = probe
		default:
			high = probe
			continue
		}
		break
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		taken, err := used(middle)
		if err != nil {
			return "", readError(err)
		}
		if taken {
			high = middle
		} else {
			low = middle
		}
	}
	return c.signedIn(ctx, o, high)
}

// signedIn finds an account's transaction with a nonce in a block.
func (c *Client) signedIn(ctx context.Context, o *lockSearch, height uint64) (chain.TxID, error) {
	var b block
	if err := c.one(ctx, newCall("eth_getBlockByNumber", func(s *scanner) { s.block(&b) }, hexQuantity(height), true)); err != nil {
		return "", readError(err)
	}
	for i := range b.list {
		if t := &b.list[i]; t.nonce == o.nonce && checksummed(t.from) == o.owner {
			return chain.TxID(hexHash(&t.hash)), nil
		}
	}
	return "", nil
}
