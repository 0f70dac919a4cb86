package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// A batch is a sweep of many addresses: the sponsor has a contract move what each of
// them holds of one token to the treasury.

// isBatch reports whether a payout is a batch.
func isBatch(p *bursar.Payout) bool { return len(p.Sources) > 0 }

// sources are the addresses that a payout takes money from.
func sources(p *bursar.Payout) (out []chain.Address) {
	if !isBatch(p) {
		return []chain.Address{p.From.Address}
	}
	for _, s := range p.Sources {
		out = append(out, s.Account.Address)
	}
	return out
}

// together reports whether two payouts take money from one address.
func together(p, other *bursar.Payout) bool {
	mine := sources(p)
	return slices.ContainsFunc(sources(other), func(a chain.Address) bool { return slices.Contains(mine, a) })
}

// origin is whom an item's money is moved from.
func origin(p *bursar.Payout, it bursar.PayoutItem) chain.Address {
	if it.From == "" {
		return p.From.Address
	}
	return it.From
}

// decodeBatch reads a call of the contract that sweeps: its selector, the token, what
// gas an entry may use, and entries of an address and an amount; and who begins to
// delegate to it, which each source does for this contract and this chain alone.
func (o *Oracle) decodeBatch(out *raw) error {
	const header, entry = 32, 32
	data, selector := out.tx.Data(), []byte{0x91, 0x5c, 0xb3, 0x38}
	if len(data) < header+entry || len(data)%entry != 0 || !bytes.Equal(data[:4], selector) {
		return fmt.Errorf("it calls %x of the sweeper", data)
	}
	id, ok := o.token(chain.Address(common.BytesToAddress(data[4:24]).Hex()))
	if !ok || out.tx.Value().Sign() != 0 {
		return fmt.Errorf("it has the sweeper move %x, for %s", data[4:24], out.tx.Value())
	}
	out.to, out.asset, out.amount, out.parts = o.cfg.Treasury, id, new(big.Int), map[chain.Address]chain.Amount{}
	for rest := data[header:]; len(rest) > 0; rest = rest[entry:] {
		from := chain.Address(common.BytesToAddress(rest[:20]).Hex())
		n, err := chain.AmountFromBytes(rest[20:entry])
		if _, twice := out.parts[from]; err != nil || twice || n.IsZero() {
			return fmt.Errorf("it sweeps %s of %s", n, from)
		}
		out.parts[from] = n
		out.amount.Add(out.amount, n.Big())
	}
	for _, a := range out.tx.SetCodeAuthorizations() {
		who, err := a.Authority()
		if err != nil {
			return err
		}
		by := chain.Address(who.Hex())
		switch _, ours := out.parts[by]; {
		case !ours:
			return fmt.Errorf("it has an authorisation of %s, of which it moves nothing", by)
		case chain.Address(a.Address.Hex()) != o.cfg.Sweeper:
			return fmt.Errorf("%s is to delegate to %s", by, a.Address.Hex())
		case a.ChainID.ToBig().Cmp(out.tx.ChainId()) != 0:
			return errors.New("an authorisation is for other chains too")
		}
		out.delegates = append(out.delegates, chain.Lock("nonce:"+string(by)+":"+strconv.FormatUint(a.Nonce, 10)))
	}
	return nil
}

// ofBatch is S6 for a batch: it moves what its payout says of each source and nothing
// else, and what nonces it uses up was written down.
func (tx raw) ofBatch(a *bursar.Attempt, p *bursar.Payout) error {
	if len(tx.parts) != len(p.Sources) {
		return broken("S6", "transaction %s is of %d sources, payout %s of %d", tx.id, len(tx.parts), p.ID, len(p.Sources))
	}
	for _, s := range p.Sources {
		if n := tx.parts[s.Account.Address]; n != s.Amount {
			return broken("S6", "transaction %s moves %s from %s, payout %s is to move %s", tx.id, n, s.Account.Address, p.ID, s.Amount)
		}
	}
	for _, l := range tx.delegates {
		if !slices.Contains(a.Locks, l) {
			return broken("S6", "transaction %s spends %s, written down are %v", tx.id, l, a.Locks)
		}
	}
	if len(a.Locks) != len(tx.delegates)+1 {
		return broken("S6", "transaction %s spends %d locks, written down are %v", tx.id, len(tx.delegates)+1, a.Locks)
	}
	return nil
}

// replaces is S6 for another attempt at a batch: it spends the same nonce of the sponsor.
// Those of the sources that delegate keep no second transaction from being mined.
func (o *Oracle) replaces(a *bursar.Attempt, p *bursar.Payout, tx raw) error {
	another := slices.ContainsFunc(o.m.signed[p.ID], func(id string) bool { return id != a.ID && o.m.attempts[id].Group == a.Group })
	if !isBatch(p) || !another {
		return nil
	}
	was := o.m.groups[intent{a.PayoutID, a.Group}]
	if own := chain.Lock("nonce:" + string(p.From.Address) + ":" + strconv.FormatUint(tx.nonce, 10)); !slices.Contains(was, own) {
		return broken("S6", "attempt %s of payout %s spends %s, the others of group %d %v", a.ID, p.ID, own, a.Group, was)
	}
	o.mark("batch", "replaced", "")
	return nil
}

// shaped is S6 for what a payout says: the sources of a batch are there once each, with
// what its items are of them, the treasury gets it and the sponsor pays, and none of
// that ever changes; S9 where what an earlier batch left behind goes with others again.
func (o *Oracle) shaped(old, p *bursar.Payout) error {
	given, items := map[chain.Address]chain.Amount{}, map[chain.Address]chain.Amount{}
	var total, moved chain.Amount
	for _, s := range p.Sources {
		if _, twice := given[s.Account.Address]; twice || s.Amount.IsZero() {
			return broken("S6", "payout %s takes %s from %s, and more", p.ID, s.Amount, s.Account.Address)
		}
		given[s.Account.Address] = s.Amount
		total, moved = plus(total, s.Amount), plus(moved, s.Moved)
	}
	for _, it := range p.Items {
		if isBatch(p) != (it.From != "") {
			return broken("S6", "payout %s of %d sources covers %s of %q", p.ID, len(p.Sources), it.TransactionID, it.From)
		}
		items[it.From] = plus(items[it.From], it.Amount)
		if t := o.m.txs[it.TransactionID]; isBatch(p) && p.Version == 1 && t != nil && t.Missed > 0 {
			return broken("S9", "payout %s moves with others what a batch has left behind: %s of %s", p.ID, it.TransactionID, it.From)
		}
	}
	if !isBatch(p) {
		return nil
	}
	switch {
	case p.Kind != bursar.PayoutSweep || p.To != o.cfg.Treasury || p.From.Address != o.cfg.Sponsor || p.LessFee || p.Asset.Native():
		return broken("S6", "the %s %s takes %s of %d sources to %s, for %s", p.Kind, p.ID, p.Asset.ID, len(p.Sources), p.To, p.From.Address)
	case p.Amount != total || p.Moved != moved:
		return broken("S6", "payout %s is of %s and moved %s, by its sources it is %s and %s", p.ID, p.Amount, p.Moved, total, moved)
	}
	for from, n := range given {
		if items[from] != n {
			return broken("S6", "payout %s takes %s from %s for items of %s", p.ID, n, from, items[from])
		}
	}
	same := func(a, b bursar.PayoutSource) bool { return a.Account == b.Account && a.Amount == b.Amount }
	if old.ID != "" && !slices.EqualFunc(old.Sources, p.Sources, same) {
		return broken("S6", "the sources of payout %s changed", p.ID)
	}
	o.pass(old, p)
	return nil
}

// pass marks what becomes of a batch.
func (o *Oracle) pass(old, p *bursar.Payout) {
	switch {
	case old.ID == "":
		o.mark("batch", "planned", "")
	case old.Status == p.Status:
	case p.FailureCode == "DIVIDED" && p.Status == bursar.PayoutCanceled:
		o.mark("batch", "divided for "+divides(p.FailureReason), "")
	case p.Status == bursar.PayoutConfirmed && p.Moved == p.Amount:
		o.mark("batch", "confirmed whole", "")
	case p.Status == bursar.PayoutConfirmed:
		o.mark("batch", "confirmed in part", "")
	case p.Status == bursar.PayoutConfirmingFailed:
		o.mark("batch", "moved nothing", "")
	case p.Status == bursar.PayoutBroadcast && old.BlockHash != "":
		o.mark("batch", "taken back", "")
	case p.Status == bursar.PayoutCanceled:
		o.mark("batch", "given up", "")
	}
}

// divides sorts why a batch was divided.
func divides(reason string) string {
	switch {
	case strings.Contains(reason, "one transaction has room for"):
		return "its size"
	case strings.Contains(reason, "over the cap"):
		return "its fee"
	}
	return "its sources"
}

// batchMarks are what can become of a batch.
func batchMarks() []string {
	return []string{
		"planned", "divided for its size", "divided for its fee", "divided for its sources", "confirmed whole", "confirmed in part",
		"moved nothing", "taken back", "given up", "replaced",
	}
}

// wasDivided reports whether the parts of a batch were planned before.
func (o *Oracle) wasDivided(p *bursar.Payout) bool {
	for _, part := range o.m.payouts {
		if strings.HasPrefix(part.Key, "part:"+p.ID+":") {
			return true
		}
	}
	return false
}

// divided is S7 for a batch in whose place its parts were planned: they have all its
// sources and all that it covers, once each.
func (o *Oracle) divided(b *bursar.Batch, p *bursar.Payout) error {
	if p.Status != bursar.PayoutCanceled || p.FailureCode != "DIVIDED" {
		return nil
	}
	left, parts := map[string]int{}, 0
	note := func(p *bursar.Payout, n int) {
		for _, it := range p.Items {
			left[fmt.Sprint(it.TransactionID, " ", it.PaymentID, " of ", origin(p, it), ": ", it.Amount)] += n
		}
	}
	note(p, 1)
	for i := range b.Payouts {
		if part := &b.Payouts[i]; part.Version == 1 && strings.HasPrefix(part.Key, "part:"+p.ID+":") {
			note(part, -1)
			parts++
		}
	}
	if parts == 0 && o.wasDivided(p) {
		return nil // its row is written once more: a reorg of final blocks set free what was signed
	}
	for what, n := range left {
		if n != 0 {
			return broken("S7", "payout %s was divided, and what it covers is not what its parts cover: %s is there %d times less", p.ID, what, n)
		}
	}
	return nil
}

// byLogs is what a transaction moves for a payout from one address, by its logs.
func byLogs(tx chain.TxStatus, p *bursar.Payout, from chain.Address) (n chain.Amount) {
	for _, t := range tx.Transfers {
		if t.Asset == p.Asset.ID && t.From == from && t.To == p.To {
			n = plus(n, t.Amount)
		}
	}
	return n
}

// carries compares what a payout says that it moved, and what that cost, with the
// transaction that did.
func carries(tx chain.TxStatus, p *bursar.Payout) error {
	var moved, shares, covered chain.Amount
	for _, from := range sources(p) {
		moved = plus(moved, byLogs(tx, p, from))
	}
	for _, s := range p.Sources {
		if n := byLogs(tx, p, s.Account.Address); n != s.Moved {
			return broken("S4", "transaction %s of payout %s moved %s from %s, not %s", p.TxID, p.ID, n, s.Account.Address, s.Moved)
		}
	}
	for _, it := range p.Items {
		shares, covered = plus(shares, it.FeeShare), plus(covered, it.Amount)
	}
	switch {
	case tx.Fee != p.Fee:
		return broken("S4", "transaction %s of payout %s cost %s, not %s", p.TxID, p.ID, tx.Fee, p.Fee)
	case moved != p.Moved:
		return broken("S4", "transaction %s of payout %s moved %s, not %s", p.TxID, p.ID, moved, p.Moved)
	case p.Kind == bursar.PayoutSweep && !covered.IsZero() && shares != p.Fee:
		return broken("S4", "the shares of the fee %s of payout %s come to %s", p.Fee, p.ID, shares)
	}
	return nil
}

// share is what a payout covers of a transaction, how much of that it moved, and
// whether it left something of it behind: of each source first in, first out.
func share(p *bursar.Payout, id string) (moved, whole chain.Amount, missed bool) {
	left := map[chain.Address]chain.Amount{p.From.Address: p.Moved}
	if p.LessFee {
		left[p.From.Address] = p.Amount // the fee came out of it
	}
	for _, s := range p.Sources {
		left[s.Account.Address] = s.Moved
	}
	for _, it := range p.Items {
		from := origin(p, it)
		part := it.Amount.Min(left[from])
		left[from] = left[from].SubFloor(part)
		if it.TransactionID == id {
			moved, whole = plus(moved, part), plus(whole, it.Amount)
			missed = missed || isBatch(p) && part != it.Amount
		}
	}
	return moved, whole, missed
}

// stopped is S7 for a sweep that waits for an operator because a stranger's transaction
// has its nonce: it cannot be mined any more. That somebody used up what a source has
// signed keeps no batch from being mined.
func (o *Oracle) stopped(old, p *bursar.Payout) error {
	if p.Kind != bursar.PayoutSweep || p.Status != bursar.PayoutHalted || old.Status == bursar.PayoutHalted {
		return nil
	}
	for _, id := range o.m.signed[p.ID] {
		a := o.m.attempts[id]
		if tx, err := o.decode(a.Raw); err == nil && a.Group == p.Group && o.cfg.Chain.Nonce(p.From.Address) <= tx.nonce {
			return broken("S7", "payout %s is halted, and its transaction %s may still be mined", p.ID, a.TxID)
		}
	}
	return nil
}
