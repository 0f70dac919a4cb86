package bursar_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// meter counts what a scan costs: calls of the node, look-ups in the watched set,
// and rows of the store.
type meter struct {
	mu sync.Mutex
	n  map[string]int
}

func (m *meter) add(what string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n[what] += n
}

// during returns what do cost.
func (m *meter) during(do func()) map[string]int {
	m.mu.Lock()
	m.n = map[string]int{}
	m.mu.Unlock()
	do()
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.n)
}

// meteredClient counts the look-ups of its pages.
type meteredClient struct {
	chain.Client
	m *meter
}

func (c meteredClient) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	return c.Client.Transfers(ctx, from, to, meteredWatch{w, c.m})
}

func (c meteredClient) As(target any) bool {
	wrapper, ok := c.Client.(interface{ As(any) bool })
	return ok && wrapper.As(target)
}

type meteredWatch struct {
	chain.Watch
	m *meter
}

func (w meteredWatch) Match(key []byte) (uint32, bool) {
	w.m.add("look-ups", 1)
	return w.Watch.Match(key)
}

func (w meteredWatch) Keys() iter.Seq[[]byte] {
	w.m.add("enumerations", 1)
	return w.Watch.Keys()
}

// meteredStore counts the rows that are read of the tables that grow.
type meteredStore struct {
	bursar.Store
	m *meter
}

func (s meteredStore) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	return s.Store.Read(ctx, func(r bursar.Reader) error { return fn(meteredReader{r, s.m}) })
}

func (s meteredStore) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return s.Store.Write(ctx, func(tx bursar.Tx) error { return fn(meteredTx{tx, meteredReader{tx, s.m}}) })
}

type meteredReader struct {
	bursar.Reader
	m *meter
}

func (r meteredReader) Payments(ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
	rows, err := r.Reader.Payments(ctx, q)
	r.m.add("rows", len(rows))
	return rows, err
}

func (r meteredReader) Addresses(ctx context.Context, q bursar.AddressQuery) ([]bursar.Address, error) {
	rows, err := r.Reader.Addresses(ctx, q)
	r.m.add("rows", len(rows))
	return rows, err
}

func (r meteredReader) Transactions(ctx context.Context, q bursar.TransactionQuery) ([]bursar.Transaction, error) {
	rows, err := r.Reader.Transactions(ctx, q)
	r.m.add("rows", len(rows))
	return rows, err
}

func (r meteredReader) Deliveries(ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	rows, err := r.Reader.Deliveries(ctx, q)
	r.m.add("rows", len(rows))
	return rows, err
}

type meteredTx struct {
	bursar.Tx
	r meteredReader
}

func (t meteredTx) Payments(ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
	return t.r.Payments(ctx, q)
}

func (t meteredTx) Addresses(ctx context.Context, q bursar.AddressQuery) ([]bursar.Address, error) {
	return t.r.Addresses(ctx, q)
}

func (t meteredTx) Transactions(ctx context.Context, q bursar.TransactionQuery) ([]bursar.Transaction, error) {
	return t.r.Transactions(ctx, q)
}

func (t meteredTx) Deliveries(ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	return t.r.Deliveries(ctx, q)
}

// TestThreat_G16_UnpaidPaymentsCostNothing: a block with one of their payments in
// it, and one without, take the same calls, the same look-ups and the same rows
// however many others wait for their money.
func TestThreat_G16_UnpaidPaymentsCostNothing(t *testing.T) {
	costs := func(open int) (out []map[string]int) {
		m := &meter{n: map[string]int{}}
		var store meteredStore
		f := newFlow(t, bursartest.Options{
			Client: func(c chain.Client) chain.Client { return meteredClient{c, m} },
			Edit: func(c *bursar.Config) {
				store = meteredStore{c.Store, m}
				c.Store = store
			},
		})
		f.Chain.Fail(func(c chaintest.Call) error {
			if !c.After {
				m.add("calls of "+string(c.Method), 1)
			}
			return nil
		})
		p := f.Create("USDC", "10")
		for range open {
			ask(t, f.Gateway, "USDC")
		}
		step := func() {
			t.Helper()
			require.NoError(t, f.Gateway.Step(t.Context()))
		}
		step() // tells of their creation
		f.Chain.Mine(1)
		step() // derives what is watched beyond them
		for range 3 {
			f.Chain.Mine(1)
			out = append(out, m.during(step))
		}
		f.Pay(p)
		for range f.Chain.Info().Confirmations + 1 {
			f.Chain.Mine(1)
			out = append(out, m.during(step))
		}
		require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status)
		return out
	}
	few, many := costs(3), costs(3000)
	for i := range few {
		require.Equal(t, few[i], many[i], "block %d", i)
		require.Zero(t, many[i]["enumerations"], "block %d", i)
		require.NotZero(t, many[i]["calls of "+string(chaintest.MethodTransfers)], fmt.Sprint(many[i]))
	}
}
