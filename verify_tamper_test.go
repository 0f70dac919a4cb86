package bursar_test

import (
	"context"
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// tampered is a store whose rows somebody changed by hand: edit gets a pointer
// to each row on its way out, and returns false to lose it.
type tampered struct {
	bursar.Store
	edit func(row any) bool
	// sharer is one more payment at the address of another one.
	sharer *bursar.Payment
}

func (s *tampered) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	return s.Store.Read(ctx, func(r bursar.Reader) error { return fn(tamperedReader{r, s}) })
}

type tamperedReader struct {
	bursar.Reader
	by *tampered
}

func tamper[T any](by *tampered, rows []T, err error) ([]T, error) {
	var out []T
	for i := range rows {
		if by.edit == nil || by.edit(&rows[i]) {
			out = append(out, rows[i])
		}
	}
	return out, err
}

func (r tamperedReader) Payments(ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
	rows, err := r.Reader.Payments(ctx, q)
	if s := r.by.sharer; s != nil && slices.Contains(q.Addresses, s.Address) {
		rows = append(rows, *s)
	}
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Transactions(ctx context.Context, q bursar.TransactionQuery) ([]bursar.Transaction, error) {
	rows, err := r.Reader.Transactions(ctx, q)
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Addresses(ctx context.Context, q bursar.AddressQuery) ([]bursar.Address, error) {
	rows, err := r.Reader.Addresses(ctx, q)
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Payouts(ctx context.Context, q bursar.PayoutQuery) ([]bursar.Payout, error) {
	rows, err := r.Reader.Payouts(ctx, q)
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Attempts(ctx context.Context, q bursar.AttemptQuery) ([]bursar.Attempt, error) {
	rows, err := r.Reader.Attempts(ctx, q)
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Entries(ctx context.Context, q bursar.EntryQuery) ([]bursar.Entry, error) {
	rows, err := r.Reader.Entries(ctx, q)
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Balances(ctx context.Context, q bursar.BalanceQuery) ([]bursar.Balance, error) {
	rows, err := r.Reader.Balances(ctx, q)
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Events(ctx context.Context, q bursar.EventQuery) ([]bursar.Event, error) {
	rows, err := r.Reader.Events(ctx, q)
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Deliveries(ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	rows, err := r.Reader.Deliveries(ctx, q)
	return tamper(r.by, rows, err)
}

func (r tamperedReader) Chain(ctx context.Context, id chain.ID) (bursar.ChainState, error) {
	st, err := r.Reader.Chain(ctx, id)
	if r.by.edit != nil && err == nil {
		r.by.edit(&st)
	}
	return st, err
}
