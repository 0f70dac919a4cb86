package oracle

import (
	"maps"
	"math/big"
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// toStranger reports whether a payout is a refund or a withdrawal.
func toStranger(p *bursar.Payout) bool {
	return p.Kind == bursar.PayoutRefund || p.Kind == bursar.PayoutWithdrawal
}

// refundable is S4 for a new refund or withdrawal: all that is, or is to be, given back
// of a payment, or of a customer's deposits, is final money of theirs.
func (o *Oracle) refundable(p *bursar.Payout) error {
	if !toStranger(p) {
		return nil
	}
	asked, final := chain.Amount{}, chain.Amount{}
	for _, other := range o.m.refunds[p.Parent] {
		if other.Asset.ID == p.Asset.ID {
			asked = plus(asked, givenBack(other))
		}
	}
	for _, t := range o.m.txs {
		of := t.PaymentID
		if p.Kind == bursar.PayoutWithdrawal {
			of = t.AddressID
		}
		if of == p.Parent && t.Type == bursar.TypeIncoming && t.Asset == p.Asset.ID && t.Live() && t.Final && !t.Suspense {
			final = plus(final, t.Amount)
		}
	}
	if final.Less(asked) {
		return broken("S4", "refunds or withdrawals of %s come to %s with %s, and %s of its money are final", p.Parent, asked, p.ID, final)
	}
	return nil
}

// givenBack is what a refund gives, or is to give.
func givenBack(p *bursar.Payout) chain.Amount {
	switch p.Status {
	case bursar.PayoutCanceled:
		return chain.Amount{}
	case bursar.PayoutConfirmed:
		return p.Moved
	}
	return p.Amount
}

// taken is what refunds take of each claim: what is too much first, what is held next,
// what is paid last.
func taken(total, excess, held, paid chain.Amount) (ofExcess, ofHeld, ofPaid chain.Amount) {
	ofExcess = total.Min(excess)
	total = total.SubFloor(ofExcess)
	ofHeld = total.Min(held)
	total = total.SubFloor(ofHeld)
	return ofExcess, ofHeld, total.Min(paid)
}

// givesBack moves what the refunds of a payment take out of its claims, and owes what
// was not sent yet.
func givesBack(p *bursar.Payment, d *dump, want sums) {
	total := chain.Amount{}
	for i := range d.payouts {
		r := &d.payouts[i]
		if r.Kind != bursar.PayoutRefund || r.Parent != p.ID {
			continue
		}
		total = plus(total, givenBack(r))
		if r.Status != bursar.PayoutConfirmed {
			want.owe(p.Asset.ID, payable+r.ID, givenBack(r))
		}
	}
	if total.IsZero() {
		return
	}
	owed := func(kind string) chain.Amount {
		n, err := chain.AmountFromBig(new(big.Int).Neg(want.at(balanceKey{p.Asset.ID, bursar.Account(kind + p.ID)})))
		if err != nil {
			return chain.Amount{}
		}
		return n
	}
	excess, held, paid := taken(total, owed("excess:"), owed("held:"), owed("paid:"))
	want.add(p.Asset.ID, "excess:"+p.ID, excess.Big())
	want.add(p.Asset.ID, "held:"+p.ID, held.Big())
	want.add(p.Asset.ID, "paid:"+p.ID, paid.Big())
}

// withdraws is givesBack for a customer's permanent address.
func withdraws(at *bursar.Address, d *dump, want sums) {
	if at.Role != bursar.RolePermanent {
		return
	}
	total := map[chain.AssetID]chain.Amount{}
	for i := range d.payouts {
		p := &d.payouts[i]
		if p.Kind != bursar.PayoutWithdrawal || p.Parent != at.ID {
			continue
		}
		total[p.Asset.ID] = plus(total[p.Asset.ID], givenBack(p))
		if p.Status != bursar.PayoutConfirmed {
			want.owe(p.Asset.ID, payable+p.ID, givenBack(p))
		}
	}
	for asset, n := range total {
		have := new(big.Int).Neg(want.at(balanceKey{asset, bursar.Account("customer:" + at.Customer)}))
		if have.Cmp(n.Big()) > 0 {
			have = n.Big()
		}
		want.add(asset, "customer:"+at.Customer, have)
	}
}

// paidOut is Q2 for strangers: who was to get a refund got it, once. Nobody else pays
// to their addresses. A store that lost commits may have forgotten refunds that were
// paid, and a person asks for them again; but nobody gets the same one twice.
func (o *Oracle) paidOut(d *dump) error {
	if o.lossy {
		return o.paidAtMost(d)
	}
	due := sums{}
	for i := range d.payouts {
		r := &d.payouts[i]
		if !toStranger(r) {
			continue
		}
		n := new(big.Int)
		if r.Status == bursar.PayoutConfirmed {
			n = r.Moved.Big()
		}
		due.add(r.Asset.ID, string(r.To), n)
	}
	for _, at := range keys(due) {
		got := o.cfg.Chain.BalanceOf(chain.Address(at.account), d.assets[at.asset])
		if got.Big().Cmp(due.at(at)) != 0 {
			return broken("Q2", "%s got %s of %s from us, its refunds come to %s", at.account, got, at.asset, due.at(at))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.payment)) {
		p, paid := d.payment[id], chain.Amount{}
		for i := range d.payouts {
			if r := &d.payouts[i]; r.Parent == id && r.Status == bursar.PayoutConfirmed {
				paid = plus(paid, r.Moved)
			}
		}
		if p.Refunded != paid {
			return broken("Q2", "payment %s says that %s were given back, its refunds say %s", id, p.Refunded, paid)
		}
	}
	return nil
}

// receiver is where refunds of one asset go.
type receiver struct {
	to    chain.Address
	asset chain.AssetID
}

// refund remembers what a refund is to pay, whatever a store forgets.
func (p *past) refund(r *bursar.Payout) {
	if !toStranger(r) {
		return
	}
	at := receiver{r.To, r.Asset.ID}
	if p.asked[at] == nil {
		p.asked[at] = map[string]chain.Amount{}
	}
	p.asked[at][r.ID] = r.Amount
}

// paidAtMost is the half of paidOut that holds whatever the store has forgotten.
func (o *Oracle) paidAtMost(d *dump) error {
	for at, asked := range o.past.asked {
		most := chain.Amount{}
		for _, n := range asked {
			most = plus(most, n)
		}
		if got := o.cfg.Chain.BalanceOf(at.to, d.assets[at.asset]); most.Less(got) {
			return broken("Q2", "%s got %s of %s from us, all refunds that were ever asked for it come to %s", at.to, got, at.asset, most)
		}
	}
	return nil
}
