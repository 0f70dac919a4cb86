package bursar

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

// sink commits what the scanner of one chain finds: the blocks, the payments
// they touch, the ledger, the cursor and the outbox in one transaction.
type sink struct {
	gw  *Gateway
	net *network
}

// Cursor implements scanner.Sink.
func (s *sink) Cursor(ctx context.Context) (scanner.Cursor, error) {
	cursor := scanner.Cursor{Start: s.net.cfg.Start}
	err := s.gw.store.Read(ctx, func(r Reader) error {
		st, err := r.Chain(ctx, s.net.info.ID)
		cursor.Recent = st.Recent
		return err
	})
	return cursor, err
}

// Watch implements scanner.Sink: it reads the reservation high-water marks
// after the scanner has read the head.
func (s *sink) Watch(ctx context.Context) (chain.Watch, error) {
	s.sing(ctx, 0) // where it failed before
	st, pools, err := s.marks(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.net.learn(st); err != nil {
		return nil, err
	}
	if err := s.net.book.sync(ctx, pools); err != nil {
		return nil, err
	}
	known := s.net.known()
	s.net.set(func(n *network) { n.watched = known.rows })
	return watch{s.net.book, known.list}, nil
}

// marks reads the chain's state and the marks of the pools. Where the store has
// forgotten reservations while the gateway runs, its pools are moved ahead first:
// a page is read once, and money in it may be for an address that only the lost
// rows knew.
func (s *sink) marks(ctx context.Context) (st ChainState, pools []Pool, err error) {
	b := s.net.book
	for range maxMends {
		seen := b.seen() // before the store is asked: a reservation may come in between
		if err = s.gw.checkOrigin(ctx); err != nil {
			return st, nil, err
		}
		err = s.gw.store.Read(ctx, func(r Reader) (err error) {
			if st, err = r.Chain(ctx, s.net.info.ID); err != nil {
				return err
			}
			pools, err = r.Pools(ctx)
			return err
		})
		if err != nil {
			return st, nil, err
		}
		if nextOf(pools, poolName(b.accounts[0])) < seen {
			b.halt(trouble{SkipRewound, seen})
		}
		if t := b.troubled(); t == nil || !t.forgetful() {
			return st, pools, nil
		}
		if err := b.mended(ctx); err != nil {
			return st, nil, err
		}
	}
	return st, nil, fmt.Errorf("%w: the store is set back again and again", ErrIssuanceHalted)
}

// Commit implements scanner.Sink.
func (s *sink) Commit(ctx context.Context, step scanner.Step) error {
	fence, err := s.gw.lease(ctx, s.net)
	if err != nil {
		return err
	}
	suspects, err := s.doubts(ctx, step.Connect)
	if err != nil {
		return err
	}
	cleared, err := s.gw.clear(ctx, s.net, step)
	if err != nil {
		return err
	}
	capital, err := s.capital(ctx, step)
	if err != nil {
		return err
	}
	told, err := s.told(ctx, step)
	if err != nil {
		return err
	}
	waiting := s.gw.returned(ctx, s.net, step.Disconnect)
	beyond := uint32(0)
	err = s.gw.store.Write(ctx, func(tx Tx) error {
		d, err := newDesk(ctx, s.gw, s.net, tx)
		if err != nil {
			return err
		}
		d.suspects, d.clearance, d.probe, d.waiting = copyDoubts(suspects), cleared, told, waiting
		if err := d.take(step); err != nil {
			return err
		}
		d.capitalise(capital)
		beyond = d.beyond
		b := d.batch()
		b.Fences = append(b.Fences, fence)
		return tx.Apply(ctx, b)
	})
	s.sing(ctx, beyond)
	if err != nil {
		s.net.dropFence(fence, err)
		return err
	}
	s.net.set(func(n *network) { n.ready = true })
	s.gw.wakePump()
	if len(step.Connect.Spends) > 0 {
		s.gw.reconcile(ctx, s.net, step.Connect)
	}
	return nil
}

// Report implements scanner.Sink.
func (s *sink) Report(ctx context.Context, c scanner.Condition) error {
	if c.Kind != scanner.Halted {
		s.net.alarms.hear(c)
		s.gw.log.InfoContext(ctx, "chain condition", "chain", string(c.Chain), "kind", string(c.Kind), "active", c.Active, "head", c.Head, "tip", c.Tip, "err", c.Err)
		return nil
	}
	reason := ""
	if c.Active {
		reason = "no common ancestor within the reorg window"
	}
	return s.gw.setHalt(ctx, s.net, reason, haltWindow)
}

// take applies a step of the scanner to the desk.
func (d *desk) take(step scanner.Step) error {
	if err := d.advance(step); err != nil {
		return err
	}
	for _, block := range step.Disconnect {
		if err := d.disconnect(block); err != nil {
			return err
		}
	}
	if len(step.Disconnect) > 0 {
		d.openBreaker(len(step.Disconnect))
	}
	if len(step.Connect.Blocks) > 0 {
		if err := d.complete(); err != nil {
			return err
		}
		if err := d.connect(step.Connect); err != nil {
			return err
		}
	}
	if err := d.takeOver(); err != nil {
		return err
	}
	if err := d.progress(); err != nil {
		return err
	}
	return d.fault
}

// advance moves the cursor. The step must follow from the stored one: another
// instance may have moved it since the scanner read it.
func (d *desk) advance(step scanner.Step) error {
	// Height and hash say it all; a time's inner form need not survive a database.
	if tip := d.state.Tip(); tip.Height != step.Base.Height || tip.Hash != step.Base.Hash {
		return fmt.Errorf("%w: the cursor of %s moved", ErrFenced, d.net.info.ID)
	}
	d.oldTip, d.left = d.state.Tip(), d.state.Recent
	d.state.Recent = slices.Clone(step.Recent)
	d.state.Head = step.Head.Latest
	if d.state.StartedAt.IsZero() {
		d.state.StartedAt = d.now
	}
	d.head = step.Head
	return nil
}

// complete refuses a page that was read without an asset of today: it was added
// since, and a payment in it may lie in a block that a reorg brought meanwhile.
// The page is read again.
func (d *desk) complete() error {
	d.net.mu.Lock()
	watched := d.net.watched
	d.net.mu.Unlock()
	if !slices.Equal(watched, d.state.Assets) {
		return fmt.Errorf("%w: the assets of %s changed", ErrFenced, d.net.info.ID)
	}
	return nil
}

// disconnect takes one block back: payouts in it first, because they spent
// what deposits brought.
func (d *desk) disconnect(block chain.BlockRef) error {
	if err := d.orphanPayouts(block); err != nil {
		return err
	}
	rows, err := d.tx.Transactions(d.ctx, TransactionQuery{Chain: d.net.info.ID, Blocks: []chain.BlockHash{block.Hash}})
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b Transaction) int { return byPlace(b, a) })
	for _, row := range rows {
		if err := d.orphan(row); err != nil {
			return err
		}
	}
	return nil
}

// openBreaker stops new credits after a reorg that was as deep as the
// confirmations asked for.
func (d *desk) openBreaker(depth int) {
	if uint64(depth) < d.net.depth() {
		return
	}
	d.state.HaltedFrom = max(d.state.HaltedFrom, d.oldTip.Height+1)
	// The sequence number tells apart that the same branch is left twice.
	d.chainEvent(ChainDeepReorg, fmt.Sprintf("%s %d", d.oldTip.Hash, d.state.Seq), EventData{Height: d.oldTip.Height, Depth: uint64(depth)})
	if d.state.Halted == "" {
		d.state.Halted, d.state.HaltedAt = haltReorg, d.now
		d.chainEvent(ChainHalted, fmt.Sprintf("%s %d", d.oldTip.Hash, d.state.Seq), EventData{Reason: d.state.Halted, Height: d.oldTip.Height, Depth: uint64(depth)})
	}
}

// connect applies a page of blocks.
func (d *desk) connect(page chain.Page) error {
	at := make(map[chain.BlockHash]chain.BlockRef, len(page.Blocks))
	// What balances alone told may lie in an earlier block.
	for _, b := range slices.Concat(d.left, d.state.Recent, page.Blocks) {
		at[b.Hash] = b
	}
	seen := page
	seen.Transfers = slices.Concat(page.Transfers, d.probe.found)
	slices.SortStableFunc(seen.Transfers, inOrder)
	if ok, err := d.stands(d.probe); err != nil || !ok {
		return cmp.Or(err, fmt.Errorf("%w: the balances of %s were compared with an older ledger", ErrFenced, d.net.info.ID))
	}
	if err := d.preload(seen); err != nil {
		return err
	}
	for _, t := range seen.Transfers {
		block, ok := at[t.Hash]
		if !ok {
			return fmt.Errorf("%w: a transfer of %s lies in no block of its page", chain.ErrTransient, t.ID)
		}
		if err := d.include(t, block); err != nil {
			return err
		}
	}
	for _, spend := range page.Spends {
		if _, ok := at[spend.Block.Hash]; !ok {
			return fmt.Errorf("%w: the transaction %s lies in no block of its page", chain.ErrTransient, spend.ID)
		}
		if err := d.spend(spend); err != nil {
			return err
		}
	}
	for _, s := range d.unsigned(page, at) {
		if err := d.follow(s, nil, "a token says that an account of ours paid, in a transaction that it did not sign: "+string(s.ID)); err != nil {
			return err
		}
	}
	return nil
}

// inOrder sorts transfers as the chain does.
func inOrder(a, b chain.Transfer) int {
	return cmp.Or(cmp.Compare(a.Block, b.Block), cmp.Compare(a.TxIndex, b.TxIndex), strings.Compare(a.ID.Ordinal, b.ID.Ordinal))
}

// told compares balances where a step adds blocks.
func (s *sink) told(ctx context.Context, step scanner.Step) (probe, error) {
	if len(step.Connect.Blocks) == 0 {
		return probe{}, nil
	}
	return s.gw.probe(ctx, s.net, step.Base, step.Connect)
}

// unsigned collects what came from an account of ours in a transaction that it
// did not sign. No honest token does that to an account that never approved
// anybody; the ledger follows what the token says, and the operator is told.
func (d *desk) unsigned(page chain.Page, at map[chain.BlockHash]chain.BlockRef) []chain.TxStatus {
	signed := make(map[chain.TxID]bool, len(page.Spends))
	for _, s := range page.Spends {
		signed[s.ID] = true
	}
	var out []chain.TxStatus
	place := map[chain.TxID]int{}
	for _, t := range page.Transfers {
		if _, ours := d.net.book.own(t.From); !ours || signed[t.ID.Tx] || t.Amount.IsZero() {
			continue
		}
		i, seen := place[t.ID.Tx]
		if !seen {
			i = len(out)
			place[t.ID.Tx] = i
			out = append(out, chain.TxStatus{ID: t.ID.Tx, State: chain.TxIncluded, Block: at[t.Hash], TxIndex: t.TxIndex, From: t.From})
		}
		out[i].Transfers = append(out[i].Transfers, t)
	}
	return out
}

// progress works out what the new tip makes confirmed, final and due. A halted
// chain confirms nothing and gives no verdict.
func (d *desk) progress() error {
	tip := d.state.Tip().Height
	final, known := d.net.finalHeight(d.head, tip, d.state.Recent)
	d.resume(final, known)
	if d.state.Halted != "" {
		return nil
	}
	deep, err := d.deep(tip)
	if err != nil {
		return err
	}
	at := &gate{desk: d, final: final, known: known}
	for _, row := range deep {
		ok, err := at.admits(row)
		if err == nil && ok {
			err = d.confirm(row)
		}
		if err != nil {
			return err
		}
	}
	if known {
		// What was final stays so, row by row: a node that takes finality back is
		// at fault. The highest mark is not used for anything new, because after a
		// reorg below it the blocks up to there are others.
		d.state.Final = max(d.state.Final, final)
		if err := d.finalize(final); err != nil {
			return err
		}
	}
	return d.verdicts(coveredTo(d.state.Recent, 1))
}

// deep returns what has its confirmations under a tip and is not confirmed yet.
// Height 0 would be no condition to a query, and holds no transactions.
func (d *desk) deep(tip uint64) ([]Transaction, error) {
	if tip == 0 {
		return nil, nil
	}
	return d.transactions(TransactionQuery{Chain: d.net.info.ID, ConfirmBy: tip})
}

// finalize marks what lies at or below a height as final.
func (d *desk) finalize(height uint64) error {
	if height == 0 {
		return nil // the genesis block, and no condition to a query
	}
	rows, err := d.transactions(TransactionQuery{Chain: d.net.info.ID, FinalBy: height})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := d.settleFinal(row); err != nil {
			return err
		}
	}
	return d.finalizePayouts(height)
}

// byPlace orders transactions as the chain does.
func byPlace(a, b Transaction) int {
	switch {
	case a.Block != b.Block:
		if a.Block < b.Block {
			return -1
		}
		return 1
	case a.TxIndex != b.TxIndex:
		if a.TxIndex < b.TxIndex {
			return -1
		}
		return 1
	case a.Transfer.Ordinal < b.Transfer.Ordinal:
		return -1
	case a.Transfer.Ordinal > b.Transfer.Ordinal:
		return 1
	}
	return 0
}
