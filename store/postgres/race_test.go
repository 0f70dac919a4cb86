package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/internal/relational"
	"github.com/bursar-go/bursar/storetest"
)

// TestThreat_D3_ALostRaceRunsTheClosureAgain: the other writer commits between
// the snapshot and the commit, in lock step.
func TestThreat_D3_ALostRaceRunsTheClosureAgain(t *testing.T) {
	s := open(t, prepared(t))
	runs := 0
	var seen []int64
	require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error {
		runs++
		st, err := tx.Chain(t.Context(), mainnet)
		if err != nil {
			return err
		}
		seen = append(seen, st.Seq)
		if runs == 1 {
			require.NoError(t, bump(t.Context(), s, mainnet))
		}
		st.Seq += 10
		return tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}})
	}))
	require.Equal(t, []int64{0, 1}, seen, "from the start, on a fresh snapshot")
	require.EqualValues(t, 11, seqOf(t, s, mainnet))
}

func TestThreat_D3_RunsAreBounded(t *testing.T) {
	s := open(t, prepared(t))
	require.NoError(t, bump(t.Context(), s, mainnet))
	runs := 0
	err := s.Write(t.Context(), func(tx bursar.Tx) error {
		runs++
		st, err := tx.Chain(t.Context(), mainnet)
		require.NoError(t, bump(t.Context(), s, mainnet))
		return errors.Join(err, tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}}))
	})
	require.ErrorIs(t, err, bursar.ErrConflict)
	require.Equal(t, relational.MaxTries, runs)
}

// TestThreat_D3_AnErrorOfTheClosureIsFinal: it is not repeated for an error that
// says nothing of the store.
func TestThreat_D3_AnErrorOfTheClosureIsFinal(t *testing.T) {
	s := open(t, prepared(t))
	own := errors.New("the gateway's own")
	for _, read := range []bool{false, true} {
		runs := 0
		require.Equal(t, own, s.Write(t.Context(), func(tx bursar.Tx) error {
			runs++
			if read {
				_, err := tx.Chain(t.Context(), mainnet)
				require.NoError(t, err)
			}
			return own
		}))
		require.Equal(t, 1, runs)
		runs = 0
		require.Equal(t, own, s.WriteHost(t.Context(), func(bursar.Tx) error { runs++; return own }))
		require.Equal(t, 1, runs)
	}
}

// TestThreat_D3_ADeadlockRunsTheClosureAgain: a circle of two is closed by the
// store's own statement, which is therefore the one that the server undoes.
func TestThreat_D3_ADeadlockRunsTheClosureAgain(t *testing.T) {
	dsn := prepared(t)
	s := openWith(t, dsn, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["deadlock_timeout"] = "20ms" })
	ids := []chain.ID{"eip155:1", "eip155:2", "eip155:3"}
	require.NoError(t, bump(t.Context(), s, ids...))
	session := func() *pgx.Conn {
		c, err := pgx.Connect(t.Context(), dsn)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		_, err = c.Exec(t.Context(), "SET deadlock_timeout = '10min'; BEGIN")
		require.NoError(t, err)
		return c
	}
	lock := func(c *pgx.Conn, id string) {
		_, err := c.Exec(context.Background(), "SELECT 1 FROM bursar.chains WHERE chain = $1 FOR UPDATE", id)
		if err != nil {
			t.Error(err)
		}
	}
	second, third := session(), session()
	lock(second, "eip155:2")
	lock(third, "eip155:3")
	runs := atomic.Int64{}
	done := make(chan error, 1)
	go func() {
		done <- s.Write(context.Background(), func(tx bursar.Tx) error {
			runs.Add(1)
			var b bursar.Batch
			for _, id := range ids {
				st, err := tx.Chain(context.Background(), id)
				if err != nil {
					return err
				}
				st.Seq++
				b.Chains = append(b.Chains, st)
			}
			return tx.Apply(context.Background(), b)
		})
	}()
	untilWaiting(t, dsn, 1) // the store has the first row and waits for the second
	freed := make(chan struct{})
	go func() {
		defer close(freed)
		lock(third, "eip155:1")
		if _, err := third.Exec(context.Background(), "COMMIT"); err != nil {
			t.Error(err)
		}
	}()
	untilWaiting(t, dsn, 2)
	// The others do not look for a deadlock for long, so that the store finds it.
	_, err := second.Exec(t.Context(), "COMMIT")
	require.NoError(t, err)
	<-freed
	require.NoError(t, <-done)
	require.GreaterOrEqual(t, runs.Load(), int64(2)) // the third's commit may come between
	for _, id := range ids {
		require.EqualValues(t, 2, seqOf(t, s, id))
	}
}

// TestThreat_D4_OneCreditForATransfer: many connections credit the same transfer,
// each under an id of its own.
func TestThreat_D4_OneCreditForATransfer(t *testing.T) {
	dsn := prepared(t)
	const writers, rounds = 8, 5
	stores := make([]bursar.Store, writers)
	for i := range stores {
		stores[i] = openWith(t, dsn, func(c *pgxpool.Config) { c.MaxConns = 1 })
	}
	for round := range rounds {
		var won atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		for i, s := range stores {
			all.Go(func() {
				<-start
				e := entry(fmt.Sprint("entry ", round, "/", i), fmt.Sprint("credit ", round))
				switch err := write(context.Background(), s, bursar.Batch{Entries: []bursar.Entry{e}}); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, bursar.ErrConflict):
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		require.EqualValues(t, 1, won.Load())
		got := contentOf(t, stores[0])
		require.Len(t, got.Entries, round+1)
		require.Contains(t, got.Balances, fmt.Sprint(ether, " U:h ", 7*(round+1)))
	}
}

// TestThreat_D5_ADeliveryIsClaimedOnce: eight workers empty one queue, by either way
// to claim.
func TestThreat_D5_ADeliveryIsClaimedOnce(t *testing.T) {
	for name, claim := range map[string]func(bursar.Tx) ([]bursar.Delivery, error){
		"read and written": func(tx bursar.Tx) ([]bursar.Delivery, error) {
			return tx.Deliveries(context.Background(), bursar.DeliveryQuery{Endpoint: "shop", DueBy: t0, Claim: true, Limit: 5})
		},
		"in one statement": func(tx bursar.Tx) ([]bursar.Delivery, error) {
			rows, _, err := tx.(bursar.DeliveryClaimer).ClaimDeliveries(context.Background(), "shop", time.Minute, 5, nil)
			return rows, err
		},
	} {
		t.Run(name, func(t *testing.T) { emptied(t, claim) })
	}
}

func emptied(t *testing.T, claim func(bursar.Tx) ([]bursar.Delivery, error)) {
	dsn := prepared(t)
	s := open(t, dsn)
	const lanes, each, workers = 40, 4, 8
	var b bursar.Batch
	for lane := range lanes {
		for seq := range each {
			b.Deliveries = append(b.Deliveries, delivery(fmt.Sprint("lane", lane), int64(seq+1)))
		}
	}
	require.NoError(t, write(t.Context(), s, b))
	var mu sync.Mutex
	claimed := map[string][]int64{}
	busy := 0 // workers that got something
	var all, first sync.WaitGroup
	first.Add(workers)
	for range workers {
		own := open(t, dsn)
		all.Go(func() {
			got := 0
			// Each holds its first rows until all have some, so that nobody is alone.
			meet := sync.OnceFunc(func() { first.Done(); first.Wait() })
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				if got > 0 {
					busy++
				}
			}()
			for {
				var rows []bursar.Delivery
				err := own.Write(context.Background(), func(tx bursar.Tx) (err error) {
					rows, err = claim(tx)
					meet()
					done := slices.Clone(rows)
					for i := range done {
						done[i].Status, done[i].DoneAt = bursar.DeliveryDone, t0
					}
					return errors.Join(err, tx.Apply(context.Background(), bursar.Batch{Deliveries: done}))
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				total := 0
				for _, r := range rows {
					claimed[r.Subject] = append(claimed[r.Subject], r.Seq)
				}
				for _, seqs := range claimed {
					total += len(seqs)
				}
				mu.Unlock()
				if got += len(rows); total >= lanes*each {
					return
				}
			}
		})
	}
	all.Wait()
	require.Len(t, claimed, lanes)
	for lane, seqs := range claimed {
		slices.Sort(seqs) // notes are taken after the commit, in any order
		require.Equal(t, []int64{1, 2, 3, 4}, seqs, lane)
	}
	require.Equal(t, workers, busy, "the work was not shared")
}

// TestThreat_D5_WorkersDoNotWaitForEachOther: what another transaction has claimed
// is left out, and not waited for.
func TestThreat_D5_WorkersDoNotWaitForEachOther(t *testing.T) {
	s := open(t, prepared(t))
	require.NoError(t, write(t.Context(), s, bursar.Batch{Deliveries: []bursar.Delivery{delivery("a", 1), delivery("b", 1), delivery("b", 2)}}))
	claim := func(tx bursar.Tx) (subjects []string) {
		rows, _, err := tx.(bursar.DeliveryClaimer).ClaimDeliveries(t.Context(), "shop", time.Minute, 1, nil)
		require.NoError(t, err)
		for _, r := range rows {
			subjects = append(subjects, r.Subject)
		}
		return subjects
	}
	require.NoError(t, s.Write(t.Context(), func(first bursar.Tx) error {
		require.Equal(t, []string{"a"}, claim(first))
		return s.Write(t.Context(), func(second bursar.Tx) error {
			require.Equal(t, []string{"b"}, claim(second))
			return s.Write(t.Context(), func(third bursar.Tx) error {
				require.Empty(t, claim(third), "the second of a lane does not overtake the first")
				return nil
			})
		})
	}))
}

// TestThreat_D6_NobodyTakesTheLeaseOfACommit: a batch that carries a fence holds
// the lease until it has ended, so that the next holder finds it done.
func TestThreat_D6_NobodyTakesTheLeaseOfACommit(t *testing.T) {
	dsn := prepared(t)
	s, next := open(t, dsn), open(t, dsn)
	require.NoError(t, bump(t.Context(), s, mainnet))
	fence, err := s.Acquire(t.Context(), "scan", "old", time.Millisecond)
	require.NoError(t, err)
	holder, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer holder.Close(context.Background())
	_, err = holder.Exec(t.Context(), "BEGIN; SELECT 1 FROM bursar.chains FOR UPDATE")
	require.NoError(t, err)

	written := make(chan error, 1)
	go func() {
		written <- s.Write(context.Background(), func(tx bursar.Tx) error {
			st, err := tx.Chain(context.Background(), mainnet)
			st.Seq++
			return errors.Join(err, tx.Apply(context.Background(), bursar.Batch{Fences: []bursar.Fence{fence}, Chains: []bursar.ChainState{st}}))
		})
	}()
	untilWaiting(t, dsn, 1) // it has the fence and waits for the row
	taken := make(chan bursar.Fence, 1)
	go func() {
		f, err := next.Acquire(context.Background(), "scan", "new", time.Minute)
		if err != nil {
			t.Error(err)
		}
		taken <- f
	}()
	untilWaiting(t, dsn, 2) // the lease has run out, and still it is not to be had
	_, err = holder.Exec(t.Context(), "COMMIT")
	require.NoError(t, err)
	require.NoError(t, <-written)
	require.EqualValues(t, 2, (<-taken).Epoch)
	require.EqualValues(t, 2, seqOf(t, next, mainnet))
	require.ErrorIs(t, write(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{fence}}), bursar.ErrFenced)
}

// TestThreat_D8_EpochsDoNotDependOnTheClock: the server's clock jumps, by hand of
// the lease; a fence is worth what its epoch is.
func TestThreat_D8_EpochsDoNotDependOnTheClock(t *testing.T) {
	dsn := prepared(t)
	s := open(t, dsn)
	first, err := s.Acquire(t.Context(), "scan", "a", time.Minute)
	require.NoError(t, err)
	jump := func(by string) {
		require.NoError(t, with(dsn, func(pool *pgxpool.Pool) error {
			_, err := pool.Exec(t.Context(), "UPDATE bursar.leases SET until = until + $1::interval", by)
			return err
		}))
	}
	jump("-1 day")
	require.NoError(t, write(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{first}}), "nobody has taken it")
	second, err := s.Acquire(t.Context(), "scan", "b", time.Minute)
	require.NoError(t, err)
	require.Equal(t, first.Epoch+1, second.Epoch)
	jump("1 day")
	require.ErrorIs(t, write(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{first}}), bursar.ErrFenced)
	_, err = s.Acquire(t.Context(), "scan", "a", time.Minute)
	require.ErrorIs(t, err, bursar.ErrLeaseHeld)
	renewed, err := s.Acquire(t.Context(), "scan", "b", time.Minute)
	require.NoError(t, err)
	require.Equal(t, second.Epoch, renewed.Epoch)
	require.NoError(t, write(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{second}}))
}

// TestThreat_D1_ACrashAtEachCommit: the process dies, or loses an answer, at each
// commit of the scenario once; the next one ends at the same place.
func TestThreat_D1_ACrashAtEachCommit(t *testing.T) {
	want := course(t)
	steps := scenario()
	faults := map[string]storetest.Fault{
		"crash before": storetest.CrashBefore, "crash after": storetest.CrashAfter, "lose before": storetest.LoseBefore,
		"lose after": storetest.LoseAfter, "conflict": storetest.ConflictOnce, "panic before": storetest.PanicBefore, "panic after": storetest.PanicAfter,
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			for at := range steps {
				inner := open(t, prepared(t))
				faulty := storetest.Faulty(inner, storetest.At(at+1, fault))
				failed := run(steps, faulty)
				require.Equal(t, fault != storetest.ConflictOnce, failed != nil)
				require.GreaterOrEqual(t, faulty.Points(), at+1)
				for i := range steps {
					if i == 0 && len(contentOf(t, inner).Payments) > 0 {
						continue // it has no key to find itself by
					}
					require.NoError(t, steps[i].in(t.Context(), inner))
				}
				require.Equal(t, want[len(want)-1], contentOf(t, inner), "after a fault at commit %d", at+1)
			}
		})
	}
}

// run goes through the steps until one fails, as a process that ends there does.
func run(steps []step, s bursar.Store) (err error) {
	defer func() {
		if p, ok := recover().(storetest.Point); ok {
			err = fmt.Errorf("panic at commit %d", p.N)
		}
	}()
	for _, step := range steps {
		if err := step.in(context.Background(), s); err != nil {
			return err
		}
	}
	return nil
}

// TestThreat_D20_AWriteReadsInItsOwnTransaction: with one connection there is no
// other place to read from; and what others commit meanwhile does not show.
func TestThreat_D20_AWriteReadsInItsOwnTransaction(t *testing.T) {
	dsn := prepared(t)
	other := open(t, dsn)
	s := openWith(t, dsn, func(c *pgxpool.Config) { c.MaxConns = 1 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, write := range map[string]func(context.Context, func(bursar.Tx) error) error{"Write": s.Write, "WriteHost": s.WriteHost} {
		t.Run(name, func(t *testing.T) {
			before := seqOf(t, other, mainnet)
			require.NoError(t, write(ctx, func(tx bursar.Tx) error {
				now := tx.Now()
				st, err := tx.Chain(ctx, mainnet)
				require.NoError(t, err)
				require.NoError(t, bump(ctx, other, mainnet))
				again, err := tx.Chain(ctx, mainnet)
				require.NoError(t, err)
				require.Equal(t, st, again)
				require.Equal(t, now, tx.Now())
				return nil
			}))
			require.Equal(t, before+1, seqOf(t, s, mainnet))
		})
	}
}
