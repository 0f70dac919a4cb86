package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

const (
	// tendMost is how many transactions are asked about at once.
	tendMost = 100
	// tendEvery is the least time between two looks at what waits.
	tendEvery = 15 * time.Second
	// tendNone is how long nobody looks where nothing can come any more.
	tendNone = time.Hour
)

// tendStep looks after announced transfers that wait: those whose place another
// transaction took, that no node knows any more, or that were mined and moved
// nothing.
func (g *Gateway) tendStep(ctx context.Context, net *network) (time.Duration, error) {
	watcher, ok := chain.As[chain.MempoolWatcher](net.client)
	pause := max(net.info.BlockTime, tendEvery)
	switch {
	case !ok, net.settledSights():
		return tendNone, nil
	case !net.leads():
		return min(pause, g.lookAgain()), nil
	}
	err := g.tend(ctx, net, watcher)
	if err != nil && ctx.Err() == nil {
		g.breaks(ctx, net, err)
	}
	if errors.Is(err, ErrLeaseHeld) || errors.Is(err, ErrFenced) {
		err = nil // another instance does it
	}
	return pause, err
}

// settledSights reports whether nothing is announced, and nothing is going to be.
func (n *network) settledSights() bool {
	n.announced.mu.Lock()
	defer n.announced.mu.Unlock()
	return !n.cfg.Mempool && n.announced.counted && n.announced.room == maxPending
}

func (g *Gateway) tend(ctx context.Context, net *network, watcher chain.MempoolWatcher) error {
	var rows []Transaction
	var st ChainState
	var now time.Time
	err := g.store.Read(ctx, func(r Reader) (err error) {
		now = r.Now()
		if st, err = r.Chain(ctx, net.info.ID); err != nil {
			return err
		}
		rows, err = r.Transactions(ctx, TransactionQuery{
			Chain: net.info.ID, Types: []TransactionType{TypeIncoming}, Statuses: []TransactionStatus{TxPending}, Limit: maxPending,
		})
		return err
	})
	if err != nil {
		return err
	}
	net.announced.count(len(rows))
	turn := net.announced.turn(rows)
	if len(turn) == 0 {
		return nil
	}
	of := make([]chain.Waiting, len(turn))
	for i, row := range turn {
		of[i] = chain.Waiting{ID: row.Transfer.Tx, Lock: row.Lock}
	}
	fates, err := watcher.Fates(ctx, finalHash(st), of...)
	if err != nil {
		return err
	}
	if len(fates) != len(of) {
		return fmt.Errorf("%w: %d fates, asked for %d", chain.ErrIncoherent, len(fates), len(of))
	}
	ends := net.announced.ends(turn, fates, now, net.cfg.DropAfter)
	if len(ends) == 0 {
		return nil
	}
	return g.endSights(ctx, net, ends)
}

// finalHash is the newest block that was scanned and is final; empty where none is
// remembered.
func finalHash(st ChainState) chain.BlockHash {
	for _, b := range slices.Backward(st.Recent) {
		if b.Height <= st.Final && b.Height > 0 {
			return b.Hash
		}
	}
	return ""
}

// turn chooses the rows to ask about now: all in turn, where there are many. What
// was forgotten about others is not kept either.
func (a *announced) turn(rows []Transaction) []Transaction {
	a.mu.Lock()
	defer a.mu.Unlock()
	waits := make(map[chain.TxID]bool, len(rows))
	for _, row := range rows {
		waits[row.Transfer.Tx] = true
	}
	for id := range a.unknown {
		if !waits[id] {
			delete(a.unknown, id)
		}
	}
	if len(rows) <= tendMost {
		a.next = 0
		return rows
	}
	a.next %= len(rows)
	out := slices.Concat(rows[a.next:], rows[:a.next])[:tendMost]
	a.next += tendMost
	return out
}

// sightEnd is what became of a row that waits.
type sightEnd struct {
	id, to string
	fact   fact
	tx     transactionFact
	by     chain.TxID
	block  chain.BlockRef // where it was mined, for txReverted
}

// ends are the rows that wait no longer, by what the nodes say. That no node knows
// a transaction counts once it has lasted.
func (a *announced) ends(rows []Transaction, fates []chain.Fate, now time.Time, dropAfter time.Duration) (out []sightEnd) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, row := range rows {
		f, tx := fates[i], row.Transfer.Tx
		end := sightEnd{id: row.ID, to: string(row.To)}
		since, missed := a.unknown[tx]
		if f.State != chain.TxUnknown {
			delete(a.unknown, tx)
		} else if !missed {
			if a.unknown == nil {
				a.unknown = map[chain.TxID]time.Time{}
			}
			a.unknown[tx], since = now, now
		}
		switch {
		case f.State == chain.TxIncluded, f.State == chain.TxFailed:
			end.fact, end.tx, end.block = factReverted, txReverted, f.Block
		case f.Replaced:
			end.fact, end.tx, end.by = factReplaced, txReplaced, f.By
		case f.State == chain.TxUnknown && now.Sub(since) >= dropAfter:
			end.fact, end.tx = factDropped, txDropped
		default:
			continue
		}
		out = append(out, end)
	}
	return out
}

// endSights writes what became of rows that waited. It is decided by the rows as
// they are then: the scanner may have found the money meanwhile.
func (g *Gateway) endSights(ctx context.Context, net *network, ends []sightEnd) error {
	fence, err := g.lease(ctx, net)
	if err != nil {
		return err
	}
	return g.beside(ctx, net, fence, func(d *desk) (wrote bool, err error) {
		for _, e := range ends {
			did, err := d.endSight(e)
			if err != nil {
				return false, err
			}
			wrote = wrote || did
		}
		return wrote, nil
	})
}

func (d *desk) endSight(e sightEnd) (bool, error) {
	f, err := d.file(chain.Address(e.to))
	if err != nil {
		return false, err
	}
	t := f.tx(e.id)
	if t == nil || t.Status != TxPending || e.tx == txReverted && !d.scanned(e.block) {
		return false, nil
	}
	apply := func(t *Transaction) {
		d.turn(t, e.tx)
		t.ReplacedBy = e.by
	}
	if f.payment {
		return true, d.decide(f, e.fact, e.id, apply)
	}
	apply(t)
	f.dirty[e.id] = true
	kind := TransactionFailed
	if e.tx == txReplaced {
		kind = TransactionReplaced
	}
	f.notices = append(f.notices, d.transferNotice(kind, f, *t))
	return true, nil
}

// scanned reports whether a block's transfers are in the rows: then one that waits
// still was not among them.
func (d *desk) scanned(b chain.BlockRef) bool {
	recent := d.state.Recent
	if len(recent) == 0 || b.Hash == "" {
		return false
	}
	return b.Height < recent[0].Height || slices.ContainsFunc(recent, func(r chain.BlockRef) bool { return r.Hash == b.Hash })
}

// returned asks which transactions of blocks that left the chain wait in the
// mempool again, where that is watched. Who does not say has their rows orphaned,
// which costs nothing but a word.
func (g *Gateway) returned(ctx context.Context, net *network, lost []chain.BlockRef) map[chain.TxID]bool {
	if !net.cfg.Mempool || len(lost) == 0 {
		return nil
	}
	hashes := make([]chain.BlockHash, len(lost))
	for i, b := range lost {
		hashes[i] = b.Hash
	}
	var ids []chain.TxID
	err := g.store.Read(ctx, func(r Reader) error {
		rows, err := r.Transactions(ctx, TransactionQuery{Chain: net.info.ID, Types: []TransactionType{TypeIncoming}, Blocks: hashes, Limit: tendMost})
		for _, row := range rows {
			if row.Transfer.Tx != "" && !slices.Contains(ids, row.Transfer.Tx) {
				ids = append(ids, row.Transfer.Tx)
			}
		}
		return err
	})
	if err != nil || len(ids) == 0 {
		return nil
	}
	found, err := net.client.Status(ctx, ids...)
	if err != nil {
		g.log.DebugContext(ctx, "orphaned transactions were not asked for", "chain", string(net.info.ID), "err", err)
		return nil
	}
	out := map[chain.TxID]bool{}
	for _, s := range found {
		out[s.ID] = s.State == chain.TxPending
	}
	return out
}
