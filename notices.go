package bursar

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// notices are the events of a transition, with the snapshot after it.
func (s *step) notices(row transition) []notice {
	p := &s.out.payment
	var out []notice
	for _, kind := range row.events {
		if kind == PaymentOverpaid && !s.overpaidNews() {
			continue
		}
		if kind == PaymentLate && s.tx.Asset != p.Asset.ID {
			continue // told as unexpected asset already
		}
		n := notice{kind: kind, cause: s.causeOf(kind), data: paymentData(*p)}
		if s.tx != nil {
			n.data.Transaction = transactionData(*s.tx, s.asset(s.tx.Asset), s.tip)
			if kind == TransactionOrphaned {
				n.data.Transaction = transactionData(s.was, s.asset(s.was.Asset), s.tip)
				n.data.Transaction.Status, n.data.Transaction.Reason = s.tx.Status, ReasonOrphaned
				n.data.Transaction.Confirmations = 0
			}
		}
		switch kind {
		case PaymentReverted:
			n.data.From = s.in.payment.Status
		case PaymentLate:
			n.data.Accepted, n.data.Reason = s.tx.Counting, s.lateReason()
		case PaymentConfirmed:
			n.data.Accepted = len(s.accept) > 0 || p.Accepted
		case PaymentSettled:
			// What came on top counts as far as it was delivered as well.
			gross := p.Confirmed.Min(p.Amount)
			if all := s.delivered(); gross.Less(all) {
				gross = all
			}
			n.data.Gross, n.data.FeeShare = p.Asset.Format(gross), s.native.Format(p.SweepFee)
			n.data.Net = n.data.Gross
			if p.Asset.Native() {
				n.data.Net = p.Asset.Format(gross.SubFloor(p.SweepFee))
			}
		}
		out = append(out, n)
	}
	if p.Excess.Less(minOverpaid(*p)) {
		p.ReportedExcess = chain.Amount{}
	}
	if lost := p.cut().lost; s.in.payment.cut().lost.Less(lost) {
		n := notice{kind: AlertRefundUncovered, cause: string(s.fact) + " " + s.cause, data: paymentData(*p)}
		n.data.Reason = p.Asset.Format(lost) + " " + p.Asset.Symbol + " were given back, or are about to be, and are not there any more"
		out = append(out, n)
	}
	return out
}

// overpaidNews reports whether the excess is worth telling and was not told.
func (s *step) overpaidNews() bool {
	p := &s.out.payment
	if p.Excess.Less(minOverpaid(*p)) || p.Excess == p.ReportedExcess {
		return false
	}
	p.ReportedExcess = p.Excess
	return true
}

func minOverpaid(p Payment) chain.Amount {
	if p.Policy.OverpaidMin.IsZero() {
		return chain.NewAmount(1)
	}
	return p.Policy.OverpaidMin
}

func (s *step) lateReason() string {
	switch {
	case s.in.payment.Canceled():
		return "canceled"
	case s.tx.Counting:
		return "in_grace"
	}
	return "expired"
}

// causeOf tells two events of one kind and subject apart by what made them, and
// never by a clock or a version: a restored database makes the same ids.
func (s *step) causeOf(kind Kind) string {
	p := s.out.payment
	switch kind {
	case PaymentConfirmed:
		return fmt.Sprint(p.ConfirmationNo)
	case PaymentSettled:
		return fmt.Sprint(p.SettleNo)
	case PaymentExpired, PaymentUnderpaid:
		// A verdict is given again only after money came, left or was accepted,
		// and each of these moves one of the three.
		inclusions, live := 0, 0
		for _, t := range s.out.txs {
			inclusions += t.Inclusion
			if t.Live() {
				live++
			}
		}
		return fmt.Sprint(inclusions, live, p.ConfirmationNo)
	}
	if s.fact == factSweepLost {
		return "sweep " + fmt.Sprint(p.SettleNo)
	}
	return string(s.fact) + " " + s.cause
}

// paymentData is the snapshot of a payment for its events.
func paymentData(p Payment) EventData {
	f := p.Asset.Format
	return EventData{
		PaymentID: p.ID, Status: p.Status, Chain: p.Asset.Chain(), Asset: p.Asset.ID, TokenID: p.Asset.Symbol,
		Address: p.Address, AddressID: p.AddressID, Customer: p.Customer,
		Amount: f(p.Amount), Required: f(p.Required), Received: f(p.Received), Confirmed: f(p.Confirmed),
		Shortfall: f(p.Shortfall), Excess: f(p.Excess), Held: f(p.Held), Refunded: refundedText(p), ConfirmationNo: p.ConfirmationNo,
		Late: p.Late, Accepted: p.Accepted, Reason: p.FailureReason, Metadata: maps.Clone(p.Metadata),
		ExpiresAt: p.ExpiresAt.UTC().Format(time.RFC3339),
	}
}

// refundedText is empty where nothing was given back, as it is in most payments.
func refundedText(p Payment) string {
	if p.Refunded.IsZero() {
		return ""
	}
	return p.Asset.Format(p.Refunded)
}

func transactionData(t Transaction, a chain.Asset, tip uint64) *TransactionData {
	return &TransactionData{
		ID: t.ID, Hash: t.Transfer.Tx, Type: t.Type, Via: t.Via, Status: t.Status, Asset: t.Asset, TokenID: a.Symbol,
		Amount: a.Format(t.Amount), From: t.From, To: t.To, Block: t.Block, BlockHash: t.BlockHash,
		Confirmations: t.Confirmations(tip), Inclusion: t.Inclusion, Reason: t.FailureReason, ReplacedBy: t.ReplacedBy,
	}
}

// rank orders the events of one commit: what happened on the chain, then what
// became of the payment, then remarks.
func rank(k Kind) int {
	switch k {
	case TransactionDetected, TransactionConfirmed, TransactionOrphaned, TransactionFailed, TransactionReplaced:
		return 1
	case PaymentCreated:
		return 0
	case PaymentOverpaid, PaymentLate, PaymentUnexpectedAsset:
		return 3
	}
	return 2
}

// ordered sorts the notices of one subject in one commit.
func ordered(ns []notice) []notice {
	slices.SortStableFunc(ns, func(a, b notice) int { return rank(a.kind) - rank(b.kind) })
	return ns
}

// upToDate brings the snapshots of remarks, and that of the last notice, to the
// end of the commit. Remarks stand behind the states of all decisions of a commit
// and may have been made before one of them: who keeps the snapshot with the
// highest number would end with an older state otherwise.
func upToDate(ns []notice, p Payment) {
	last := len(ns) - 1
	for last >= 0 && isAlert(ns[last].kind) {
		last--
	}
	for i := range ns {
		if isAlert(ns[i].kind) || rank(ns[i].kind) < 3 && i != last {
			continue
		}
		n, now := &ns[i].data, paymentData(p)
		n.Status, n.Received, n.Confirmed, n.Shortfall, n.Excess, n.Held = now.Status, now.Received, now.Confirmed, now.Shortfall, now.Excess, now.Held
		n.ConfirmationNo, n.Late, n.Refunded = now.ConfirmationNo, now.Late, now.Refunded
	}
}

// isAlert reports whether an event is for operators: its amounts are those of
// what it warns of.
func isAlert(k Kind) bool { return strings.HasPrefix(string(k), "alert.") }
