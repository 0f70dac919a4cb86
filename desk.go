package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// desk collects what one business step changes, so that everything is written
// in one batch. It belongs to one run of a store closure: a retry starts with a
// fresh one.
type desk struct {
	ctx context.Context
	gw  *Gateway
	net *network
	tx  Tx
	now time.Time

	state  ChainState
	head   chain.Head
	oldTip chain.BlockRef
	// left are the blocks that were remembered before the step, of which its page may
	// have pushed some out.
	left []chain.BlockRef
	// moved is set when the chain's row must be written.
	moved bool

	files map[chain.Address]*file
	order []*file // in the order they were opened

	payouts     map[string]*payoutFile
	payoutOrder []*payoutFile

	// beyond is the first index above money for what was never handed out; zero
	// while there was none.
	beyond uint32

	suspects map[suspect]*doubt  // transfers that are not credited
	waiting  map[chain.TxID]bool // orphaned transactions that are in the mempool again
	probe    probe               // what balances alone tell

	own     map[string]*Transaction // our own transactions, by id
	ownList []*Transaction

	entries []Entry
	events  []Event
	// fault is a transition that no table allows.
	fault error
	// clearance lets a halted chain resume; nil where nobody looked.
	clearance *clearance
}

// file is one address of ours with all that a decision about it needs.
type file struct {
	address Address
	fresh   bool // the address row does not exist yet
	touched bool // the address row must be written
	payment bool // kase.payment is set
	// kase holds the incoming transactions in both cases.
	kase
	dirty   map[string]bool                // ids of changed transactions
	taken   map[chain.AssetID]chain.Amount // see withdrawing
	changed bool                           // the payment must be written
	notices []notice
}

// payoutFile is a payout with its open attempts.
type payoutFile struct {
	Payout
	dirty    bool
	attempts []Attempt
	notices  []notice
}

func newDesk(ctx context.Context, gw *Gateway, net *network, tx Tx) (*desk, error) {
	st, err := tx.Chain(ctx, net.info.ID)
	if err != nil {
		return nil, err
	}
	st.Chain = net.info.ID
	if err := gw.directory.learn(ctx, tx); err != nil {
		return nil, err
	}
	return &desk{
		ctx: ctx, gw: gw, net: net, tx: tx, now: tx.Now(), state: st, moved: true,
		files: map[chain.Address]*file{}, payouts: map[string]*payoutFile{}, own: map[string]*Transaction{},
	}, nil
}

// beside runs a step of the desk under the chain's lease, and leaves the cursor to the
// scanner. fn tells whether there is anything to write; the store may run it again.
func (g *Gateway) beside(ctx context.Context, net *network, fence Fence, fn func(*desk) (bool, error)) error {
	err := g.store.Write(ctx, func(tx Tx) error {
		d, err := newDesk(ctx, g, net, tx)
		if err != nil {
			return err
		}
		d.moved = false
		wrote, err := fn(d)
		if err = errors.Join(err, d.fault); err != nil || !wrote {
			return err
		}
		b := d.batch()
		b.Fences = append(b.Fences, fence)
		return tx.Apply(ctx, b)
	})
	net.dropFence(fence, err)
	if err == nil {
		g.wakePump()
	}
	return err
}

// env is the world as decisions on a payment may see it. Only the payment's own
// chain can cover its deadline.
func (d *desk) env(p Payment) *env {
	covered := func(k uint64) time.Time {
		if d.state.Halted != "" || p.Asset.Chain() != d.net.info.ID || d.unseen(p) {
			return time.Time{}
		}
		return coveredTo(d.state.Recent, k)
	}
	if d.net.info.OnDemandBlocks {
		covered = d.coveredOnDemand(p, covered)
	}
	e := &env{
		table: d.gw.table, now: d.now, tip: d.state.Tip().Height, coveredTo: covered,
		slack: d.net.info.InclusionSlack, blockTime: d.net.info.BlockTime, native: d.net.native(), asset: d.gw.asset,
	}
	if p.Asset.Chain() == d.net.info.ID && len(d.net.cfg.Tiers) > 0 {
		e.demand = d.net.demand
	}
	return e
}

// coveredOnDemand covers a deadline on a chain that makes no block without a
// transaction: the whole chain is scanned, and the slack for a late inclusion
// is over by the store's clock.
func (d *desk) coveredOnDemand(p Payment, byBlocks func(uint64) time.Time) func(uint64) time.Time {
	return func(k uint64) time.Time {
		at := byBlocks(k)
		atHead := d.state.Head.Height == d.state.Tip().Height
		if d.state.Halted != "" || !atHead || p.Asset.Chain() != d.net.info.ID || d.unseen(p) {
			return at
		}
		if quiet := d.now.Add(-d.net.info.InclusionSlack); quiet.After(at) {
			return quiet
		}
		return at
	}
}

// preload opens the files of a page with a few queries instead of several each.
func (d *desk) preload(page chain.Page) error {
	var addresses []chain.Address
	seen := make(map[chain.Address]bool, len(page.Transfers))
	for _, t := range page.Transfers {
		if _, ours := d.net.book.own(t.From); !ours && !seen[t.To] {
			seen[t.To] = true
			addresses = append(addresses, t.To)
		}
	}
	return d.open(addresses)
}

// open loads the files of addresses that are not on the desk yet.
func (d *desk) open(addresses []chain.Address) error {
	var missing []chain.Address
	for _, a := range addresses {
		if d.files[a] == nil {
			missing = append(missing, a)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := d.tx.Addresses(d.ctx, AddressQuery{Addresses: missing})
	if err != nil {
		return err
	}
	var ids, payments []string
	for _, row := range rows {
		f := &file{address: row, dirty: map[string]bool{}}
		d.add(row.Address, f)
		ids = append(ids, row.ID)
		if row.PaymentID != "" {
			payments = append(payments, row.PaymentID)
		}
	}
	if len(payments) > 0 {
		ps, err := d.tx.Payments(d.ctx, PaymentQuery{IDs: payments})
		if err != nil {
			return err
		}
		for _, p := range ps {
			f := d.files[p.Address]
			f.kase.payment, f.payment = p, true
		}
	}
	if len(ids) > 0 {
		txs, err := d.tx.Transactions(d.ctx, TransactionQuery{AddressIDs: ids, Types: []TransactionType{TypeIncoming}})
		if err != nil {
			return err
		}
		slices.SortFunc(txs, byPlace)
		for _, t := range txs {
			f := d.files[t.To]
			f.txs = append(f.txs, t)
		}
	}
	for _, a := range missing {
		if d.files[a] == nil {
			if err := d.openUnissued(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// openUnissued makes a file for an address that is derived and watched and has
// no row: reserved and never issued, or an account of the gateway's own.
func (d *desk) openUnissued(a chain.Address) error {
	it, ok := d.net.book.own(a)
	if !ok {
		return fmt.Errorf("%w: %s is not an address of ours", ErrInvariant, a)
	}
	row := it.row(roleOf(it))
	row.CreatedAt = d.now
	d.add(a, &file{address: row, fresh: true, touched: true, dirty: map[string]bool{}})
	return nil
}

func (d *desk) add(a chain.Address, f *file) {
	d.files[a] = f
	d.order = append(d.order, f)
}

func (d *desk) file(a chain.Address) (*file, error) {
	if err := d.open([]chain.Address{a}); err != nil {
		return nil, err
	}
	return d.files[a], nil
}

// transactions runs a query and lays what is already on the desk over it.
func (d *desk) transactions(q TransactionQuery) ([]Transaction, error) {
	q.Types = []TransactionType{TypeIncoming}
	rows, err := d.tx.Transactions(d.ctx, q)
	if err != nil {
		return nil, err
	}
	var addresses []chain.Address
	for _, row := range rows {
		addresses = append(addresses, row.To)
	}
	if err := d.open(addresses); err != nil {
		return nil, err
	}
	var out []Transaction
	for _, f := range d.order {
		for _, t := range f.txs {
			if t.Chain == q.Chain && matches(q, t) {
				out = append(out, t)
			}
		}
	}
	slices.SortFunc(out, byPlace)
	return out, nil
}

// matches repeats the conditions of a query that depend on what a desk changes.
func matches(q TransactionQuery, t Transaction) bool {
	switch {
	case q.ConfirmBy > 0:
		return t.Status == TxConfirming && t.ConfirmAt <= q.ConfirmBy
	case q.FinalBy > 0:
		return t.Status == TxConfirmed && !t.Final && t.Block <= q.FinalBy
	}
	return false
}

// settle applies a decision to a file.
func (d *desk) settle(f *file, c change) {
	for i, t := range c.txs {
		if i >= len(f.txs) || t != f.txs[i] {
			f.dirty[t.ID] = true
		}
	}
	f.kase = c.kase
	f.changed = true
	f.notices = append(f.notices, c.notices...)
	d.entries = append(d.entries, c.entries...)
}

// chainEvent tells operators something of the chain.
func (d *desk) chainEvent(kind Kind, cause string, data EventData) {
	data.Chain = d.net.info.ID
	d.events = append(d.events, d.event(kind, string(d.net.info.ID), &d.state.Seq, cause, data))
}

func (d *desk) event(kind Kind, subject string, seq *int64, cause string, data EventData) Event {
	*seq++
	data.Subject = subject
	return Event{
		ID: hashID("evt_", subject, string(kind), cause), Kind: kind, Subject: subject, Seq: *seq,
		Time: d.now, Livemode: d.gw.live, Data: data,
	}
}

// batch turns the desk into rows.
func (d *desk) batch() Batch {
	b := Batch{Entries: d.entries}
	for _, f := range d.order {
		subject, seq := f.address.ID, &f.address.Seq
		if f.payment {
			subject, seq = f.kase.payment.ID, &f.kase.payment.Seq
		}
		ns := ordered(f.notices)
		if f.payment {
			upToDate(ns, f.kase.payment)
		}
		for _, n := range ns {
			d.events = append(d.events, d.event(n.kind, subject, seq, n.cause, n.data))
			// The sequence number lives on the subject's row.
			f.changed, f.touched = f.changed || f.payment, f.touched || !f.payment
		}
		if f.payment && f.changed {
			b.Payments = append(b.Payments, f.kase.payment)
		}
		for _, t := range f.txs {
			if f.dirty[t.ID] {
				b.Transactions = append(b.Transactions, t)
			}
		}
		if f.touched {
			b.Addresses = append(b.Addresses, f.address)
		}
	}
	for _, t := range d.ownList {
		b.Transactions = append(b.Transactions, *t)
	}
	for _, p := range d.payoutOrder {
		for _, n := range p.notices {
			d.events = append(d.events, d.event(n.kind, p.ID, &p.Seq, n.cause, n.data))
		}
		if p.dirty {
			b.Payouts = append(b.Payouts, p.Payout)
			b.Attempts = append(b.Attempts, p.attempts...)
		}
	}
	if d.moved {
		d.state.UpdatedAt = d.now
		b.Chains = append(b.Chains, d.state)
	}
	b.Events = d.events
	b.Deliveries = d.gw.deliveries(d.events, d.now)
	return b
}
