package oracle

import (
	"maps"
	"slices"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// brought is S4 for a transfer that no transaction to its receiver shows: the block
// has a call of that name with that amount, or, where only the balance told, calls
// and credits that come to as much at least.
func (c *content) brought(t *bursar.Transaction) error {
	total := chain.Amount{}
	for _, x := range c.inner {
		if x.To != t.To {
			continue
		}
		total = plus(total, x.Amount)
		if x.ID == t.Transfer {
			if x.Amount != t.Amount || x.Via != t.Via || x.Asset != t.Asset {
				return broken("S4", "block %s holds %s of %s to %s, not of %s via %s", t.BlockHash, t.Transfer, x.Amount, t.To, t.Amount, t.Via)
			}
			return nil
		}
	}
	if t.Via != chain.ViaDelta || !strings.HasPrefix(t.Transfer.Ordinal, "b:"+string(t.To)+":") {
		return broken("S4", "block %s holds no call %s to %s", t.BlockHash, t.Transfer, t.To)
	}
	if total.Less(t.Amount) && !strings.HasPrefix(t.Transfer.Ordinal, "b:"+string(t.To)+":0-") {
		return broken("S4", "block %s brought %s to %s beside its transactions, not %s", t.BlockHash, total, t.To, t.Amount)
	}
	return nil
}

// inner is Q1 for coin that contracts and the protocol sent: what the chain's
// blocks brought to an address in this way is what the rows of these blocks say,
// to the last unit. It adds the rows to the list of what must be credited.
func (o *Oracle) inner(d *dump, list []deposit) ([]deposit, error) {
	type place struct {
		to     chain.Address
		height uint64
	}
	want, have := map[place]chain.Amount{}, map[place]chain.Amount{}
	vague := map[chain.Address]bool{} // where nobody knows since when it is there
	for h := o.m.start; h < uint64(len(d.blocks)); h++ {
		for _, x := range d.blocks[h].inner {
			if _, ours := d.homes[x.To]; ours {
				at := place{x.To, h}
				want[at] = plus(want[at], x.Amount)
			}
		}
	}
	for i := range d.transactions {
		t := &d.transactions[i]
		if t.Type != bursar.TypeIncoming || !t.Live() || t.Via == chain.ViaDirect {
			continue
		}
		at := place{t.To, t.Block}
		vague[t.To] = vague[t.To] || strings.HasPrefix(t.Transfer.Ordinal, "b:"+string(t.To)+":0-")
		have[at] = plus(have[at], t.Amount)
		list = append(list, deposit{chain.Transfer{ID: t.Transfer, Asset: t.Asset, To: t.To, Amount: t.Amount}, t.Block})
	}
	sum := func(from map[place]chain.Amount) map[place]chain.Amount {
		out := map[place]chain.Amount{}
		for at, n := range from {
			if vague[at.to] {
				at.height = 0
			}
			out[at] = plus(out[at], n)
		}
		return out
	}
	want, have = sum(want), sum(have)
	for _, at := range slices.Collect(maps.Keys(have)) {
		if _, due := want[at]; !due {
			want[at] = chain.Amount{}
		}
	}
	for at, n := range want {
		if have[at] != n {
			return nil, broken("Q1", "block %d (0: all) brought %s to %s by contracts and the protocol, credited are %s", at.height, n, at.to, have[at])
		}
	}
	return list, nil
}
