package oracle

import (
	"maps"
	"math/big"
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// conserved is Q2: the ledger is the chain. What it has on each of our addresses
// is the balance there; the treasury has what went there, and gas is the fees of
// what our accounts signed; and the store's sums are those of its entries.
func (o *Oracle) conserved(d *dump) error {
	have := posted(d.entries)
	kept := sums{}
	for _, b := range d.balances {
		kept.add(b.Asset, string(b.Account), b.Sum)
	}
	total := map[chain.AssetID]*big.Int{}
	for _, at := range keys(have, kept) {
		if have.at(at).Cmp(kept.at(at)) != 0 {
			return broken("Q2", "the store says that %s holds %s of %s, its entries say %s", at.account, kept.at(at), at.asset, have.at(at))
		}
		if total[at.asset] == nil {
			total[at.asset] = new(big.Int)
		}
		total[at.asset].Add(total[at.asset], kept.at(at))
	}
	for _, id := range slices.Sorted(maps.Keys(total)) {
		if total[id].Sign() != 0 {
			return broken("Q2", "the journal of %s is out of balance by %s", id, total[id])
		}
	}
	if err := o.onChain(d, have); err != nil {
		return err
	}
	if err := o.paidOut(d); err != nil {
		return err
	}
	return o.left(d, have)
}

// both is U and F of an owner together.
func (s sums) both(asset chain.AssetID, name string) *big.Int {
	u := s.at(balanceKey{asset, bursar.Account(unconfirmed + name)})
	return new(big.Int).Add(u, s.at(balanceKey{asset, bursar.Account(firm + name)}))
}

// onChain compares our addresses with the chain's balances.
func (o *Oracle) onChain(d *dump, have sums) error {
	for _, home := range slices.Sorted(maps.Keys(d.homes)) {
		for _, id := range slices.Sorted(maps.Keys(d.assets)) {
			if d.since[id] > 0 {
				continue // what came before it was added is not in the ledger
			}
			want := o.cfg.Chain.BalanceOf(home, d.assets[id]).Big()
			if got := have.both(id, string(home)); got.Cmp(want) != 0 {
				return broken("Q2", "the ledger has %s of %s at %s, the chain %s", got, id, home, want)
			}
		}
	}
	return nil
}

// left compares what left us for good: to the treasury, and as gas.
func (o *Oracle) left(d *dump, have sums) error {
	native := o.cfg.Chain.Info().Native.ID
	want := sums{}
	for h := o.m.start; h < uint64(len(d.blocks)); h++ {
		for _, tx := range d.blocks[h].txs {
			if _, ours := d.homes[tx.From]; ours {
				want.add(native, string(bursar.AccountGasU), tx.Fee.Big())
			}
		}
		for _, t := range d.blocks[h].transfers {
			if _, ours := d.homes[t.From]; ours && t.To == o.cfg.Treasury {
				want.add(t.Asset, string(bursar.AccountTreasuryU), t.Amount.Big())
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.assets)) {
		w := want.at(balanceKey{id, bursar.AccountTreasuryU})
		if got := have.both(id, "treasury"); got.Cmp(w) != 0 {
			return broken("Q2", "the ledger has delivered %s of %s to the treasury, on the chain it is %s", got, id, w)
		}
	}
	if got, w := have.both(native, "gas"), want.at(balanceKey{native, bursar.AccountGasU}); got.Cmp(w) != 0 {
		return broken("Q2", "the ledger has spent %s on gas, on the chain it is %s", got, w)
	}
	return nil
}
