package bursar

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// known reports whether the store knows what a draft's account did last: an attempt
// of ours, or a transaction that was seen in a block. Else the store may have lost
// its last commits, and with them that this very refund was paid; the scanner is
// about to meet it, and doubt is told then. It is a sweeper.Config.Known.
//
// A float that was at work before the scanner began has a past that no store ever
// knew. It is waited for as long as a transaction of that time could still be new.
func (j *journal) known(ctx context.Context, d chain.Draft) error {
	if a := d.Intent.Moves[0].Asset; j.net.known().all[a.ID].ID == "" {
		return fmt.Errorf("bursar: %s (%s) is not configured any more: nobody would see that it was paid", a.Symbol, a.ID)
	}
	var missing chain.Lock
	var tip uint64
	err := j.gw.store.Read(ctx, func(r Reader) error {
		st, err := r.Chain(ctx, j.net.info.ID)
		if err != nil {
			return err
		}
		tip = st.Tip().Height
		for _, lock := range d.After {
			ok, err := heldByUs(ctx, r, d, lock)
			if err != nil {
				return err
			}
			if !ok {
				missing = lock
			}
		}
		return nil
	})
	if err != nil || missing == "" {
		return err
	}
	head, err := j.net.client.Head(ctx)
	if err != nil {
		return err
	}
	if until := j.net.pasts.until(missing, head.Latest.Height+max(j.net.depth(), j.net.info.FinalityDepth, pastDepth)); tip < until {
		return fmt.Errorf("%w: nobody here knows who used %s; looks at block %d", sweeper.ErrUnknownPast, missing, until)
	}
	return nil
}

// pastDepth is how many blocks a node may be behind those that others made, and that
// the draft was made by.
const pastDepth = 64

// heldByUs reports whether an attempt of ours holds a lock, or a transaction that the
// scanner saw consumed it.
func heldByUs(ctx context.Context, r Reader, d chain.Draft, lock chain.Lock) (bool, error) {
	held, err := r.Attempts(ctx, AttemptQuery{Chain: d.Chain, Locks: []chain.Lock{lock}})
	if err != nil || len(held) > 0 {
		return len(held) > 0, err
	}
	rows, err := r.Transactions(ctx, TransactionQuery{
		Chain: d.Chain, From: d.Intent.Moves[0].From.Address, Types: []TransactionType{TypeInternal, TypeOutgoing},
		Statuses: []TransactionStatus{TxConfirming, TxConfirmed},
	})
	return slices.ContainsFunc(rows, func(t Transaction) bool { return t.Lock == lock }), err
}

// pasts are the heights from which a lock that nobody knows counts as used before the
// scanner began.
type pasts struct {
	mu sync.Mutex
	at map[chain.Lock]uint64
}

// until returns what was noted for a lock first, or notes it.
func (p *pasts) until(lock chain.Lock, height uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[lock]
	if !ok {
		if p.at == nil {
			p.at = map[chain.Lock]uint64{}
		}
		at, p.at[lock] = height, height
	}
	return at
}

// floats are those of all wallets, the active one's first.
func (b *book) floats() ([]chain.Account, error) {
	var out []chain.Account
	for i := range b.accounts {
		made, err := b.derive(i, changeOwn, indexFloat, indexFloat+1)
		if err != nil {
			return nil, err
		}
		it, err := b.describe(made[0])
		if err != nil {
			return nil, err
		}
		out = append(out, it.account())
	}
	return out, nil
}
