//go:build unix

package crash

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/memory"
)

// auditor is a gateway that never starts: it reads and audits.
func (w *world) auditor(store bursar.Store) *bursar.Gateway {
	w.t.Helper()
	if store == nil {
		store = memory.New()
	}
	c := w.hostConfig("auditor")
	config, err := c.config(store, w.client)
	require.NoError(w.t, err)
	gw, err := bursar.New(config)
	require.NoError(w.t, err)
	return gw
}

// patience is how long a world may take to come to rest: a payment's deadline is
// a minute away at most, and so is the end of a dead host's claim of deliveries.
const patience = 5 * time.Minute

// settle ends all faults, waits until nothing moves any more, and compares
// everything with the world's own books.
func (w *world) settle() {
	w.t.Helper()
	begin := time.Now()
	w.mu.Lock()
	w.closed, w.trap = true, nil
	w.mu.Unlock()
	for _, name := range w.all() {
		w.thaw(name)
		w.launch(name)
	}
	w.stage("opening the database")
	var b books
	require.Empty(w.t, w.eventually(soon, func() string {
		var err error
		if b, err = openBooks(w.t.Context(), w.driver, w.dsn, "world"); err != nil {
			return err.Error()
		}
		return ""
	}))
	defer func() { require.NoError(w.t, b.close()) }()
	w.stage("coming to rest")
	w.rest(b.store())
	w.stage("hosts end in order")
	require.Empty(w.t, w.gone(), "hosts that ended by themselves")
	for _, name := range w.all() {
		w.stop(name)
	}
	w.judge(b.store())
	w.summary(begin)
}

// rest waits until nothing moves any more, on a chain that stands still at last:
// then the cursor stands where the chain does.
func (w *world) rest(store bursar.Store) {
	w.t.Helper()
	for end := time.Now().Add(patience); ; {
		why := w.eventually(time.Until(end), func() string { return w.unrest(store) })
		if why != "" {
			w.t.Fatalf("no rest within %s: %s", patience, why)
		}
		w.stand(true)
		why = w.eventually(20*time.Second, func() string {
			if !w.scanned(store) {
				return "the newest block is not scanned"
			}
			return ""
		})
		if why == "" {
			why = w.eventually(3*time.Second, func() string { return w.unrest(store) })
		}
		if why == "" {
			return
		}
		w.stand(false) // what came with the last blocks needs some more
	}
}

// stand stops the making of blocks, or lets it go on.
func (w *world) stand(still bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.still = still
}

// eventually waits until nothing is missing, or returns what is.
func (w *world) eventually(within time.Duration, missing func() string) (why string) {
	clock := time.NewTicker(10 * tick)
	defer clock.Stop()
	for end := time.Now().Add(within); ; <-clock.C {
		if why = missing(); why == "" || time.Now().After(end) {
			return why
		}
	}
}

// unrest says what is still going on; nothing, where that is the case.
func (w *world) unrest(store bursar.Store) string {
	if key := w.pending(); key != "" {
		return "order " + key
	}
	if waiting := w.sim.Mempool(); len(waiting) > 0 {
		return fmt.Sprintf("%d transactions wait for a block", len(waiting))
	}
	why := ""
	err := store.Read(w.t.Context(), func(r bursar.Reader) error {
		ctx := w.t.Context()
		payments, err := r.Payments(ctx, bursar.PaymentQuery{Statuses: []bursar.Status{bursar.StatusPending, bursar.StatusDetected, bursar.StatusConfirmed}, Limit: 1})
		if err != nil || len(payments) > 0 {
			why = fmt.Sprintf("payments %+v", payments)
			return err
		}
		payouts, err := r.Payouts(ctx, bursar.PayoutQuery{Open: true, Limit: 1})
		if err != nil || len(payouts) > 0 {
			why = fmt.Sprintf("payouts %+v", payouts)
			return err
		}
		due, err := r.Transactions(ctx, bursar.TransactionQuery{Chain: w.sim.Info().ID, Types: []bursar.TransactionType{bursar.TypeIncoming}})
		if err != nil {
			return err
		}
		for _, tx := range due {
			if left := tx.Amount.SubFloor(tx.Discharged); tx.Live() && (!tx.Final || w.worth(tx, left)) {
				why = fmt.Sprintf("transaction %+v", tx)
				return nil
			}
		}
		waiting, err := r.Deliveries(ctx, bursar.DeliveryQuery{Statuses: []bursar.DeliveryStatus{bursar.DeliveryPending, bursar.DeliveryParked}, Limit: 1})
		if err != nil || len(waiting) > 0 {
			why = fmt.Sprintf("deliveries %+v", waiting)
		}
		return err
	})
	if err != nil {
		return err.Error()
	}
	return why
}

// worth reports whether what is left of a deposit is to be swept.
func (w *world) worth(tx bursar.Transaction, left chain.Amount) bool {
	if tx.To == w.sponsor() {
		return false
	}
	return !left.IsZero() && (tx.Asset != w.eth.ID || !left.Less(w.eth.SweepMinimum))
}

// scanned reports whether the cursor stands at the head.
func (w *world) scanned(store bursar.Store) bool {
	var tip chain.BlockHash
	err := store.Read(w.t.Context(), func(r bursar.Reader) error {
		st, err := r.Chain(w.t.Context(), w.sim.Info().ID)
		tip = st.Tip().Hash
		return err
	})
	return err == nil && tip == w.sim.Head().Hash
}

// final is all that the database says in the end.
type final struct {
	payments  []bursar.Payment
	addresses []bursar.Address
	incoming  []bursar.Transaction
	payouts   []bursar.Payout
	attempts  []bursar.Attempt
	entries   []bursar.Entry
	events    []bursar.Event
	delivered []bursar.Delivery
}

func (w *world) readAll(store bursar.Store) (f final) {
	w.t.Helper()
	ctx := context.Background()
	require.NoError(w.t, store.Read(ctx, func(r bursar.Reader) (err error) {
		if f.payments, err = r.Payments(ctx, bursar.PaymentQuery{}); err != nil {
			return err
		}
		if f.addresses, err = r.Addresses(ctx, bursar.AddressQuery{}); err != nil {
			return err
		}
		if f.incoming, err = r.Transactions(ctx, bursar.TransactionQuery{Types: []bursar.TransactionType{bursar.TypeIncoming}}); err != nil {
			return err
		}
		if f.payouts, err = r.Payouts(ctx, bursar.PayoutQuery{}); err != nil {
			return err
		}
		if f.attempts, err = r.Attempts(ctx, bursar.AttemptQuery{}); err != nil {
			return err
		}
		if f.entries, err = r.Entries(ctx, bursar.EntryQuery{Unreversed: true}); err != nil {
			return err
		}
		if f.events, err = r.Events(ctx, bursar.EventQuery{}); err != nil {
			return err
		}
		f.delivered, err = r.Deliveries(ctx, bursar.DeliveryQuery{})
		return err
	}))
	return f
}

// judge holds the end against what was seen from outside.
func (w *world) judge(store bursar.Store) {
	w.t.Helper()
	w.stage("no broken promise seen from outside")
	require.Empty(w.t, w.trouble)
	w.stage("no complaint in the logs")
	require.Empty(w.t, w.complaints())
	w.stage("nobody writes without the lease")
	strays, err := lines(context.Background(), w.db, "SELECT * FROM strays")
	require.NoError(w.t, err)
	require.Empty(w.t, strays, "written by hosts that did not have the chain")
	f := w.readAll(store)
	w.onePaymentEach(f)
	w.rightStatus(f)
	w.oneCreditEach(f)
	w.eventsOnce(f)
	w.sweptOnce(f)
	w.stage("the gateway's own audit")
	report, err := w.auditor(store).Verify(context.Background())
	require.NoError(w.t, err)
	require.True(w.t, report.Clean(), "%s", report)
	require.Empty(w.t, report.Skipped)
	require.Equal(w.t, map[bursar.ChainID]uint64{w.sim.Info().ID: w.sim.Head().Height}, report.Heights)
}

// onePaymentEach: each order has the payment that was confirmed, and no other
// one; no address was given away twice.
func (w *world) onePaymentEach(f final) {
	w.t.Helper()
	w.stage("each order has its one payment")
	require.NotEmpty(w.t, w.orders)
	require.Len(w.t, f.payments, len(w.orders))
	of := map[string]bursar.Payment{}
	taken := map[chain.Address]string{}
	for _, p := range f.payments {
		require.NotContains(w.t, of, p.IdempotencyKey)
		require.NotContains(w.t, taken, p.Address)
		of[p.IdempotencyKey], taken[p.Address] = p, p.ID
	}
	shop, err := lines(context.Background(), w.db, "SELECT name, payment FROM orders ORDER BY name")
	require.NoError(w.t, err)
	var want [][]string
	for _, o := range w.orders {
		p := of[o.Key]
		require.Equal(w.t, []string{o.said.Payment, o.said.Address}, []string{p.ID, string(p.Address)}, o.Key)
		if o.Kind == "create tx" {
			want = append(want, []string{o.Key, p.ID})
		}
	}
	require.Equal(w.t, want, shop, "the shop's own rows")
	places := map[string]string{}
	for _, a := range f.addresses {
		place := fmt.Sprint(a.Pool, a.Index)
		require.NotContains(w.t, places, place)
		places[place] = a.ID
	}
}

// rightStatus: each payment is what the transfers on the chain imply.
func (w *world) rightStatus(f final) {
	w.t.Helper()
	w.stage("each payment has the status that the chain implies")
	inTime, late := map[chain.Address]chain.Amount{}, map[chain.Address]chain.Amount{}
	of := map[chain.Address]*order{}
	for _, o := range w.orders {
		of[chain.Address(o.said.Address)] = o
	}
	kept := keptByReorg(f)
	w.transfers(func(tx chain.TxStatus, tr chain.Transfer) {
		o := of[tr.To]
		if o == nil || tr.Asset != o.asset.ID || tr.From == w.sponsor() {
			return
		}
		total := inTime
		if tx.Block.Time.After(o.expires) || o.canceled() && !kept[tr.ID] {
			total = late
		}
		n, err := total[tr.To].Add(tr.Amount)
		require.NoError(w.t, err)
		total[tr.To] = n
	})
	for _, p := range f.payments {
		o, counts := of[p.Address], inTime[p.Address]
		want := bursar.StatusExpired
		switch {
		case !counts.Less(p.Amount):
			want = bursar.StatusSettled
		case o.canceled():
			want = bursar.StatusCanceled
		case !counts.IsZero():
			want = bursar.StatusUnderpaid
		}
		name := fmt.Sprintf("%s (%s) of %s", p.ID, o.way, o.Key)
		require.Equal(w.t, want, p.Status, name)
		require.Equal(w.t, o.canceled(), p.Canceled(), name)
		require.Equal(w.t, counts.String(), p.Confirmed.String(), name)
		require.Equal(w.t, late[p.Address].String(), p.Held.String(), name)
	}
}

func (o *order) canceled() bool { return o.withdrawn != nil && o.withdrawn.Canceled }

// keptByReorg are the transfers that counted already when a reorg took them out
// of the chain. A payment may be canceled while they are; when they come back
// they count as before.
func keptByReorg(f final) map[chain.TransferID]bool {
	kept := map[chain.TransferID]bool{}
	for _, tx := range f.incoming {
		kept[tx.Transfer] = tx.Inclusion > 1 && tx.Counting
	}
	return kept
}

// transfers goes through all that ever moved on the present branch.
func (w *world) transfers(see func(chain.TxStatus, chain.Transfer)) {
	for h := uint64(1); h <= w.sim.Head().Height; h++ {
		for _, tx := range w.sim.Transactions(h) {
			for _, tr := range tx.Transfers {
				see(tx, tr)
			}
		}
	}
}

func (w *world) sponsor() chain.Address {
	a, err := w.auditor(nil).Sponsor(w.sim.Info().ID)
	require.NoError(w.t, err)
	return a
}

// oneCreditEach: each transfer from outside to an account of ours has exactly
// one credit that stands, of what it moved, and there is no other one.
func (w *world) oneCreditEach(f final) {
	w.t.Helper()
	w.stage("each transfer is credited once")
	own := map[chain.Address]bool{w.sponsor(): true}
	for _, a := range f.addresses {
		own[a.Address] = true
	}
	want, got := map[string]string{}, map[string]string{}
	w.transfers(func(_ chain.TxStatus, tr chain.Transfer) {
		if own[tr.To] && !own[tr.From] && !tr.Amount.IsZero() {
			want[tr.ID.String()] = fmt.Sprintf("%s %s to %s", tr.Amount, tr.Asset, tr.To)
		}
	})
	names := map[string]string{}
	for _, tx := range f.incoming {
		names[tx.ID] = tx.Transfer.String()
	}
	for _, e := range f.entries {
		if e.Rule == "L1" {
			require.NotContains(w.t, got, names[e.Transaction], "credited twice")
			got[names[e.Transaction]] = fmt.Sprintf("%s %s to %s", e.Amount, e.Asset, strings.TrimPrefix(string(e.Debit), "U:"))
		}
	}
	require.Equal(w.t, want, got)
}

// eventsOnce: the handler inside the transaction has each event exactly once
// and in order, the one outside at least once.
func (w *world) eventsOnce(f final) {
	w.t.Helper()
	w.stage("each event is told, and handled once")
	want := map[string]string{}
	for _, e := range f.events {
		want[e.ID] = fmt.Sprintf("%s %d", e.Subject, e.Seq)
		require.Positive(w.t, w.bells[e.ID], "%s of %s was never told", e.Kind, e.Subject)
	}
	require.Len(w.t, w.bells, len(want), "told, and not in the database")
	heard, err := lines(context.Background(), w.db, "SELECT event, subject, seq FROM heard ORDER BY pos")
	require.NoError(w.t, err)
	got, next := map[string]string{}, map[string]int{}
	for _, row := range heard {
		require.NotContains(w.t, got, row[0], "handled twice")
		got[row[0]] = row[1] + " " + row[2]
		next[row[1]]++
		require.Equal(w.t, fmt.Sprint(next[row[1]]), row[2], "the order of %s", row[1])
	}
	require.Equal(w.t, want, got)
	require.Len(w.t, f.delivered, 2*len(f.events))
	for _, d := range f.delivered {
		require.Equal(w.t, bursar.DeliveryDone, d.Status, "%+v", d)
	}
}

// sweptOnce: what customers sent lies in the treasury, and each transaction of
// ours on the chain is the one of its payout.
func (w *world) sweptOnce(f final) {
	w.t.Helper()
	w.stage("each payout is paid once, and all is swept")
	require.Empty(w.t, w.sim.Mempool())
	payout := map[chain.TxID]string{}
	for _, a := range f.attempts {
		payout[a.TxID] = a.PayoutID
	}
	own := map[chain.Address]bool{w.sponsor(): true}
	for _, a := range f.addresses {
		own[a.Address] = true
	}
	collected, mined := chain.Amount{}, map[string]chain.TxID{}
	for h := uint64(1); h <= w.sim.Head().Height; h++ {
		for _, tx := range w.sim.Transactions(h) {
			for _, tr := range tx.Transfers {
				if own[tr.To] && tr.Asset == w.usdc.ID {
					n, err := collected.Add(tr.Amount)
					require.NoError(w.t, err)
					collected = n
				}
			}
			if !own[tx.From] {
				continue
			}
			require.Contains(w.t, payout, tx.ID, "signed, and not in the database")
			if tx.State == chain.TxFailed {
				continue // a reorg can change what a transaction needs as gas; it is made again
			}
			require.NotContains(w.t, mined, payout[tx.ID], "paid twice")
			mined[payout[tx.ID]] = tx.ID
		}
	}
	for _, p := range f.payouts {
		switch p.Status {
		case bursar.PayoutConfirmed:
			require.Equal(w.t, p.TxID, mined[p.ID], "%+v", p)
		default:
			require.Equal(w.t, bursar.PayoutCanceled, p.Status, "%+v", p)
			require.NotContains(w.t, mined, p.ID)
		}
	}
	require.Equal(w.t, collected.String(), w.sim.BalanceOf(w.treasury, w.usdc).String())
	for _, a := range f.addresses {
		require.True(w.t, w.sim.BalanceOf(a.Address, w.usdc).IsZero(), "%s", a.Address)
		require.True(w.t, a.Address == w.sponsor() || w.sim.BalanceOf(a.Address, w.eth).Less(w.eth.SweepMinimum), "%s", a.Address)
	}
}

// summary says on one line what happened.
func (w *world) summary(begin time.Time) {
	twice := 0
	for _, n := range w.bells {
		twice += n - 1
	}
	over := slices.Sorted(slices.Values(w.over))
	text := "none"
	if len(over) > 0 {
		text = fmt.Sprintf("%d, median %s, longest %s", len(over), over[len(over)/2].Round(time.Millisecond), over[len(over)-1].Round(time.Millisecond))
	}
	w.t.Logf("%d payments, %d events (%d told again), %d blocks, %d broadcasts; %d kills, %d freezes; take-overs with a lease of %s: %s; at rest after %s",
		len(w.orders), len(w.bells), twice, w.sim.Head().Height, len(w.sent), w.kills, w.stops, lease, text, time.Since(begin).Round(time.Second))
}
