package oracle

import (
	"math/big"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// takeEntry is S2 and S3: an entry is new, moves something between two accounts
// as its rule says, or undoes one other entry exactly once; and a transfer is
// credited at most once at a time.
func (o *Oracle) takeEntry(_ *bursar.Batch, e *bursar.Entry) error {
	m := o.m
	_, known := m.entries[e.ID]
	m.entries[e.ID] = &posting{Entry: e}
	m.add(e.Asset, e.Debit, e.Amount, false)
	m.add(e.Asset, e.Credit, e.Amount, true)
	err := o.lawful(e)
	if known {
		err = broken("S2", "entry %s was written again", e.ID)
	}
	if e.Reverses != "" {
		if undoes := o.undo(e); err == nil {
			err = undoes
		}
		return err
	}
	if e.Rule == "L1" {
		if credit := o.credit(e); err == nil {
			err = credit
		}
	}
	return err
}

// add changes the sum of an account.
func (m *model) add(asset chain.AssetID, a bursar.Account, n chain.Amount, credit bool) {
	at := balanceKey{asset, a}
	sum := m.balances[at]
	if sum == nil {
		sum = new(big.Int)
		m.balances[at] = sum
	}
	if credit {
		sum.Sub(sum, n.Big())
		return
	}
	sum.Add(sum, n.Big())
}

// lawful checks one entry by itself.
func (o *Oracle) lawful(e *bursar.Entry) error {
	if e.Amount.IsZero() || e.Debit == e.Credit {
		return broken("S2", "entry %s moves %s from %s to %s", e.ID, e.Amount, e.Credit, e.Debit)
	}
	if e.Reverses != "" {
		return nil
	}
	l := leg{e.Rule, kindOf(e.Debit), kindOf(e.Credit)}
	if !o.legs[l] {
		return broken("S2", "entry %s: no posting %s moves from %s to %s", e.ID, e.Rule, e.Credit, e.Debit)
	}
	o.mark("posting "+l.rule, l.credit, l.debit)
	return nil
}

// undo checks a reversal and carries it out.
func (o *Oracle) undo(e *bursar.Entry) error {
	was := o.m.entries[e.Reverses]
	switch {
	case was == nil:
		return broken("S2", "entry %s undoes %s, which is not there", e.ID, e.Reverses)
	case was.Reverses != "":
		return broken("S2", "entry %s undoes %s, which undoes another one", e.ID, e.Reverses)
	case was.undone != "":
		return broken("S2", "entry %s undoes %s, which %s undid", e.ID, e.Reverses, was.undone)
	case was.Asset != e.Asset || was.Amount != e.Amount || was.Debit != e.Credit || was.Credit != e.Debit:
		return broken("S2", "entry %s is not the opposite of %s", e.ID, e.Reverses)
	}
	was.undone = e.ID
	o.marks[mark{"reversal", was.Rule, ""}] = true
	if was.Rule == "L1" {
		if t := o.m.txs[was.Transaction]; t != nil {
			delete(o.m.credits, transferKey{t.Chain, t.Transfer})
		}
	}
	return nil
}

// credit is S3.
func (o *Oracle) credit(e *bursar.Entry) error {
	t := o.m.txs[e.Transaction]
	if t == nil {
		return broken("S3", "credit %s names the transaction %q, which is not there", e.ID, e.Transaction)
	}
	at := transferKey{t.Chain, t.Transfer}
	if was := o.m.credits[at]; was != "" {
		return broken("S3", "transfer %s is credited by %s and by %s", t.Transfer, was, e.ID)
	}
	o.m.credits[at] = e.ID
	if o.replaying {
		return nil
	}
	if !t.Live() || t.Amount != e.Amount || t.Asset != e.Asset {
		return broken("S3", "credit %s is of %s %s, the transfer %s of %s %s is %s", e.ID, e.Amount, e.Asset, t.Transfer, t.Amount, t.Asset, t.Status)
	}
	return nil
}

// balanced is S2 for the accounts that a batch touched: what is owed is never
// less than nothing.
func (o *Oracle) balanced(b *bursar.Batch) error {
	for i := range b.Entries {
		e := &b.Entries[i]
		for _, a := range [2]bursar.Account{e.Debit, e.Credit} {
			if sum := o.m.balances[balanceKey{e.Asset, a}]; claim(kindOf(a)) && sum.Sign() > 0 {
				return broken("S2", "the claim %s is overdrawn by %s of %s", a, sum, e.Asset)
			}
		}
	}
	return nil
}

// booked is S2 for a payment: of confirmed money the amount asked for is paid
// and the rest is excess, once it is enough, and before that nothing is.
func (o *Oracle) booked(p *bursar.Payment) error {
	var pays, extra chain.Amount
	if paid(string(p.Status)) {
		pays, extra = p.Confirmed.Min(p.Amount), p.Confirmed.SubFloor(p.Amount)
	}
	total := chain.Amount{}
	for _, r := range o.m.refunds[p.ID] {
		total = plus(total, givenBack(r))
	}
	held := plus(p.Confirmed, p.Held).SubFloor(pays).SubFloor(extra)
	ofExcess, _, ofPaid := taken(total, extra, held, pays)
	if err := o.owes(p, "paid:", pays.SubFloor(ofPaid)); err != nil {
		return err
	}
	return o.owes(p, "excess:", extra.SubFloor(ofExcess))
}

func (o *Oracle) owes(p *bursar.Payment, kind string, want chain.Amount) error {
	have := o.m.balances[balanceKey{p.Asset.ID, bursar.Account(kind + p.ID)}]
	if have == nil {
		if want.IsZero() {
			return nil
		}
		have = new(big.Int)
	}
	if new(big.Int).Neg(have).Cmp(want.Big()) != 0 {
		return broken("S2", "%s%s holds %s, by a %s payment with %s of %s confirmed it is %s", kind, p.ID, new(big.Int).Neg(have), p.Status, p.Confirmed, p.Amount, want)
	}
	return nil
}
