package chaintest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// limits are what a node does not do, though others would. Guarded by chain.mu.
type limits struct {
	keeps    uint64 // the blocks below the head whose state is kept; zero: all
	untraced bool
}

// KeepState makes the client a node that keeps the state of its head and of so many
// blocks below it, as nodes do that are no archive: Balances and Internal are
// chain.ErrPruned at older ones. Zero: it keeps all.
func (l *Client) KeepState(blocks uint64) {
	l.chain.mu.Lock()
	defer l.chain.mu.Unlock()
	l.keeps = blocks
}

// Trace makes the client a node that can look into the execution of a block, which
// it is at first, or one that cannot: Internal is chain.ErrUnsupported then.
func (l *Client) Trace(on bool) {
	l.chain.mu.Lock()
	defer l.chain.mu.Unlock()
	l.untraced = !on
}

// kept refuses a block whose state the node has given up.
func (l *Client) kept(b *block, v view) error {
	if l.keeps > 0 && b.ref.Height+l.keeps < v.top {
		return fmt.Errorf("block %d: %w", b.ref.Height, chain.ErrPruned)
	}
	return nil
}

// Internal tells what contracts and withdrawals sent in one block, at any block that
// ever was and whose state is kept. It knows no beneficiary: fees leave the world.
func (l *Client) Internal(ctx context.Context, at chain.BlockRef, to []chain.Address) (chain.Internals, error) {
	return guard(ctx, l, MethodInternal, func() (out chain.Internals, err error) {
		l.see(func(v view) {
			b := l.chain.blocks[at.Hash]
			switch {
			case l.untraced:
				err = fmt.Errorf("traces: %w", chain.ErrUnsupported)
			case b == nil || b.ref.Height > v.top && holds(v.branch, b):
				err = fmt.Errorf("block %s: %w", at.Hash, chain.ErrNotFound)
			default:
				if err = l.kept(b, v); err == nil {
					out.Transfers = l.inner(b, to)
				}
			}
		})
		return out, err
	})
}

func (l *Client) inner(b *block, to []chain.Address) (out []chain.Transfer) {
	add := func(id chain.TransferID, m innerMove, index uint32, via chain.Via) {
		if receiver := textAddress(m.to); slices.Contains(to, receiver) {
			t := chain.Transfer{
				ID: id, Asset: l.chain.info.Native.ID, To: receiver, Amount: m.amount,
				Block: b.ref.Height, Hash: b.ref.Hash, TxIndex: index, Via: via,
			}
			if via == chain.ViaContract {
				t.From = textAddress(m.from)
			}
			out = append(out, t)
		}
	}
	for _, e := range b.edicts {
		if e.withdrawal != nil {
			add(chain.TransferID{Ordinal: fmt.Sprintf("w:%d", e.n)}, *e.withdrawal, 0, chain.ViaProtocol)
		}
	}
	for _, r := range b.txs {
		for _, m := range r.inner {
			add(chain.TransferID{Tx: r.tx.id, Ordinal: "i:" + m.path}, m, r.index, chain.ViaContract)
		}
	}
	slices.SortStableFunc(out, inOrder)
	return out
}

// inOrder sorts transfers of one block as the chain does.
func inOrder(a, b chain.Transfer) int {
	return cmp.Or(cmp.Compare(a.TxIndex, b.TxIndex), strings.Compare(a.ID.Ordinal, b.ID.Ordinal))
}

// InternalIn returns what contracts and withdrawals sent in a block of any branch,
// to anybody: the truth beside TransactionsIn. What Grant credits is not among it.
func (c *Chain) InternalIn(hash chain.BlockHash) ([]chain.Transfer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.blocks[hash]
	if !ok {
		return nil, false
	}
	var to []chain.Address
	for _, e := range b.edicts {
		if e.withdrawal != nil {
			to = append(to, textAddress(e.withdrawal.to))
		}
	}
	for _, r := range b.txs {
		for _, m := range r.inner {
			to = append(to, textAddress(m.to))
		}
	}
	return c.Client().inner(b, to), true
}
