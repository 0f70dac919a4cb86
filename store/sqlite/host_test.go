package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/store/sqlite"
)

// errRollback is a host that changes its mind.
var errRollback = errors.New("the host rolls back")

// onHost is a store on a host's own database.
func onHost(t testing.TB, path, options string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.New(context.Background(), raw(t, path, "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"+options))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// locks are the ways in which a host's transactions begin.
func locks() []string { return []string{"", "&_txlock=immediate", "&_txlock=exclusive"} }

// shop is a host with a table of orders in the gateway's database.
type shop struct {
	t     *testing.T
	store *sqlite.Store
	kit   *bursartest.Kit
}

func newShop(t *testing.T, options string, notify ...bursar.Notifier) *shop {
	t.Helper()
	h := &shop{t: t, store: onHost(t, fileIn(t), options)}
	h.kit = bursartest.New(t, bursartest.Options{
		Store:  func(now func() time.Time) bursar.Store { h.store.SetClock(now); return h.store },
		Notify: notify,
		Edit:   func(c *bursar.Config) { c.Logger = slog.New(slog.DiscardHandler) },
	})
	_, err := h.store.DB().ExecContext(t.Context(), "CREATE TABLE orders (id TEXT PRIMARY KEY, payment TEXT, paid INTEGER NOT NULL DEFAULT 0)")
	require.NoError(t, err)
	return h
}

// order takes an order and asks for its payment in one transaction, which ends as
// end says.
func (h *shop) order(id string, end error) (p bursar.Payment, err error) {
	ctx := h.t.Context()
	tx, err := h.store.DB().BeginTx(ctx, nil)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES (?)", id); err != nil {
		return p, err
	}
	p, err = h.kit.Gateway.CreatePaymentTx(ctx, h.store.Tx(tx), bursar.PaymentRequest{
		Asset: "local/ETH", Amount: decimal.NewFromInt(1), IdempotencyKey: id,
	})
	if err != nil {
		return p, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE orders SET payment = ? WHERE id = ?", p.ID, id); err != nil {
		return p, err
	}
	if end != nil {
		return p, end
	}
	return p, tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// pairs are the orders and the payments that belong to them.
func (h *shop) pairs() (orders, payments int64) {
	db := h.store.DB()
	return number(h.t, db, "SELECT count(*) FROM orders JOIN bursar_payments p ON p.id = payment"), number(h.t, db, "SELECT count(*) FROM bursar_payments")
}

// A payment exists if and only if the host's transaction commits, and the index
// that the transaction reserved goes back with it and is issued once.
func TestAPaymentInTheHostsTransaction(t *testing.T) {
	for _, options := range locks() {
		t.Run(options, func(t *testing.T) {
			h := newShop(t, options)
			require.NoError(t, h.store.Settle(t.Context()))
			lost, err := h.order("a", errRollback)
			require.ErrorIs(t, err, errRollback)
			require.Empty(t, poolsOf(t, h.store), "the reservation went back")
			p, err := h.order("a", nil)
			require.NoError(t, err)
			require.Equal(t, lost.Address, p.Address, "and is issued, once")
			orders, payments := h.pairs()
			require.EqualValues(t, 1, orders)
			require.EqualValues(t, 1, payments)
			_, err = h.order("a", nil)
			require.Error(t, err, "the order is there")

			seen := map[string]bool{string(p.Address): true}
			for n := range 20 {
				var p bursar.Payment
				if n%3 == 0 {
					p = h.kit.Create("ETH", "1")
				} else if p, err = h.order(fmt.Sprint("more ", n), nil); err != nil {
					t.Fatal(err)
				}
				require.False(t, seen[string(p.Address)], "%s a second time", p.Address)
				seen[string(p.Address)] = true
			}
			o, err := h.store.Origin(t.Context())
			require.NoError(t, err)
			for _, pool := range poolsOf(t, h.store) {
				require.GreaterOrEqual(t, max(o.Reserved[pool.Name], o.Open[pool.Name]), pool.Next)
			}
			h.kit.Pay(p)
			h.kit.Confirm()
			require.Equal(t, bursar.StatusConfirmed, h.kit.Payment(p).Status)
			report, err := h.kit.Gateway.Verify(t.Context())
			require.NoError(t, err)
			require.True(t, report.Clean(), report.String())
		})
	}
}

// The file beside the database may know more than was issued after a rollback,
// and never less.
func TestThreat_D13_ReservedInAHostsTransaction(t *testing.T) {
	s := onHost(t, fileIn(t), "")
	require.NoError(t, s.Settle(t.Context()))
	reserve := func(commit bool) {
		tx, err := s.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		first, err := s.Tx(tx).(bursar.TxReserver).Reserve(t.Context(), "pool", 2)
		require.NoError(t, err)
		o, err := s.Remembered()
		require.NoError(t, err)
		require.GreaterOrEqual(t, o["pool"], first+2, "before anybody learns of it")
		if commit {
			require.NoError(t, tx.Commit())
		} else {
			require.NoError(t, tx.Rollback())
		}
	}
	marks := func(reserved, open uint32) {
		t.Helper()
		o, err := s.Origin(t.Context())
		require.NoError(t, err)
		require.Equal(t, []uint32{reserved, open}, []uint32{o.Reserved["pool"], o.Open["pool"]})
	}
	reserve(false)
	require.Empty(t, poolsOf(t, s))
	marks(0, 2)
	reserve(true)
	marks(2, 0)
	reserve(true)
	reserve(false)
	marks(4, 6)
	require.Equal(t, []bursar.Pool{{Name: "pool", Next: 4}}, poolsOf(t, s))
	for _, n := range []uint32{0, 1 << 31} {
		tx, err := s.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = s.Tx(tx).(bursar.TxReserver).Reserve(t.Context(), "pool", n)
		require.ErrorIs(t, err, bursar.ErrInvariant)
		require.NoError(t, s.Tx(tx).Apply(t.Context(), sale(fmt.Sprint(n))), "the transaction goes on")
		require.NoError(t, tx.Commit())
	}
	require.Len(t, sales(t, s), 2)
}

// Many orders at once, some of which are rolled back; conflicts say so, and a
// repetition succeeds.
func TestOrdersInParallel(t *testing.T) {
	for _, options := range locks()[:2] {
		h := newShop(t, options)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for n := range 12 {
					var end error
					if n%4 == 3 {
						end = errRollback
					}
					for try := 0; ; try++ {
						_, err := h.order(fmt.Sprintf("%d_%d", g, n), end)
						var again *bursar.RetryTxError
						if errors.As(err, &again) && try < 1000 {
							continue
						}
						if !errors.Is(err, end) {
							t.Errorf("%s: %v", options, err)
						}
						break
					}
				}
			})
		}
		wg.Wait()
		orders, payments := h.pairs()
		require.EqualValues(t, 36, orders)
		require.EqualValues(t, 36, payments)
	}
}

// D3: a host's transaction that read before another writer was faster hears that
// it has to be run again.
func TestThreat_D3_BusySnapshotInAHostsTransaction(t *testing.T) {
	h := newShop(t, "")
	tx, err := h.store.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, func() (n int) {
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT count(*) FROM orders").Scan(&n))
		return n
	}())
	require.NoError(t, increment(h.store))
	_, err = h.kit.Gateway.CreatePaymentTx(t.Context(), h.store.Tx(tx), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	var again *bursar.RetryTxError
	require.ErrorAs(t, err, &again)
	require.ErrorIs(t, h.store.Tx(tx).Apply(t.Context(), sale("a")), bursar.ErrConflict)
	require.NoError(t, tx.Rollback())
	_, err = h.order("b", nil)
	require.NoError(t, err)
}

// A conflict leaves the host's transaction as it was before the call, and usable.
func TestAConflictLeavesTheTransactionUsable(t *testing.T) {
	h := newShop(t, "")
	require.NoError(t, put(t.Context(), h.store, sale("taken")))
	tx, err := h.store.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO orders (id) VALUES ('a')")
	require.NoError(t, err)
	both := sale("fresh")
	both.Payments = append(both.Payments, sale("taken").Payments...)
	require.ErrorIs(t, h.store.Tx(tx).Apply(t.Context(), both), bursar.ErrConflict)
	wrong := sale("wrong")
	wrong.Entries[0].Credit = wrong.Entries[0].Debit
	require.ErrorIs(t, h.store.Tx(tx).Apply(t.Context(), wrong), bursar.ErrInvariant)
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, h.store.Tx(tx).Apply(dead, sale("dead")), context.Canceled)
	require.NoError(t, h.store.Tx(tx).Apply(t.Context(), sale("b")))
	found, err := h.store.Tx(tx).Payments(t.Context(), bursar.PaymentQuery{IDs: []string{"pay_b", "pay_fresh"}})
	require.NoError(t, err)
	require.Len(t, found, 1, "it sees what it wrote")
	require.NoError(t, tx.Commit())
	require.ElementsMatch(t, []string{"taken", "b"}, sales(t, h.store))
	require.EqualValues(t, 1, number(t, h.store.DB(), "SELECT count(*) FROM orders"))
	require.ErrorIs(t, h.store.Tx(tx).Apply(t.Context(), sale("late")), sql.ErrTxDone)
}

// D10: where SQLite undoes the host's transaction, what the host writes next is
// not committed by itself.
func TestThreat_D10_TheHostsTransactionEndsWithAFullDisk(t *testing.T) {
	h := newShop(t, "")
	ctx := t.Context()
	c, err := h.store.DB().Conn(ctx)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", number(t, h.store.DB(), "PRAGMA page_count")+30))
	require.NoError(t, err)
	tx, err := c.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES ('a')")
	require.NoError(t, err)
	require.ErrorContains(t, h.store.Tx(tx).Apply(ctx, big("heavy", 4<<20)), "the disk is full")
	_, err = tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES ('b')")
	require.ErrorIs(t, err, sql.ErrTxDone)
	require.ErrorIs(t, tx.Commit(), sql.ErrTxDone)
	require.Zero(t, number(t, h.store.DB(), "SELECT count(*) FROM orders"))
}

// From gives the transaction behind a Tx, and behind no other.
func TestFrom(t *testing.T) {
	h := newShop(t, "")
	require.NoError(t, h.store.WriteHost(t.Context(), func(tx bursar.Tx) error {
		own, ok := sqlite.From(tx)
		require.True(t, ok)
		_, err := own.ExecContext(t.Context(), "INSERT INTO orders (id) VALUES ('a')")
		require.NoError(t, err)
		return tx.Apply(t.Context(), sale("a"))
	}))
	require.EqualValues(t, 1, number(t, h.store.DB(), "SELECT count(*) FROM orders"))
	for _, other := range []bursar.Store{h.store, memory.New()} {
		require.NoError(t, other.Write(t.Context(), func(tx bursar.Tx) error {
			_, ok := sqlite.From(tx)
			require.False(t, ok)
			return nil
		}))
	}
}

// What is due is asked for in the host's transaction as in the store's own.
func TestDueInTheHostsTransaction(t *testing.T) {
	h := newShop(t, "")
	now, later := sale("a"), sale("b")
	require.NoError(t, h.store.WriteHost(t.Context(), func(tx bursar.Tx) error {
		now.Deliveries[0].NextAt, later.Deliveries[0].NextAt = tx.Now(), tx.Now().Add(time.Second)
		require.NoError(t, tx.Apply(t.Context(), now))
		require.NoError(t, tx.Apply(t.Context(), later))
		due, err := tx.Deliveries(t.Context(), bursar.DeliveryQuery{Endpoint: "n", Due: true, Claim: true})
		require.NoError(t, err)
		require.Len(t, due, 1)
		require.Equal(t, "evt_a", due[0].EventID)
		return nil
	}))
}

// WriteHost ends as Write does, whatever the closure does, and gives the writer
// back.
func TestWriteHost(t *testing.T) {
	for _, options := range locks() {
		h := newShop(t, options)
		insert := func(tx bursar.Tx, id string) {
			own, ok := sqlite.From(tx)
			require.True(t, ok)
			_, err := own.ExecContext(t.Context(), "INSERT INTO orders (id) VALUES (?)", id)
			require.NoError(t, err)
			require.NoError(t, tx.Apply(t.Context(), sale(id)))
		}
		require.ErrorIs(t, h.store.WriteHost(t.Context(), func(tx bursar.Tx) error { insert(tx, "a"); return errRollback }), errRollback)
		require.PanicsWithValue(t, "host", func() {
			_ = h.store.WriteHost(t.Context(), func(tx bursar.Tx) error { insert(tx, "b"); panic("host") })
		})
		ctx, cancel := context.WithCancel(t.Context())
		require.ErrorIs(t, h.store.WriteHost(ctx, func(tx bursar.Tx) error { insert(tx, "c"); cancel(); return nil }), context.Canceled)
		require.ErrorIs(t, h.store.WriteHost(ctx, func(bursar.Tx) error { panic("not run") }), context.Canceled)
		var kept bursar.Tx
		require.NoError(t, h.store.WriteHost(t.Context(), func(tx bursar.Tx) error { insert(tx, "d"); kept = tx; return nil }))
		require.Error(t, kept.Apply(t.Context(), sale("e")), "after its end")
		require.Equal(t, []string{"d"}, sales(t, h.store))
		require.EqualValues(t, 1, number(t, h.store.DB(), "SELECT count(*) FROM orders"))
	}
}

// A handler in the store's transaction changes the host's order exactly once for
// each event, though it fails at first and two gateways deliver.
func TestNotifyTxExactlyOnce(t *testing.T) {
	var h *shop
	tries := map[string]int{}
	h = newShop(t, "&_txlock=immediate", bursar.NotifyTx("orders", func(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
		own, ok := sqlite.From(tx)
		if !ok {
			return errors.New("no transaction")
		}
		if _, err := own.ExecContext(ctx, "UPDATE orders SET paid = paid + 1 WHERE payment = ?", e.Subject); err != nil {
			return err
		}
		if tries[e.ID]++; tries[e.ID] == 1 {
			return errRollback
		}
		return nil
	}))
	p, err := h.order("a", nil)
	require.NoError(t, err)
	h.kit.Pay(p)
	h.kit.Settle()
	for range 6 {
		h.kit.AdvanceTime(time.Hour)
		h.kit.Step()
	}
	events := len(h.kit.Events(p.ID))
	require.Greater(t, events, 2)
	require.EqualValues(t, events, number(t, h.store.DB(), "SELECT paid FROM orders"))
	for id, n := range tries {
		require.GreaterOrEqual(t, n, 2, id)
	}
	require.Zero(t, number(t, h.store.DB(), "SELECT count(*) FROM bursar_deliveries WHERE status <> 'delivered'"))
}
