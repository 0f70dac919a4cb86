package oracle

import (
	"slices"

	"github.com/bursar-go/bursar"
)

// takePayment is S7 for a payment: its status moves by the table, each move is
// told, and the counters count them.
func (o *Oracle) takePayment(b *bursar.Batch, p *bursar.Payment) error {
	old := o.m.payments[p.ID]
	o.m.payments[p.ID] = p
	o.m.statuses[p.ID] = append(o.m.statuses[p.ID], p.Status)
	if o.replaying {
		return nil
	}
	if old == nil {
		old = &bursar.Payment{}
	}
	if err := follows("S7", "payment", p.ID, old.Version, p.Version); err != nil {
		return err
	}
	if err := o.addressed(p); err != nil {
		return err
	}
	path, err := o.path(b, old, p)
	if err != nil {
		return err
	}
	if err := o.counted(old, p, path); err != nil {
		return err
	}
	for _, check := range []func() error{
		func() error { return o.booked(p) }, func() error { return o.earned(p, path) },
		func() error { return excessTold(b, old, p) }, func() error { return o.due(p, path) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// told is the status that an event announces; reverted ones say it themselves.
func told(e *bursar.Event) (bursar.Status, bool) {
	switch e.Kind {
	case bursar.PaymentCreated:
		return pending, true
	case bursar.PaymentDetected:
		return detected, true
	case bursar.PaymentConfirmed:
		return confirmed, true
	case bursar.PaymentSettled:
		return settled, true
	case bursar.PaymentUnderpaid:
		return underpaid, true
	case bursar.PaymentExpired:
		return expired, true
	case bursar.PaymentCanceled:
		return canceled, true
	case bursar.PaymentReverted:
		return e.Data.Status, true
	}
	return "", false
}

// path follows a payment through the events of one commit, and returns the
// steps it took.
func (o *Oracle) path(b *bursar.Batch, old, p *bursar.Payment) ([]step, error) {
	at := old.Status
	var out []step
	for i := range b.Events {
		e := &b.Events[i]
		if e.Subject != p.ID {
			continue
		}
		to, ok := told(e)
		if !ok {
			continue
		}
		if e.Kind == bursar.PaymentReverted && e.Data.From != at {
			return nil, broken("S7", "payment %s: %s says that it was %s, and it was %s", p.ID, e.Kind, e.Data.From, at)
		}
		s := step{string(at), string(to)}
		if !o.hops.payment[s] {
			return nil, broken("S7", "payment %s: no rule leads from %q to %q (%s)", p.ID, at, to, e.Kind)
		}
		o.mark("payment", s.from, s.to)
		out, at = append(out, s), to
	}
	if at != p.Status {
		return nil, broken("S7", "payment %s is %s, and its events lead from %q to %q", p.ID, p.Status, old.Status, at)
	}
	if !p.Accepted && slices.Contains(out, step{string(pending), string(confirmed)}) {
		return nil, broken("S7", "payment %s was confirmed without having been detected", p.ID)
	}
	return out, nil
}

func paid(s string) bool { return s == string(confirmed) || s == string(settled) }

// counted checks the numbers by which hosts tell a repetition from the first.
func (o *Oracle) counted(old, p *bursar.Payment, path []step) error {
	confirmations, settlements := old.ConfirmationNo, old.SettleNo
	for _, s := range path {
		if paid(s.to) && !paid(s.from) {
			confirmations++
		}
		if s.to == string(settled) {
			settlements++
		}
	}
	if p.ConfirmationNo != confirmations || p.SettleNo != settlements {
		return broken("S7", "payment %s counts %d confirmations and %d settlements, there were %d and %d", p.ID, p.ConfirmationNo, p.SettleNo, confirmations, settlements)
	}
	if old.Canceled() && !p.Canceled() {
		return broken("S7", "payment %s is no longer canceled", p.ID)
	}
	return nil
}

// takePayout is S7 for a payout, and S9 for what it cost.
func (o *Oracle) takePayout(b *bursar.Batch, p *bursar.Payout) error {
	old := o.m.payouts[p.ID]
	o.m.index(p)
	o.past.payouts[p.ID] = p
	o.past.refund(p)
	if o.replaying {
		return nil
	}
	if old == nil {
		old = &bursar.Payout{Group: 1}
		if err := o.covers(p); err != nil {
			return err
		}
		if err := o.refundable(p); err != nil {
			return err
		}
	}
	if err := follows("S7", "payout", p.ID, old.Version, p.Version); err != nil {
		return err
	}
	moved := old.BlockHash != p.BlockHash
	if err := o.moves("payout", p.ID, o.hops.payouts.of(b), string(old.Status), string(p.Status), moved); err != nil {
		return err
	}
	if again := (old.Status == bursar.PayoutHalted || old.Status == bursar.PayoutFailed) && p.Group == old.Group+1; !again && p.Group != old.Group && (p.Group != old.Group+1 || p.Tries != old.Tries+1) {
		return broken("S6", "payout %s went from group %d to %d without a final failure", p.ID, old.Group, p.Group)
	}
	if err := o.shaped(old, p); err != nil {
		return err
	}
	if most := o.mostFee(o.past.attempts[p.TxID], p); !most.IsZero() && most.Less(p.Fee) {
		return broken("S9", "payout %s cost %s, at most %s may be spent", p.ID, p.Fee, most)
	}
	if err := o.stopped(old, p); err != nil {
		return err
	}
	if err := o.calledOff(old, p); err != nil {
		return err
	}
	return o.carried(b, old, p)
}

// covers is S4 for what is swept: deposits that are final when it is decided.
func (o *Oracle) covers(p *bursar.Payout) error {
	for _, it := range p.Items {
		if t := o.m.txs[it.TransactionID]; t == nil || !t.Live() || !t.Final {
			return broken("S4", "payout %s covers transaction %s, which is not final", p.ID, it.TransactionID)
		}
	}
	return nil
}

// of returns the part of a table that a batch can use: only the scanner moves a
// row by what the chain did, and it writes its cursor with it.
func (t table) of(b *bursar.Batch) map[step][]step {
	if len(b.Chains) > 0 {
		return t.scanning
	}
	return t.alone
}

// moves checks one commit's change of a status. A row may be written without
// one; where it is in another block than before, it left the one and entered
// the other.
func (o *Oracle) moves(what, id string, table map[step][]step, from, to string, moved bool) error {
	if from == to && !moved {
		return nil
	}
	path, ok := table[step{from, to}]
	if !ok {
		if from == to {
			return broken("S7", "%s %s is in another block and still %s", what, id, to)
		}
		return broken("S7", "%s %s: no rule leads from %q to %q", what, id, from, to)
	}
	for _, s := range path {
		o.mark(what, s.from, s.to)
	}
	return nil
}
