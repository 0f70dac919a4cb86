package chaintest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar/chain"
)

var _ chain.MempoolWatcher = (*Client)(nil)

// heardRoom is how many announcements wait for one watcher; a node forgets what
// does not fit.
const heardRoom = 1024

// announce tells the watchers of a transaction that was taken into the mempool.
func (c *Chain) announce(t *tx) {
	for _, w := range c.watchers {
		select {
		case w <- t:
		default:
		}
	}
}

// WatchMempool sends the sights of what is submitted from now on: the value of a
// plain transaction, and calls of transfer of listed tokens. What
// returns to the mempool in a reorg is not announced again.
func (l *Client) WatchMempool(ctx context.Context, w chain.Watch, out chan<- chain.Sight) error {
	heard := make(chan *tx, heardRoom)
	_, err := guard(ctx, l, MethodWatchMempool, func() (none struct{}, err error) {
		l.chain.mu.Lock()
		defer l.chain.mu.Unlock()
		l.chain.watchers = append(l.chain.watchers, heard)
		return none, nil
	})
	if err != nil {
		return err
	}
	defer func() {
		l.chain.mu.Lock()
		defer l.chain.mu.Unlock()
		l.chain.watchers = slices.DeleteFunc(l.chain.watchers, func(o chan *tx) bool { return o == heard })
	}()
	listed := idsOf(w.Assets())
	for {
		select {
		case t := <-heard:
			s, to, ok := l.chain.sight(t, listed)
			if _, watched := w.Match(to[:]); !ok || !watched {
				continue
			}
			select {
			case out <- s:
			default:
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Sights are what WatchMempool would have told of all that waits now, whoever it is
// for: native coin, and tokens among the assets.
func (c *Chain) Sights(assets ...chain.Asset) (out []chain.Sight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.pool.waiting {
		if s, _, ok := c.sight(t, idsOf(assets)); ok {
			out = append(out, s)
		}
	}
	return out
}

// sight reads what a transaction promises from its payload alone.
func (c *Chain) sight(t *tx, listed map[common.Address]chain.AssetID) (s chain.Sight, to common.Address, ok bool) {
	s = chain.Sight{ID: chain.TransferID{Tx: t.id}, From: textAddress(t.from), Lock: nonceLock(t.from, t.raw.Nonce())}
	token := *t.raw.To()
	if id, isToken := listed[token]; isToken {
		to, amount, ok := readTransferCall(t.raw.Data())
		s.Asset, s.Amount, s.To = id, amount, textAddress(to)
		s.ID.Ordinal = fmt.Sprintf("t:%s:%s:0", textAddress(token), textAddress(to))
		return s, to, ok && !amount.IsZero()
	}
	s.Asset, s.Amount, s.To, s.ID.Ordinal = c.info.Native.ID, t.value, textAddress(token), "n"
	return s, token, !t.value.IsZero()
}

// Fates tells what became of transactions that waited, and who used their nonces
// up to a block.
func (l *Client) Fates(ctx context.Context, final chain.BlockHash, of ...chain.Waiting) ([]chain.Fate, error) {
	return guard(ctx, l, MethodFates, func() (out []chain.Fate, err error) {
		l.see(func(v view) {
			top := l.chain.blocks[final]
			if final != "" && (top == nil || top.ref.Height > v.top) {
				err = fmt.Errorf("block %s: %w", final, chain.ErrNotFound)
				return
			}
			for _, w := range of {
				f := chain.Fate{State: chain.TxUnknown}
				if r := l.chain.included(w.ID, v.seen()); r != nil {
					f.State, f.Block = l.status(r, nil).State, r.block.ref
				} else if l.chain.waits(w.ID, v) {
					f.State = chain.TxPending
				}
				if top != nil {
					f.By, f.Replaced = spender(top, w)
				}
				out = append(out, f)
			}
		})
		return out, err
	})
}

// spender finds the transaction, other than the one that waits, that used its nonce
// up to a block.
func spender(top *block, w chain.Waiting) (by chain.TxID, spent bool) {
	owner, nonce, ok := splitLock(w.Lock)
	if !ok || top.world.nonce(owner) <= nonce {
		return "", false
	}
	for b := top; b != nil; b = b.parent {
		for _, r := range b.txs {
			if r.tx.from == owner && r.tx.raw.Nonce() == nonce {
				if r.tx.id == w.ID {
					return "", false
				}
				return r.tx.id, true
			}
		}
	}
	return "", true
}

// splitLock is the inverse of nonceLock for any account.
func splitLock(l chain.Lock) (owner common.Address, nonce uint64, ok bool) {
	parts := strings.Split(string(l), ":")
	if len(parts) != 3 || parts[0] != "nonce" {
		return owner, 0, false
	}
	owner, ok = rawAddress(chain.Address(parts[1]))
	nonce, err := strconv.ParseUint(parts[2], 10, 64)
	return owner, nonce, ok && err == nil
}
