package bursar

import (
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// transactions checks all transactions, row by row.
func (a *auditor) transactions() error {
	for after := (Cursor{}); ; {
		rows, err := a.r.Transactions(a.ctx, TransactionQuery{After: after, Limit: auditPage})
		if err != nil {
			return err
		}
		if err := a.transactionPage(rows); err != nil {
			return err
		}
		if len(rows) < auditPage {
			break
		}
		last := rows[len(rows)-1]
		after = Cursor{last.CreatedAt, last.ID}
	}
	// What is left of the covers is of transactions that nobody has.
	for _, id := range sortedKeys(a.covers) {
		a.row("payouts", a.covers[id].by).holds(rulePayoutItems, "Items", false, "there is no incoming transaction %s", id)
	}
	return nil
}

func (a *auditor) transactionPage(rows []Transaction) error {
	a.count("transactions", len(rows))
	var addressIDs, paymentIDs, payoutIDs []string
	for _, t := range rows {
		addressIDs = append(addressIDs, only(t.AddressID)...)
		paymentIDs = append(paymentIDs, only(t.PaymentID)...)
		payoutIDs = append(payoutIDs, only(t.PayoutID)...)
	}
	addresses, err := a.addressesByID(addressIDs)
	if err != nil {
		return err
	}
	payments, err := a.paymentsByID(paymentIDs)
	if err != nil {
		return err
	}
	payouts := map[string]bool{}
	if len(payoutIDs) > 0 {
		found, err := a.r.Payouts(a.ctx, PayoutQuery{IDs: payoutIDs})
		if err != nil {
			return err
		}
		for _, p := range found {
			payouts[p.ID] = true
		}
	}
	for _, t := range rows {
		row := a.row("transactions", t.ID)
		a.transaction(row, t)
		if _, known := payments[t.PaymentID]; t.PaymentID != "" {
			row.holds(ruleTransactionOwner, "PaymentID", known, "there is no payment %q", t.PaymentID)
		}
		if t.Type == TypeIncoming {
			a.incomingRow(row, t, addresses, payments)
			continue
		}
		row.holds(ruleTransactionOwner, "PayoutID", t.PayoutID == "" || payouts[t.PayoutID], "there is no payout %q", t.PayoutID)
		row.holds(ruleTransactionSpent, "Discharged", t.Discharged.IsZero() && t.Reserved.IsZero(), "it is no deposit")
	}
	return a.ctx.Err()
}

// transaction checks what is true of any transaction.
func (a *auditor) transaction(row auditRow, t Transaction) {
	row.same(ruleTransactionID, "ID", transactionID(t.Chain, t.Transfer), t.ID)
	confirmed := t.Status == TxConfirmed
	row.holds(ruleTransactionState, "ConfirmedAt", confirmed != t.ConfirmedAt.IsZero(), "%s and confirmed at %q", t.Status, auditText(t.ConfirmedAt))
	row.holds(ruleTransactionState, "FailureReason", (t.Status == TxFailed) == (t.FailureReason != ""), "%s because of %q", t.Status, t.FailureReason)
	known := []TransactionStatus{TxPending, TxConfirming, TxConfirmed, TxFailed, TxReplaced}
	row.holds(ruleTransactionState, "Status", slices.Contains(known, t.Status), "%q is no status", t.Status)
	row.same(ruleTransactionOwner, "Asset", t.Chain, t.Asset.Chain())
	row.holds(ruleTransactionFinal, "Final", confirmed || !t.Final, "%s and final", t.Status)
	if !t.Live() {
		row.holds(ruleTransactionBlock, "Block", t.Block == 0 && t.BlockHash == "", "%s and in block %d %s", t.Status, t.Block, t.BlockHash)
		return
	}
	row.holds(ruleTransactionBlock, "Block", t.Block > 0 && t.BlockHash != "", "%s and in no block", t.Status)
	row.holds(ruleTransactionBlock, "Required", t.Required > 0, "no depth is asked for")
	row.same(ruleTransactionBlock, "ConfirmAt", t.Block+t.Required-1, t.ConfirmAt)
	row.holds(ruleTransactionBlock, "Inclusion", t.Inclusion > 0, "in a block that is not counted")
	st, ok := a.states[t.Chain]
	if !ok {
		a.skip("transactions on "+string(t.Chain), "the chain is not configured")
		return
	}
	row.holds(ruleTransactionBranch, "Block", t.Block <= st.Tip().Height, "block %d lies above the tip, %d", t.Block, st.Tip().Height)
	if hash, kept := a.blocks[t.Chain][t.Block]; kept {
		row.same(ruleTransactionBranch, "BlockHash", hash, t.BlockHash)
	}
	row.holds(ruleTransactionFinal, "Final", !t.Final || t.Block <= st.Final, "block %d lies above the final height, %d", t.Block, st.Final)
	// What only a balance tells is in no transaction that could be asked for.
	if !t.Final && t.Transfer.Tx != "" {
		a.young[t.Chain] = append(a.young[t.Chain], t)
	}
}

// incomingRow checks whose an incoming transaction is, and what became of it.
func (a *auditor) incomingRow(row auditRow, t Transaction, addresses map[string]Address, payments map[string]Payment) {
	at, ok := addresses[t.AddressID]
	row.holds(ruleTransactionOwner, "AddressID", ok, "there is no address %q", t.AddressID)
	if ok {
		row.same(ruleTransactionOwner, "To", at.Address, t.To)
		row.same(ruleTransactionOwner, "PaymentID", at.PaymentID, t.PaymentID)
		customer := at.Customer
		if p, has := payments[at.PaymentID]; has {
			customer = p.Customer
		}
		row.same(ruleTransactionOwner, "Customer", customer, t.Customer)
		a.verdicts(row, t, at, payments[at.PaymentID])
	}
	want := a.covers[t.ID]
	delete(a.covers, t.ID)
	row.same(ruleTransactionItems, "Discharged", want.discharged, t.Discharged)
	row.same(ruleTransactionItems, "Missed", want.missed, t.Missed)
	row.same(ruleTransactionItems, "Reserved", want.reserved, t.Reserved)
	// What is signed may cover more than what comes in another block.
	if t.Live() && want.reserved.IsZero() {
		row.holds(ruleTransactionSpent, "Discharged", !t.Amount.Less(t.Discharged), "%s of %s", t.Discharged, t.Amount)
	}
	if t.Live() && t.Inclusion == 1 {
		row.holds(ruleTransactionSpent, "Reserved", !t.Amount.Less(sum(t.Discharged, t.Reserved)), "%s and %s of %s", t.Discharged, t.Reserved, t.Amount)
	}
}

// verdicts checks the marks on a deposit by whose it is.
func (a *auditor) verdicts(row auditRow, t Transaction, at Address, p Payment) {
	row.holds(ruleTransactionState, "Counting", !t.Counting || !t.Suspense, "in doubt, and it counts")
	switch {
	case at.Role == RolePermanent:
		row.holds(ruleTransactionState, "Counting", t.Counting != t.Suspense, "a deposit counts unless the token is in doubt")
	case at.Role != RolePayment || t.Asset != p.Asset.ID:
		row.holds(ruleTransactionState, "Counting", !t.Counting, "it counts toward no payment")
		row.holds(ruleTransactionState, "Accepted", !t.Accepted, "there was nothing to accept")
	case t.Live() && t.Status == TxConfirming:
		row.same(ruleTransactionBlock, "Required", p.RequiredConfirmations, t.Required, "by", p.ID)
	case t.Live():
		row.holds(ruleTransactionBlock, "Required", t.Required <= p.RequiredConfirmations, "%d, more than %d by %s", t.Required, p.RequiredConfirmations, p.ID)
	}
}

// cover is what payouts say of one incoming transaction.
type cover struct {
	// discharged is swept and final, reserved under way.
	discharged, reserved chain.Amount
	// fee is the share of the fees of final payouts.
	fee chain.Amount
	// missed counts the final batches that were to move more of it.
	missed int
	by     string // the last payout that covers it
}
