package bursar

import (
	"context"
	"math/big"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// explainer gathers one Explanation: what the store has in one snapshot, then what
// the nodes say, then the words for it.
type explainer struct {
	ctx  context.Context
	gw   *Gateway
	r    Reader
	what string
	out  Explanation

	states map[chain.ID]ChainState
	heads  map[chain.ID]uint64 // of nodes that were asked
	// alarms are the conditions that hold.
	alarms map[chain.ID][]chain.Condition
	// held is what the ledger has at the address of the question.
	held map[chain.AssetID]*big.Int
	// loose are reasons about what is in no row: from the nodes.
	loose []Reason
}

func newExplainer(ctx context.Context, g *Gateway, r Reader, what string) *explainer {
	return &explainer{
		ctx: ctx, gw: g, r: r, what: what, states: map[chain.ID]ChainState{}, heads: map[chain.ID]uint64{}, alarms: map[chain.ID][]chain.Condition{}, held: map[chain.AssetID]*big.Int{},
		out: Explanation{Asked: what, Kind: ExplainedNothing, At: r.Now()},
	}
}

// read finds the thing and all that hangs on it.
func (x *explainer) read() error {
	for _, net := range x.gw.order {
		st, err := x.r.Chain(x.ctx, net.info.ID)
		if err != nil {
			return err
		}
		x.states[net.info.ID] = st
		st.Chain = net.info.ID
		past, err := x.r.Events(x.ctx, conditionEvents(st))
		if err != nil {
			return err
		}
		x.alarms[net.info.ID] = net.alarmed(standing(past))
	}
	// The more exact name comes first: an idempotency key can look like anything.
	for _, find := range []func() (bool, error){
		x.findPayment, x.findAddress, x.findTransactions, x.findPayout, x.findEvent, x.findKey, x.findReserved,
	} {
		found, err := find()
		if err != nil {
			return err
		}
		if found {
			break
		}
	}
	return x.hangings()
}

func (x *explainer) findPayment() (bool, error) {
	return x.usePayment(PaymentQuery{IDs: []string{x.what}, Limit: 1})
}

// usePayment makes the payment that a query finds the subject.
func (x *explainer) usePayment(q PaymentQuery) (bool, error) {
	rows, err := x.r.Payments(x.ctx, q)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	p := rows[0]
	if err := deepen(x.ctx, x.r, &p); err != nil {
		return false, err
	}
	x.out.Kind, x.out.Payment = ExplainedPayment, &p
	return true, x.useTransactions(TransactionQuery{PaymentIDs: []string{p.ID}})
}

// useTransactions takes the transactions of a query in, in the chain's order.
func (x *explainer) useTransactions(q TransactionQuery) error {
	rows, err := x.r.Transactions(x.ctx, q)
	if err != nil {
		return err
	}
	slices.SortFunc(rows, byPlace)
	for _, t := range rows {
		x.out.Transactions = append(x.out.Transactions, ExplainedTx{Transaction: t, Units: x.units(t.Asset, t.Amount)})
	}
	return nil
}

func (x *explainer) findAddress() (bool, error) {
	q := AddressQuery{Addresses: []chain.Address{x.gw.canonical(chain.Address(x.what))}, Limit: 1}
	if strings.HasPrefix(x.what, "addr_") {
		q = AddressQuery{IDs: []string{x.what}, Limit: 1}
	}
	return x.useAddress(q)
}

// useAddress makes the address that a query finds the subject, or its payment.
func (x *explainer) useAddress(q AddressQuery) (bool, error) {
	rows, err := x.r.Addresses(x.ctx, q)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	x.out.Address = &rows[0]
	if id := rows[0].PaymentID; id != "" {
		return x.usePayment(PaymentQuery{IDs: []string{id}, Limit: 1})
	}
	x.out.Kind = ExplainedAddress
	return true, x.useTransactions(TransactionQuery{AddressIDs: []string{rows[0].ID}})
}

// findTransactions looks for a row's id, then for a hash as given and as chains
// with hexadecimal hashes write it.
func (x *explainer) findTransactions() (bool, error) {
	for _, q := range []TransactionQuery{
		{IDs: []string{x.what}}, {Hashes: []chain.TxID{chain.TxID(x.what)}}, {Hashes: []chain.TxID{x.hash()}},
	} {
		if err := x.useTransactions(q); err != nil {
			return false, err
		}
		if len(x.out.Transactions) > 0 {
			x.out.Kind = ExplainedTransaction
			return true, x.paidBy()
		}
	}
	return false, nil
}

// hash is what was asked for as a transaction hash would be stored.
func (x *explainer) hash() chain.TxID { return chain.TxID(strings.ToLower(x.what)) }

// paidBy finds the payments that the transactions are of, and takes the one in
// where there is one alone.
func (x *explainer) paidBy() error {
	for _, t := range x.out.Transactions {
		if t.PaymentID != "" && !slices.Contains(x.out.Payments, t.PaymentID) {
			x.out.Payments = append(x.out.Payments, t.PaymentID)
		}
	}
	if len(x.out.Payments) != 1 {
		return nil
	}
	rows, err := x.r.Payments(x.ctx, PaymentQuery{IDs: x.out.Payments})
	if err == nil && len(rows) == 1 {
		x.out.Payment = &rows[0]
		err = deepen(x.ctx, x.r, x.out.Payment)
	}
	return err
}

// findPayout looks for an id, a key, and the hash of an attempt that is in no
// block yet.
func (x *explainer) findPayout() (bool, error) {
	ids := []string{x.what}
	attempts, err := x.r.Attempts(x.ctx, AttemptQuery{TxIDs: []chain.TxID{x.hash()}})
	if err != nil {
		return false, err
	}
	for _, a := range attempts {
		ids = append(ids, a.PayoutID)
	}
	for _, q := range []PayoutQuery{{IDs: ids}, {Keys: []string{x.what}}} {
		rows, err := x.r.Payouts(x.ctx, q)
		if err != nil {
			return false, err
		}
		if len(rows) > 0 {
			x.out.Kind = ExplainedPayout
			if err := x.addPayouts(rows); err != nil {
				return false, err
			}
			return true, x.useTransactions(TransactionQuery{PayoutIDs: []string{rows[0].ID}})
		}
	}
	return false, nil
}

// findEvent explains the subject of an event.
func (x *explainer) findEvent() (bool, error) {
	rows, err := x.r.Events(x.ctx, EventQuery{IDs: []string{x.what}})
	if err != nil || len(rows) == 0 {
		return false, err
	}
	was := x.what
	x.what = rows[0].Subject
	defer func() { x.what = was }()
	for _, find := range []func() (bool, error){x.findPayment, x.findAddress, x.findPayout} {
		if found, err := find(); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (x *explainer) findKey() (bool, error) {
	if found, err := x.usePayment(PaymentQuery{IdempotencyKeys: []string{x.what}, Limit: 1}); found || err != nil {
		return found, err
	}
	return x.useAddress(AddressQuery{IdempotencyKeys: []string{x.what}, Limit: 1})
}

// findReserved looks among the addresses that were handed to no payment. They are
// derived for it, which before Start takes a moment where there are millions.
func (x *explainer) findReserved() (bool, error) {
	address := chain.Address(x.what)
	var book *book
	for _, net := range x.gw.order {
		if parsed, err := net.codec.Parse(x.what); err == nil {
			book, address = net.book, parsed
			break
		}
	}
	if book == nil {
		return false, nil
	}
	pools, err := x.r.Pools(x.ctx)
	if err != nil {
		return false, err
	}
	if err := book.sync(x.ctx, pools); err != nil {
		return false, err
	}
	it, ours := book.own(address)
	if !ours {
		return false, nil
	}
	row := it.row(roleOf(it))
	x.out.Kind, x.out.Address = ExplainedAddress, &row
	return true, nil
}

// roleOf is what an address without a row is for.
func roleOf(it issued) Role {
	switch {
	case it.change != changeOwn:
		return RoleUnissued
	case it.index == indexFloat:
		return RoleFloat
	}
	return RoleSponsor
}

// hangings reads what hangs on the subject.
func (x *explainer) hangings() error {
	subject := ""
	switch {
	case x.out.Kind == ExplainedPayout:
		subject = x.out.Payouts[0].ID
	case x.out.Payment != nil:
		subject = x.out.Payment.ID
	case x.out.Address != nil:
		subject = x.out.Address.ID
	}
	if x.out.Kind != ExplainedPayout {
		if err := x.movers(); err != nil {
			return err
		}
	}
	if a := x.address(); a != "" {
		sums, err := x.r.Balances(x.ctx, BalanceQuery{Accounts: []Account{accountU(a), accountF(a)}})
		if err != nil {
			return err
		}
		for _, b := range sums {
			if x.held[b.Asset] == nil {
				x.held[b.Asset] = new(big.Int)
			}
			x.held[b.Asset].Add(x.held[b.Asset], b.Sum)
		}
	}
	if err := x.ledger(subject); err != nil || subject == "" {
		return err
	}
	return x.told(subject)
}

// movers finds the payouts of the money: those that were mined have rows from the
// address, those under way name their transactions.
func (x *explainer) movers() error {
	mine := map[string]bool{}
	var from []chain.Address
	for _, t := range x.out.Transactions {
		mine[t.ID] = true
		if t.Type == TypeIncoming && !slices.Contains(from, t.To) {
			from = append(from, t.To)
		}
	}
	var ids []string
	for _, a := range from {
		rows, err := x.r.Transactions(x.ctx, TransactionQuery{From: a, Types: []TransactionType{TypeInternal, TypeOutgoing}})
		if err != nil {
			return err
		}
		for _, t := range rows {
			ids = append(ids, t.PayoutID)
		}
	}
	for _, t := range x.out.Transactions {
		ids = append(ids, t.PayoutID)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" })
	slices.Sort(ids)
	var rows []Payout
	if ids = slices.Compact(ids); len(ids) > 0 {
		var err error
		if rows, err = x.r.Payouts(x.ctx, PayoutQuery{IDs: ids}); err != nil {
			return err
		}
	}
	for _, id := range x.concerned() {
		open, err := x.r.Payouts(x.ctx, PayoutQuery{Chain: id, Open: true})
		if err != nil {
			return err
		}
		for _, p := range open {
			if !slices.Contains(ids, p.ID) && slices.ContainsFunc(p.Items, func(it PayoutItem) bool { return mine[it.TransactionID] }) {
				rows = append(rows, p)
			}
		}
	}
	return x.addPayouts(rows)
}

func (x *explainer) addPayouts(rows []Payout) error {
	for _, p := range rows {
		attempts, err := x.r.Attempts(x.ctx, AttemptQuery{PayoutIDs: []string{p.ID}})
		if err != nil {
			return err
		}
		m := ExplainedMove{Payout: p, Units: p.Asset.Format(p.Amount) + " " + p.Asset.Symbol}
		for _, a := range attempts {
			m.Attempts = append(m.Attempts, ExplainedAttempt{TxID: a.TxID, Group: a.Group, Open: a.Open, Error: a.Error})
		}
		x.out.Payouts = append(x.out.Payouts, m)
	}
	return nil
}

// ledger reads the entries of a subject or, where there is none, those of the
// transactions.
func (x *explainer) ledger(subject string) (err error) {
	if subject != "" {
		x.out.Entries, err = x.r.Entries(x.ctx, EntryQuery{Subject: subject})
		return err
	}
	var ids []string
	for _, t := range x.out.Transactions {
		ids = append(ids, t.ID)
	}
	if len(ids) > 0 {
		x.out.Entries, err = x.r.Entries(x.ctx, EntryQuery{Transactions: ids})
	}
	return err
}

// told reads the events of a subject and their deliveries.
func (x *explainer) told(subject string) error {
	events, err := x.r.Events(x.ctx, EventQuery{Subject: subject, Limit: explainRows})
	if err != nil || len(events) == 0 {
		return err
	}
	at, ids := map[string]int{}, make([]string, len(events))
	for i, e := range events {
		at[e.ID], ids[i] = i, e.ID
		x.out.Events = append(x.out.Events, ExplainedEvent{ID: e.ID, Kind: e.Kind, Subject: e.Subject, Seq: e.Seq, Time: e.Time})
	}
	if len(events) == explainRows {
		x.note("the first %d events alone are shown", explainRows)
	}
	deliveries, err := x.r.Deliveries(x.ctx, DeliveryQuery{EventIDs: ids})
	for _, d := range deliveries {
		e := &x.out.Events[at[d.EventID]]
		out := ExplainedDelivery{Endpoint: d.Endpoint, Status: d.Status, Attempts: d.Attempts, LastError: d.LastError}
		if d.DoneAt.IsZero() {
			out.NextAt = d.NextAt
		}
		e.Deliveries = append(e.Deliveries, out)
	}
	return err
}

// concerned are the configured chains that matter: those of the payment and the
// transactions, or all where nothing tells.
func (x *explainer) concerned() []chain.ID {
	var ids []chain.ID
	add := func(id chain.ID) {
		if x.gw.nets[id] != nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if x.out.Payment != nil {
		add(x.out.Payment.Asset.Chain())
	}
	for _, t := range x.out.Transactions {
		add(t.Chain)
	}
	for _, p := range x.out.Payouts {
		add(p.Chain)
	}
	if len(ids) == 0 {
		for _, net := range x.gw.order {
			add(net.info.ID)
		}
	}
	return ids
}

// units writes an amount with its symbol; of an asset that is configured no longer
// in base units, with its id.
func (x *explainer) units(id chain.AssetID, n chain.Amount) string {
	a := x.gw.asset(id)
	if a.Symbol == "" {
		return n.String() + " base units of " + string(id)
	}
	return a.Format(n) + " " + a.Symbol
}
