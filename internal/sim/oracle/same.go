package oracle

import "github.com/bursar-go/bursar"

// same is Q6: the store holds what was committed, nothing more, nothing less,
// and each row as it was last written.
func (o *Oracle) same(d *dump) error {
	m := o.m
	for _, n := range []struct {
		what       string
		have, want int
	}{
		{"payments", len(d.payments), len(m.payments)}, {"transactions", len(d.transactions), len(m.txs)}, {"addresses", len(d.addresses), len(m.addresses)},
		{"payouts", len(d.payouts), len(m.payouts)}, {"attempts", len(d.attempts), len(m.attempts)}, {"entries", len(d.entries), len(m.entries)},
		{"events", len(d.events), len(m.events)},
	} {
		if n.have != n.want {
			return broken("Q6", "the store has %d %s, committed were %d", n.have, n.what, n.want)
		}
	}
	var f first
	f.note(each(d.payments, o.samePayment))
	f.note(each(d.transactions, o.sameTransaction))
	f.note(each(d.payouts, o.samePayout))
	f.note(each(d.entries, o.sameEntry))
	f.note(each(d.addresses, func(a *bursar.Address) error {
		if w := m.addresses[a.ID]; w == nil || w.Version != a.Version || w.Address != a.Address || whose(w) != whose(a) {
			return broken("Q6", "address %s is not as it was committed", a.ID)
		}
		return nil
	}))
	f.note(each(d.attempts, func(a *bursar.Attempt) error {
		if w := m.attempts[a.ID]; w == nil || w.Version != a.Version || w.Open != a.Open || string(w.Raw) != string(a.Raw) {
			return broken("Q6", "attempt %s is not as it was committed", a.ID)
		}
		return nil
	}))
	f.note(each(d.events, func(e *bursar.Event) error {
		if w := m.events[e.ID]; w == nil || w.Kind != e.Kind || w.Subject != e.Subject || w.Seq != e.Seq {
			return broken("Q6", "event %s is not as it was committed", e.ID)
		}
		return nil
	}))
	return f.err
}

func (o *Oracle) samePayment(p *bursar.Payment) error {
	w := o.m.payments[p.ID]
	if w == nil || w.Version != p.Version || w.Status != p.Status || w.Confirmed != p.Confirmed || w.Received != p.Received || w.Address != p.Address || w.Amount != p.Amount || w.Seq != p.Seq {
		return broken("Q6", "payment %s is not as it was committed", p.ID)
	}
	return nil
}

func (o *Oracle) sameTransaction(t *bursar.Transaction) error {
	w := o.m.txs[t.ID]
	if w == nil || w.Version != t.Version || w.Status != t.Status || w.Amount != t.Amount || w.BlockHash != t.BlockHash || w.Discharged != t.Discharged || w.Reserved != t.Reserved {
		return broken("Q6", "transaction %s is not as it was committed", t.ID)
	}
	return nil
}

func (o *Oracle) samePayout(p *bursar.Payout) error {
	w := o.m.payouts[p.ID]
	if w == nil || w.Version != p.Version || w.Status != p.Status || w.Amount != p.Amount || w.To != p.To || w.BlockHash != p.BlockHash {
		return broken("Q6", "payout %s is not as it was committed", p.ID)
	}
	return nil
}

func (o *Oracle) sameEntry(e *bursar.Entry) error {
	w := o.m.entries[e.ID]
	if w == nil || w.Amount != e.Amount || w.Debit != e.Debit || w.Credit != e.Credit || w.Asset != e.Asset || w.Reverses != e.Reverses {
		return broken("Q6", "entry %s is not as it was committed", e.ID)
	}
	return nil
}

// atHead is what all else at the end rests on: the scan is over, and nothing is
// halted.
func (o *Oracle) atHead(d *dump) error {
	if len(d.state.Recent) == 0 || d.state.Recent[len(d.state.Recent)-1].Hash != d.head.Hash {
		return broken("Q5", "the scan stands at height %d, the chain at %d %s", height(&d.state), d.head.Height, d.head.Hash)
	}
	if d.state.Halted != "" {
		return broken("Q5", "the chain is halted: %s", d.state.Halted)
	}
	return nil
}
