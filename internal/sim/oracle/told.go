package oracle

import (
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// lane is what one notifier is to be told of one subject, in order.
type lane struct {
	rows []*bursar.Event
	// next is the first one that may not have been given yet.
	next int
}

// gift is the first delivery of an event.
type gift struct{ endpoint, event string }

// takeEvent is S7 for what is told: numbers without a gap, each event once.
func (o *Oracle) takeEvent(e *bursar.Event) error {
	m := o.m
	_, known := m.events[e.ID]
	last := m.numbers[e.Subject]
	m.events[e.ID], m.numbers[e.Subject], o.past.events[e.ID] = e, e.Seq, true
	if o.replaying {
		return nil
	}
	if known {
		return broken("S7", "event %s (%s of %s) was written again", e.ID, e.Kind, e.Subject)
	}
	if e.Seq != last+1 {
		return broken("S7", "event %s of %s has number %d after %d", e.Kind, e.Subject, e.Seq, last)
	}
	if e.Data.Subject != "" && e.Data.Subject != e.Subject {
		return broken("S7", "event %s of %s says that it is of %s", e.Kind, e.Subject, e.Data.Subject)
	}
	o.marks[mark{"event", string(e.Kind), ""}] = true
	return nil
}

// ranked is S7 for the order of what one commit tells of one payment or address:
// what happened on the chain, what became of the payment, remarks.
func ranked(b *bursar.Batch) error {
	last := map[string]*bursar.Event{}
	for i := range b.Events {
		e := &b.Events[i]
		if rank(e.Kind) < 0 {
			continue
		}
		if was := last[e.Subject]; was != nil && rank(was.Kind) > rank(e.Kind) {
			return broken("S7", "one commit tells %s of %s after %s", e.Kind, e.Subject, was.Kind)
		}
		last[e.Subject] = e
	}
	return nil
}

// rank is below zero where the order is nobody's matter.
func rank(k bursar.Kind) int {
	switch k {
	case bursar.TransactionDetected, bursar.TransactionConfirmed, bursar.TransactionOrphaned, bursar.TransactionFailed, bursar.TransactionReplaced:
		return 0
	case bursar.PaymentOverpaid, bursar.PaymentLate, bursar.PaymentUnexpectedAsset:
		return 2
	case bursar.PaymentDetected, bursar.PaymentPartial, bursar.PaymentConfirmed, bursar.PaymentSettled, bursar.PaymentUnderpaid, bursar.PaymentExpired, bursar.PaymentReverted:
		return 1
	}
	return -1
}

// excessTold is S7 for what is paid too much: whenever it grows, and is worth it, it
// is told.
func excessTold(b *bursar.Batch, old, p *bursar.Payment) error {
	least := p.Policy.OverpaidMin
	if least.IsZero() {
		least = chain.NewAmount(1)
	}
	now, was := p.Confirmed.SubFloor(p.Amount), old.Confirmed.SubFloor(old.Amount)
	if !paid(string(p.Status)) || now.Less(least) || !was.Less(now) {
		return nil
	}
	if slices.ContainsFunc(b.Events, func(e bursar.Event) bool { return e.Subject == p.ID && e.Kind == bursar.PaymentOverpaid }) {
		return nil
	}
	return broken("S7", "payment %s has %s too much, and before it was %s, and nobody is told", p.ID, now, was)
}

// numbered checks that rows carry the number of their last event.
func (o *Oracle) numbered(b *bursar.Batch) error {
	var f first
	check := func(id string, seq int64) {
		if last := o.m.numbers[id]; seq != last {
			f.note(broken("S7", "the row of %s has the number %d, its last event %d", id, seq, last))
		}
	}
	for i := range b.Payments {
		check(b.Payments[i].ID, b.Payments[i].Seq)
	}
	for i := range b.Payouts {
		check(b.Payouts[i].ID, b.Payouts[i].Seq)
	}
	for i := range b.Addresses {
		check(b.Addresses[i].ID, b.Addresses[i].Seq)
	}
	for i := range b.Chains {
		check(string(b.Chains[i].Chain), b.Chains[i].Seq)
	}
	for i := range b.Events {
		if row := o.m.payments[b.Events[i].Subject]; row != nil {
			check(row.ID, row.Seq)
		}
	}
	return f.err
}

// takeDelivery follows the outbox: what has reached its end stays there. After a
// loss of the store versions are given anew, and who slept through it may write
// over a row that is not the one it read: the event is told once more then, which
// is what "at least once" means.
func (o *Oracle) takeDelivery(d *bursar.Delivery) error {
	m, at := o.m, deliveryKey{d.EventID, d.Endpoint}
	old := m.deliveries[at]
	m.deliveries[at] = d
	if old == nil {
		if e := m.events[d.EventID]; e != nil {
			key := laneKey{d.Endpoint, d.Subject}
			l := m.lanes[key]
			if l == nil {
				l = &lane{}
				m.lanes[key] = l
			}
			l.rows = append(l.rows, e)
		}
		old = &bursar.Delivery{}
	}
	if o.replaying {
		return nil
	}
	o.mark("delivery", string(old.Status), string(d.Status))
	switch {
	case m.events[d.EventID] == nil:
		return broken("Q3", "a delivery to %s is of event %q, which is not there", d.Endpoint, d.EventID)
	case m.events[d.EventID].Subject != d.Subject || m.events[d.EventID].Seq != d.Seq:
		return broken("Q3", "the delivery of event %s to %s has another lane: %s %d", d.EventID, d.Endpoint, d.Subject, d.Seq)
	case ended(old.Status) && old.Status != d.Status && !o.lossy:
		return broken("Q3", "the delivery of event %s to %s was %s and became %s", d.EventID, d.Endpoint, old.Status, d.Status)
	case d.Status == bursar.DeliveryDone && slices.Contains(o.cfg.Dead, d.Endpoint):
		return broken("Q3", "event %s counts as delivered to %s, which took nothing", d.EventID, d.Endpoint)
	}
	return follows("Q3", "delivery of", d.EventID, old.Version, d.Version)
}

func ended(s bursar.DeliveryStatus) bool {
	return s == bursar.DeliveryDone || s == bursar.DeliveryDead
}

// Delivered tells that an endpoint was given an event, whatever it answered.
// First deliveries of a subject come in order, unless the one before was parked
// or is dead. What is wrong is told by Quiet.
func (o *Oracle) Delivered(endpoint string, e bursar.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := deliveryKey{e.ID, endpoint}
	if o.past.given[at] {
		return
	}
	o.past.given[at] = true
	o.past.got = append(o.past.got, gift{endpoint, e.ID})
	if !o.past.events[e.ID] {
		o.remember(broken("Q3", "%s was given event %s (%s of %s), which was never committed", endpoint, e.ID, e.Kind, e.Subject))
	}
	row := o.m.events[e.ID]
	if row == nil {
		return // a loss of the store took it back on its way
	}
	if row.Kind != e.Kind || row.Subject != e.Subject || row.Seq != e.Seq {
		o.remember(broken("Q3", "%s was given event %s as %s %d of %s, committed was %s %d of %s", endpoint, e.ID, e.Kind, e.Seq, e.Subject, row.Kind, row.Seq, row.Subject))
	}
	o.inOrder(endpoint, &e)
}

func (o *Oracle) inOrder(endpoint string, e *bursar.Event) {
	l := o.m.lanes[laneKey{endpoint, e.Subject}]
	if l == nil {
		return
	}
	for l.next < len(l.rows) {
		was := l.rows[l.next]
		at := deliveryKey{was.ID, endpoint}
		if was.Seq >= e.Seq {
			return
		}
		if !o.past.given[at] && o.m.deliveries[at].Status == bursar.DeliveryPending {
			o.remember(broken("Q3", "%s was given event %d of %s before event %d", endpoint, e.Seq, e.Subject, was.Seq))
			return
		}
		l.next++
	}
}

// everybodyTold is Q3 at the end.
func (o *Oracle) everybodyTold(d *dump) error {
	rows := map[deliveryKey]bursar.DeliveryStatus{}
	for i := range d.deliveries {
		rows[deliveryKey{d.deliveries[i].EventID, d.deliveries[i].Endpoint}] = d.deliveries[i].Status
	}
	for i := range d.events {
		e := &d.events[i]
		for _, name := range o.cfg.Endpoints {
			if !o.past.given[deliveryKey{e.ID, name}] {
				return broken("Q3", "%s was never given %s, event %d of %s", name, e.Kind, e.Seq, e.Subject)
			}
			// A row that ended may have been pruned.
			if s, ok := rows[deliveryKey{e.ID, name}]; ok && s != bursar.DeliveryDone {
				return broken("Q3", "the delivery to %s of %s, event %d of %s, is %s", name, e.Kind, e.Seq, e.Subject, s)
			}
		}
		for _, name := range o.cfg.Dead {
			if s, ok := rows[deliveryKey{e.ID, name}]; ok && s != bursar.DeliveryParked && s != bursar.DeliveryDead {
				return broken("Q3", "the delivery to %s, which takes nothing, of %s, event %d of %s, is %s", name, e.Kind, e.Seq, e.Subject, s)
			}
		}
	}
	return nil
}

// receivers is Q7: who drops repetitions by id and keeps the highest number of
// each payment ends with what the gateway says.
func (o *Oracle) receivers(d *dump) error {
	for _, name := range o.cfg.Endpoints {
		ends := map[string]*bursar.Event{}
		for _, g := range o.past.got {
			// What a loss of the store took back is no longer said by anybody.
			e := d.event[g.event]
			if g.endpoint != name || e == nil {
				continue
			}
			if was := ends[e.Subject]; was == nil || was.Seq <= e.Seq {
				ends[e.Subject] = e
			}
		}
		for i := range d.payments {
			p := &d.payments[i]
			if e := ends[p.ID]; e != nil && e.Data.PaymentID == p.ID && e.Data.Status != p.Status {
				return broken("Q7", "payment %s is %s, and %s ends with event %d, %s: %s", p.ID, p.Status, name, e.Seq, e.Kind, e.Data.Status)
			}
		}
	}
	return nil
}
