package bursar

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// hashID makes a deterministic id from its parts: the same facts give the same
// id on every instance and after a restore.
func hashID(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return prefix + hex.EncodeToString(sum[:16])
}

// owner is whose claim a transaction's money is: the payment's for its own
// asset, else the address's.
func claimOwner(p Payment, t Transaction) string {
	if t.PaymentID != "" && t.PaymentID == p.ID && t.Asset == p.Asset.ID {
		return p.ID
	}
	return string(t.To)
}

// postings are the ledger's part of a fact on a payment.
func (s *step) postings() []Entry {
	var out []Entry
	switch s.fact {
	case factIncluded, factUnexpected:
		out = postIncluded(s.out.payment.ID, claimOwner(s.out.payment, *s.tx), *s.tx)
	case factDeep:
		out = postConfirmed(s.out.payment.ID, claimOwner(s.out.payment, *s.tx), *s.tx)
	case factOrphaned:
		// What was booked on the payment is given back first, so that held:
		// covers the reversal.
		out = append(s.recut(), reverseIncoming(s.out.payment.ID, claimOwner(s.out.payment, s.was), s.was)...)
	}
	if s.fact != factOrphaned {
		out = append(out, s.recut()...)
	}
	// Refunds take what there is now.
	out = append(out, recutRefunds(s.in.payment, s.out.payment, "", string(s.fact)+" "+s.cause)...)
	return s.sealed(out)
}

// sealed writes the time on entries.
func (s *step) sealed(entries []Entry) []Entry {
	for i := range entries {
		entries[i].At = s.now
	}
	return entries
}

// entryID names one posting of one inclusion of a transaction.
func entryID(rule string, t Transaction) string {
	return hashID("le_", rule, t.ID, fmt.Sprint(t.Inclusion))
}

func incomingEntry(rule, subject string, t Transaction, debit, credit Account) Entry {
	return Entry{
		ID: entryID(rule, t), Rule: strings.TrimRight(rule, "ab"), Asset: t.Asset, Debit: debit, Credit: credit, Amount: t.Amount,
		Subject: subject, Transaction: t.ID, Chain: t.Chain, Height: t.Block,
	}
}

// postIncluded is L1: the money is on the address, unconfirmed, and owed to
// nobody yet. At most one such credit of a transfer is ever unreversed.
func postIncluded(subject, owner string, t Transaction) []Entry {
	e := incomingEntry("L1", subject, t, accountU(t.To), accountPending(owner))
	e.Live = "credit:" + t.ID
	return []Entry{e}
}

// postConfirmed is L2: on-chain it moves to the confirmed layer, and the claim
// from pending to held.
func postConfirmed(subject, owner string, t Transaction) []Entry {
	return []Entry{
		incomingEntry("L2a", subject, t, accountF(t.To), accountU(t.To)),
		incomingEntry("L2b", subject, t, accountPending(owner), accountHeld(owner)),
	}
}

// reverseIncoming undoes L2 and L1 of an observation as it was: new entries
// that name the old ones.
func reverseIncoming(subject, owner string, was Transaction) []Entry {
	var old []Entry
	if was.Status == TxConfirmed {
		old = postConfirmed(subject, owner, was)
	}
	old = append(old, postIncluded(subject, owner, was)...)
	out := make([]Entry, 0, len(old))
	for _, e := range old {
		out = append(out, reversal(e))
	}
	return out
}

// reversal is the entry that undoes e.
func reversal(e Entry) Entry {
	r := e
	r.ID, r.Reverses, r.Live = hashID("le_", "reverse", e.ID), e.ID, ""
	r.Debit, r.Credit = e.Credit, e.Debit
	return r
}

// recut is L3 and its reversal: what of the confirmed money is paid and what
// is excess follows from the status and the totals, and the difference to what
// the ledger has is posted.
func (s *step) recut() []Entry {
	p := &s.out.payment
	var paid, excess chain.Amount
	if p.Status == StatusConfirmed || p.Status == StatusSettled {
		paid = p.Confirmed.Min(p.Amount)
		excess = p.Confirmed.SubFloor(p.Amount)
	}
	var out []Entry
	move := func(name string, account Account, from, to chain.Amount) {
		e := Entry{
			Rule: "L3", Asset: p.Asset.ID, Subject: p.ID, Chain: p.Asset.Chain(),
			// A fact and its cause happen once to a payment: an inclusion becomes
			// deep once and is orphaned once, a transfer is bound once.
			ID: hashID("le_", "L3", p.ID, name, string(s.fact), s.cause),
		}
		switch from.Cmp(to) {
		case -1:
			e.Debit, e.Credit, e.Amount = accountHeld(p.ID), account, to.SubFloor(from)
		case 1:
			e.Debit, e.Credit, e.Amount = account, accountHeld(p.ID), from.SubFloor(to)
		default:
			return
		}
		out = append(out, e)
	}
	move("paid", accountPaid(p.ID), p.PostedPaid, paid)
	move("excess", accountExcess(p.ID), p.PostedExcess, excess)
	p.PostedPaid, p.PostedExcess = paid, excess
	return out
}
