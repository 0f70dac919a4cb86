package bursar

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// lookAhead is how many indexes beyond the mark of an active pool are watched
// although nobody has reserved them. Money for one of them proves that another
// database issues addresses of the same wallet: a copy of this one, or this one
// before it was set back.
const lookAhead = 1000

// indexEnd is the first hardened index, which an xpub cannot derive.
const indexEnd = 1 << 31

// maxMends is how often one caller has a pool moved ahead before it gives up: a
// store that is never right would use the pool up.
const maxMends = 2

// caution is what a book knows about whether its pool can be trusted. The
// book's mutex guards it.
type caution struct {
	// high is the mark of the active pool as far as this process has seen it. A
	// store that hands out less has forgotten something.
	high uint32
	// floor is the first index that may be issued from the stock; all of them are
	// below it while there is trouble.
	floor   uint32
	trouble *trouble
	leap    uint32 // how far a mark moves only where a pool was moved ahead
	// spare are keys that were derived ahead of the mark, by index.
	spare map[uint32]numbered
}

// trouble is why a book issues nothing until its pool has been moved ahead.
type trouble struct {
	reason string
	// beyond is the first index that is not known to be somebody else's.
	beyond uint32
}

// forgetful reports whether the store has lost reservations, which means that
// addresses are told to payers and not watched.
func (t trouble) forgetful() bool {
	return t.reason == SkipMoved || t.reason == SkipLost || t.reason == SkipRewound
}

// unknown reports whether nothing but the trouble itself tells of the indexes
// that are somebody else's.
func (t trouble) unknown() bool { return t.reason != SkipMoved && t.reason != SkipLost }

// nextOf is the mark of a pool; one that was never reserved from has none yet.
func nextOf(pools []Pool, name string) uint32 {
	for _, p := range pools {
		if p.Name == name {
			return p.Next
		}
	}
	return 0
}

// horizon is the end of what is watched of the active pool.
func horizon(next uint32) uint32 { return uint32(min(uint64(next)+lookAhead, indexEnd)) }

// heed notes the store's mark of the active pool. A leap says that an instance
// found the pool to be untrustworthy, and what was reserved before it is not
// issued here either: reservations alone never go that far between two looks.
func (b *book) heed(next uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if uint64(next) >= uint64(b.high)+uint64(b.leap) {
		b.discard(next)
	}
	if next <= b.high {
		return
	}
	b.high = next
	for index := range b.spare {
		// A block that was reserved here a moment ago may still want its keys.
		if uint64(index)+4*reserveBlock < uint64(next) {
			delete(b.spare, index)
		}
	}
}

// seen is the highest mark that this process has seen.
func (b *book) seen() uint32 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.high
}

// discard gives up the stock below an index. Callers hold the mutex.
func (b *book) discard(floor uint32) {
	b.floor = max(b.floor, floor)
	b.free, b.ahead = nil, nil
}

// save keeps keys that were derived ahead of the mark for those who issue them.
func (b *book) save(from uint32, made []numbered) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spare == nil {
		b.spare = make(map[uint32]numbered, lookAhead)
	}
	for i, key := range made {
		if index := from + uint32(i); index >= b.high {
			b.spare[index] = key
		}
	}
}

// spared returns the keys of a block that were all derived ahead of the mark.
func (b *book) spared(block span) ([]numbered, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	made := make([]numbered, 0, block.to-block.from)
	for index := block.from; index < block.to; index++ {
		key, ok := b.spare[index]
		if !ok {
			return nil, false
		}
		made = append(made, key)
	}
	for index := block.from; index < block.to; index++ {
		delete(b.spare, index)
	}
	return made, true
}

// halt stops the book's issuing, until mend succeeds. What is in stock may have
// been issued by somebody else too. The first cause stays, unless it is the
// lesser one, and the highest index.
func (b *book) halt(t trouble) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.trouble; old != nil {
		t.beyond = max(old.beyond, t.beyond)
		if old.forgetful() || !t.forgetful() {
			t.reason = old.reason
		}
	}
	b.trouble = &t
	b.discard(math.MaxUint32)
}

// reopen ends a trouble, unless another one came meanwhile: nothing below next
// is issued from here.
func (b *book) reopen(t *trouble, next uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t == nil || b.trouble != t {
		return
	}
	b.trouble, b.floor, b.high = nil, next, max(b.high, next)
}

func (b *book) troubled() *trouble {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.trouble
}

// mended makes sure that the book may issue, and mends what keeps it from that.
func (b *book) mended(ctx context.Context) error {
	t := b.troubled()
	if t == nil {
		return nil
	}
	err := b.mend(ctx)
	if b.troubled() == nil {
		return nil
	}
	return errors.Join(b.refusal(), err)
}

// refusal is why nothing is issued, nil where it is.
func (b *book) refusal() error {
	if t := b.troubled(); t != nil {
		return fmt.Errorf("%w: %s", ErrIssuanceHalted, t.reason)
	}
	return nil
}

// examine judges a reservation before anything of it is issued. seen is the
// mark that was known before it was asked for.
func (b *book) examine(ctx context.Context, seen uint32, s span) error {
	if s.from < seen {
		b.halt(trouble{SkipRewound, seen})
		return nil
	}
	if err := b.check(ctx); err != nil {
		return fmt.Errorf("bursar: reserve addresses: %w", err)
	}
	b.heed(s.from)
	b.heed(s.to)
	return nil
}

// canary decides whether money that came to an address nobody issued came to an
// index that the store never handed out. The store's mark is read in the page's
// own transaction: what any instance reserved before the payer could know of it
// is below it.
func (d *desk) canary(f *file) (bool, error) {
	it, ours := d.net.book.own(f.address.Address)
	if !ours || it.slot.account != 0 || it.change != changeDeposit {
		return false, nil // own accounts, and wallets that nothing is issued from
	}
	pools, err := d.tx.Pools(d.ctx)
	if err != nil || it.index < nextOf(pools, it.pool) {
		return false, err
	}
	d.beyond = max(d.beyond, it.index+1)
	return true, nil
}

// sing halts issuing where a page brought money to indexes that were never
// handed out, and has the pool moved ahead. It is not told whether the page was
// committed: the money is there in any case.
func (s *sink) sing(ctx context.Context, beyond uint32) {
	if beyond > 0 {
		s.net.book.halt(trouble{SkipForeign, beyond})
	}
	if err := s.net.book.mended(ctx); err != nil {
		s.gw.log.ErrorContext(ctx, "no addresses are issued", "chain", string(s.net.info.ID), "err", err)
	}
}

// heed learns the pools' marks where another instance does the scanning.
func (g *Gateway) heed(ctx context.Context, net *network) error {
	var pools []Pool
	err := g.store.Read(ctx, func(r Reader) (err error) {
		pools, err = r.Pools(ctx)
		return err
	})
	if err == nil {
		net.book.heed(nextOf(pools, poolName(net.book.accounts[0])))
	}
	return err
}
