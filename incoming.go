package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// include applies one observed transfer.
func (d *desk) include(t chain.Transfer, block chain.BlockRef) error {
	if t.Amount.IsZero() {
		return nil
	}
	if _, ours := d.net.book.own(t.From); ours {
		// Between our own addresses: the transaction's sender is watched too, and
		// what it did is applied from the page's spends; see also unsigned.
		return nil
	}
	f, err := d.file(t.To)
	if err != nil {
		return err
	}
	id := transactionID(d.net.info.ID, t.ID)
	row := f.tx(id)
	if row != nil && row.Live() {
		if row.BlockHash == t.Hash {
			return nil // told twice
		}
		return fmt.Errorf("%w: transfer %s is live in blocks %s and %s", ErrInvariant, t.ID, row.BlockHash, t.Hash)
	}
	if row == nil {
		f.txs = append(f.txs, d.newIncoming(id, f, t))
	}
	apply := d.observation(f, t, block)
	why := d.suspects[suspect{t.To, t.Asset}]
	if reason := d.unclaimed(f, t, block); reason != "" {
		why = &doubt{kind: AlertUnclaimedCredit, reason: reason, arrived: t.Amount}
	}
	if why != nil {
		d.suspend(f, f.tx(id), apply, why)
		return nil
	}
	switch {
	case f.payment && t.Asset == f.kase.payment.Asset.ID:
		return d.decide(f, factIncluded, id, apply)
	case f.payment:
		return d.decide(f, factUnexpected, id, apply)
	}
	apply(f.tx(id))
	return d.deposited(f, f.tx(id))
}

// transactionID is deterministic, so that a restored database makes it again.
func transactionID(id chain.ID, t chain.TransferID) string {
	return hashID("tx_", string(id), string(t.Tx), t.Ordinal)
}

func (d *desk) newIncoming(id string, f *file, t chain.Transfer) Transaction {
	return Transaction{
		ID: id, Chain: d.net.info.ID, Transfer: t.ID, Type: TypeIncoming, Asset: t.Asset, To: t.To,
		AddressID: f.address.ID, PaymentID: f.address.PaymentID, Customer: f.customer(), CreatedAt: d.now,
	}
}

func (f *file) customer() string {
	if f.payment {
		return f.kase.payment.Customer
	}
	return f.address.Customer
}

// observation writes what the block says onto a transaction's row. Amount
// belongs to the observation: a transaction that is executed again may move
// another one.
func (d *desk) observation(f *file, t chain.Transfer, block chain.BlockRef) func(*Transaction) {
	required := d.net.demand(t.Asset, t.Amount).depth
	if f.payment && t.Asset == f.kase.payment.Asset.ID {
		required = f.kase.payment.RequiredConfirmations
	}
	return func(row *Transaction) {
		d.turn(row, txIncluded)
		row.ReplacedBy = ""
		row.Inclusion++
		row.Amount, row.From, row.Via = t.Amount, t.From, t.Via
		row.Block, row.BlockHash, row.BlockTime, row.TxIndex = block.Height, block.Hash, block.Time, t.TxIndex
		row.Required, row.ConfirmAt = required, block.Height+required-1
		row.Suspense = false
	}
}

// turn moves a transaction by its table. What the table does not allow fails
// the whole step; see take.
func (d *desk) turn(t *Transaction, f transactionFact) {
	if _, err := t.advance(f); err != nil {
		d.fault = errors.Join(d.fault, err)
	}
}

// decide applies a fact to the payment of a file.
func (d *desk) decide(f *file, what fact, id string, apply func(*Transaction)) error {
	c, err := decide(d.env(f.kase.payment), f.kase, what, id, apply)
	if err != nil {
		return err
	}
	lost := f.kase.payment.cut().lost
	d.settle(f, c)
	if id != "" {
		f.dirty[id] = true
	}
	if lost.Less(f.kase.payment.cut().lost) {
		return d.uncover(f.kase.payment.ID)
	}
	return nil
}

// confirm applies that a transaction has its depth.
func (d *desk) confirm(row Transaction) error {
	f, err := d.file(row.To)
	if err != nil {
		return err
	}
	apply := func(t *Transaction) {
		d.turn(t, txDeep)
		t.ConfirmedAt = d.now
	}
	if row.Suspense {
		d.confirmSuspense(f, f.tx(row.ID), apply)
		return nil
	}
	if f.payment {
		return d.decide(f, factDeep, row.ID, apply)
	}
	t := f.tx(row.ID)
	credited := f.credited(t.Asset)
	apply(t)
	f.dirty[t.ID] = true
	owner := string(t.To)
	subject := f.address.ID
	entries := postConfirmed(subject, owner, *t)
	switch f.address.Role {
	case RolePermanent:
		e := incomingEntry("L3", subject, *t, accountHeld(owner), accountCustomer(f.address.Customer))
		entries = append(entries, e)
	case RoleSponsor, RoleFloat:
		entries = entries[:1] // the owner's capital is no claim
	}
	d.post(entries)
	f.notices = append(f.notices, d.transferNotice(TransactionConfirmed, f, *t))
	return d.recredit(f, *t, credited, "credited")
}

// settleFinal applies that a transaction's block is final.
func (d *desk) settleFinal(row Transaction) error {
	f, err := d.file(row.To)
	if err != nil {
		return err
	}
	apply := func(t *Transaction) { t.Final = true }
	if f.payment && !row.Suspense {
		return d.decide(f, factFinal, row.ID, apply)
	}
	apply(f.tx(row.ID))
	f.dirty[row.ID] = true
	return nil
}

// orphan applies that a transaction's block left the chain.
func (d *desk) orphan(row Transaction) error {
	if row.Type != TypeIncoming {
		return nil // ours: orphanPayouts has it
	}
	f, err := d.file(row.To)
	if err != nil {
		return err
	}
	what := txOrphaned
	if d.waiting[row.Transfer.Tx] {
		what = txReturned
	}
	apply := func(t *Transaction) { d.turn(t, what) }
	if err := d.unplan(f, row.ID, errDepositGone); err != nil {
		return err
	}
	if f.payment && !row.Suspense {
		return d.decide(f, factOrphaned, row.ID, apply)
	}
	t := f.tx(row.ID)
	was, credited := *t, f.credited(t.Asset)
	apply(t)
	f.dirty[t.ID] = true
	if err := d.reverse(EntryQuery{Transactions: []string{t.ID}, Unreversed: true}, 0); err != nil {
		return err
	}
	n := d.transferNotice(TransactionOrphaned, f, was)
	n.data.Transaction.Status, n.data.Transaction.Reason, n.data.Transaction.Confirmations = t.Status, ReasonOrphaned, 0
	f.notices = append(f.notices, n)
	return d.recredit(f, *t, credited, "lost")
}

// errDepositGone is why a payout of which nothing is signed is given up.
var errDepositGone = errors.New("bursar: a deposit that it covers left the chain")

// errSweptTwice is why a payout is given up of which nothing is signed while another one
// moves what it covers.
var errSweptTwice = errors.New("bursar: another sweep, which a reorg opened again, moves what it covers")

// unplan gives up the payouts that would sweep a transaction which leaves the chain, or
// which others sweep, as long as nothing is signed: they would take what comes to the
// address later. Should the transaction return, it is planned anew.
func (d *desk) unplan(f *file, id string, cause error) error {
	if f.tx(id).Reserved.IsZero() {
		return nil
	}
	rows, err := d.tx.Payouts(d.ctx, PayoutQuery{Chain: d.net.info.ID, Statuses: []PayoutStatus{PayoutPlanned}})
	if err != nil {
		return err
	}
	covers := func(p Payout) bool {
		return slices.ContainsFunc(p.Items, func(it PayoutItem) bool { return it.TransactionID == id })
	}
	for _, row := range rows {
		if !covers(row) {
			continue
		}
		if _, err := d.addPayout(row); err != nil {
			return err
		}
	}
	// Those too that are planned again by this very commit.
	for _, p := range slices.Clone(d.payoutOrder) {
		if !covers(p.Payout) || !p.unsigned() {
			continue
		}
		if err := d.giveUp(p, cause); err != nil {
			return err
		}
	}
	return nil
}

// reverse undoes every unreversed entry that a query finds, newest first; of one
// block alone where at is set.
func (d *desk) reverse(q EntryQuery, at uint64) error {
	rows, err := d.tx.Entries(d.ctx, q)
	if err != nil {
		return err
	}
	slices.Reverse(rows)
	for _, e := range rows {
		if e.Height == 0 || at > 0 && e.Height != at {
			continue // a reservation, or of another block
		}
		d.post([]Entry{reversal(e)})
	}
	return nil
}

func (d *desk) post(entries []Entry) {
	for _, e := range entries {
		e.At = d.now
		d.entries = append(d.entries, e)
	}
}

// deposited books a transfer to an address without a payment: a customer's
// permanent one, an account of the gateway's own, or one not issued yet.
func (d *desk) deposited(f *file, t *Transaction) error {
	f.dirty[t.ID] = true
	if t.SeenAt.IsZero() {
		t.SeenAt = d.now
	}
	entries := postIncluded(f.address.ID, string(t.To), *t)
	switch f.address.Role {
	case RoleSponsor, RoleFloat:
		entries[0].Credit = AccountOwner
	case RolePermanent:
		t.Counting = true
	case RoleUnissued:
		n := d.transferNotice(AlertUnknownRecipient, f, *t)
		alien, err := d.canary(f)
		if err != nil {
			return err
		}
		if alien {
			n.data.Reason = SkipForeign
		}
		f.notices = append(f.notices, n)
	}
	d.post(entries)
	f.notices = append(f.notices, d.transferNotice(TransactionDetected, f, *t))
	return nil
}

// transferNotice is an event about a transfer to an address without a payment.
func (d *desk) transferNotice(kind Kind, f *file, t Transaction) notice {
	a := d.gw.asset(t.Asset)
	return notice{
		kind: kind, cause: fmt.Sprintf("%s#%d", t.ID, t.Inclusion),
		data: EventData{
			Chain: t.Chain, Asset: t.Asset, TokenID: a.Symbol, Address: t.To, AddressID: f.address.ID,
			Customer: f.address.Customer, Metadata: f.address.Metadata, Amount: a.Format(t.Amount),
			Transaction: transactionData(t, a, d.state.Tip().Height),
		},
	}
}

// deadlines gives the verdicts that are due by the clock alone: on a chain that
// makes no block without a transaction, no block may ever come to give them.
func (g *Gateway) deadlines(ctx context.Context, net *network) error {
	due := false
	err := g.store.Read(ctx, func(r Reader) error {
		rows, err := r.Payments(ctx, PaymentQuery{DueBy: r.Now().Add(-net.info.InclusionSlack), DueChain: net.info.ID, Limit: 1})
		due = len(rows) > 0
		return err
	})
	if err != nil || !due {
		return err
	}
	fence, err := g.lease(ctx, net)
	if err != nil {
		return err
	}
	told, err := g.lookAtTip(ctx, net)
	if err != nil {
		return err
	}
	return g.beside(ctx, net, fence, func(d *desk) (bool, error) {
		if d.state.Halted != "" || len(d.state.Recent) == 0 {
			return false, nil
		}
		if err := d.receive(told); err != nil {
			return false, err
		}
		return true, d.verdicts(d.now)
	})
}

// verdicts looks at the open payments whose deadline may be covered.
func (d *desk) verdicts(upTo time.Time) error {
	if d.net.info.OnDemandBlocks {
		upTo = d.now
	}
	upTo = earlier(upTo, d.now)
	if upTo.IsZero() {
		return nil
	}
	due, err := d.tx.Payments(d.ctx, PaymentQuery{DueBy: upTo, DueChain: d.net.info.ID, Assets: d.judged(), Limit: probeDue})
	if err != nil {
		return err
	}
	var addresses []chain.Address
	for _, p := range due {
		addresses = append(addresses, p.Address)
	}
	if err := d.open(addresses); err != nil {
		return err
	}
	for _, f := range d.order {
		p := f.kase.payment
		if !f.payment || p.Deadline.IsZero() || p.Deadline.After(upTo) || p.Asset.Chain() != d.net.info.ID {
			continue
		}
		before := p
		c, err := decide(d.env(p), f.kase, factCovered, "", nil)
		if err != nil {
			return err
		}
		if c.payment.Status != before.Status || !c.payment.HoldUntil.Equal(before.HoldUntil) {
			d.settle(f, c)
		}
	}
	return nil
}
