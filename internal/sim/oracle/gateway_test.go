package oracle

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
)

// watched reports the batches of each Write once, when it has committed.
type watched struct {
	bursar.Store
	tell func(bursar.Batch)
}

func (w *watched) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	var batches []bursar.Batch
	err := w.Store.Write(ctx, func(tx bursar.Tx) error {
		batches = nil // a closure that is run again begins anew
		return fn(&watchedTx{tx, &batches})
	})
	if err == nil {
		for _, b := range batches {
			w.tell(b)
		}
	}
	return err
}

type watchedTx struct {
	bursar.Tx
	batches *[]bursar.Batch
}

func (t *watchedTx) Apply(ctx context.Context, b bursar.Batch) error {
	err := t.Tx.Apply(ctx, b)
	if err == nil {
		*t.batches = append(*t.batches, b)
	}
	return err
}

// listening tells an oracle of what is broadcast.
type listening struct {
	chain.Client
	tell func(chain.Signed)
}

func (l listening) Broadcast(ctx context.Context, s chain.Signed) error {
	l.tell(s)
	return l.Client.Broadcast(ctx, s)
}

// As hands the capabilities of the client out as they are: none of them
// broadcasts.
func (l listening) As(target any) bool {
	switch t := target.(type) {
	case *chain.BalanceReader:
		*t, _ = chain.As[chain.BalanceReader](l.Client)
	case *chain.Identifier:
		*t, _ = chain.As[chain.Identifier](l.Client)
	case *chain.TokenInspector:
		*t, _ = chain.As[chain.TokenInspector](l.Client)
	case *chain.DryRunner:
		*t, _ = chain.As[chain.DryRunner](l.Client)
	case *chain.FeeBumper:
		*t, _ = chain.As[chain.FeeBumper](l.Client)
	default:
		return false
	}
	return true
}

// logbook gives every line of a log to an oracle, and prints none.
type logbook struct{ tell func(string) }

func (l logbook) Enabled(context.Context, slog.Level) bool { return true }
func (l logbook) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l logbook) WithGroup(string) slog.Handler            { return l }
func (l logbook) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(" " + a.String())
		return true
	})
	l.tell(b.String())
	return nil
}

// world is a gateway with an oracle that watches it.
type world struct {
	*bursartest.Kit
	t      testing.TB
	oracle *Oracle
	store  bursar.Store

	mu    sync.Mutex
	early []bursar.Batch // before the oracle was there
	found []error
}

func (w *world) committed(b bursar.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.oracle == nil {
		w.early = append(w.early, b)
		return
	}
	w.note(w.oracle.Committed(b))
}

func (w *world) logged(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Contains(line, "invariant") {
		w.found = append(w.found, errors.New(line))
	}
	if w.oracle != nil {
		w.note(w.oracle.Log(line))
	}
}

func (w *world) note(err error) {
	if err != nil {
		w.found = append(w.found, err)
	}
}

func newWorld(t testing.TB, o bursartest.Options) *world {
	t.Helper()
	w := &world{t: t}
	var c *chaintest.Chain
	o.Store = func(now func() time.Time) bursar.Store {
		w.store = memory.NewWith(memory.Options{Now: now})
		return &watched{Store: w.store, tell: w.committed}
	}
	o.Client = func(in chain.Client) chain.Client {
		return listening{in, func(s chain.Signed) { w.note(w.oracle.Broadcast(s)) }}
	}
	o.Notify = append(o.Notify, bursar.NotifyFunc("shop", func(_ context.Context, e bursar.Event) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.oracle != nil {
			w.oracle.Delivered("shop", e)
		}
		return nil
	}))
	edit := o.Edit
	o.Edit = func(cfg *bursar.Config) {
		cfg.Logger = slog.New(logbook{w.logged})
		eth := cfg.Chains[0].Client.Info().Native
		eth.SweepMinimum = chain.NewAmount(1e15)
		cfg.Chains[0].Assets = append(cfg.Chains[0].Assets, eth)
		if edit != nil {
			edit(cfg)
		}
	}
	w.Kit = bursartest.New(t, o)
	c = w.Chain
	eth := w.ETH
	eth.SweepMinimum = chain.NewAmount(1e15)
	info := c.Info()
	finality := info.FinalityDepth
	w.oracle = New(Config{
		Chain: c, Read: w.store.Read, Assets: []chain.Asset{eth, w.USDC, w.USDT}, Treasury: w.Treasury, Sponsor: w.Sponsor,
		Confirmations: info.Confirmations, Finality: finality, MinSweep: map[chain.AssetID]chain.Amount{eth.ID: chain.NewAmount(1e15)},
		Endpoints: []string{"shop"}, Secrets: strings.Fields("xprv-canary"), Now: c.Now,
	})
	for _, b := range w.early {
		w.note(w.oracle.Committed(b))
	}
	for _, e := range w.Events("") {
		w.oracle.Delivered("shop", e)
	}
	w.fine()
	return w
}

// fine ends the test where the oracle complained.
func (w *world) fine() {
	w.t.Helper()
	require.NoError(w.t, errors.Join(w.found...))
}

func (w *world) pay(a chain.Asset, amount string) bursar.Payment {
	n, err := decimal.NewFromString(amount)
	require.NoError(w.t, err)
	p := w.Request(bursar.PaymentRequest{Asset: string(a.ID), Amount: n, Customer: "c"})
	w.note(w.oracle.Issued(p.ID, p.Address))
	w.note(w.oracle.Seen("kit", p))
	w.Pay(p)
	return p
}

func TestANormalFlowIsWithoutComplaint(t *testing.T) {
	w := newWorld(t, bursartest.Options{})
	p, q := w.pay(w.USDC, "25"), w.pay(w.ETH, "1.5")
	w.Settle()
	w.Settle()
	require.Equal(t, bursar.StatusSettled, w.Payment(p).Status)
	require.Equal(t, bursar.StatusSettled, w.Payment(q).Status)
	w.note(w.oracle.Seen("kit", w.Payment(p)))
	w.fine()
	require.NoError(t, w.oracle.Quiet(t.Context()))
	require.Contains(t, w.oracle.Marks(), "payment confirmed->settled")
}

func TestReorgsAreWithoutComplaint(t *testing.T) {
	w := newWorld(t, bursartest.Options{})
	p := w.pay(w.USDC, "25")
	w.Confirm()
	require.Equal(t, bursar.StatusConfirmed, w.Payment(p).Status)
	w.Reorg(3) // comes again
	w.Settle()
	w.Settle()
	require.Equal(t, bursar.StatusSettled, w.Payment(p).Status)
	q := w.pay(w.ETH, "2")
	w.Confirm()
	w.Reorg(3, chaintest.ReorgOptions{DropAll: true}) // never comes again
	w.Settle()
	w.AdvanceTime(48 * time.Hour)
	w.Settle()
	require.Equal(t, bursar.StatusExpired, w.Payment(q).Status)
	w.fine()
	require.NoError(t, w.oracle.Quiet(t.Context()))
	for _, m := range []string{"payment confirmed->pending", "payment pending->expired", "reversal L2", "event chain.deep_reorg", "transaction failed->confirming"} {
		require.Contains(t, w.oracle.Marks(), m)
	}
}
