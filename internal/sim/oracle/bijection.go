package oracle

import (
	"cmp"
	"math/big"
	"slices"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// deposit is a transfer of the canonical chain that must be credited.
type deposit struct {
	chain.Transfer
	height uint64
}

// deposits lists what strangers brought to addresses of ours, in assets of ours,
// since the first scanned block, in the order of the chain.
func (o *Oracle) deposits(d *dump) []deposit {
	var out []deposit
	for h := o.m.start; h < uint64(len(d.blocks)); h++ {
		for _, t := range d.blocks[h].order() {
			_, ours := d.homes[t.To]
			_, internal := d.homes[t.From]
			_, listed := d.assets[t.Asset]
			if ours && !internal && listed && !t.Amount.IsZero() && (h > d.since[t.Asset] || d.since[t.Asset] == 0) {
				out = append(out, deposit{t, h})
			}
		}
	}
	return out
}

// order returns the transfers of a block sorted by their identity.
func (c *content) order() []chain.Transfer {
	out := make([]chain.Transfer, 0, len(c.transfers))
	for _, t := range c.transfers {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b chain.Transfer) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return out
}

// sums are accounts with what must be on them.
type sums map[balanceKey]*big.Int

func (s sums) add(asset chain.AssetID, account string, n *big.Int) {
	at := balanceKey{asset, bursar.Account(account)}
	if s[at] == nil {
		s[at] = new(big.Int)
	}
	s[at].Add(s[at], n)
}

func (s sums) owe(asset chain.AssetID, account string, n chain.Amount) {
	s.add(asset, account, new(big.Int).Neg(n.Big()))
}

// posted adds up entries.
func posted(entries []bursar.Entry) sums {
	out := sums{}
	for i := range entries {
		e := &entries[i]
		out.add(e.Asset, string(e.Debit), e.Amount.Big())
		out.owe(e.Asset, string(e.Credit), e.Amount)
	}
	return out
}

// bijection is Q1: the deposits of the chain are the unreversed credits, one for
// one and to the last unit, and every claim is what follows from them.
func (o *Oracle) bijection(d *dump) error {
	live := unreversed(d.entries)
	want := sums{}
	list, err := o.inner(d, o.deposits(d))
	if err != nil {
		return err
	}
	for _, t := range list {
		row := d.rows[t.ID]
		if row == nil {
			return broken("Q1", "the transfer %s of %s %s to %s in block %d was never credited", t.ID, t.Amount, t.Asset, t.To, t.height)
		}
		if err := o.credited(d, t, row, live); err != nil {
			return err
		}
		o.claims(d, t, row, want)
	}
	n := 0
	for _, e := range live {
		if e.Rule == "L1" {
			n++
		}
	}
	for i := range list {
		if row := d.rows[list[i].ID]; row.Suspense && row.Amount.IsZero() {
			n++ // of a token that moved nothing there is nothing to post
		}
	}
	if n != len(list) {
		return broken("Q1", "%d credits stand for %d transfers of the chain", n, len(list))
	}
	for i := range d.payments {
		booked(&d.payments[i], d, want)
		givesBack(&d.payments[i], d, want)
	}
	for i := range d.addresses {
		withdraws(&d.addresses[i], d, want)
	}
	return sameClaims(want, posted(d.entries))
}

// unreversed returns the credits and confirmations that stand, by transaction
// and rule.
func unreversed(entries []bursar.Entry) map[string]*bursar.Entry {
	out := map[string]*bursar.Entry{}
	undone := map[string]bool{}
	for i := range entries {
		undone[entries[i].Reverses] = true
	}
	for i := range entries {
		e := &entries[i]
		if e.Reverses == "" && !undone[e.ID] && (e.Rule == "L1" || e.Rule == "L2" && kindOf(e.Debit) == firm) {
			out[e.Rule+" "+e.Transaction] = e
		}
	}
	return out
}

// credited checks the row and the entries of one deposit.
func (o *Oracle) credited(d *dump, t deposit, row *bursar.Transaction, live map[string]*bursar.Entry) error {
	if !row.Live() || row.BlockHash != d.hashes[t.height] {
		return broken("Q1", "the transfer %s lies in block %d %s, its row is %s in block %d %s", t.ID, t.height, d.hashes[t.height], row.Status, row.Block, row.BlockHash)
	}
	if row.Suspense {
		return nil // what is believed of it is the token's matter
	}
	deep := t.height+max(row.Required, o.cfg.Confirmations) <= d.head.Height+1
	if deep != (row.Status == bursar.TxConfirmed) {
		return broken("Q1", "the transfer %s in block %d is %s at height %d, it asks for %d confirmations", t.ID, t.height, row.Status, d.head.Height, row.Required)
	}
	for _, rule := range []string{"L1", "L2"} {
		e := live[rule+" "+row.ID]
		if rule == "L2" && !deep {
			continue
		}
		if e == nil {
			return broken("Q1", "the transfer %s of %s %s to %s has no posting %s", t.ID, t.Amount, t.Asset, t.To, rule)
		}
		if e.Amount != t.Amount || e.Asset != t.Asset || !strings.HasSuffix(string(e.Debit), string(t.To)) {
			return broken("Q1", "the transfer %s of %s %s to %s is posted as %s %s to %s", t.ID, t.Amount, t.Asset, t.To, e.Amount, e.Asset, e.Debit)
		}
	}
	return nil
}

// claims adds what somebody is owed for a deposit.
func (o *Oracle) claims(d *dump, t deposit, row *bursar.Transaction, want sums) {
	role := d.homes[t.To]
	whose, deep := string(t.To), row.Status == bursar.TxConfirmed
	if p := d.payment[row.PaymentID]; p != nil && p.Asset.ID == t.Asset {
		whose = p.ID
	}
	switch {
	case row.Suspense:
		want.owe(t.Asset, "suspense:"+string(t.To), row.Amount)
	case working(role):
	case !deep:
		want.owe(t.Asset, "pending:"+whose, t.Amount)
	case role == bursar.RolePermanent:
		want.owe(t.Asset, "customer:"+row.Customer, t.Amount)
	default:
		want.owe(t.Asset, "held:"+whose, t.Amount)
	}
}

// booked moves what a payment has been paid from held to paid and excess.
func booked(p *bursar.Payment, d *dump, want sums) {
	if !paid(string(p.Status)) {
		return
	}
	total := chain.Amount{}
	for i := range d.transactions {
		t := &d.transactions[i]
		if t.PaymentID == p.ID && t.Type == bursar.TypeIncoming && t.Asset == p.Asset.ID && !t.Suspense && t.Status == bursar.TxConfirmed && (t.Counting || t.Accepted) {
			total = plus(total, t.Amount)
		}
	}
	want.add(p.Asset.ID, "held:"+p.ID, total.Big())
	want.owe(p.Asset.ID, "paid:"+p.ID, total.Min(p.Amount))
	want.owe(p.Asset.ID, "excess:"+p.ID, total.SubFloor(p.Amount))
}

// plus adds amounts of money that is there, which never comes to 2^256.
func plus(a, b chain.Amount) chain.Amount {
	n, err := a.Add(b)
	if err != nil {
		return a
	}
	return n
}

// sameClaims compares every claim both ways. Foreign spends touch suspense,
// which is therefore compared by what came in alone, as a part of the balances.
func sameClaims(want, have sums) error {
	for _, at := range keys(want, have) {
		kind := kindOf(at.account)
		if !claim(kind) {
			continue
		}
		w, h := want.at(at), have.at(at)
		if w.Cmp(h) != 0 {
			return broken("Q1", "the account %s holds %s of %s, by the chain it is %s", at.account, h, at.asset, w)
		}
	}
	return nil
}

func (s sums) at(k balanceKey) *big.Int {
	if s[k] == nil {
		return new(big.Int)
	}
	return s[k]
}

// keys returns the accounts of several sums, sorted.
func keys(all ...sums) []balanceKey {
	seen := map[balanceKey]bool{}
	var out []balanceKey
	for _, s := range all {
		for k := range s {
			if !seen[k] {
				seen[k] = true
				out = append(out, k)
			}
		}
	}
	slices.SortFunc(out, func(a, b balanceKey) int {
		return cmp.Or(cmp.Compare(a.asset, b.asset), cmp.Compare(a.account, b.account))
	})
	return out
}
