package bursar

import (
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// payments checks all payments with what hangs on each.
func (a *auditor) payments() error {
	for after := (Cursor{}); ; {
		rows, err := a.r.Payments(a.ctx, PaymentQuery{After: after, Limit: auditPage})
		if err != nil {
			return err
		}
		if err := a.paymentPage(rows); err != nil || len(rows) < auditPage {
			return err
		}
		last := rows[len(rows)-1]
		after = Cursor{last.CreatedAt, last.ID}
	}
}

func (a *auditor) paymentPage(rows []Payment) error {
	if len(rows) == 0 {
		return nil
	}
	a.count("payments", len(rows))
	var addressIDs, linked []string
	var texts []chain.Address
	for _, p := range rows {
		addressIDs, texts = append(addressIDs, p.AddressID), append(texts, p.Address)
		linked = append(append(linked, only(p.Next)...), only(p.Previous)...)
	}
	addresses, err := a.addressesByID(addressIDs)
	if err != nil {
		return err
	}
	txs, err := a.incomingOf(addressIDs)
	if err != nil {
		return err
	}
	others, err := a.paymentsByID(linked)
	if err != nil {
		return err
	}
	sharers, err := a.r.Payments(a.ctx, PaymentQuery{Addresses: texts})
	if err != nil {
		return err
	}
	sharing := map[chain.Address]int{}
	for _, p := range sharers {
		sharing[p.Address]++
	}
	ids := make([]string, 0, len(rows))
	for _, p := range rows {
		ids = append(ids, p.ID)
	}
	refunds, err := a.payoutsOf(ids, PayoutRefund)
	if err != nil {
		return err
	}
	for _, p := range rows {
		a.row("payments", p.ID).holds(rulePaymentShared, "Address", sharing[p.Address] <= 1, "%d payments have %s", sharing[p.Address], p.Address)
		a.paymentLinks(p, others)
		a.paymentAddress(p, addresses)
		if err := a.payment(p, txs[p.AddressID], refunds[p.ID]); err != nil {
			return err
		}
	}
	return a.ctx.Err()
}

// incomingOf are the incoming transactions of addresses, by address id and in
// the order of the chain.
func (a *auditor) incomingOf(addressIDs []string) (map[string][]Transaction, error) {
	out := map[string][]Transaction{}
	if len(addressIDs) == 0 {
		return out, nil
	}
	rows, err := a.r.Transactions(a.ctx, TransactionQuery{AddressIDs: addressIDs, Types: []TransactionType{TypeIncoming}})
	slices.SortFunc(rows, byPlace)
	for _, t := range rows {
		out[t.AddressID] = append(out[t.AddressID], t)
	}
	return out, err
}

func (a *auditor) paymentsByID(ids []string) (map[string]Payment, error) {
	out := map[string]Payment{}
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := a.r.Payments(a.ctx, PaymentQuery{IDs: ids})
	for _, p := range rows {
		out[p.ID] = p
	}
	return out, err
}

func (a *auditor) addressesByID(ids []string) (map[string]Address, error) {
	out := map[string]Address{}
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := a.r.Addresses(a.ctx, AddressQuery{IDs: ids})
	for _, row := range rows {
		out[row.ID] = row
	}
	return out, err
}

// payment checks one payment against its transactions, entries and events.
func (a *auditor) payment(p Payment, txs []Transaction, refunds []Payout) error {
	a.paymentForm(p)
	a.paymentFacts(p, txs)
	standing, err := a.entries(p.ID)
	if err != nil {
		return err
	}
	var want []Entry
	for _, t := range txs {
		want = append(want, callsFor(p.ID, claimOwner(p, t), t)...)
	}
	a.paymentLedger(p, txs, a.paymentRefunds(p, refunds, a.incoming(standing, txs, want)))
	told := &paymentStory{}
	if err := a.events("payments", p.ID, p.Seq, told.hear); err != nil {
		return err
	}
	told.check(a.row("payments", p.ID), p)
	return nil
}

// callsFor are the entries that must stand for an incoming transaction of a
// payment, or of an address that nobody owns.
func callsFor(subject, owner string, t Transaction) []Entry {
	switch {
	case !t.Live() || t.Amount.IsZero():
		return nil
	case t.Suspense:
		e := incomingEntry("L1", subject, t, accountU(t.To), accountSuspense(t.To))
		e.Live = "credit:" + t.ID
		if t.Status != TxConfirmed {
			return []Entry{e}
		}
		return []Entry{e, incomingEntry("L2a", subject, t, accountF(t.To), accountU(t.To))}
	case t.Status != TxConfirmed:
		return postIncluded(subject, owner, t)
	}
	return append(postIncluded(subject, owner, t), postConfirmed(subject, owner, t)...)
}

func (a *auditor) paymentForm(p Payment) {
	row := a.row("payments", p.ID)
	row.holds(rulePaymentForm, "RequiredConfirmations", p.RequiredConfirmations > 0, "no depth is asked for")
	row.holds(rulePaymentForm, "Amount", !p.Amount.IsZero(), "nothing is asked for")
	row.same(rulePaymentForm, "Livemode", a.gw.live, p.Livemode)
	if want, err := p.Policy.required(p.Amount); err == nil {
		row.same(rulePaymentRequired, "Required", want, p.Required)
	} else {
		row.holds(rulePaymentRequired, "Policy", false, "%v", err)
	}
	net := a.gw.nets[p.Asset.Chain()]
	if net == nil {
		a.skip("payments on "+string(p.Asset.Chain()), "the chain is not configured")
		return
	}
	if uri, err := net.codec.PaymentURI(p.Asset, p.Address, p.Amount); err == nil {
		row.same(rulePaymentURI, "URI", uri, p.URI)
	} else {
		row.holds(rulePaymentURI, "Address", false, "%v", err)
	}
}

// paymentFacts works out again what follows from the transactions.
func (a *auditor) paymentFacts(p Payment, txs []Transaction) {
	row := a.row("payments", p.ID)
	k := kase{p, txs}
	s := &step{env: &env{coveredTo: func(uint64) time.Time { return time.Time{} }}, in: k, out: k.clone()}
	f := s.totals()
	row.same(rulePaymentStatus, "Status", f.status(), p.Status)
	s.measure()
	m := s.out.payment
	for _, field := range []auditField{
		{"Received", m.Received, p.Received}, {"Confirmed", m.Confirmed, p.Confirmed}, {"Shortfall", m.Shortfall, p.Shortfall},
		{"Excess", m.Excess, p.Excess}, {"Held", m.Held, p.Held}, {"Block", m.Block, p.Block}, {"Final", m.Final, p.Final},
	} {
		row.same(rulePaymentAmounts, field.name, field.want, field.got)
	}
	row.same(rulePaymentDeadline, "Deadline", p.nextVerdict(f.unconfirmed.IsZero()), p.Deadline)
	row.same(rulePaymentDeadline, "ExpiresAt", p.CreatedAt.Add(p.TTL), p.ExpiresAt)
	accepted := slices.ContainsFunc(txs, func(t Transaction) bool { return t.Accepted })
	row.same(rulePaymentAccepted, "Accepted", accepted, p.Accepted)
	row.holds(rulePaymentAccepted, "AcceptKeys", p.Accepted == (len(p.AcceptKeys) > 0), "%d keys", len(p.AcceptKeys))
	// A doubtful inclusion ends that a transfer is missing, and no hold.
	doubtful := slices.ContainsFunc(txs, func(t Transaction) bool { return t.Suspense })
	gone := slices.ContainsFunc(txs, missing)
	row.holds(rulePaymentHold, "HoldUntil", p.HoldUntil.IsZero() || gone || doubtful, "nothing is out of the chain")
	a.paymentTimes(p)
}

// paymentTimes checks what stamp writes.
func (a *auditor) paymentTimes(p Payment) {
	row := a.row("payments", p.ID)
	paid := slices.Contains(paidStatus, p.Status)
	missed := slices.Contains(missedStatus, p.Status)
	row.holds(rulePaymentTimes, "Status", slices.Contains(anyStatus, p.Status), "%q is no status", p.Status)
	row.holds(rulePaymentTimes, "ConfirmedAt", paid != p.ConfirmedAt.IsZero(), "%s and confirmed at %q", p.Status, auditText(p.ConfirmedAt))
	row.holds(rulePaymentTimes, "SettledAt", (p.Status == StatusSettled) != p.SettledAt.IsZero(), "%s and settled at %q", p.Status, auditText(p.SettledAt))
	row.holds(rulePaymentTimes, "ExpiredAt", !missed || !p.ExpiredAt.IsZero(), "%s at no time", p.Status)
	row.holds(rulePaymentTimes, "CanceledAt", p.Status != StatusCanceled || p.Canceled(), "canceled at no time")
	row.holds(rulePaymentTimes, "DetectedAt", !paid || !p.DetectedAt.IsZero(), "%s and never detected", p.Status)
	reason := ""
	if missed || p.Status == StatusCanceled {
		reason = string(p.Status)
	}
	row.same(rulePaymentTimes, "FailureReason", reason, p.FailureReason)
}

// paymentLedger compares the claims on a payment with its amounts. rest are its
// standing entries that no transaction is behind.
func (a *auditor) paymentLedger(p Payment, txs []Transaction, rest []Entry) {
	row := a.row("payments", p.ID)
	var paid, excess chain.Amount
	if slices.Contains(paidStatus, p.Status) {
		paid, excess = p.Confirmed.Min(p.Amount), p.Confirmed.SubFloor(p.Amount)
	}
	row.same(rulePaymentPosted, "PostedPaid", paid, p.PostedPaid)
	row.same(rulePaymentPosted, "PostedExcess", excess, p.PostedExcess)
	booked := auditSums{}
	for _, e := range rest {
		booked.post(e)
		own := []Account{accountHeld(p.ID), accountPaid(p.ID), accountExcess(p.ID)}
		ok := e.Rule == "L3" && e.Height == 0 && e.Asset == p.Asset.ID && slices.Contains(own, e.Debit) && slices.Contains(own, e.Credit)
		a.row("entries", e.ID).holds(ruleEntryExtra, "", ok, "%s %s from %s to %s by rule %s is no booking of %s", e.Amount, e.Asset, e.Credit, e.Debit, e.Rule, p.ID)
	}
	claim := func(field string, account Account, want chain.Amount) {
		n := booked.of(p.Asset.ID, account)
		row.same(rulePaymentPosted, field, want, n.Neg(n), "by the entries on", string(account))
	}
	claim("PostedPaid", accountPaid(p.ID), p.PostedPaid)
	claim("PostedExcess", accountExcess(p.ID), p.PostedExcess)
	fee := chain.Amount{}
	for _, t := range txs {
		if t.Asset == p.Asset.ID {
			fee = sum(fee, a.covers[t.ID].fee)
		}
	}
	row.same(rulePaymentFee, "SweepFee", fee, p.SweepFee)
}

func (a *auditor) paymentLinks(p Payment, others map[string]Payment) {
	row := a.row("payments", p.ID)
	if p.Next != "" {
		row.same(rulePaymentLink, "Next", p.ID, others[p.Next].Previous, "is what", p.Next, "follows")
	}
	if p.Previous != "" {
		before := others[p.Previous]
		row.same(rulePaymentLink, "Previous", p.ID, before.Next, "is what", p.Previous, "is followed by")
		row.same(rulePaymentLink, "Attempt", before.Attempt+1, p.Attempt)
		return
	}
	row.same(rulePaymentLink, "Attempt", 1, p.Attempt)
}

func (a *auditor) paymentAddress(p Payment, addresses map[string]Address) {
	row := a.row("payments", p.ID)
	at, ok := addresses[p.AddressID]
	row.holds(rulePaymentAddress, "AddressID", ok, "there is no address %q", p.AddressID)
	if !ok {
		return
	}
	row.same(rulePaymentAddress, "Address", at.Address, p.Address)
	row.same(rulePaymentAddress, "AddressID", p.ID, at.PaymentID, "is whose", at.ID, "is")
	// An address whose pool was changed is in no pool's list.
	a.addressPool(at)
}

// paymentStory is what the events of a payment tell.
type paymentStory struct {
	first                  Event
	last                   EventData
	confirmations, settled int
	strange                []Event // with another id than their cause makes
}

func (s *paymentStory) hear(e Event) {
	cause := ""
	switch e.Kind {
	case PaymentCreated:
		s.first, cause = e, "create"
	case PaymentConfirmed:
		s.confirmations++
		cause = auditText(s.confirmations)
	case PaymentSettled:
		s.settled++
		cause = auditText(s.settled)
	}
	if cause != "" && e.ID != hashID("evt_", e.Subject, string(e.Kind), cause) {
		s.strange = append(s.strange, e)
	}
	if !isAlert(e.Kind) {
		s.last = e.Data
	}
}

func (s *paymentStory) check(row auditRow, p Payment) {
	for _, e := range s.strange {
		row.row("events", e.ID).holds(ruleEventID, "ID", false, "%s %d of %s has another id", e.Kind, e.Seq, e.Subject)
	}
	row.same(rulePaymentCounters, "ConfirmationNo", s.confirmations, p.ConfirmationNo)
	row.same(rulePaymentCounters, "SettleNo", s.settled, p.SettleNo)
	row.same(rulePaymentEvents, "Status", s.last.Status, p.Status)
	row.same(rulePaymentEvents, "ConfirmationNo", s.last.ConfirmationNo, p.ConfirmationNo)
	told, now := s.first.Data, paymentData(p)
	for _, f := range []auditField{
		{"Amount", told.Amount, now.Amount}, {"Required", told.Required, now.Required}, {"Asset", told.Asset, now.Asset},
		{"Asset.Symbol", told.TokenID, now.TokenID}, {"Address", told.Address, now.Address}, {"AddressID", told.AddressID, now.AddressID},
		{"Customer", told.Customer, now.Customer}, {"Metadata", told.Metadata, now.Metadata}, {"ExpiresAt", told.ExpiresAt, now.ExpiresAt},
		{"CreatedAt", s.first.Time, p.CreatedAt},
	} {
		row.same(rulePaymentCreated, f.name, f.want, f.got)
	}
}
