package oracle

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
)

// rested is a gateway that has come to rest after a bit of everything: a settled
// payment, an overpaid one, one with too little, one with nothing, a customer's
// deposit.
func rested(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, bursartest.Options{})
	p, _ := w.pay(w.USDC, "25"), w.pay(w.ETH, "1.5")
	w.Settle()
	w.PayAmount(p, "3")
	a, err := w.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: w.Chain.Info().ID, Customer: "c"})
	require.NoError(t, err)
	w.note(w.oracle.Issued("c", a.Address))
	w.Chain.Pay("payer", a.Address, w.USDT, chain.NewAmount(7_000_000))
	little, nothing := w.Create("USDC", "10"), w.Create("USDC", "10")
	w.PayAmount(little, "4")
	w.Settle()
	w.AdvanceTime(48 * time.Hour)
	w.Settle()
	require.Equal(t, bursar.StatusUnderpaid, w.Payment(little).Status)
	require.Equal(t, bursar.StatusExpired, w.Payment(nothing).Status)
	w.fine()
	require.NoError(t, w.oracle.Quiet(t.Context()))
	return w
}

// dumped is what Quiet judges.
func (w *world) dumped() *dump {
	d, err := w.oracle.read(w.t.Context())
	require.NoError(w.t, err)
	w.oracle.canonical(d)
	return d
}

func (d *dump) one(status bursar.Status) *bursar.Payment {
	for i := range d.payments {
		if d.payments[i].Status == status {
			return &d.payments[i]
		}
	}
	return nil
}

func (d *dump) sweepOf(k bursar.PayoutKind) *bursar.Payout {
	for i := range d.payouts {
		if d.payouts[i].Kind == k {
			return &d.payouts[i]
		}
	}
	return nil
}

// incoming is a row of money that belongs to a payment with that status.
func (d *dump) incoming(status bursar.Status) *bursar.Transaction {
	p := d.one(status)
	for i := range d.transactions {
		if t := &d.transactions[i]; t.PaymentID == p.ID && t.Type == bursar.TypeIncoming {
			return t
		}
	}
	return nil
}

func (d *dump) entryOf(rule string) *bursar.Entry {
	for i := range d.entries {
		if e := &d.entries[i]; e.Rule == rule && strings.HasPrefix(e.Subject, "pay_") {
			return e
		}
	}
	return nil
}

type unrest struct {
	rule, name string
	check      func(*Oracle, *dump) error
	edit       func(*world, *dump)
}

func unrests() []unrest {
	return []unrest{
		{"Q1", "a deposit without a row", (*Oracle).bijection, func(_ *world, d *dump) { delete(d.rows, d.incoming(settled).Transfer) }},
		{"Q1", "a deposit that is not live", (*Oracle).bijection, func(_ *world, d *dump) { d.incoming(settled).Status = bursar.TxFailed }},
		{"Q1", "a deposit in another block", (*Oracle).bijection, func(_ *world, d *dump) { d.incoming(settled).BlockHash = "0xbad" }},
		{"Q1", "a deposit that is still unconfirmed", (*Oracle).bijection, func(_ *world, d *dump) { d.incoming(settled).Status = bursar.TxConfirming }},
		{"Q1", "no credit", (*Oracle).bijection, func(_ *world, d *dump) { *d.entryOf("L1") = bursar.Entry{ID: "x"} }},
		{"Q1", "no confirmation", (*Oracle).bijection, func(_ *world, d *dump) { *d.entryOf("L2") = bursar.Entry{ID: "x"} }},
		{"Q1", "a credit of another amount", (*Oracle).bijection, func(_ *world, d *dump) { d.entryOf("L1").Amount = chain.NewAmount(1) }},
		{"Q1", "a credit too many", (*Oracle).bijection, func(_ *world, d *dump) {
			e := *d.entryOf("L1")
			e.ID, e.Transaction = "more", "tx_more"
			d.entries = append(d.entries, e)
		}},
		{"Q1", "paid more than came", (*Oracle).bijection, func(_ *world, d *dump) { d.entryOf("L3").Amount = chain.NewAmount(1e9) }},
		{"Q1", "a claim out of nothing", (*Oracle).bijection, func(w *world, d *dump) {
			d.entries = append(d.entries, bursar.Entry{ID: "x", Rule: "L3", Asset: w.USDC.ID, Debit: "F:x", Credit: "paid:pay_x", Amount: chain.NewAmount(1)})
		}},

		{"Q2", "a sum that its entries do not give", (*Oracle).conserved, func(_ *world, d *dump) { d.balances[0].Sum = big.NewInt(1) }},
		{"Q2", "a sum that is missing", (*Oracle).conserved, func(_ *world, d *dump) { d.balances = d.balances[1:] }},
		{"Q2", "money that the chain does not have", (*Oracle).conserved, func(w *world, d *dump) {
			w.moved(d, bursar.Account("F:"+d.one(settled).Address), bursar.AccountTreasuryF)
		}},
		{"Q2", "a treasury that had more", (*Oracle).conserved, func(w *world, d *dump) { w.moved(d, bursar.AccountTreasuryF, bursar.AccountOwner) }},
		{"Q2", "gas that was not burnt", (*Oracle).conserved, func(w *world, d *dump) {
			w.movedOf(w.ETH, d, bursar.AccountGasF, bursar.AccountOwner)
		}},

		{"Q2", "a refund that was paid twice in two lives of the store", (*Oracle).paidOut, func(w *world, _ *dump) {
			w.oracle.lossy = true
			w.oracle.past.refund(&bursar.Payout{ID: "po_x", Kind: bursar.PayoutRefund, To: w.Treasury, Asset: w.ETH, Amount: chain.NewAmount(1)})
		}},

		{"Q3", "an event that nobody was given", (*Oracle).everybodyTold, func(_ *world, d *dump) {
			d.events = append(d.events, bursar.Event{ID: "evt_x", Subject: "pay_x", Seq: 1})
		}},
		{"Q3", "a delivery under way", (*Oracle).everybodyTold, func(_ *world, d *dump) {
			for i := range d.deliveries {
				if d.deliveries[i].Endpoint == "shop" {
					d.deliveries[i].Status = bursar.DeliveryPending
				}
			}
		}},
		{"Q3", "delivered to the dead", (*Oracle).everybodyTold, func(w *world, d *dump) { w.oracle.cfg.Dead = []string{"bursartest"} }},

		{"Q4", "coin that was not swept", (*Oracle).nothingLeft, func(w *world, d *dump) {
			t := d.incoming(settled)
			t.Asset, t.To, t.Discharged, d.homes[w.Treasury] = w.ETH.ID, w.Treasury, chain.Amount{}, bursar.RoleUnissued
			t.Amount = w.Chain.BalanceOf(w.Treasury, w.ETH)
		}},
		{"Q4", "tokens at an address", (*Oracle).nothingLeft, func(w *world, d *dump) { d.homes[w.Treasury] = bursar.RolePayment }},

		{"Q5", "an open payout", (*Oracle).nothingUnderWay, func(_ *world, d *dump) { d.sweepOf(bursar.PayoutSweep).Status = bursar.PayoutBroadcast }},
		{"Q5", "a failed payout", (*Oracle).nothingUnderWay, func(_ *world, d *dump) { d.sweepOf(bursar.PayoutTopUp).Status = bursar.PayoutFailed }},
		{"Q5", "an open attempt", (*Oracle).nothingUnderWay, func(_ *world, d *dump) { d.attempts[0].Open = true }},
		{"Q5", "a nonce that was never spent", (*Oracle).nothingUnderWay, func(w *world, d *dump) {
			d.attempts[0].Locks = []chain.Lock{chain.Lock("nonce:" + string(w.Sponsor) + ":99")}
		}},
		{"Q5", "reserved money", (*Oracle).nothingUnderWay, func(_ *world, d *dump) { d.incoming(settled).Reserved = chain.NewAmount(1) }},
		{"Q5", "money that is not final", (*Oracle).nothingUnderWay, func(_ *world, d *dump) { d.incoming(settled).Final = false }},
		{"Q5", "a scan behind the head", (*Oracle).atHead, func(_ *world, d *dump) { d.state.Recent = d.state.Recent[:len(d.state.Recent)-1] }},
		{"Q5", "a halted chain", (*Oracle).atHead, func(_ *world, d *dump) { d.state.Halted = "deep_reorg" }},

		{"Q6", "a payment that was changed", (*Oracle).same, func(_ *world, d *dump) { d.payments[0].Amount = chain.NewAmount(1) }},
		{"Q6", "a payment that was lost", (*Oracle).same, func(_ *world, d *dump) { d.payments = d.payments[1:] }},
		{"Q6", "a transaction that was changed", (*Oracle).same, func(_ *world, d *dump) { d.transactions[0].Amount = chain.NewAmount(1) }},
		{"Q6", "an address that was changed", (*Oracle).same, func(_ *world, d *dump) { d.addresses[0].Address = "0x1" }},
		{"Q6", "a payout that was changed", (*Oracle).same, func(_ *world, d *dump) { d.payouts[0].To = "0x1" }},
		{"Q6", "an attempt that was changed", (*Oracle).same, func(_ *world, d *dump) { d.attempts[0].Raw = []byte{1} }},
		{"Q6", "an entry that was changed", (*Oracle).same, func(_ *world, d *dump) { d.entries[0].Amount = chain.NewAmount(1) }},
		{"Q6", "an event that was changed", (*Oracle).same, func(_ *world, d *dump) { d.events[0].Seq = 77 }},

		{"Q7", "settled without a sweep", (*Oracle).statuses, func(_ *world, d *dump) { d.incoming(settled).Discharged = chain.Amount{} }},
		{"Q7", "expired although it was paid", (*Oracle).statuses, func(_ *world, d *dump) { d.one(settled).Status = expired }},
		{"Q7", "pending for ever", (*Oracle).statuses, func(_ *world, d *dump) { d.one(expired).Status = pending }},
		{"Q7", "underpaid although it is enough", (*Oracle).statuses, func(_ *world, d *dump) {
			p := d.one(underpaid)
			p.Policy.ToleranceBps, p.Required = 9_000, chain.NewAmount(1_000_000)
		}},
		{"Q7", "asks for another amount", (*Oracle).statuses, func(_ *world, d *dump) { d.one(settled).Required = chain.NewAmount(1) }},
		{"Q7", "counts more than came", (*Oracle).statuses, func(_ *world, d *dump) { d.one(settled).Confirmed = chain.NewAmount(1) }},
		{"Q7", "in time, and does not count", (*Oracle).statuses, func(_ *world, d *dump) { d.incoming(underpaid).Counting = false }},
		{"Q7", "too late, and counts", (*Oracle).statuses, func(_ *world, d *dump) {
			d.one(underpaid).ExpiresAt = d.incoming(underpaid).BlockTime.Add(-time.Hour)
		}},
		{"Q7", "a receiver that ends elsewhere", (*Oracle).receivers, func(_ *world, d *dump) { d.one(settled).Status = confirmed }},

		{"Q7", "a renewal of what does not name it", (*Oracle).renewals, func(_ *world, d *dump) { d.one(settled).Previous = d.one(expired).ID }},

		{"S8", "a canary somewhere in a row", (*Oracle).silent, func(_ *world, d *dump) {
			d.one(settled).Metadata = map[string]string{"k": "xprv-canary"}
		}},
		{"S8", "a canary somewhere in an event", (*Oracle).silent, func(_ *world, d *dump) { d.events[3].Data.Held = "xprv-canary" }},
	}
}

// moved adds an entry, and the sums that it gives.
func (w *world) moved(d *dump, debit, credit bursar.Account) { w.movedOf(w.USDC, d, debit, credit) }

func (w *world) movedOf(a chain.Asset, d *dump, debit, credit bursar.Account) {
	d.entries = append(d.entries, bursar.Entry{ID: "x", Asset: a.ID, Debit: debit, Credit: credit, Amount: chain.NewAmount(1)})
	d.balances = nil
	for at, sum := range posted(d.entries) {
		d.balances = append(d.balances, bursar.Balance{Asset: at.asset, Account: at.account, Sum: sum})
	}
}

// TestEveryUnrestIsCaught edits what the store says at the end.
func TestEveryUnrestIsCaught(t *testing.T) {
	w := rested(t)
	for _, u := range unrests() {
		t.Run(u.rule+"/"+strings.ReplaceAll(u.name, " ", "_"), func(t *testing.T) {
			cfg := w.oracle.cfg
			defer func() { w.oracle.cfg = cfg }()
			d := w.dumped()
			require.NoError(t, u.check(w.oracle, d))
			u.edit(w, d)
			says(t, u.rule, u.check(w.oracle, d))
		})
	}
}

func TestWhatHappensBehindTheGatewayIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		rule string
		do   func(*world)
	}{
		"a block nobody scanned":        {"Q5", func(w *world) { w.Chain.Mine(1) }},
		"coins that came from nowhere":  {"Q2", func(w *world) { w.granted(w.Sponsor, w.ETH) }},
		"tokens that came from nowhere": {"Q2", func(w *world) { w.granted(w.Sponsor, w.USDC) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, bursartest.Options{SkipLedger: true})
			w.Settle()
			require.NoError(t, w.oracle.Quiet(t.Context()))
			c.do(w)
			says(t, c.rule, w.oracle.Quiet(t.Context()))
		})
	}
}

func (w *world) granted(to chain.Address, a chain.Asset) {
	w.Chain.Grant(to, a, chain.NewAmount(1))
	w.Mine(1)
}

func TestWhatWasLeftUnsaidIsSaidAtTheEnd(t *testing.T) {
	w := newWorld(t, bursartest.Options{})
	w.pay(w.USDC, "1")
	w.Settle()
	w.Settle()
	require.NoError(t, w.oracle.Quiet(t.Context()))
	w.oracle.Delivered("shop", bursar.Event{ID: "evt_invented", Subject: "x", Seq: 1})
	says(t, "Q3", w.oracle.Quiet(t.Context()))
}
