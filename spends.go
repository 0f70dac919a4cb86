package bursar

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// maxTries is how many attempt groups of a payout may fail on the chain before
// an operator must decide.
const maxTries = 3

// payout puts a payout with all its attempts on the desk.
func (d *desk) payout(id string) (*payoutFile, error) {
	if p := d.payouts[id]; p != nil {
		return p, nil
	}
	rows, err := d.tx.Payouts(d.ctx, PayoutQuery{IDs: []string{id}})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: payout %s is gone", ErrInvariant, id)
	}
	return d.addPayout(rows[0])
}

// job puts the payout behind a job of an earlier snapshot on the desk. A store that
// has lost its last commits since need not know it: then the job is to be read again.
func (d *desk) job(id string) (*payoutFile, error) {
	if d.payouts[id] == nil {
		if rows, err := d.tx.Payouts(d.ctx, PayoutQuery{IDs: []string{id}}); err != nil || len(rows) == 0 {
			return nil, cmp.Or(err, fmt.Errorf("%w: payout %s is not there any more", ErrConflict, id))
		}
	}
	return d.payout(id)
}

func (d *desk) addPayout(row Payout) (*payoutFile, error) {
	if p := d.payouts[row.ID]; p != nil {
		return p, nil
	}
	attempts, err := d.tx.Attempts(d.ctx, AttemptQuery{PayoutIDs: []string{row.ID}})
	if err != nil {
		return nil, err
	}
	p := &payoutFile{Payout: row, attempts: attempts}
	d.lay(p)
	return p, nil
}

// lay puts a payout on the desk that is not there yet.
func (d *desk) lay(p *payoutFile) {
	d.payouts[p.ID] = p
	d.payoutOrder = append(d.payoutOrder, p)
}

// move applies a fact to a payout by its table.
func (d *desk) move(p *payoutFile, f payoutFact, cause string) error {
	row, ok := nextPayout(p.Status, f)
	if !ok {
		return fmt.Errorf("%w: payout %s in %s: no transition for %q", ErrInvariant, p.ID, p.Status, f)
	}
	p.Status, p.dirty = row.to, true
	if row.event != "" {
		// A branch that comes back brings the same transaction in the same block
		// once more: the sequence number makes it another event.
		cause = fmt.Sprintf("%s %d", cause, p.Seq+int64(len(p.notices)))
		p.notices = append(p.notices, notice{kind: row.event, cause: cause, data: d.payoutData(p.Payout)})
	}
	return nil
}

func (d *desk) payoutData(p Payout) EventData {
	data := EventData{Chain: p.Chain, Asset: p.Asset.ID, TokenID: p.Asset.Symbol, PaymentID: p.onlyPayment(), Payout: &PayoutData{
		ID: p.ID, Kind: p.Kind, Status: p.Status, Asset: p.Asset.ID, TokenID: p.Asset.Symbol,
		Amount: p.Asset.Format(p.Amount), Moved: p.Asset.Format(p.Moved), From: p.From.Address, Sources: len(p.Sources), To: p.To, TxID: p.TxID,
		Fee: d.net.native().Format(p.Fee), GasUsed: p.GasUsed, Block: p.Block, Code: p.FailureCode, Reason: p.FailureReason,
	}}
	if p.Kind == PayoutWithdrawal {
		data.AddressID = p.Parent
	}
	return data
}

// onlyPayment is the payment whose money a payout moves, where it is one alone.
func (p Payout) onlyPayment() string {
	for _, it := range p.Items {
		if it.PaymentID != p.Items[0].PaymentID {
			return ""
		}
	}
	if p.Kind == PayoutRefund {
		return p.Parent
	}
	if len(p.Items) == 0 {
		return ""
	}
	return p.Items[0].PaymentID
}

// spend applies a transaction that an account of ours signed.
func (d *desk) spend(s chain.TxStatus) error {
	found, err := d.tx.Attempts(d.ctx, AttemptQuery{Chain: d.net.info.ID, TxIDs: []chain.TxID{s.ID}})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return d.foreign(s)
	}
	p, err := d.payout(found[0].PayoutID)
	if err != nil {
		return err
	}
	switch {
	case p.BlockHash == s.Block.Hash && p.TxID == s.ID:
		return nil // told twice
	case found[0].Group != p.Group || !p.Status.Open():
		// An old group's transaction came back after it was finally dead: only a
		// reorg of final blocks does that.
		return d.stray(s, p)
	}
	return d.included(p, s)
}

// included applies that a payout's transaction is in a block. What counts is
// what the logs say it moved, never the receipt's status alone.
func (d *desk) included(p *payoutFile, s chain.TxStatus) error {
	whole, cancels := p.count(s.Transfers), p.cancels(s.ID)
	p.TxID, p.Block, p.BlockHash, p.TxIndex = s.ID, s.Block.Height, s.Block.Hash, s.TxIndex
	p.Fee, p.GasUsed, p.GasPrice = s.Fee, s.GasUsed, s.GasPrice
	p.IncludedAt = d.now
	cause := fmt.Sprintf("%s %s", s.ID, s.Block.Hash)
	what := payoutInclude
	switch {
	case s.State == chain.TxFailed || p.Moved.IsZero():
		what = payoutMiss
		p.FailureCode, p.FailureReason = "REVERTED", "the transaction moved nothing"
		switch {
		case cancels:
			p.FailureCode, p.FailureReason = codeCanceling, "its nonce went to a transaction that moves nothing: "+string(s.ID)
		case paysStranger(p.Kind) && s.State != chain.TxFailed:
			// What it did is not seen: the token is not watched any more, or logs something
			// else. It may have been paid.
			p.FailureCode, p.FailureReason = codeInDoubt, "the transaction did not fail, and nothing is seen that it moved: "+string(s.ID)
		}
	case !whole:
		what = payoutSplit
	}
	if err := d.move(p, what, cause); err != nil {
		return err
	}
	p.shareFee()
	d.post(p.postIncluded(d.net))
	if what == payoutMiss {
		// The row that says in which block its fee was spent.
		if err := d.lockRow(s, p); err != nil {
			return err
		}
	}
	return d.recordOwn(s, p)
}

// codeCanceling is why a payout moved nothing that was to be canceled.
const codeCanceling = "CANCELING"

// cancels reports whether a transaction of the payout was to move nothing.
func (p *payoutFile) cancels(id chain.TxID) bool {
	return slices.ContainsFunc(p.attempts, func(a Attempt) bool { return a.TxID == id && a.Cancels })
}

// shareFee divides the fee among the items by amount, largest remainder first,
// so that the shares sum to the fee exactly.
func (p *payoutFile) shareFee() {
	p.Items = slices.Clone(p.Items)
	total := chain.Amount{}
	for _, it := range p.Items {
		total = sum(total, it.Amount)
	}
	if total.IsZero() {
		return
	}
	left := p.Fee
	remainders := make([]chain.Amount, len(p.Items))
	order := make([]int, len(p.Items))
	for i, it := range p.Items {
		share, err := p.Fee.MulDiv(it.Amount, total)
		if err != nil {
			share = chain.Amount{}
		}
		p.Items[i].FeeShare = share
		left = left.SubFloor(share)
		remainders[i], order[i] = remainder(p.Fee, it.Amount, total), i
	}
	slices.SortStableFunc(order, func(a, b int) int { return remainders[b].Cmp(remainders[a]) })
	for _, i := range order {
		if left.IsZero() {
			return
		}
		p.Items[i].FeeShare = sum(p.Items[i].FeeShare, chain.NewAmount(1))
		left = left.SubFloor(chain.NewAmount(1))
	}
}

// remainder is fee*part mod total.
func remainder(fee, part, total chain.Amount) chain.Amount {
	n := fee.Big()
	n.Mul(n, part.Big())
	n.Mod(n, total.Big())
	a, err := chain.AmountFromBig(n)
	if err != nil {
		return chain.Amount{}
	}
	return a
}

// entry is a posting of a payout at its block.
func (p *payoutFile) entry(rule, part string, asset chain.AssetID, debit, credit Account, amount chain.Amount) Entry {
	return Entry{
		ID: hashID("le_", rule, part, p.ID, string(p.TxID), string(p.BlockHash), fmt.Sprint(p.Version)), Rule: rule, Asset: asset, Debit: debit, Credit: credit,
		Amount: amount, Subject: p.ID, Chain: p.Chain, Height: p.Block,
	}
}

// mark tells the postings of many sources apart.
func (p *payoutFile) mark(source chain.Address) string {
	if len(p.Sources) == 0 {
		return ""
	}
	return " " + string(source)
}

// rule is the posting rule of a kind of payout.
func (p *payoutFile) rule() string {
	switch {
	case p.Moved.IsZero():
		return "L8"
	case p.Kind == PayoutTopUp:
		return "L7"
	case p.Kind == PayoutSweep:
		return "L6"
	}
	return "L5"
}

// target is the account that a payout's money goes to, included and final.
func (p *payoutFile) target() (u, f Account) {
	switch {
	case p.Kind == PayoutSweep:
		return AccountTreasuryU, AccountTreasuryF
	case p.Own != nil:
		return accountU(p.To), accountF(p.To)
	}
	return accountOut(p.ID), accountRefund(p.ID)
}

// postIncluded books an included payout: the money on the layer of the
// unconfirmed, and the gas of whoever paid it.
func (p *payoutFile) postIncluded(net *network) []Entry {
	payer := p.From.Address
	var out []Entry
	to, _ := p.target()
	for _, s := range p.movements() {
		if a := s.Account.Address; !s.Moved.IsZero() {
			out = append(out, p.entry(p.rule(), "U"+p.mark(a), p.Asset.ID, to, accountU(a), s.Moved))
		}
	}
	if !p.Fee.IsZero() {
		out = append(out, p.entry(p.rule(), "gas U", net.info.Native.ID, AccountGasU, accountU(payer), p.Fee))
	}
	return out
}

// postFinal moves a payout to the final layer.
func (p *payoutFile) postFinal(net *network) []Entry {
	payer := p.From.Address
	native := net.info.Native.ID
	var out []Entry
	u, f := p.target()
	if !p.Moved.IsZero() {
		out = append(out, p.entry(p.rule(), "F", p.Asset.ID, f, u, p.Moved))
	}
	for _, s := range p.movements() {
		if a := s.Account.Address; !s.Moved.IsZero() {
			out = append(out, p.entry(p.rule(), "F from"+p.mark(a), p.Asset.ID, accountU(a), accountF(a), s.Moved))
		}
	}
	if !p.Fee.IsZero() {
		out = append(out,
			p.entry(p.rule(), "gas F", native, AccountGasF, AccountGasU, p.Fee),
			p.entry(p.rule(), "gas F from", native, accountU(payer), accountF(payer), p.Fee))
	}
	return out
}

// finalizePayouts closes what lies at or below the final height.
func (d *desk) finalizePayouts(height uint64) error {
	rows, err := d.tx.Payouts(d.ctx, PayoutQuery{Chain: d.net.info.ID, Statuses: []PayoutStatus{PayoutConfirming, PayoutConfirmingFailed}})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Block > height {
			continue
		}
		if _, err := d.addPayout(row); err != nil {
			return err
		}
	}
	for _, p := range slices.Clone(d.payoutOrder) {
		due := p.Status == PayoutConfirming || p.Status == PayoutConfirmingFailed
		if !due || p.Block > height {
			continue
		}
		if err := d.finalizePayout(p); err != nil {
			return err
		}
	}
	return d.finalizeOwn(height)
}

func (d *desk) finalizePayout(p *payoutFile) error {
	d.post(p.postFinal(d.net))
	for i := range p.attempts {
		if p.attempts[i].Group == p.Group {
			p.attempts[i].Open = false // its lock is spent for good
		}
	}
	p.dirty = true
	cause := string(p.TxID)
	if p.Status == PayoutConfirming {
		p.ConfirmedAt, p.FailureCode, p.FailureReason, p.Canceling = d.now, "", "", false
		if err := d.move(p, payoutFinal, cause); err != nil {
			return err
		}
		return d.discharge(p, factDischarged)
	}
	// The payout is in no block any more; the row of the failed attempt is.
	p.Block, p.BlockHash, p.TxIndex = 0, "", 0
	p.Tries++
	calledOff := p.Canceling
	p.Canceling = false
	switch {
	case p.FailureCode == codeInDoubt:
		return d.move(p, payoutDoubt, fmt.Sprintf("%s %d", cause, p.Seq))
	case calledOff:
		return d.giveUp(p, errCalledOff)
	case p.Tries >= maxTries:
		return d.move(p, payoutSpent, cause)
	}
	// A new group is allowed only now: the old lock can never be spent again.
	p.Group, p.Urged = p.Group+1, 0
	p.NotBefore = d.now.Add(d.net.info.BlockTime << min(p.Tries, 6))
	if err := d.move(p, payoutFinal, cause); err != nil {
		return err
	}
	return d.mayGiveUp(p)
}

// mayGiveUp gives up a payout that is planned again where it must not go on.
func (d *desk) mayGiveUp(p *payoutFile) error {
	lost, err := d.lostItem(p)
	if err != nil || lost == nil {
		return err
	}
	return d.giveUp(p, lost)
}

// lostItem is why a payout must not go on, if there is such a cause: a deposit that it
// covers has left the chain, or another sweep moves it. What it failed to move is not
// there, and what comes later is another one's.
func (d *desk) lostItem(p *payoutFile) (lost, err error) {
	for _, it := range p.Items {
		f, err := d.covered(p, it)
		if err != nil {
			return nil, err
		}
		switch t := f.tx(it.TransactionID); {
		case !t.Live():
			return errDepositGone, nil
		case t.overCovered():
			return errSweptTwice, nil
		}
	}
	return nil, nil
}

// overCovered reports whether sweeps move more of a transaction than there is. What a
// batch left behind was planned anew, and a reorg lets the batch move it after all.
func (t *Transaction) overCovered() bool { return t.Amount.Less(sum(t.Discharged, t.Reserved)) }

// discharge gives a payout's items to the transactions that they cover, or takes them
// back. A refund is of a payment.
func (d *desk) discharge(p *payoutFile, f fact) error {
	if paysStranger(p.Kind) {
		return d.paidOut(p, f)
	}
	parts := p.discharges()
	for i, it := range p.Items {
		file, err := d.covered(p, it)
		if err != nil {
			return err
		}
		if err := d.dischargeItem(file, it, parts[i], f); err != nil {
			return err
		}
	}
	return nil
}

// covered is the file of the address that has a transaction which a payout covers. The
// store need not know the transaction: what a reorg brought back may have taken over a
// payout's item in this very step.
func (d *desk) covered(p *payoutFile, it PayoutItem) (*file, error) {
	at := it.From
	switch {
	case paysStranger(p.Kind):
		rows, err := d.tx.Transactions(d.ctx, TransactionQuery{IDs: []string{it.TransactionID}})
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			at = rows[0].To
		}
	case at == "":
		at = p.From.Address
	}
	f, err := d.file(at)
	if err != nil {
		return nil, err
	}
	if f.tx(it.TransactionID) == nil {
		return nil, fmt.Errorf("%w: payout %s covers %s, which is gone", ErrInvariant, p.ID, it.TransactionID)
	}
	return f, nil
}

func (d *desk) dischargeItem(file *file, it PayoutItem, part chain.Amount, f fact) error {
	missed := 0
	if it.missed(part) {
		missed = 1
	}
	apply := func(t *Transaction) {
		if f == factDischarged {
			t.Discharged, t.Reserved, t.Missed = sum(t.Discharged, part), t.Reserved.SubFloor(it.Amount), t.Missed+missed
			return
		}
		t.Discharged, t.Reserved, t.Missed = t.Discharged.SubFloor(part), sum(t.Reserved, it.Amount), t.Missed-missed
	}
	t := file.tx(it.TransactionID)
	file.dirty[t.ID] = true
	if !file.payment || t.Asset != file.kase.payment.Asset.ID {
		apply(t)
		return d.coverOnce(file, it.TransactionID)
	}
	if f == factDischarged {
		file.kase.payment.SweepFee = sum(file.kase.payment.SweepFee, it.FeeShare)
	} else {
		file.kase.payment.SweepFee = file.kase.payment.SweepFee.SubFloor(it.FeeShare)
	}
	if err := d.decide(file, f, it.TransactionID, apply); err != nil {
		return err
	}
	return d.coverOnce(file, it.TransactionID)
}

// coverOnce gives up what is planned for a transaction that other sweeps move.
func (d *desk) coverOnce(file *file, id string) error {
	if !file.tx(id).overCovered() {
		return nil
	}
	return d.unplan(file, id, errSweptTwice)
}

// orphanPayouts takes back the payouts in a block that left the chain. Their
// bytes will be sent again, the same ones.
func (d *desk) orphanPayouts(block chain.BlockRef) error {
	rows, err := d.tx.Payouts(d.ctx, PayoutQuery{Chain: d.net.info.ID, Blocks: []chain.BlockHash{block.Hash}})
	if err != nil {
		return err
	}
	slices.SortStableFunc(rows, func(a, b Payout) int { return int(b.TxIndex) - int(a.TxIndex) })
	done := map[chain.TxID]bool{}
	for _, row := range rows {
		p, err := d.addPayout(row)
		if err != nil {
			return err
		}
		done[p.TxID] = true
		if err := d.orphanPayout(p); err != nil {
			return err
		}
	}
	return d.orphanOwn(block, done)
}

func (d *desk) orphanPayout(p *payoutFile) error {
	// Of this block alone: an earlier group may have failed in one that stays.
	if err := d.reverse(EntryQuery{Subject: p.ID, Unreversed: true}, p.Block); err != nil {
		return err
	}
	if p.Status == PayoutConfirmed {
		if err := d.discharge(p, factSweepLost); err != nil {
			return err
		}
	}
	if err := d.move(p, payoutOrphan, fmt.Sprintf("%s %s", p.TxID, p.BlockHash)); err != nil {
		return err
	}
	for i := range p.attempts {
		if a := &p.attempts[i]; a.Group == p.Group {
			a.Open = true
			a.SentAt = time.Time{} // to be sent again at once: any of them may win
		}
	}
	p.uncount()
	p.Block, p.BlockHash, p.TxIndex = 0, "", 0
	p.Fee, p.GasUsed, p.GasPrice = chain.Amount{}, 0, chain.Amount{}
	p.IncludedAt, p.ConfirmedAt, p.dirty = time.Time{}, time.Time{}, true
	return nil
}
