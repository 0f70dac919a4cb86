package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/internal/cutproxy"
	"github.com/bursar-go/bursar/store/postgres"
)

// orders is a host's own table in the same database. It is gone with the test.
func orders(t *testing.T, dsn string) {
	t.Helper()
	query(t, dsn, "CREATE TABLE public.orders (id text PRIMARY KEY, payment text NOT NULL DEFAULT '', changes bigint NOT NULL DEFAULT 0)")
	t.Cleanup(func() { query(t, dsn, "DROP TABLE public.orders") })
}

// hostTx is a transaction of the host's by one of two drivers.
type hostTx struct {
	tx     bursar.Tx
	exec   func(sql string, args ...any) error
	commit func() error
	undo   func() error
}

// onDrivers runs a test with pgx and with database/sql, at each isolation level.
func onDrivers(t *testing.T, test func(t *testing.T, s *postgres.Store, begin func() hostTx)) {
	for _, level := range []struct {
		native pgx.TxIsoLevel
		std    sql.IsolationLevel
	}{{pgx.ReadCommitted, sql.LevelReadCommitted}, {pgx.RepeatableRead, sql.LevelRepeatableRead}, {pgx.Serializable, sql.LevelSerializable}} {
		t.Run("pgx "+string(level.native), func(t *testing.T) {
			dsn := prepared(t)
			orders(t, dsn)
			s := open(t, dsn)
			test(t, s, func() hostTx {
				tx, err := s.Pool().BeginTx(context.Background(), pgx.TxOptions{IsoLevel: level.native})
				require.NoError(t, err)
				return hostTx{
					tx: s.Tx(tx), commit: func() error { return tx.Commit(context.Background()) }, undo: func() error { return tx.Rollback(context.Background()) },
					exec: func(text string, args ...any) error {
						_, err := tx.Exec(context.Background(), text, args...)
						return err
					},
				}
			})
		})
		t.Run("database/sql "+string(level.native), func(t *testing.T) {
			dsn := prepared(t)
			orders(t, dsn)
			s := open(t, dsn)
			db := stdlib.OpenDBFromPool(s.Pool())
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			test(t, s, func() hostTx {
				tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: level.std})
				require.NoError(t, err)
				return hostTx{
					tx: s.SQLTx(tx), commit: tx.Commit, undo: tx.Rollback,
					exec: func(text string, args ...any) error {
						_, err := tx.ExecContext(context.Background(), text, args...)
						return err
					},
				}
			})
		})
	}
}

// TestTheHostsTransaction: what is applied in it is there if and only if the host
// commits, beside the host's own rows, and every step of the scenario works.
func TestTheHostsTransaction(t *testing.T) {
	want := course(t)
	onDrivers(t, func(t *testing.T, s *postgres.Store, begin func() hostTx) {
		for i, step := range scenario() {
			h := begin()
			require.NoError(t, h.exec("INSERT INTO public.orders (id) VALUES ($1)", step.name))
			require.NoError(t, step.run(t.Context(), h.tx), step.name)
			require.NoError(t, h.undo())
			require.Equal(t, want[i], contentOf(t, s), "%s was rolled back", step.name)

			h = begin()
			require.NoError(t, h.exec("INSERT INTO public.orders (id) VALUES ($1)", step.name))
			require.NoError(t, step.run(t.Context(), h.tx), step.name)
			require.Equal(t, want[i], contentOf(t, s), "%s does not show before the commit", step.name)
			require.NoError(t, h.commit())
			require.Equal(t, want[i+1], contentOf(t, s), step.name)
		}
	})
}

// TestAConflictLeavesTheHostsTransactionUsable: the host goes on and commits what
// is its own; of the batch nothing is there.
func TestAConflictLeavesTheHostsTransactionUsable(t *testing.T) {
	onDrivers(t, func(t *testing.T, s *postgres.Store, begin func() hostTx) {
		require.NoError(t, write(t.Context(), s, bursar.Batch{Payments: []bursar.Payment{payment("p")}, Events: []bursar.Event{event("p", 1)}}))
		before := contentOf(t, s)
		h := begin()
		_, err := h.tx.Payments(t.Context(), bursar.PaymentQuery{}) // its snapshot, where it has one
		require.NoError(t, err)
		require.NoError(t, h.exec("INSERT INTO public.orders (id) VALUES ('a')"))
		for _, b := range []bursar.Batch{
			{Addresses: []bursar.Address{address("x", 1)}, Payments: []bursar.Payment{payment("p")}},
			{Addresses: []bursar.Address{address("x", 1)}, Payments: []bursar.Payment{func() bursar.Payment { p := payment("q"); p.Version = 7; return p }()}},
		} {
			require.ErrorIs(t, h.tx.Apply(t.Context(), b), bursar.ErrConflict)
		}
		require.ErrorIs(t, h.tx.Apply(t.Context(), bursar.Batch{Addresses: []bursar.Address{address("x", 1)}, Events: []bursar.Event{event("p", 7)}}), bursar.ErrInvariant)
		require.ErrorIs(t, h.tx.Apply(t.Context(), bursar.Batch{Addresses: []bursar.Address{address("x", 1)}, Fences: []bursar.Fence{{Name: "none", Epoch: 1}}}), bursar.ErrFenced)
		rows, err := h.tx.Payments(t.Context(), bursar.PaymentQuery{IDs: []string{"p"}})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.NoError(t, h.exec("INSERT INTO public.orders (id) VALUES ('b')"))
		require.NoError(t, h.commit())
		require.Equal(t, before, contentOf(t, s))
		require.Equal(t, [][]string{{"2"}}, query(t, s.Pool().Config().ConnString(), "SELECT count(*) FROM public.orders"))
	})
}

// TestARaceInTheHostsTransaction: the other writer commits while the host's
// transaction is open. The host is told, and goes on or begins again.
func TestARaceInTheHostsTransaction(t *testing.T) {
	onDrivers(t, func(t *testing.T, s *postgres.Store, begin func() hostTx) {
		require.NoError(t, bump(t.Context(), s, mainnet))
		h := begin()
		st, err := h.tx.Chain(t.Context(), mainnet)
		require.NoError(t, err)
		require.NoError(t, bump(t.Context(), s, mainnet))
		st.Seq = 100
		require.ErrorIs(t, h.tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}}), bursar.ErrConflict)
		require.NoError(t, h.exec("INSERT INTO public.orders (id) VALUES ('a')"), "it is usable")
		require.NoError(t, h.undo())
		require.EqualValues(t, 2, seqOf(t, s, mainnet))
		h = begin()
		st, err = h.tx.Chain(t.Context(), mainnet)
		require.NoError(t, err)
		st.Seq++
		require.NoError(t, h.tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}}))
		again, err := h.tx.Chain(t.Context(), mainnet)
		require.NoError(t, err)
		require.EqualValues(t, 3, again.Seq, "it sees what it wrote")
		require.NoError(t, h.commit())
		require.EqualValues(t, 3, seqOf(t, s, mainnet))
	})
}

// TestCreatePaymentTx: order and payment are there together or not at all, through
// the gateway, and a lost race is a *RetryTxError.
func TestCreatePaymentTx(t *testing.T) {
	onDrivers(t, func(t *testing.T, s *postgres.Store, begin func() hostTx) {
		k := kit(t, s)
		order := func(id string) (h hostTx, p bursar.Payment, err error) {
			h = begin()
			require.NoError(t, h.exec("INSERT INTO public.orders (id) VALUES ($1)", id))
			p, err = k.Gateway.CreatePaymentTx(t.Context(), h.tx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1), IdempotencyKey: id})
			if err == nil {
				require.NoError(t, h.exec("UPDATE public.orders SET payment = $1 WHERE id = $2", p.ID, id))
			}
			return h, p, err
		}
		before := contentOf(t, s)
		h, lost, err := order("a")
		require.NoError(t, err)
		require.NoError(t, h.undo())
		after := contentOf(t, s)
		after.Pools = before.Pools // indexes that were reserved stay reserved
		require.Equal(t, before, after)

		h, p, err := order("a")
		require.NoError(t, err)
		require.NotEqual(t, lost.Address, p.Address)
		require.NoError(t, h.commit())
		got, err := k.Gateway.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, p, got, "as it was returned")

		// Two transactions create under one key, in lock step.
		first, p, err := order("b")
		require.NoError(t, err)
		second := begin()
		_, err = second.tx.Payments(t.Context(), bursar.PaymentQuery{})
		require.NoError(t, err)
		require.NoError(t, first.commit())
		q, err := k.Gateway.CreatePaymentTx(t.Context(), second.tx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1), IdempotencyKey: "b"})
		if err == nil {
			require.Equal(t, p.ID, q.ID, "it sees the first one's, where its isolation lets it")
		} else {
			var retry *bursar.RetryTxError
			require.ErrorAs(t, err, &retry)
		}
		require.NoError(t, second.undo())

		k.Pay(p)
		k.Settle()
		k.WaitEvent(bursar.PaymentSettled, p.ID)
	})
}

// TestThreat_D2_WriteHost: the host's own row changes exactly once for each call
// that is told to have succeeded, whatever happens to the connection.
func TestThreat_D2_WriteHost(t *testing.T) {
	onBoth(t, func(t *testing.T, prepare func(*proxied) *proxied) {
		p := prepare(behindProxy(t, nil))
		orders(t, p.dsn)
		query(t, p.dsn, "INSERT INTO public.orders (id) VALUES ('a')")
		change := func() error {
			return p.WriteHost(t.Context(), func(tx bursar.Tx) error {
				st, err := tx.Chain(t.Context(), mainnet)
				if err != nil {
					return err
				}
				st.Seq++
				native, ok := postgres.From(tx)
				require.True(t, ok)
				_, err = native.Exec(t.Context(), "UPDATE public.orders SET changes = changes + 1 WHERE id = 'a'")
				return errors.Join(err, tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}}))
			})
		}
		done, unknown := int64(0), int64(0)
		p.proxy.SetPlan(cuts(11, 80))
		for range 30 {
			switch err := change(); {
			case err == nil:
				done++
			case errors.Is(err, bursar.ErrUnknownOutcome):
				unknown++
			}
		}
		p.proxy.SetPlan(nil)
		n := seqOf(t, p.direct, mainnet)
		t.Logf("%d cuts: %d done, %d unknown, sum %d", p.proxy.Stats().Cut, done, unknown, n)
		require.Equal(t, [][]string{{fmt.Sprint(n)}}, query(t, p.dsn, "SELECT changes FROM public.orders"), "the host's row goes with ours")
		require.GreaterOrEqual(t, n, done)
		require.LessOrEqual(t, n, done+unknown)
		require.Greater(t, done, int64(10))
		require.NotZero(t, p.proxy.Stats().Cut)

		for name, plan := range map[string]cutproxy.Plan{
			"after": cutproxy.AfterCommit(cutproxy.Nth(1)), "before": cutproxy.BeforeCommit(cutproxy.Nth(1)), "answer": cutproxy.OnAnswer(cutproxy.Nth(1)),
		} {
			p.proxy.SetPlan(plan)
			err := change()
			p.proxy.SetPlan(nil)
			if errors.Is(err, bursar.ErrUnknownOutcome) && !p.Numbered() {
				n = seqOf(t, p.direct, mainnet) // a counter is nobody's own
				continue
			}
			require.NoError(t, err, name)
			n++
			require.Equal(t, n, seqOf(t, p.direct, mainnet), name)
		}
	})
}

// TestWriteHostIsItsOwnMaster: errors that the closure hides or makes are told as
// what they are, and never as an unknown outcome.
func TestWriteHostIsItsOwnMaster(t *testing.T) {
	s := open(t, prepared(t))
	err := s.WriteHost(t.Context(), func(tx bursar.Tx) error {
		native, _ := postgres.From(tx)
		_, _ = native.Exec(t.Context(), "SELECT 1/0") // the host drops it
		return nil
	})
	require.ErrorIs(t, err, pgx.ErrTxCommitRollback)
	require.NotErrorIs(t, err, bursar.ErrUnknownOutcome)
	err = s.WriteHost(t.Context(), func(tx bursar.Tx) error {
		native, _ := postgres.From(tx)
		return native.Commit(t.Context())
	})
	require.ErrorContains(t, err, "ended the transaction itself")
	require.NotErrorIs(t, err, bursar.ErrUnknownOutcome)
	require.Panics(t, func() { _ = s.WriteHost(t.Context(), func(bursar.Tx) error { panic("the host") }) })
	require.NoError(t, bump(t.Context(), s, mainnet), "no connection is lost")

	_, ok := postgres.From(nil)
	require.False(t, ok)
	require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error {
		_, ok := postgres.From(tx)
		require.False(t, ok, "Write's is not shared with the host")
		return nil
	}))
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.WriteHost(t.Context(), func(bursar.Tx) error { return nil }), bursar.ErrStoreClosed)
}

// TestThreat_D3_WriteHostRunsAgain: a lost race of the host's own statements too.
func TestThreat_D3_WriteHostRunsAgain(t *testing.T) {
	dsn := prepared(t)
	orders(t, dsn)
	s := open(t, dsn)
	query(t, dsn, "INSERT INTO public.orders (id) VALUES ('a')")
	runs := 0
	require.NoError(t, s.WriteHost(t.Context(), func(tx bursar.Tx) error {
		runs++
		native, _ := postgres.From(tx)
		var n int
		if err := native.QueryRow(t.Context(), "SELECT changes FROM public.orders").Scan(&n); err != nil {
			return err
		}
		if runs == 1 {
			query(t, dsn, "UPDATE public.orders SET changes = 10")
		}
		_, err := native.Exec(t.Context(), "UPDATE public.orders SET changes = $1", n+1)
		return err
	}))
	require.Equal(t, 2, runs)
	require.Equal(t, [][]string{{"11"}}, query(t, dsn, "SELECT changes FROM public.orders"))
}

// TestThreat_E_NotifyTxIsExactlyOnce: the host's order changes once for each event,
// with a handler that fails, panics and loses its connection now and then.
func TestThreat_E_NotifyTxIsExactlyOnce(t *testing.T) {
	p := behindProxy(t, nil)
	orders(t, p.dsn)
	var calls atomic.Int64
	shop := bursar.NotifyTx("shop", func(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
		native, ok := postgres.From(tx)
		if !ok {
			return errors.New("not the store's transaction")
		}
		_, err := native.Exec(ctx, "INSERT INTO public.orders (id, changes) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET changes = orders.changes + 1", e.ID)
		switch n := calls.Add(1); {
		case err != nil:
			return err
		case n%5 == 0:
			return &bursar.RetryError{After: 1, Err: errors.New("not now")}
		}
		return nil
	})
	k := kit(t, p.Store, shop)
	p.proxy.SetPlan(cutproxy.On(func(m cutproxy.Message) bool { return m.Commit }, cutproxy.OneIn(25, 5), cutproxy.CutBefore))
	pay := k.Create("USDC", "25")
	k.Pay(pay)
	for range 16 {
		k.Chain.Mine(1)
		_ = k.Gateway.Step(t.Context()) // some steps lose their connection
	}
	p.proxy.SetPlan(nil)
	k.Settle()
	require.Eventually(t, func() bool {
		k.Step()
		return query(t, p.dsn, "SELECT count(*) FROM bursar.deliveries WHERE endpoint = 'shop' AND status <> 'delivered'")[0][0] == "0"
	}, patience, 1)
	require.NotZero(t, p.proxy.Stats().Cut)
	require.Equal(t, query(t, p.dsn, "SELECT id, 1 FROM bursar.events ORDER BY 1"), query(t, p.dsn, "SELECT id, changes FROM public.orders ORDER BY 1"))
	k.WaitEvent(bursar.PaymentSettled, pay.ID)
}
