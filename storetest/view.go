package storetest

import (
	"context"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/stretchr/testify/require"
)

// view is a reader whose queries must succeed.
type view struct {
	t      require.TestingT
	ctx    context.Context
	reader bursar.Reader
}

func must[T any](t require.TestingT, v T, err error) T {
	require.NoError(t, err)
	return v
}

func (v view) payments(q bursar.PaymentQuery) []bursar.Payment {
	rows, err := v.reader.Payments(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) transactions(q bursar.TransactionQuery) []bursar.Transaction {
	rows, err := v.reader.Transactions(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) addresses(q bursar.AddressQuery) []bursar.Address {
	rows, err := v.reader.Addresses(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) payouts(q bursar.PayoutQuery) []bursar.Payout {
	rows, err := v.reader.Payouts(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) attempts(q bursar.AttemptQuery) []bursar.Attempt {
	rows, err := v.reader.Attempts(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) entries(q bursar.EntryQuery) []bursar.Entry {
	rows, err := v.reader.Entries(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) balances(q bursar.BalanceQuery) []bursar.Balance {
	rows, err := v.reader.Balances(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) events(q bursar.EventQuery) []bursar.Event {
	rows, err := v.reader.Events(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) deliveries(q bursar.DeliveryQuery) []bursar.Delivery {
	rows, err := v.reader.Deliveries(v.ctx, q)
	return must(v.t, rows, err)
}

func (v view) chain(id chain.ID) bursar.ChainState {
	row, err := v.reader.Chain(v.ctx, id)
	return must(v.t, row, err)
}

func (v view) pools() []bursar.Pool {
	rows, err := v.reader.Pools(v.ctx)
	return must(v.t, rows, err)
}

func (v view) endpoints(q bursar.EndpointQuery) []bursar.EndpointRow {
	rows, err := v.reader.Endpoints(v.ctx, q)
	return must(v.t, rows, err)
}

// state reads all there is.
func (v view) state() state {
	st := state{
		Payments:     v.payments(bursar.PaymentQuery{}),
		Transactions: v.transactions(bursar.TransactionQuery{}),
		Addresses:    v.addresses(bursar.AddressQuery{}),
		Payouts:      v.payouts(bursar.PayoutQuery{}),
		Attempts:     v.attempts(bursar.AttemptQuery{}),
		Entries:      v.entries(bursar.EntryQuery{}),
		Balances:     v.balances(bursar.BalanceQuery{}),
		Events:       v.events(bursar.EventQuery{}),
		Deliveries:   v.deliveries(bursar.DeliveryQuery{}),
		Pools:        v.pools(),
		Endpoints:    v.endpoints(bursar.EndpointQuery{}),
	}
	for _, id := range knownChains() {
		st.Chains = append(st.Chains, v.chain(id))
	}
	return st
}
