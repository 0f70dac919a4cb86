package oracle

import (
	"maps"
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// lame is after how many failures in a row a planned payout holds nobody up.
const lame = 3

// underWay reports whether a payout may still move something.
func underWay(s bursar.PayoutStatus) bool {
	switch s {
	case bursar.PayoutConfirmed, bursar.PayoutFailed, bursar.PayoutCanceled, bursar.PayoutHalted:
		return false
	}
	return true
}

// index notes a payout under what it covers, which a reorg may change, and whether
// it is under way.
func (m *model) index(p *bursar.Payout) {
	for _, it := range p.Items {
		if of := m.covering[it.TransactionID]; !slices.Contains(of, p.ID) {
			m.covering[it.TransactionID] = append(of, p.ID)
		}
	}
	if toStranger(p) {
		if m.refunds[p.Parent] == nil {
			m.refunds[p.Parent] = map[string]*bursar.Payout{}
		}
		m.refunds[p.Parent][p.ID] = p
	}
	delete(m.underWay, p.ID)
	if underWay(p.Status) {
		m.underWay[p.ID] = p
	}
	if p.Status == bursar.PayoutConfirmed || p.Failures >= lame {
		m.excused[p.ID] = true
	}
	m.payouts[p.ID] = p
}

// sweeps is what holds between payouts, what was signed for them and what they
// cover, once all rows of a batch are known.
func (o *Oracle) sweeps(b *bursar.Batch) error {
	var f first
	f.note(each(b.Payouts, o.paidOnce))
	f.note(each(b.Payouts, o.remembered))
	f.note(each(b.Payouts, func(p *bursar.Payout) error { return o.divided(b, p) }))
	touched := map[string]bool{}
	for i := range b.Transactions {
		touched[b.Transactions[i].ID] = true
	}
	for i := range b.Payouts {
		for _, it := range b.Payouts[i].Items {
			touched[it.TransactionID] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		f.note(o.accounted(id))
	}
	return f.err
}

// paidOnce is S9 for a new payout: gas is not spent twice for one thing. One asset
// at one address has one sweep at a time, one sweep has one top-up at a time, and
// the coin at an address stays where a sweep of its tokens may want it. A payout
// that a reorg opened again may meet another one; one that failed often holds
// nobody up.
func (o *Oracle) paidOnce(p *bursar.Payout) error {
	if p.Version != 1 {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(o.m.underWay)) {
		other := o.m.underWay[id]
		if id == p.ID || other.Kind != p.Kind || o.m.excused[id] {
			continue
		}
		here := together(p, other)
		switch {
		case p.Kind == bursar.PayoutTopUp && other.Parent == p.Parent && other.To == p.To:
			return broken("S9", "payout %s brings gas to %s while %s, which does so for the same sweep, is %s", p.ID, p.To, id, other.Status)
		case p.Kind != bursar.PayoutSweep:
		case here && other.Asset.ID == p.Asset.ID:
			return broken("S9", "payout %s sweeps %s from %v while %s, which does so, is %s", p.ID, p.Asset.ID, sources(p), id, other.Status)
		case here && p.Asset.Native():
			return broken("S9", "payout %s sweeps the coin from %s while %s, which sweeps tokens there, is %s", p.ID, p.From.Address, id, other.Status)
		}
	}
	return nil
}

// remembered is S6 for a payout of which bytes are out: whatever was signed for
// its present group can still be mined, and stays open until one is final.
func (o *Oracle) remembered(p *bursar.Payout) error {
	switch p.Status {
	case bursar.PayoutSigned, bursar.PayoutBroadcast, bursar.PayoutConfirming, bursar.PayoutConfirmingFailed:
	default:
		return nil
	}
	open := 0
	for _, id := range o.m.signed[p.ID] {
		switch a := o.m.attempts[id]; {
		case a.Group != p.Group:
		case !a.Open:
			return broken("S6", "payout %s is %s, and its attempt %s is closed", p.ID, p.Status, id)
		default:
			open++
		}
	}
	if open == 0 {
		return broken("S6", "payout %s is %s, and nothing is signed for it", p.ID, p.Status)
	}
	return nil
}

// accounted is S7 for what a transaction says of its sweeps: what final payouts
// moved of it is discharged, what others are to move is reserved. And it is S4:
// nothing is left planned that would sweep what is not there.
func (o *Oracle) accounted(id string) error {
	t := o.m.txs[id]
	if t == nil {
		return nil // covers tells
	}
	var discharged, reserved chain.Amount
	missed := 0
	for _, payout := range o.m.covering[id] {
		p := o.m.payouts[payout]
		part, whole, behind := share(p, id)
		switch p.Status {
		case bursar.PayoutConfirmed:
			discharged = plus(discharged, part)
			if behind {
				missed++
			}
			continue
		case bursar.PayoutCanceled:
			continue
		case bursar.PayoutPlanned:
			if !t.Live() && !o.signedFor(p) {
				return broken("S4", "payout %s is still planned, and transaction %s, which it covers, has left the chain", payout, id)
			}
		}
		reserved = plus(reserved, whole)
	}
	if t.Discharged != discharged || t.Reserved != reserved {
		return broken("S7", "of transaction %s %s are discharged and %s reserved, by its payouts it is %s and %s", id, t.Discharged, t.Reserved, discharged, reserved)
	}
	if t.Missed != missed {
		return broken("S7", "transaction %s was left behind by %d batches, it says %d", id, missed, t.Missed)
	}
	return nil
}

// signedFor reports whether bytes of a payout may still be mined.
func (o *Oracle) signedFor(p *bursar.Payout) bool {
	return slices.ContainsFunc(o.m.signed[p.ID], func(id string) bool { return o.m.attempts[id].Open })
}
