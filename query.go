package bursar

import (
	"context"
	"fmt"
	"iter"
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
	// Items are the rows; Next is the cursor of the following page, empty where
	// this one is the last.
	Items []T
	Next  string // Next is the attempt after.
}

// Payments returns a page of payments, newest first. limit is 1 to 100; 0 means
// 20. cursor is Page.Next of the page before; empty begins. Rows that appear
// meanwhile neither repeat nor shift others.
func (g *Gateway) Payments(ctx context.Context, f PaymentFilter, limit int, cursor string) (Page[Payment], error) {
	q := PaymentQuery{Customer: f.Customer, Metadata: f.Metadata, Since: f.Since, Until: f.Until}
	if f.IdempotencyKey != "" {
		q.IdempotencyKeys = []string{f.IdempotencyKey}
	}
	if f.Address != "" {
		q.Addresses = []chain.Address{f.Address}
	}
	if f.Status != "" {
		if !f.Status.valid() {
			return Page[Payment]{}, fieldErr("PaymentFilter.Status", CodeInvalid, "%q is no status", f.Status)
		}
		q.Statuses = []Status{f.Status}
	}
	if f.Asset != "" && g != nil {
		_, asset, err := g.lookupAsset("PaymentFilter.Asset", f.Asset)
		if err != nil {
			return Page[Payment]{}, err
		}
		q.Assets = []chain.AssetID{asset.ID}
	}
	return listPage(limit, cursor, func(n int, after Cursor) ([]Payment, error) {
		q.Limit, q.After = n, after
		return g.payments(ctx, q)
	}, func(p Payment) Cursor { return Cursor{p.CreatedAt, p.ID} })
}

func (s Status) valid() bool {
	for _, known := range anyStatus {
		if s == known {
			return true
		}
	}
	return false
}

// AllPayments iterates over all payments of a filter, a page at a time. An
// error ends the iteration as its last pair.
func (g *Gateway) AllPayments(ctx context.Context, f PaymentFilter) iter.Seq2[Payment, error] {
	return all(func(cursor string) (Page[Payment], error) { return g.Payments(ctx, f, MaxPage, cursor) })
}

// payments reads payments and overlays what depends on the newest block.
func (g *Gateway) payments(ctx context.Context, q PaymentQuery) ([]Payment, error) {
	var rows []Payment
	err := g.read(ctx, func(r Reader) (err error) {
		if rows, err = r.Payments(ctx, q); err != nil {
			return err
		}
		tips := map[chain.ID]uint64{}
		for i := range rows {
			p := &rows[i]
			id := p.Asset.Chain()
			if _, known := tips[id]; !known && p.Block > 0 {
				st, err := r.Chain(ctx, id)
				if err != nil {
					return err
				}
				tips[id] = st.Tip().Height
			}
			if tip := tips[id]; p.Block > 0 && tip >= p.Block {
				p.Confirmations = min(tip-p.Block+1, p.RequiredConfirmations)
			}
		}
		return nil
	})
	return rows, err
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
	q := TransactionQuery{Chain: f.Chain, From: f.From, To: f.To, Since: f.Since, Until: f.Until}
	if f.Asset != "" && g != nil {
		_, asset, err := g.lookupAsset("TransactionFilter.Asset", f.Asset)
		if err != nil {
			return Page[Transaction]{}, err
		}
		q.Assets = []chain.AssetID{asset.ID}
	}
	if f.PaymentID != "" {
		q.PaymentIDs = []string{f.PaymentID}
	}
	if f.AddressID != "" {
		q.AddressIDs = []string{f.AddressID}
	}
	if f.Hash != "" {
		q.Hashes = []chain.TxID{f.Hash}
	}
	if f.Type != "" {
		q.Types = []TransactionType{f.Type}
	}
	if f.Status != "" {
		q.Statuses = []TransactionStatus{f.Status}
	}
	return listPage(limit, cursor, func(n int, after Cursor) ([]Transaction, error) {
		q.Limit, q.After = n, after
		return g.transactions(ctx, q)
	}, func(t Transaction) Cursor { return Cursor{t.CreatedAt, t.ID} })
}

// AllTransactions iterates over all transactions of a filter.
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
// 0 means 20.
func (g *Gateway) Payouts(ctx context.Context, q PayoutQuery) (rows []Payout, err error) {
	if q.Limit, err = pageSize(q.Limit); err != nil {
		return nil, err
	}
	err = g.read(ctx, func(r Reader) (err error) {
		rows, err = r.Payouts(ctx, q)
		return err
	})
	return rows, err
}

// Address returns the row of an address of ours, by its text in any form that
// the chain's codec reads, or by its id. ErrNotFound where it is not ours.
func (g *Gateway) Address(ctx context.Context, address string) (Address, error) {
	if g == nil {
		return Address{}, ErrNotStarted
	}
	q := AddressQuery{IDs: []string{address}}
	for _, net := range g.order {
		if a, err := net.codec.Parse(address); err == nil {
			q = AddressQuery{Addresses: []chain.Address{a}}
			break
		}
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
