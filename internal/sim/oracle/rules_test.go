package oracle

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

func TestLawfulLivesAreWithoutComplaint(t *testing.T) {
	for name, life := range map[string]func(*script){"settled": (*script).all, "lost": (*script).lost} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			life(s)
			require.NoError(t, s.found, s.at)
		})
	}
}

// breach is an edit of one batch that breaks exactly one rule.
type breach struct {
	rule, stage, name string
	life              func(*script)
	edit              func(*script, *bursar.Batch)
}

func breaches() []breach {
	all, lost := (*script).all, (*script).lost
	return []breach{
		{"S1", "create", "no address row", all, func(_ *script, b *bursar.Batch) { b.Addresses = nil }},
		{"S1", "create", "another payment's address", all, func(_ *script, b *bursar.Batch) { b.Addresses[0].PaymentID = "pay_2" }},
		{"S1", "create", "issued before to somebody else", all, func(s *script, _ *bursar.Batch) { _ = s.o.Issued("pay_9", s.address.Address) }},

		{"S4", "orphan", "a deep reorg that does not halt", lost, func(_ *script, b *bursar.Batch) { b.Chains[0].Halted = "" }},
		{"S4", "plan", "a sweep of what is not final", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Final = false }},
		{"S4", "plan", "a sweep of nothing", all, func(_ *script, b *bursar.Batch) { b.Payouts[0].Items[0].TransactionID = "tx_9" }},

		{"S2", "confirm", "an entry twice", all, func(_ *script, b *bursar.Batch) { b.Entries[0].ID = "le_1_1" }},
		{"S2", "confirm", "of nothing", all, func(_ *script, b *bursar.Batch) { b.Entries[0].Amount = chain.Amount{} }},
		{"S2", "confirm", "from an account to itself", all, func(_ *script, b *bursar.Batch) { b.Entries[0].Credit = b.Entries[0].Debit }},
		{"S2", "confirm", "a leg that no rule has", all, func(_ *script, b *bursar.Batch) { b.Entries[1].Credit = "paid:pay_1" }},
		{"S2", "confirm", "more than is held", all, func(s *script, b *bursar.Batch) {
			b.Entries[2].Amount = twice(s.payment.Amount)
		}},
		{"S2", "confirm", "a payment that is not booked", all, func(_ *script, b *bursar.Batch) { b.Entries = b.Entries[:2] }},
		{"S2", "orphan", "undone twice", lost, func(_ *script, b *bursar.Batch) {
			e := b.Entries[3]
			e.ID = "le_1rr"
			b.Entries = append(b.Entries, e)
		}},
		{"S2", "orphan", "undoes what is not there", lost, func(_ *script, b *bursar.Batch) { b.Entries[3].Reverses = "le_9" }},
		{"S2", "orphan", "undoes half", lost, func(_ *script, b *bursar.Batch) { b.Entries[3].Amount = chain.NewAmount(1) }},
		{"S2", "orphan", "undoes an undoing", lost, func(_ *script, b *bursar.Batch) {
			e := undo("le_1rr", b.Entries[3])
			b.Entries = append(b.Entries, e)
		}},

		{"S3", "confirm", "a second credit", all, func(_ *script, b *bursar.Batch) {
			e := b.Entries[0]
			e.ID, e.Rule, e.Debit, e.Credit = "le_1_again", "L1", e.Credit, "pending:pay_1"
			b.Entries = append(b.Entries, e)
		}},
		{"S3", "detect", "of another amount", all, func(_ *script, b *bursar.Batch) { b.Entries[0].Amount = chain.NewAmount(1) }},
		{"S3", "detect", "of nobody's transfer", all, func(_ *script, b *bursar.Batch) { b.Entries[0].Transaction = "tx_9" }},

		{"S4", "detect", "another amount than the chain's", all, func(_ *script, b *bursar.Batch) {
			b.Transactions[0].Amount, b.Entries[0].Amount = chain.NewAmount(9), chain.NewAmount(9)
		}},
		{"S4", "detect", "another place in the transaction", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Transfer.Ordinal = "7" }},
		{"S4", "detect", "a block that never was", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].BlockHash = "0xbad" }},
		{"S4", "confirm", "one block early", all, func(_ *script, b *bursar.Batch) {
			b.Chains[0].Recent = b.Chains[0].Recent[:len(b.Chains[0].Recent)-1]
		}},
		{"S4", "confirm", "fewer confirmations than configured", all, func(_ *script, b *bursar.Batch) {
			b.Transactions[0].Required = 1
			b.Chains[0].Recent = b.Chains[0].Recent[:len(b.Chains[0].Recent)-1]
		}},
		{"S4", "confirm", "nothing scanned", all, func(_ *script, b *bursar.Batch) { b.Chains = nil }},
		{"S4", "confirm", "while halted", all, func(_ *script, b *bursar.Batch) { b.Chains[0].Halted = "deep_reorg" }},
		{"S4", "confirm", "a scanned block that never was", all, func(_ *script, b *bursar.Batch) { b.Chains[0].Recent[0].Hash = "0xbad" }},
		{"S4", "confirm", "a gap in the scan", all, func(_ *script, b *bursar.Batch) {
			r := b.Chains[0].Recent
			b.Chains[0].Recent = append(r[:2:2], r[3:]...)
		}},
		{"S4", "final", "before its depth", all, func(s *script, b *bursar.Batch) { s.o.cfg.Finality = 40 }},
		{"S4", "included", "a block without it", all, func(s *script, b *bursar.Batch) {
			b.Payouts[0].BlockHash = s.tx.BlockHash
		}},
		{"S4", "included", "another fee", all, func(s *script, b *bursar.Batch) { b.Payouts[0].Fee = chain.NewAmount(1) }},

		{"S4", "included", "moved more than it did", all, func(_ *script, b *bursar.Batch) { b.Payouts[0].Moved = twice(b.Payouts[0].Moved) }},
		{"S4", "expire", "goes on before the new branch is final", lost, func(_ *script, b *bursar.Batch) { b.Chains[0].Final = 8 }},
		{"S4", "expire", "calls the new branch final too early", lost, func(s *script, _ *bursar.Batch) { s.o.cfg.Finality = 40 }},

		{"S6", "confirm", "a cursor without a lease", all, func(_ *script, b *bursar.Batch) { b.Fences = nil }},
		{"S6", "sign", "a signature without a lease", all, func(_ *script, b *bursar.Batch) { b.Fences = nil }},
		{"S6", "sign", "of an unknown payout", all, func(_ *script, b *bursar.Batch) { b.Attempts[0].PayoutID = "po_9" }},
		{"S6", "sign", "of another group", all, func(_ *script, b *bursar.Batch) { b.Attempts[0].Group = 2 }},
		{"S6", "sign", "without a lock", all, func(_ *script, b *bursar.Batch) { b.Attempts[0].Locks = nil }},
		{"S6", "sign", "bytes of another one", all, func(_ *script, b *bursar.Batch) { b.Attempts[0].TxID = "0x1" }},
		{"S6", "sign", "no bytes", all, func(_ *script, b *bursar.Batch) { b.Attempts[0].Raw = []byte{1} }},
		{"S6", "send", "other bytes than signed", all, func(_ *script, b *bursar.Batch) { b.Attempts[0].Raw = []byte{1} }},
		{"S6", "send", "the lock of another payout", all, func(_ *script, b *bursar.Batch) {
			a := b.Attempts[0]
			a.ID, a.TxID, a.PayoutID, a.Version = "other", "0x2", "po_2", 0
			b.Attempts = append(b.Attempts, a)
		}},
		{"S6", "send", "a replacement with a lock of its own", all, func(_ *script, b *bursar.Batch) {
			a := b.Attempts[0]
			a.ID, a.TxID, a.Version, a.Locks = "other", "0x2", 0, []chain.Lock{"nonce:x:9"}
			b.Attempts = append(b.Attempts, a)
		}},
		{"S6", "send", "forgotten while it may be mined", all, func(_ *script, b *bursar.Batch) { b.Attempts[0].Open = false }},
		{"S6", "sign", "nothing", all, func(_ *script, b *bursar.Batch) { b.Attempts = nil }},
		{"S6", "send", "a new group without a failure", all, func(_ *script, b *bursar.Batch) { b.Payouts[0].Group = 2 }},
		{"S6", "swept", "a writer from before", all, func(s *script, b *bursar.Batch) { b.Fences[0].Epoch = 0 }},

		{"S7", "create", "confirmed from nothing", all, func(_ *script, b *bursar.Batch) { b.Payments[0].Status = bursar.StatusConfirmed }},
		{"S7", "detect", "a move that nobody told", all, func(_ *script, b *bursar.Batch) {
			b.Events, b.Payments[0].Seq, b.Deliveries = b.Events[:1], 2, nil
		}},
		{"S7", "detect", "a move that no rule has", all, func(_ *script, b *bursar.Batch) {
			b.Events[1].Kind, b.Payments[0].Status = bursar.PaymentSettled, bursar.StatusSettled
		}},
		{"S7", "detect", "confirmed without having been detected", all, func(_ *script, b *bursar.Batch) {
			b.Events[1].Kind, b.Payments[0].Status = bursar.PaymentConfirmed, bursar.StatusConfirmed
		}},
		{"S7", "detect", "a version left out", all, func(_ *script, b *bursar.Batch) { b.Payments[0].Version++ }},
		{"S7", "detect", "an event left out", all, func(_ *script, b *bursar.Batch) { b.Events[1].Seq++ }},
		{"S7", "detect", "a row behind its events", all, func(_ *script, b *bursar.Batch) { b.Payments[0].Seq-- }},
		{"S7", "confirm", "an event twice", all, func(_ *script, b *bursar.Batch) { b.Events[0].ID = "evt_pay_1_1" }},
		{"S7", "confirm", "a confirmation not counted", all, func(_ *script, b *bursar.Batch) { b.Payments[0].ConfirmationNo = 0 }},
		{"S7", "confirm", "another verdict", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Counting = false }},
		{"S7", "final", "a move of a transaction that no rule has", all, func(s *script, b *bursar.Batch) {
			b.Transactions[0].Status = bursar.TxReplaced
		}},
		{"S7", "detect", "in time, and does not count", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Counting = false }},
		{"S7", "detect", "in time, and called late", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Late = true }},
		{"S7", "detect", "too late, and counts", all, func(s *script, b *bursar.Batch) {
			s.o.m.payments["pay_1"].ExpiresAt = s.tx.BlockTime.Add(-time.Hour)
		}},
		{"S7", "detect", "after a cancel, and counts", all, func(s *script, b *bursar.Batch) {
			s.o.m.payments["pay_1"].CanceledAt = s.tx.BlockTime.Add(-time.Hour)
		}},
		{"S7", "detect", "accepted while it is unconfirmed", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Accepted = true }},
		{"S7", "confirm", "what became of it before what happened", all, func(_ *script, b *bursar.Batch) {
			b.Events[0].Kind, b.Events[1].Kind = b.Events[1].Kind, b.Events[0].Kind
		}},
		{"S7", "plan", "nothing reserved", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Reserved = chain.Amount{} }},
		{"S7", "swept", "settled with nothing delivered", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Discharged = chain.Amount{} }},
		{"S7", "swept", "settled by what is not final", all, func(_ *script, b *bursar.Batch) { b.Transactions[0].Final = false }},
		{"S7", "swept", "more delivered than moved", all, func(_ *script, b *bursar.Batch) {
			b.Transactions[0].Discharged = twice(b.Transactions[0].Discharged)
		}},
		{"S7", "orphan", "reverted from another status", lost, func(_ *script, b *bursar.Batch) { b.Events[1].Data.From = bursar.StatusSettled }},
		{"S7", "send", "a payout that skips", all, func(_ *script, b *bursar.Batch) { b.Payouts[0].Status = bursar.PayoutFailed }},
		{"S7", "sign", "a payout not told", all, func(_ *script, b *bursar.Batch) { b.Payouts[0].Seq = 7 }},

		{"S8", "send", "a canary in an error", all, func(_ *script, b *bursar.Batch) { b.Attempts[0].Error = "dial https://node/canary: no" }},
		{"S8", "send", "a canary in an event", all, func(_ *script, b *bursar.Batch) { b.Events[0].Data.Payout = &bursar.PayoutData{Reason: "canary"} }},
		{"S8", "create", "a canary in a delivery", all, func(_ *script, b *bursar.Batch) { b.Deliveries[0].LastError = "canary" }},

		{"S9", "sign", "dearer than its cap", all, func(_ *script, b *bursar.Batch) { b.Payouts[0].MaxFee = chain.NewAmount(1) }},
		{"S9", "included", "cost more than its cap", all, func(_ *script, b *bursar.Batch) { b.Payouts[0].MaxFee = chain.NewAmount(1) }},

		{"S9", "plan", "two sweeps of one place", all, func(_ *script, b *bursar.Batch) { b.Payouts = append(b.Payouts, another(b.Payouts[0])) }},
		{"S9", "plan", "the coin that its tokens need", all, func(s *script, b *bursar.Batch) {
			p := another(b.Payouts[0])
			p.Asset = s.chain.Info().Native
			b.Payouts = append(b.Payouts, p)
		}},
		{"S9", "plan", "two top-ups of one sweep", all, func(s *script, b *bursar.Batch) {
			p := another(b.Payouts[0])
			p.Kind, p.Parent, p.From, p.To = bursar.PayoutTopUp, "po_1", s.keys.Account("sponsor"), s.address.Address
			q := p
			q.ID = "po_3"
			b.Payouts = append(b.Payouts, p, q)
		}},

		{"S10", "expire", "before a block says so", lost, func(s *script, b *bursar.Batch) {
			r := b.Chains[0].Recent
			b.Chains[0].Recent = r[:len(r)-1]
		}},
		{"S10", "expire", "before the clock says so", lost, func(s *script, b *bursar.Batch) { b.Payments[0].ExpiredAt = s.payment.ExpiresAt.Add(-time.Second) }},
		{"S10", "expire", "while a hold stands", lost, func(s *script, b *bursar.Batch) { b.Payments[0].HoldUntil = s.chain.Now().Add(time.Hour) }},
		{"S10", "expire", "while money may come back", lost, func(s *script, _ *bursar.Batch) { s.o.m.orphaned["pay_1"] = s.chain.Now() }},
		{"S10", "expire", "while the chain is halted", lost, func(_ *script, b *bursar.Batch) { b.Chains[0].Halted = "deep_reorg" }},
		{"S10", "expire", "while money waits", lost, func(_ *script, b *bursar.Batch) { b.Payments[0].Received = chain.NewAmount(1) }},
		{"S10", "expire", "with money confirmed", lost, func(_ *script, b *bursar.Batch) {
			b.Payments[0].Received, b.Payments[0].Confirmed = chain.NewAmount(1), chain.NewAmount(1)
		}},

		{"Q3", "create", "a delivery of nothing", all, func(_ *script, b *bursar.Batch) { b.Deliveries[0].EventID = "evt_9" }},
		{"Q3", "create", "a delivery in another lane", all, func(_ *script, b *bursar.Batch) { b.Deliveries[0].Seq = 9 }},
		{"Q3", "create", "delivered to the dead", all, func(_ *script, b *bursar.Batch) { b.Deliveries[1].Status = bursar.DeliveryDone }},
	}
}

func twice(n chain.Amount) chain.Amount { return plus(n, n) }

// another is a payout like p of which nobody is told.
func another(p bursar.Payout) bursar.Payout {
	p.ID, p.Items, p.Seq = "po_2", nil, 0
	return p
}

// TestEveryBreachIsCaught edits one batch of a lawful life at a time: the oracle
// must complain there, and by that rule.
func TestEveryBreachIsCaught(t *testing.T) {
	for _, b := range breaches() {
		t.Run(b.rule+"/"+strings.ReplaceAll(b.stage+" "+b.name, " ", "_"), func(t *testing.T) {
			s := newScript(t)
			s.edit(b.stage, func(batch *bursar.Batch) { b.edit(s, batch) })
			b.life(s)
			require.Error(t, s.found)
			require.Equal(t, b.stage, s.at, s.found)
			require.True(t, strings.HasPrefix(s.found.Error(), b.rule+": "), s.found)
		})
	}
}
