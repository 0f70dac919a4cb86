package oracle

import (
	"time"

	"github.com/bursar-go/bursar"
)

// takeTransaction is S4 and S7 for a transfer identity.
func (o *Oracle) takeTransaction(b *bursar.Batch, t *bursar.Transaction) error {
	m := o.m
	old := m.txs[t.ID]
	m.txs[t.ID] = t
	if old == nil {
		old = &bursar.Transaction{Chain: t.Chain, Transfer: t.Transfer}
		if t.PaymentID != "" && t.Type == bursar.TypeIncoming {
			m.incoming[t.PaymentID] = append(m.incoming[t.PaymentID], t.ID)
		}
	}
	if old.Counting && old.Live() && (!t.Live() || t.Inclusion > old.Inclusion) {
		m.orphaned[t.PaymentID] = written(b, t)
	}
	if o.replaying {
		return nil
	}
	if old.Transfer != t.Transfer || old.Chain != t.Chain {
		return broken("S3", "transaction %s was %s of %s and is %s of %s", t.ID, old.Transfer, old.Chain, t.Transfer, t.Chain)
	}
	if err := follows("S7", "transaction", t.ID, old.Version, t.Version); err != nil {
		return err
	}
	if err := o.placed(b, old, t); err != nil {
		return err
	}
	moved := old.BlockHash != t.BlockHash || old.Inclusion != t.Inclusion
	if err := o.moves("transaction", t.ID, o.hops.transaction.of(b), string(old.Status), string(t.Status), moved); err != nil {
		return err
	}
	return o.judgement(b, old, t)
}

// written is the time of a batch that scans.
func written(b *bursar.Batch, t *bursar.Transaction) time.Time {
	for i := range b.Chains {
		if b.Chains[i].Chain == t.Chain {
			return b.Chains[i].UpdatedAt
		}
	}
	return time.Time{}
}

// judgement is S7 for whether money counts: that is decided when it is first
// included, and never again.
func (o *Oracle) judgement(b *bursar.Batch, old, t *bursar.Transaction) error {
	switch {
	case old.Inclusion > 0 && !old.Suspense && !t.Suspense && old.Counting != t.Counting:
		return broken("S7", "transaction %s: the verdict of its first inclusion changed to counting=%v", t.ID, t.Counting)
	case t.Accepted && !old.Accepted && (old.Status != bursar.TxConfirmed || !t.Live()):
		return broken("S7", "transaction %s was accepted while it was %s", t.ID, old.Status)
	case old.Accepted && !t.Accepted:
		return broken("S7", "transaction %s is no longer accepted", t.ID)
	}
	p := o.m.payments[t.PaymentID] // as it was before this batch
	if old.Inclusion > 0 || t.Inclusion != 1 || t.Suspense || p == nil || t.Type != bursar.TypeIncoming || t.Asset != p.Asset.ID {
		return nil
	}
	at, now := t.BlockTime, t.CreatedAt
	if old.Status == bursar.TxPending {
		now = written(b, t) // the row is older than this
	}
	if now.Before(at) {
		at = now // a block from the future counts as seen now
	}
	// What was seen in time may be mined a little later.
	due := p.ExpiresAt
	if old.Status != "" && !old.SeenAt.IsZero() && !old.SeenAt.After(due) {
		due = due.Add(o.cfg.Chain.Info().InclusionSlack)
	}
	late := at.After(due)
	counts, sure := true, true
	switch {
	case p.Canceled():
		counts = false
	case late && at.After(p.ExpiresAt.Add(p.Policy.Grace)):
		// An extra to what is paid counts; where this commit moves the payment,
		// its status at that moment is not known here.
		counts, sure = paid(string(p.Status)), !o.stirred(b, p) && !p.Accepted
	}
	if sure && t.Counting != counts {
		return broken("S7", "transaction %s of %s for the %s payment %s, due %s with %s of grace: counting=%v", t.ID, at, p.Status, p.ID, p.ExpiresAt, p.Policy.Grace, t.Counting)
	}
	if t.Late != late {
		return broken("S7", "transaction %s of %s for payment %s, due %s: late=%v", t.ID, at, p.ID, p.ExpiresAt, t.Late)
	}
	return nil
}

// stirred reports whether a batch moves a payment's status.
func (o *Oracle) stirred(b *bursar.Batch, p *bursar.Payment) bool {
	for i := range b.Events {
		if _, moves := told(&b.Events[i]); moves && b.Events[i].Subject == p.ID {
			return true
		}
	}
	return false
}
