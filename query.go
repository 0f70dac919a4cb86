package bursar

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Bounds of lists.
const (
	// DefaultPage and MaxPage are the usual and the largest number of rows.
	DefaultPage = 20
	MaxPage     = 100
)

// Payment returns one payment, its confirmations as of the newest scanned
// block. ErrNotFound where there is none.
func (g *Gateway) Payment(ctx context.Context, id string) (Payment, error) {
	rows, err := g.payments(ctx, PaymentQuery{IDs: []string{id}, Limit: 1})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%w: payment %q", ErrNotFound, id)
	}
	if err != nil {
		return Payment{}, err
	}
	return rows[0], nil
}

// PaymentFilter selects payments; empty fields are no condition.
type PaymentFilter struct {
	// IdempotencyKey and Address find one payment each.
	IdempotencyKey string
	Address        chain.Address // Address is the address of ours.
	// Status, Asset (id or alias) and Customer select.
	Status   Status
	Asset    string // Asset is the CAIP-19 id.
	Customer string // Customer is the host's name of the payer.
	// Metadata must all be equal.
	Metadata map[string]string
	// Since and Until bound the creation: Since <= created < Until.
	Since, Until time.Time
}

// Page is one page of a list, newest first.
type Page[T any] struct {
	Items []T // Items are the rows.
	// Next is the cursor of the following page, empty where this one is the last.
	Next string
}

// Payments returns a page of payments, newest first. limit is 1 to 100; 0 means
// 20. cursor is Page.Next of the page before; empty begins. Rows that appear
// meanwhile neither repeat nor shift others. A bad field, limit or cursor is a
// *FieldError.
func (g *Gateway) Payments(ctx context.Context, f PaymentFilter, limit int, cursor string) (Page[Payment], error) {
	q, err := g.paymentQuery(f)
	if err != nil {
		return Page[Payment]{}, err
	}
	return listPage(limit, cursor, func(n int, after Cursor) ([]Payment, error) {
		q.Limit, q.After = n, after
		return g.payments(ctx, q)
	}, func(p Payment) Cursor { return Cursor{p.CreatedAt, p.ID} })
}

func (g *Gateway) paymentQuery(f PaymentFilter) (q PaymentQuery, err error) {
	if g == nil || g.store == nil {
		return q, ErrNotStarted
	}
	q = PaymentQuery{Customer: f.Customer, Metadata: f.Metadata, Since: f.Since, Until: f.Until}
	q.IdempotencyKeys = only(f.IdempotencyKey)
	q.Addresses = only(g.canonical(f.Address))
	if q.Statuses, err = oneOf("PaymentFilter.Status", f.Status, anyStatus); err != nil {
		return q, err
	}
	if q.Assets, err = g.filterAsset("PaymentFilter.Asset", f.Asset); err != nil {
		return q, err
	}
	return q, checkSpan("PaymentFilter.Until", f.Since, f.Until)
}

// only makes a condition of a value; the empty one is none.
func only[T ~string](value T) []T {
	if value == "" {
		return nil
	}
	return []T{value}
}

// oneOf makes a condition of a value that must be one of those known.
func oneOf[T ~string](field string, value T, known []T) ([]T, error) {
	if value != "" && !slices.Contains(known, value) {
		return nil, fieldErr(field, CodeInvalid, "%q is none of %q", value, known)
	}
	return only(value), nil
}

func checkSpan(field string, since, until time.Time) error {
	if !until.IsZero() && until.Before(since) {
		return fieldErr(field, CodeOutOfRange, "%s is before Since, %s", until, since)
	}
	return nil
}

// canonical is the form in which the store has an address; what no chain reads
// stays as it is, and finds nothing.
func (g *Gateway) canonical(a chain.Address) chain.Address {
	for _, net := range g.order {
		if parsed, err := net.codec.Parse(string(a)); err == nil {
			return parsed
		}
	}
	return a
}

// filterAsset makes a condition of an alias of a configured asset, or of any
// asset id: rows outlive the configuration.
func (g *Gateway) filterAsset(field, name string) ([]chain.AssetID, error) {
	if name == "" {
		return nil, nil
	}
	_, asset, err := g.lookupAsset(field, name)
	if err == nil {
		return only(asset.ID), nil
	}
	if id, bad := chain.ParseAssetID(name); bad == nil {
		return only(id), nil
	}
	return nil, err
}

// AllPayments iterates over all payments of a filter, newest first, a page at a
// time. An error ends the iteration as its last pair.
func (g *Gateway) AllPayments(ctx context.Context, f PaymentFilter) iter.Seq2[Payment, error] {
	return all(func(cursor string) (Page[Payment], error) { return g.Payments(ctx, f, MaxPage, cursor) })
}

// payments reads payments as of the newest block.
func (g *Gateway) payments(ctx context.Context, q PaymentQuery) (rows []Payment, err error) {
	err = g.read(ctx, func(r Reader) (err error) {
		if rows, err = r.Payments(ctx, q); err != nil {
			return err
		}
		several := make([]*Payment, len(rows))
		for i := range rows {
			several[i] = &rows[i]
		}
		return deepen(ctx, r, several...)
	})
	return rows, err
}

// deepen overlays what depends on the newest block and is therefore not kept
// with a payment.
func deepen(ctx context.Context, r Reader, payments ...*Payment) error {
	tips := map[chain.ID]uint64{}
	for _, p := range payments {
		p.Confirmations = 0
		if p.Block == 0 {
			continue
		}
		id := p.Asset.Chain()
		if _, known := tips[id]; !known {
			st, err := r.Chain(ctx, id)
			if err != nil {
				return err
			}
			tips[id] = st.Tip().Height
		}
		if tip := tips[id]; tip >= p.Block {
			p.Confirmations = min(tip-p.Block+1, p.RequiredConfirmations)
		}
	}
	return nil
}

// TransactionFilter selects transactions; empty fields are no condition.
type TransactionFilter struct {
	PaymentID, AddressID string            // PaymentID is the payment; AddressID is the address's row.
	Chain                ChainID           // Chain is the network, as CAIP-2.
	Asset                string            // Asset is the CAIP-19 id.
	Type                 TransactionType   // Type is the direction.
	Status               TransactionStatus // Status is how far it has come.
	From, To             chain.Address     // From is the sender; To is the receiver.
	// Hash selects all movements of one on-chain transaction.
	Hash         chain.TxID
	Since, Until time.Time // Since bounds the creation from below, inclusive; Until bounds the creation from above, exclusive.
}

// Transaction returns one transaction. ErrNotFound where there is none.
func (g *Gateway) Transaction(ctx context.Context, id string) (Transaction, error) {
	rows, err := g.transactions(ctx, TransactionQuery{IDs: []string{id}})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%w: transaction %q", ErrNotFound, id)
	}
	if err != nil {
		return Transaction{}, err
	}
	return rows[0], nil
}

// Transactions returns a page of transactions, newest first; see Payments for
// limit and cursor.
func (g *Gateway) Transactions(ctx context.Context, f TransactionFilter, limit int, cursor string) (Page[Transaction], error) {
	q, err := g.transactionQuery(f)
	if err != nil {
		return Page[Transaction]{}, err
	}
	return listPage(limit, cursor, func(n int, after Cursor) ([]Transaction, error) {
		q.Limit, q.After = n, after
		return g.transactions(ctx, q)
	}, func(t Transaction) Cursor { return Cursor{t.CreatedAt, t.ID} })
}

func (g *Gateway) transactionQuery(f TransactionFilter) (q TransactionQuery, err error) {
	if g == nil || g.store == nil {
		return q, ErrNotStarted
	}
	q = TransactionQuery{Chain: f.Chain, From: g.canonical(f.From), To: g.canonical(f.To), Since: f.Since, Until: f.Until}
	q.PaymentIDs, q.AddressIDs, q.Hashes = only(f.PaymentID), only(f.AddressID), only(f.Hash)
	if f.Chain != "" {
		if _, err := chain.ParseID(string(f.Chain)); err != nil {
			return q, &FieldError{Field: "TransactionFilter.Chain", Code: CodeInvalid, Reason: "not a CAIP-2 id", Err: err}
		}
	}
	if q.Assets, err = g.filterAsset("TransactionFilter.Asset", f.Asset); err != nil {
		return q, err
	}
	if q.Types, err = oneOf("TransactionFilter.Type", f.Type, []TransactionType{TypeIncoming, TypeOutgoing, TypeInternal}); err != nil {
		return q, err
	}
	known := []TransactionStatus{TxPending, TxConfirming, TxConfirmed, TxFailed, TxReplaced}
	if q.Statuses, err = oneOf("TransactionFilter.Status", f.Status, known); err != nil {
		return q, err
	}
	return q, checkSpan("TransactionFilter.Until", f.Since, f.Until)
}

// AllTransactions iterates over all transactions of a filter; see AllPayments.
func (g *Gateway) AllTransactions(ctx context.Context, f TransactionFilter) iter.Seq2[Transaction, error] {
	return all(func(cursor string) (Page[Transaction], error) { return g.Transactions(ctx, f, MaxPage, cursor) })
}

func (g *Gateway) transactions(ctx context.Context, q TransactionQuery) (rows []Transaction, err error) {
	err = g.read(ctx, func(r Reader) (err error) {
		rows, err = r.Transactions(ctx, q)
		return err
	})
	return rows, err
}

// Payout returns one payout with its attempts. ErrNotFound where there is none.
func (g *Gateway) Payout(ctx context.Context, id string) (p Payout, attempts []Attempt, err error) {
	err = g.read(ctx, func(r Reader) error {
		rows, err := r.Payouts(ctx, PayoutQuery{IDs: []string{id}})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("%w: payout %q", ErrNotFound, id)
		}
		p = rows[0]
		attempts, err = r.Attempts(ctx, AttemptQuery{PayoutIDs: []string{id}})
		return err
	})
	return p, attempts, err
}

// Payouts returns payouts, oldest first; see PayoutQuery. Limit is at most 100,
// 0 means 20. A kind, status or limit that cannot be is a *FieldError.
func (g *Gateway) Payouts(ctx context.Context, q PayoutQuery) (rows []Payout, err error) {
	if q.Limit, err = pageSize(q.Limit); err != nil {
		return nil, err
	}
	for _, k := range q.Kinds {
		if !slices.Contains([]PayoutKind{PayoutSweep, PayoutTopUp, PayoutRefund, PayoutWithdrawal, PayoutCancel}, k) {
			return nil, fieldErr("PayoutQuery.Kinds", CodeInvalid, "%q is no kind", k)
		}
	}
	for _, s := range q.Statuses {
		if !s.valid() {
			return nil, fieldErr("PayoutQuery.Statuses", CodeInvalid, "%q is no status", s)
		}
	}
	err = g.read(ctx, func(r Reader) (err error) {
		rows, err = r.Payouts(ctx, q)
		return err
	})
	return rows, err
}

// valid reports whether it is one of the statuses.
func (s PayoutStatus) valid() bool {
	switch s {
	case PayoutAwaitingApproval, PayoutPlanned, PayoutSigned, PayoutBroadcast, PayoutConfirming, PayoutConfirmed,
		PayoutConfirmingFailed, PayoutFailed, PayoutCanceled, PayoutHalted:
		return true
	}
	return false
}

// Address returns the row of an address of ours, by its text in any form that
// the chain's codec reads, or by its id. ErrNotFound where it is not ours.
func (g *Gateway) Address(ctx context.Context, address string) (Address, error) {
	if g == nil {
		return Address{}, ErrNotStarted
	}
	q := AddressQuery{Addresses: []chain.Address{g.canonical(chain.Address(address))}}
	if strings.HasPrefix(address, "addr_") {
		q = AddressQuery{IDs: []string{address}}
	}
	var rows []Address
	err := g.read(ctx, func(r Reader) (err error) {
		rows, err = r.Addresses(ctx, q)
		return err
	})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%w: address %q", ErrNotFound, address)
	}
	if err != nil {
		return Address{}, err
	}
	return rows[0], nil
}

// Events returns the events of one subject in order, those after a sequence
// number. limit is at most 100, 0 means 20.
func (g *Gateway) Events(ctx context.Context, subject string, after int64, limit int) (rows []Event, err error) {
	if subject == "" {
		return nil, fieldErr("Events.Subject", CodeRequired, "a payment, address, payout or chain id")
	}
	if limit, err = pageSize(limit); err != nil {
		return nil, err
	}
	err = g.read(ctx, func(r Reader) (err error) {
		rows, err = r.Events(ctx, EventQuery{Subject: subject, AfterSeq: after, Limit: limit})
		return err
	})
	return rows, err
}
