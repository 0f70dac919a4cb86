package bursar_test

import (
	"crypto/ed25519"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
)

// busy is a gateway that has seen most of what happens to payments: settled,
// partial, too much, late and accepted, canceled and renewed, a permanent
// address, orphaned and mined again, and some that are still on their way.
func busy(t *testing.T) *flow {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		public, _ := approver()
		c.Approvers = []ed25519.PublicKey{public}
	}})
	settled, token := f.Create("ETH", "1"), f.Create("USDT", "2")
	f.Pay(settled)
	f.Pay(token)
	f.Mine(1)
	f.Reorg(1)
	over := f.Create("USDC", "3")
	f.PayAmount(over, "2")
	f.Mine(1)
	f.PayAmount(over, "2")
	f.PayAsset(over, f.USDT, "1")
	part := f.Create("USDC", "10")
	f.PayLess(part, "4")
	canceled := f.Create("ETH", "5")
	_, err := f.Gateway.CancelPayment(t.Context(), canceled.ID)
	require.NoError(t, err)
	_, err = f.Gateway.RenewPayment(t.Context(), canceled.ID)
	require.NoError(t, err)
	a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	f.Chain.Pay("ann's", a.Address, f.USDC, units(t, f.USDC, "7"))
	f.Settle()
	f.AdvanceTime(25 * time.Hour)
	require.Equal(t, bursar.StatusUnderpaid, f.Payment(part).Status)
	f.PayAmount(part, "1")
	f.Confirm()
	_, err = f.Gateway.AcceptPayment(t.Context(), part.ID, "yes")
	require.NoError(t, err)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(part).Status)
	f.Pay(f.Create("ETH", "1"))
	f.Pay(f.Create("ETH", "2"))
	for range 100 {
		f.Mine(1)
		if slices.ContainsFunc(f.payouts(), func(p bursar.Payout) bool { return p.Status == bursar.PayoutConfirming }) {
			break
		}
	}
	f.Pay(f.Create("USDC", "4"))
	f.Create("USDC", "5")
	_, err = f.ask(over, func(r *bursar.RefundRequest) { r.Excess = true })
	require.NoError(t, err)
	_, err = f.draw("ann", some("3"))
	require.NoError(t, err)
	f.Mine(1)
	return f
}

// audit verifies the flow's store as a tampering hand shows it. The gateway is
// not started: an audit needs none that runs.
func (f *flow) audit(s *tampered) bursar.Report {
	f.t.Helper()
	s.Store = f.Store
	cfg := f.cfg
	cfg.Store = s
	gw, err := bursar.New(cfg)
	require.NoError(f.t, err)
	report, err := gw.Verify(f.ctx())
	require.NoError(f.t, err)
	return report
}

func TestVerifyABusyGatewayIsClean(t *testing.T) {
	f := busy(t)
	report := f.audited()
	require.Empty(t, report.Skipped)
	for _, table := range []string{"payments", "transactions", "addresses", "payouts", "attempts", "entries", "balances", "events", "deliveries", "chains"} {
		require.Positive(t, report.Checked[table], table)
	}
	require.Equal(t, map[bursar.ChainID]uint64{f.Chain.Info().ID: f.Chain.Head().Height}, report.Heights)
	require.Contains(t, report.String(), "clean at")
	require.True(t, f.audit(&tampered{}).Clean(), "the hand that changes nothing")
	require.Zero(t, report.More)
}

// handFlip is one change by hand, and the finding that names it.
type handFlip struct {
	rule, table, id string
	sharer          *bursar.Payment
	edit            func(row any) bool
}

// change edits the first row that fits, wherever it is read.
func change[T any](rule, table string, rows []T, id func(T) string, fits func(T) bool, edit func(*T)) handFlip {
	at := slices.IndexFunc(rows, fits)
	if at < 0 {
		return handFlip{rule: rule, table: table, id: "no row fits"}
	}
	target := id(rows[at])
	after := rows[at]
	edit(&after)
	return handFlip{rule: rule, table: table, id: id(after), edit: func(row any) bool {
		if r, ok := row.(*T); ok && id(*r) == target {
			edit(r)
		}
		return true
	}}
}

// everything is all rows of a store.
type everything struct {
	payments     []bursar.Payment
	transactions []bursar.Transaction
	addresses    []bursar.Address
	payouts      []bursar.Payout
	attempts     []bursar.Attempt
	entries      []bursar.Entry
	balances     []bursar.Balance
	events       []bursar.Event
	deliveries   []bursar.Delivery
}

func (f *flow) everything() (all everything) {
	f.t.Helper()
	f.read(func(r bursar.Reader) error {
		var errs [9]error
		ctx := f.ctx()
		all.payments, errs[0] = r.Payments(ctx, bursar.PaymentQuery{})
		all.transactions, errs[1] = r.Transactions(ctx, bursar.TransactionQuery{})
		all.addresses, errs[2] = r.Addresses(ctx, bursar.AddressQuery{})
		all.payouts, errs[3] = r.Payouts(ctx, bursar.PayoutQuery{})
		all.attempts, errs[4] = r.Attempts(ctx, bursar.AttemptQuery{})
		all.entries, errs[5] = r.Entries(ctx, bursar.EntryQuery{})
		all.balances, errs[6] = r.Balances(ctx, bursar.BalanceQuery{})
		all.events, errs[7] = r.Events(ctx, bursar.EventQuery{})
		all.deliveries, errs[8] = r.Deliveries(ctx, bursar.DeliveryQuery{})
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	})
	return all
}

func one() chain.Amount { return chain.NewAmount(1) }

func more(n chain.Amount) chain.Amount {
	out, _ := n.Add(one())
	return out
}

// flips are at least one change for each rule.
func (f *flow) flips() []handFlip {
	all := f.everything()
	return slices.Concat(f.paymentFlips(all), f.transactionFlips(all), f.addressFlips(all), f.payoutFlips(all), f.ledgerFlips(all), f.eventFlips(all), f.chainFlips(all))
}

func isSettled(p bursar.Payment) bool { return p.Status == bursar.StatusSettled }
func isPending(p bursar.Payment) bool { return p.Status == bursar.StatusPending }

func (f *flow) paymentFlips(all everything) []handFlip {
	at := func(rule string, fits func(bursar.Payment) bool, edit func(*bursar.Payment)) handFlip {
		return change(rule, "payments", all.payments, func(p bursar.Payment) string { return p.ID }, fits, edit)
	}
	twin := all.payments[0]
	twin.ID = "pay_test_other"
	return []handFlip{
		at("payment.form", isPending, func(p *bursar.Payment) { p.RequiredConfirmations = 0 }),
		at("payment.form", isPending, func(p *bursar.Payment) { p.Livemode = true }),
		at("payment.status", isSettled, func(p *bursar.Payment) { p.Status = bursar.StatusPending }),
		at("payment.status", isPending, func(p *bursar.Payment) { p.Status = bursar.StatusConfirmed }),
		at("payment.times", isSettled, func(p *bursar.Payment) { p.ConfirmedAt = time.Time{} }),
		at("payment.times", isPending, func(p *bursar.Payment) { p.Status = bursar.StatusExpired }),
		at("payment.events", isPending, func(p *bursar.Payment) { p.Status = bursar.StatusExpired }),
		at("payment.amounts", isSettled, func(p *bursar.Payment) { p.Received = more(p.Received) }),
		at("payment.amounts", isSettled, func(p *bursar.Payment) { p.Held = more(p.Held) }),
		at("payment.required", isPending, func(p *bursar.Payment) { p.Required = one() }),
		at("payment.posted", isSettled, func(p *bursar.Payment) { p.PostedPaid = more(p.PostedPaid) }),
		at("payment.refund", func(p bursar.Payment) bool { return !p.Refunding.IsZero() }, func(p *bursar.Payment) { p.Refunding = more(p.Refunding) }),
		at("payment.fee", isSettled, func(p *bursar.Payment) { p.SweepFee = more(p.SweepFee) }),
		at("payment.deadline", isPending, func(p *bursar.Payment) { p.Deadline = p.Deadline.Add(time.Hour) }),
		at("payment.hold", isPending, func(p *bursar.Payment) { p.HoldUntil = p.CreatedAt }),
		at("payment.accepted", isPending, func(p *bursar.Payment) { p.Accepted = true }),
		at("payment.counters", isSettled, func(p *bursar.Payment) { p.ConfirmationNo++ }),
		at("payment.created", isPending, func(p *bursar.Payment) { p.Amount = more(p.Amount) }),
		at("payment.created", isPending, func(p *bursar.Payment) { p.Customer = "mallory" }),
		at("payment.link", func(p bursar.Payment) bool { return p.Previous != "" }, func(p *bursar.Payment) { p.Previous = all.payments[0].ID }),
		at("payment.link", func(p bursar.Payment) bool { return p.Next != "" }, func(p *bursar.Payment) { p.Next = "pay_test_none" }),
		at("payment.address", isPending, func(p *bursar.Payment) { p.AddressID = "addr_none" }),
		at("payment.address", isPending, func(p *bursar.Payment) { p.Address = f.Treasury }),
		at("payment.uri", isPending, func(p *bursar.Payment) { p.URI = "ethereum:" + string(f.Treasury) }),
		{rule: "payment.shared", table: "payments", id: all.payments[0].ID, sharer: &twin},
	}
}

func (f *flow) transactionFlips(all everything) []handFlip {
	at := func(rule string, fits func(bursar.Transaction) bool, edit func(*bursar.Transaction)) handFlip {
		return change(rule, "transactions", all.transactions, func(t bursar.Transaction) string { return t.ID }, fits, edit)
	}
	final := func(t bursar.Transaction) bool { return t.Final && t.Type == bursar.TypeIncoming && t.PaymentID != "" }
	young := func(t bursar.Transaction) bool {
		return t.Status == bursar.TxConfirming && t.Type == bursar.TypeIncoming
	}
	return []handFlip{
		at("transaction.id", final, func(t *bursar.Transaction) { t.Transfer.Ordinal = "n2" }),
		at("transaction.owner", final, func(t *bursar.Transaction) { t.Customer = "mallory" }),
		at("transaction.owner", final, func(t *bursar.Transaction) { t.AddressID = "addr_none" }),
		at("transaction.owner", final, func(t *bursar.Transaction) { t.PaymentID = "pay_test_none" }),
		at("transaction.block", young, func(t *bursar.Transaction) { t.ConfirmAt-- }),
		at("transaction.block", young, func(t *bursar.Transaction) { t.Required, t.ConfirmAt = 1, t.Block }),
		at("transaction.branch", young, func(t *bursar.Transaction) { t.BlockHash = "0xbad" }),
		at("transaction.final", young, func(t *bursar.Transaction) { t.Final = true }),
		at("transaction.state", final, func(t *bursar.Transaction) { t.FailureReason = "dropped" }),
		at("transaction.spent", final, func(t *bursar.Transaction) { t.Discharged = more(t.Amount) }),
		at("transaction.items", final, func(t *bursar.Transaction) { t.Reserved = one() }),
		at("transaction.items", func(t bursar.Transaction) bool { return !t.Discharged.IsZero() }, func(t *bursar.Transaction) { t.Discharged = chain.Amount{} }),
		at("entry.missing", final, func(t *bursar.Transaction) { t.Inclusion++ }),
		at("chain.status", young, func(t *bursar.Transaction) { t.Amount = more(t.Amount) }),
	}
}

func (f *flow) addressFlips(all everything) []handFlip {
	at := func(rule string, fits func(bursar.Address) bool, edit func(*bursar.Address)) handFlip {
		return change(rule, "addresses", all.addresses, func(a bursar.Address) string { return a.ID }, fits, edit)
	}
	role := func(r bursar.Role) func(bursar.Address) bool {
		return func(a bursar.Address) bool { return a.Role == r }
	}
	return []handFlip{
		at("address.pool", role(bursar.RolePayment), func(a *bursar.Address) { a.Pool = "60/00000000000000000000000000000000/0" }),
		at("address.derived", role(bursar.RolePayment), func(a *bursar.Address) { a.Address = f.Treasury }),
		at("address.derived", role(bursar.RolePermanent), func(a *bursar.Address) { a.Key.Path = "m/44'/60'/0'/0/9" }),
		at("address.derived", role(bursar.RoleSponsor), func(a *bursar.Address) { a.Address = f.Treasury }),
		at("address.index", role(bursar.RolePermanent), func(a *bursar.Address) { a.Index = 1 << 30 }),
		at("address.role", role(bursar.RolePayment), func(a *bursar.Address) { a.Role = bursar.RoleUnissued }),
		at("address.role", role(bursar.RolePayment), func(a *bursar.Address) { a.PaymentID = all.payments[1].ID }),
	}
}

func (f *flow) payoutFlips(all everything) []handFlip {
	at := func(rule string, fits func(bursar.Payout) bool, edit func(*bursar.Payout)) handFlip {
		return change(rule, "payouts", all.payouts, func(p bursar.Payout) string { return p.ID }, fits, edit)
	}
	attempt := func(rule string, fits func(bursar.Attempt) bool, edit func(*bursar.Attempt)) handFlip {
		return change(rule, "attempts", all.attempts, func(a bursar.Attempt) string { return a.ID }, fits, edit)
	}
	swept := func(p bursar.Payout) bool { return p.Kind == bursar.PayoutSweep && p.Status == bursar.PayoutConfirmed }
	open := func(a bursar.Attempt) bool { return a.Open }
	var held []bursar.Attempt
	for _, a := range all.attempts {
		if a.Open {
			held = append(held, a)
		}
	}
	lock := handFlip{rule: "attempt.lock", table: "attempts", id: held[len(held)-1].ID, edit: func(row any) bool {
		if a, ok := row.(*bursar.Attempt); ok && a.Open {
			a.Locks = []chain.Lock{"same"}
		}
		return true
	}}
	return []handFlip{
		lock,
		attempt("attempt.form", open, func(a *bursar.Attempt) { a.TxID += "0" }),
		attempt("attempt.form", open, func(a *bursar.Attempt) { a.Raw = nil }),
		attempt("attempt.payout", open, func(a *bursar.Attempt) { a.PayoutID = "po_none" }),
		at("payout.status", swept, func(p *bursar.Payout) { p.Block = 0 }),
		at("payout.status", swept, func(p *bursar.Payout) { p.Status = bursar.PayoutPlanned }),
		at("payout.items", swept, func(p *bursar.Payout) {
			p.Items = slices.Clone(p.Items)
			p.Items[0].Amount = more(p.Items[0].Amount)
		}),
		at("payout.fee", swept, func(p *bursar.Payout) { p.Fee = more(p.Fee) }),
		at("payout.posting", swept, func(p *bursar.Payout) { p.Moved = more(p.Moved) }),
		at("payout.account", swept, func(p *bursar.Payout) { p.From.Key.Path = "m/44'/60'/0'/0/99" }),
		at("payout.account", swept, func(p *bursar.Payout) { p.From.Address = f.Treasury }),
		at("payout.created", swept, func(p *bursar.Payout) { p.To = f.Sponsor }),
		at("address.withdrawal", func(p bursar.Payout) bool { return p.Kind == bursar.PayoutWithdrawal }, func(p *bursar.Payout) { p.Amount = more(p.Amount) }),
		at("payout.parent", swept, func(p *bursar.Payout) { p.Parent = "po_none" }),
	}
}

func (f *flow) ledgerFlips(all everything) []handFlip {
	at := func(rule string, fits func(bursar.Entry) bool, edit func(*bursar.Entry)) handFlip {
		return change(rule, "entries", all.entries, func(e bursar.Entry) string { return e.ID }, fits, edit)
	}
	reversed, credits := map[string]bool{}, map[string]int{}
	for _, e := range all.entries {
		reversed[e.Reverses] = true
	}
	stands := func(e bursar.Entry) bool { return e.Reverses == "" && !reversed[e.ID] }
	for _, e := range all.entries {
		if stands(e) && e.Live != "" {
			credits[e.Subject]++
		}
	}
	credit := func(e bursar.Entry) bool { return stands(e) && e.Rule == "L1" }
	// The last of several credits of a subject, called as the first one.
	var first, last bursar.Entry
	for _, e := range all.entries {
		if credit(e) && credits[e.Subject] > 1 && (first.ID == "" || e.Subject == first.Subject) {
			if first.ID == "" {
				first = e
			}
			last = e
		}
	}
	balance := func(rule, id string, fits func(bursar.Balance) bool, edit func(*bursar.Balance)) handFlip {
		out := change(rule, "balances", all.balances, func(b bursar.Balance) string { return string(b.Asset) + " " + string(b.Account) }, fits, edit)
		if id != "" {
			out.id = id
		}
		return out
	}
	paid := func(b bursar.Balance) bool { return string(b.Account[:5]) == "paid:" }
	grow := func(b *bursar.Balance) { b.Sum = new(big.Int).Add(b.Sum, big.NewInt(1)) }
	var paidAsset chain.AssetID
	if i := slices.IndexFunc(all.balances, paid); i >= 0 {
		paidAsset = all.balances[i].Asset
	}
	sponsors := all.entries[slices.IndexFunc(all.entries, func(e bursar.Entry) bool { return e.Credit == bursar.AccountOwner })]
	wrong := at("chain.balance", func(e bursar.Entry) bool { return e.ID == sponsors.ID }, func(e *bursar.Entry) { e.Amount = more(e.Amount) })
	wrong.table, wrong.id = "balances", string(sponsors.Asset)+" "+string(f.Sponsor)
	lost := at("entry.missing", credit, func(*bursar.Entry) {})
	lost.table = "transactions"
	gone := lost.id
	lost.id = all.entries[slices.IndexFunc(all.entries, func(e bursar.Entry) bool { return e.ID == gone })].Transaction
	lost.edit = func(row any) bool {
		e, ok := row.(*bursar.Entry)
		return !ok || e.ID != gone
	}
	return []handFlip{
		wrong, lost,
		at("entry.form", credit, func(e *bursar.Entry) { e.Amount = chain.Amount{} }),
		at("entry.form", credit, func(e *bursar.Entry) { e.Debit = "nowhere" }),
		at("entry.subject", credit, func(e *bursar.Entry) { e.Subject = "pay_test_none" }),
		at("entry.transaction", credit, func(e *bursar.Entry) { e.Transaction = "tx_none" }),
		at("entry.reversal", func(e bursar.Entry) bool { return e.Reverses != "" }, func(e *bursar.Entry) { e.Amount = more(e.Amount) }),
		at("entry.reversal", func(e bursar.Entry) bool { return e.Reverses != "" }, func(e *bursar.Entry) { e.Reverses = "le_none" }),
		at("entry.live", func(e bursar.Entry) bool { return e.ID == last.ID }, func(e *bursar.Entry) { e.Live = first.Live }),
		at("entry.posting", credit, func(e *bursar.Entry) { e.Amount = more(e.Amount) }),
		at("entry.posting", credit, func(e *bursar.Entry) { e.Credit = "held:pay_test_none" }),
		at("entry.extra", func(e bursar.Entry) bool { return e.Rule == "L3" && e.Transaction == "" }, func(e *bursar.Entry) { e.Rule = "L9" }),
		balance("balance.sum", "", paid, grow),
		balance("balance.total", string(paidAsset), paid, grow),
		balance("balance.sign", "", paid, func(b *bursar.Balance) { b.Sum = new(big.Int).Neg(b.Sum) }),
	}
}

func (f *flow) eventFlips(all everything) []handFlip {
	at := func(rule string, fits func(bursar.Event) bool, edit func(*bursar.Event)) handFlip {
		return change(rule, "events", all.events, func(e bursar.Event) string { return e.ID }, fits, edit)
	}
	confirmed := func(e bursar.Event) bool { return e.Kind == bursar.PaymentConfirmed }
	named := func(d bursar.Delivery) string { return d.EventID + " " + d.Endpoint }
	return []handFlip{
		at("event.seq", confirmed, func(e *bursar.Event) { e.Seq += 7 }),
		at("event.subject", confirmed, func(e *bursar.Event) { e.Data.Subject = "pay_test_none" }),
		at("event.id", confirmed, func(e *bursar.Event) { e.ID = "evt_00000000000000000000000000000000" }),
		at("event.id", func(e bursar.Event) bool { return e.Kind == bursar.TransactionDetected }, func(e *bursar.Event) { e.ID += "0" }),
		change("delivery.event", "deliveries", all.deliveries, named, func(bursar.Delivery) bool { return true }, func(d *bursar.Delivery) { d.Seq++ }),
	}
}

func (f *flow) chainFlips(everything) []handFlip {
	id := string(f.Chain.Info().ID)
	at := func(rule string, edit func(*bursar.ChainState)) handFlip {
		return handFlip{rule: rule, table: "chains", id: id, edit: func(row any) bool {
			if st, ok := row.(*bursar.ChainState); ok {
				edit(st)
			}
			return true
		}}
	}
	return []handFlip{
		at("chain.linked", func(st *bursar.ChainState) { st.Recent[1].Parent = "0xbad" }),
		at("chain.final", func(st *bursar.ChainState) { st.Final = st.Tip().Height + 1 }),
		at("chain.halt", func(st *bursar.ChainState) { st.HaltedFrom = 5 }),
		at("event.seq", func(st *bursar.ChainState) { st.Seq++ }),
	}
}

// TestThreat_D15_EachRuleNamesTheRow changes one thing by hand for each rule,
// and asks for a finding with that rule and that row.
func TestThreat_D15_EachRuleNamesTheRow(t *testing.T) {
	f := busy(t)
	flipped := map[string]bool{}
	for i, change := range f.flips() {
		flipped[change.rule] = true
		t.Run(fmt.Sprintf("%s/%d", change.rule, i), func(t *testing.T) {
			report := f.audit(&tampered{edit: change.edit, sharer: change.sharer})
			require.True(t, slices.ContainsFunc(report.Findings, func(x bursar.Finding) bool {
				return x.Rule == change.rule && x.Table == change.table && x.ID == change.id
			}), "want %s of %s %s:\n%s", change.rule, change.table, change.id, report)
		})
	}
	for _, rule := range bursar.AuditRules() {
		require.True(t, flipped[rule.Code], "nothing breaks %s", rule.Code)
	}
	require.Len(t, flipped, len(bursar.AuditRules()))
	f.audited()
}

// moneyFields are those whose change by hand must be found, whatever else is
// left alone.
var moneyFields = map[string][]string{
	"Payment": {"Status", "Amount", "Required", "Received", "Confirmed", "Shortfall", "Excess", "Held", "Address", "AddressID", "PostedPaid",
		"PostedExcess", "SweepFee", "ConfirmationNo", "SettleNo", "Block", "Final", "Accepted", "Deadline", "ExpiresAt", "HoldUntil", "Seq", "URI", "Livemode"},
	"Transaction": {"Status", "Asset", "Amount", "To", "AddressID", "PaymentID", "Block", "ConfirmAt", "Required", "Final", "Counting",
		"Suspense", "Accepted", "Discharged", "Reserved", "Inclusion", "Chain"},
	"Address":  {"Address", "Pool", "Index", "Role", "PaymentID", "Seq", "Customer"},
	"Payout":   {"Status", "Amount", "To", "Moved", "Fee", "Block", "Kind", "Group", "TxID", "Seq"},
	"Attempt":  {"TxID", "PayoutID", "Group", "Chain"},
	"Entry":    {"ID", "Amount", "Asset", "Debit", "Credit", "Reverses", "Transaction", "Subject", "Rule", "Chain"},
	"Balance":  {"Account", "Asset"},
	"Event":    {"ID", "Seq", "Subject"},
	"Delivery": {"EventID", "Seq", "Subject"},
}

// nudge changes a value a little.
func nudge(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *chain.Amount:
		*x = more(*x)
		return
	case *time.Time:
		*x = x.Add(time.Hour)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "0")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	default:
		v.SetUint(v.Uint() + 1)
	}
}

// key is what tells a row from others of its type.
func key(row any) string {
	switch r := row.(type) {
	case bursar.Balance:
		return string(r.Asset) + " " + string(r.Account)
	case bursar.Delivery:
		return r.EventID + " " + r.Endpoint
	}
	return reflect.ValueOf(row).FieldByName("ID").String()
}

// TestThreat_D15_RandomFlipsAreFound changes one random field of one random row
// at a time.
func TestThreat_D15_RandomFlipsAreFound(t *testing.T) {
	f := busy(t)
	all := f.everything()
	var rows []any
	add := func(row any) { rows = append(rows, row) }
	for _, p := range all.payments {
		add(p)
	}
	for _, tx := range all.transactions {
		if tx.Live() && tx.Type == bursar.TypeIncoming {
			add(tx)
		}
	}
	for _, a := range all.addresses {
		add(a)
	}
	for _, p := range all.payouts {
		if p.Block > 0 {
			add(p)
		}
	}
	for _, a := range all.attempts {
		add(a)
	}
	for _, e := range all.entries {
		add(e)
	}
	for _, b := range all.balances {
		add(b)
	}
	for _, e := range all.events {
		add(e)
	}
	for _, d := range all.deliveries {
		add(d)
	}
	n := seeds(t, 300)
	for seed := range n {
		rnd := rand.New(rand.NewPCG(uint64(seed), 15))
		row := rows[rnd.IntN(len(rows))]
		kind := reflect.TypeOf(row)
		fields := moneyFields[kind.Name()]
		field := fields[rnd.IntN(len(fields))]
		target := key(row)
		report := f.audit(&tampered{edit: func(row any) bool {
			v := reflect.ValueOf(row).Elem()
			if v.Type() == kind && key(v.Interface()) == target {
				nudge(v.FieldByName(field))
			}
			return true
		}})
		require.False(t, report.Clean(), "seed %d: %s of %s %s", seed, field, kind.Name(), target)
	}
}
