package bursar_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
)

// dump is everything that a store holds.
type dump struct {
	Payments     []bursar.Payment
	Transactions []bursar.Transaction
	Addresses    []bursar.Address
	Payouts      []bursar.Payout
	Attempts     []bursar.Attempt
	Entries      []bursar.Entry
	Events       []bursar.Event
	Deliveries   []bursar.Delivery
	Pools        []bursar.Pool
	Chain        bursar.ChainState
}

func dumpOf(t testing.TB, s bursar.Store) (d dump) {
	t.Helper()
	ctx := context.Background()
	require.NoError(t, s.Read(ctx, func(r bursar.Reader) error {
		var errs [10]error
		d.Payments, errs[0] = r.Payments(ctx, bursar.PaymentQuery{})
		d.Transactions, errs[1] = r.Transactions(ctx, bursar.TransactionQuery{})
		d.Addresses, errs[2] = r.Addresses(ctx, bursar.AddressQuery{})
		d.Payouts, errs[3] = r.Payouts(ctx, bursar.PayoutQuery{})
		d.Attempts, errs[4] = r.Attempts(ctx, bursar.AttemptQuery{})
		d.Entries, errs[5] = r.Entries(ctx, bursar.EntryQuery{})
		d.Events, errs[6] = r.Events(ctx, bursar.EventQuery{})
		d.Deliveries, errs[7] = r.Deliveries(ctx, bursar.DeliveryQuery{})
		d.Pools, errs[8] = r.Pools(ctx)
		d.Chain, errs[9] = r.Chain(ctx, "eip155:1337")
		return errors.Join(errs[:]...)
	}))
	return d
}

// created counts the payment.created events.
func (d dump) created() (n int) {
	for _, e := range d.Events {
		if e.Kind == bursar.PaymentCreated {
			n++
		}
	}
	return n
}

// issued are the addresses that belong to payments or customers.
func (d dump) issued() (out []chain.Address) {
	for _, a := range d.Addresses {
		if a.Role == bursar.RolePayment || a.Role == bursar.RolePermanent {
			out = append(out, a.Address)
		}
	}
	return out
}

func quiet(c *bursar.Config) { c.Logger = slog.New(slog.DiscardHandler) }

// newKit is a kit without log output.
func newKit(t testing.TB, o bursartest.Options) *bursartest.Kit {
	t.Helper()
	edit := o.Edit
	o.Edit = func(c *bursar.Config) {
		quiet(c)
		if edit != nil {
			edit(c)
		}
	}
	return bursartest.New(t, o)
}

// many runs fn n times at once.
func many(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

func isField(t testing.TB, err error, field string, code bursar.Code) {
	t.Helper()
	var bad *bursar.FieldError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, field, bad.Field)
	require.Equal(t, code, bad.Code)
	require.NotEmpty(t, bad.Reason)
}

func amount(text string) decimal.Decimal { return decimal.RequireFromString(text) }

// usdc is a request for an amount of USDC.
func usdc(text string) bursar.PaymentRequest {
	return bursar.PaymentRequest{Asset: "local/USDC", Amount: amount(text)}
}
