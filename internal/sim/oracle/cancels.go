package oracle

import (
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// cancels is S5, S6 and S9 for a transaction that is to keep another one from being
// mined: it is from the same account, has its nonce, and moves nothing.
func (tx raw) cancels(from chain.Address, spends chain.Lock, a *bursar.Attempt, p *bursar.Payout) error {
	switch {
	case tx.id != a.TxID:
		return broken("S5", "the bytes of %s are those of %s", a.TxID, tx.id)
	case tx.tx.ChainId().String() != p.Chain.Reference():
		return broken("S5", "transaction %s is for chain %s, not %s", tx.id, tx.tx.ChainId(), p.Chain)
	case from != p.From.Address || tx.to != from || tx.parts != nil || tx.amount == nil || tx.amount.Sign() != 0 || len(tx.tx.Data()) != 0:
		return broken("S6", "transaction %s of %s is to cancel payout %s, and does something to %s", tx.id, from, p.ID, tx.to)
	case !slices.Equal(a.Locks, []chain.Lock{spends}):
		return broken("S6", "transaction %s spends %s, written down are %v", tx.id, spends, a.Locks)
	case tx.most.Cmp(a.MaxFee.Big()) > 0:
		return broken("S9", "transaction %s can cost %s, written down is %s", tx.id, tx.most, a.MaxFee)
	}
	return nil
}

// mostFee is what an attempt at a payout may cost. What cancels it may cost what any
// transaction may: an operator wants the payout gone, whatever it was worth.
func (o *Oracle) mostFee(a *bursar.Attempt, p *bursar.Payout) chain.Amount {
	if a != nil && a.Cancels {
		return o.cfg.MaxFee
	}
	return p.MaxFee
}

// cancelMarks are what can become of what an operator wants canceled.
func cancelMarks() []mark {
	return []mark{
		{"payout", "overtaken", string(bursar.PayoutSweep)}, {"payout", "overtaken", string(bursar.PayoutTopUp)}, {"payout", "overtaken", string(bursar.PayoutRefund)},
		{"payout", "overtaken", "a batch"}, {"payout", "failed and canceled", ""}, {"payout", "confirmed all the same", ""},
	}
}

// calledOff is S7 for a payout that is given up after something was signed for it: an
// operator wanted that, and a transaction that is final has its nonce.
func (o *Oracle) calledOff(old, p *bursar.Payout) error {
	if old.Canceling && p.Status == bursar.PayoutConfirmed {
		o.mark("payout", "confirmed all the same", "")
	}
	if old.Canceling && old.Status == bursar.PayoutConfirmingFailed && (p.Status == bursar.PayoutPlanned || p.Status == bursar.PayoutFailed) {
		return broken("S7", "payout %s was to be canceled, and is %s", p.ID, p.Status)
	}
	// What was planned anew and is not needed any more is in another group.
	if old.Status != bursar.PayoutConfirmingFailed || p.Status != bursar.PayoutCanceled || p.Group != old.Group {
		return nil
	}
	if !old.Canceling {
		return broken("S7", "payout %s is canceled by its transaction %s, and nobody wanted that", p.ID, p.TxID)
	}
	for _, id := range o.m.signed[p.ID] {
		a := o.m.attempts[id]
		if tx, err := o.decode(a.Raw); err == nil && a.Group == p.Group && o.cfg.Chain.Nonce(p.From.Address) <= tx.nonce {
			return broken("S7", "payout %s is canceled, and its transaction %s may still be mined", p.ID, a.TxID)
		}
	}
	kind := string(p.Kind)
	if isBatch(p) {
		kind = "a batch"
	}
	if a := o.past.attempts[p.TxID]; a != nil && a.Cancels {
		o.mark("payout", "overtaken", kind)
	} else {
		o.mark("payout", "failed and canceled", "")
	}
	return nil
}
