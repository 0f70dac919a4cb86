package memory

import (
	"context"
	"math"

	"github.com/bursar-go/bursar"
)

// transactions is the table of transactions.
type transactions struct {
	*table[bursar.Transaction]
	created, payment, address, payout, hash, from, to, status *index[bursar.Transaction]
	// block has the live ones; confirm and final those that wait for a height,
	// collect those with money to sweep.
	block, confirm, final, collect *index[bursar.Transaction]
}

func newTransactions() *transactions {
	type row = bursar.Transaction
	t := newTable("transaction", func(x *row) string { return x.ID }, func(x *row) *int64 { return &x.Version })
	t.alone("transfer", func(x *row) string { return string(x.Chain) + "\x00" + x.Transfer.String() })
	by := func(part func(*row) string) *index[row] {
		return t.ordered(func(x *row, to []key) []key {
			if p := part(x); p != "" {
				return append(to, at(p, x.CreatedAt))
			}
			return to
		})
	}
	return &transactions{
		table:   t,
		created: t.ordered(func(x *row, to []key) []key { return append(to, at("", x.CreatedAt)) }),
		payment: by(func(x *row) string { return x.PaymentID }),
		address: by(func(x *row) string { return x.AddressID }),
		payout:  by(func(x *row) string { return x.PayoutID }),
		hash:    by(func(x *row) string { return string(x.Transfer.Tx) }),
		from:    by(func(x *row) string { return string(x.From) }),
		to:      by(func(x *row) string { return string(x.To) }),
		status:  by(func(x *row) string { return string(x.Status) }),
		block: by(func(x *row) string {
			if !x.Live() {
				return ""
			}
			return string(x.BlockHash)
		}),
		confirm: t.ordered(func(x *row, to []key) []key {
			if x.Status != bursar.TxConfirming {
				return to
			}
			return append(to, atHeight(string(x.Chain), x.ConfirmAt))
		}),
		final: t.ordered(func(x *row, to []key) []key {
			if x.Status != bursar.TxConfirmed || x.Final {
				return to
			}
			return append(to, atHeight(string(x.Chain), x.Block))
		}),
		collect: by(func(x *row) string {
			if !sweepable(x) {
				return ""
			}
			return string(x.Chain)
		}),
	}
}

// sweepable reports whether a transaction has final money that nobody has
// discharged or reserved. A sum that overflows is above every amount.
func sweepable(x *bursar.Transaction) bool {
	taken, err := x.Discharged.Add(x.Reserved)
	return x.Type == bursar.TypeIncoming && x.Final && err == nil && taken.Less(x.Amount)
}

// Transactions implements bursar.Reader.
func (r *reader) Transactions(ctx context.Context, q bursar.TransactionQuery) ([]bursar.Transaction, error) {
	if q.Chain == "" && (q.ConfirmBy > 0 || q.FinalBy > 0 || q.Sweepable) {
		return nil, &bursar.FieldError{
			Field: "TransactionQuery.Chain", Code: bursar.CodeRequired,
			Reason: "ConfirmBy, FinalBy and Sweepable need a chain",
		}
	}
	match := func(x *bursar.Transaction) bool { return wantsTransaction(&q, x) }
	order := func(a, b *bursar.Transaction) int { return -compareTime(a.CreatedAt, a.ID, b.CreatedAt, b.ID) }
	found, err := r.findTransactions(ctx, &q, match)
	if err != nil {
		return nil, err
	}
	return copies(finish(found, order, q.Limit), copyTransaction), nil
}

// findTransactions takes the narrowest index that a condition offers.
func (r *reader) findTransactions(ctx context.Context, q *bursar.TransactionQuery, match func(*bursar.Transaction) bool) ([]*bursar.Transaction, error) {
	t := r.s.transactions
	list := func(x *index[bursar.Transaction], parts []string) ([]*bursar.Transaction, error) {
		return scan(ctx, r, x, newest(parts, q.After, q.Since, q.Until, q.Limit), match)
	}
	upTo := func(x *index[bursar.Transaction], height uint64) ([]*bursar.Transaction, error) {
		bound := int64(min(height, math.MaxInt64))
		sp := span{parts: parts(q.Chain), done: func(k key) bool { return k.hi > bound }}
		return scan(ctx, r, x, sp, match)
	}
	switch {
	case len(q.IDs) > 0:
		return byID(ctx, r, t.table, q.IDs, match)
	case len(q.PaymentIDs) > 0:
		return list(t.payment, q.PaymentIDs)
	case len(q.PayoutIDs) > 0:
		return list(t.payout, q.PayoutIDs)
	case len(q.Hashes) > 0:
		return list(t.hash, parts(q.Hashes...))
	case len(q.AddressIDs) > 0:
		return list(t.address, q.AddressIDs)
	case len(q.Blocks) > 0:
		return list(t.block, parts(q.Blocks...))
	case q.ConfirmBy > 0:
		return upTo(t.confirm, q.ConfirmBy)
	case q.FinalBy > 0:
		return upTo(t.final, q.FinalBy)
	case q.Sweepable:
		return list(t.collect, parts(q.Chain))
	case q.To != "":
		return list(t.to, parts(q.To))
	case q.From != "":
		return list(t.from, parts(q.From))
	case len(q.Statuses) > 0:
		return list(t.status, parts(q.Statuses...))
	}
	return list(t.created, whole())
}

func wantsTransaction(q *bursar.TransactionQuery, x *bursar.Transaction) bool {
	switch {
	case len(q.Blocks) > 0 && !(x.Live() && in(q.Blocks, x.BlockHash)),
		q.ConfirmBy > 0 && !(x.Status == bursar.TxConfirming && x.ConfirmAt <= q.ConfirmBy),
		q.FinalBy > 0 && !(x.Status == bursar.TxConfirmed && !x.Final && x.Block <= q.FinalBy),
		q.Sweepable && !sweepable(x):
		return false
	}
	return in(q.IDs, x.ID) && in(q.PaymentIDs, x.PaymentID) && in(q.AddressIDs, x.AddressID) &&
		in(q.PayoutIDs, x.PayoutID) && is(q.Chain, x.Chain) && in(q.Hashes, x.Transfer.Tx) &&
		in(q.Assets, x.Asset) && in(q.Types, x.Type) && in(q.Statuses, x.Status) &&
		is(q.From, x.From) && is(q.To, x.To) &&
		within(x.CreatedAt, q.Since, q.Until) && after(q.After, x.CreatedAt, x.ID, true)
}
