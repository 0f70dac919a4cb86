package bursar_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/storetest"
)

// order is a shop that takes an order and asks for its payment, in one
// transaction.
func (k *till) order(key string, end error) (p bursar.Payment, err error) {
	err = k.host(func(ctx context.Context, tx bursar.Tx) error {
		if err := count(ctx, tx, key); err != nil {
			return err
		}
		if p, err = k.gw.CreatePaymentTx(ctx, tx, eth(key)); err != nil {
			return err
		}
		return end
	})
	return p, err
}

func TestAPaymentCommitsWithTheHost(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		log := &callLog{}
		k := newTill(t, wrap, log.notifier("n", "a", nil))
		p, err := k.order("a", nil)
		require.NoError(t, err)
		require.EqualValues(t, 1, p.Version)
		same, err := k.gw.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, same, p, "as it was returned")
		d := dumpOf(t, k.store)
		require.Len(t, d.Payments, 1)
		require.Equal(t, []chain.Address{p.Address}, d.issued())
		require.Equal(t, p.ID, d.Addresses[0].PaymentID)
		require.Equal(t, 1, d.created())
		require.Len(t, d.Deliveries, 1)
		require.EqualValues(t, 1, counted(t, k.store, "a"))
		k.step(k.gw)
		require.Equal(t, []int64{1}, log.of(p.ID))

		k.chain.Pay("payer", p.Address, p.Asset, p.Amount)
		k.chain.Mine(3)
		k.step(k.gw)
		p, err = k.gw.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, bursar.StatusConfirmed, p.Status)
	})
}

func TestAPaymentVanishesWithTheHost(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		log := &callLog{}
		k := newTill(t, wrap, log.notifier("n", "a", nil))
		before := dumpOf(t, k.store)
		_, err := k.order("a", errRollback)
		require.ErrorIs(t, err, errRollback)
		require.Panics(t, func() {
			_ = k.host(func(ctx context.Context, tx bursar.Tx) error {
				_, err := k.gw.CreatePaymentTx(ctx, tx, eth("a"))
				require.NoError(t, err)
				panic("the host")
			})
		})
		after := dumpOf(t, k.store)
		if wrap == nil {
			after.Pools = before.Pools // what Store.Reserve handed out stays handed out
		}
		require.Equal(t, before, after)
		require.Zero(t, counted(t, k.store, "a"))
		k.step(k.gw)
		require.Empty(t, log.all())
	})
}

// TestWhatBecomesOfTheAddress: a rollback gives back what the transaction
// reserved, exactly once, and nothing else.
func TestWhatBecomesOfTheAddress(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		k := newTill(t, wrap)
		lost, err := k.order("a", errRollback)
		require.ErrorIs(t, err, errRollback)
		again, err := k.order("a", errRollback)
		require.ErrorIs(t, err, errRollback)
		seen := map[chain.Address]bool{}
		if wrap == nil {
			seen[lost.Address], seen[again.Address] = true, true
			require.Len(t, seen, 2)
		} else {
			require.Equal(t, lost.Address, again.Address, "the index went back")
		}
		for i := range 300 {
			var p bursar.Payment
			if i%100 == 50 {
				p, err = k.order(fmt.Sprint("order ", i), nil)
			} else {
				p, err = k.gw.CreatePayment(t.Context(), eth(""))
			}
			require.NoError(t, err)
			require.False(t, seen[p.Address], "%d: %s a second time", i, p.Address)
			seen[p.Address] = true
			if i == 0 && wrap != nil {
				require.Equal(t, lost.Address, p.Address, "and is issued, once")
			}
		}
	})
}

func TestTwoPaymentsInOneTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		k := newTill(t, wrap)
		for _, end := range []error{errRollback, nil} {
			require.ErrorIs(t, k.host(func(ctx context.Context, tx bursar.Tx) error {
				one, err := k.gw.CreatePaymentTx(ctx, tx, eth("one"))
				require.NoError(t, err)
				two, err := k.gw.CreatePaymentTx(ctx, tx, eth(""))
				require.NoError(t, err)
				require.NotEqual(t, one.Address, two.Address)
				return end
			}), end)
		}
		three, err := k.order("three", nil)
		require.NoError(t, err)
		d := dumpOf(t, k.store)
		require.Len(t, d.Payments, 3)
		require.Len(t, d.Addresses, 3)
		if wrap != nil {
			require.EqualValues(t, 3, d.Pools[0].Next, "exactly one index each")
			require.EqualValues(t, 2, d.Addresses[2].Index)
			require.Equal(t, three.Address, d.Addresses[2].Address)
		}
	})
}

// TestTheStockComesFirst: addresses that are reserved already are used, and then
// are lost with the host's transaction.
func TestTheStockComesFirst(t *testing.T) {
	k := newTill(t, onSQL)
	_, err := k.gw.CreatePayment(t.Context(), eth(""))
	require.NoError(t, err)
	pools := dumpOf(t, k.store).Pools
	seen := map[chain.Address]bool{}
	for range int(pools[0].Next) - 1 {
		p, err := k.order("a", errRollback)
		require.ErrorIs(t, err, errRollback)
		require.False(t, seen[p.Address])
		seen[p.Address] = true
	}
	require.Equal(t, pools, dumpOf(t, k.store).Pools)
	p, err := k.order("a", nil)
	require.NoError(t, err)
	require.False(t, seen[p.Address])
	require.Equal(t, pools[0].Next+1, dumpOf(t, k.store).Pools[0].Next, "then one at a time")
}

// TestReservationsDoNotWaitForEachOther: callers that reserve for themselves wait
// for the only writer, and the host's transaction must not wait for them.
func TestReservationsDoNotWaitForEachOther(t *testing.T) {
	k := newTill(t, onSQL)
	callers := runtime.GOMAXPROCS(0)
	k.store.(*sqlStore).waits = make(chan struct{}, 100)
	done := make(chan error, callers)
	require.NoError(t, k.host(func(ctx context.Context, tx bursar.Tx) error {
		for range callers {
			go func() {
				_, err := k.gw.CreatePayment(context.Background(), eth(""))
				done <- err
			}()
		}
		for range callers {
			<-k.store.(*sqlStore).waits
		}
		_, err := k.gw.CreatePaymentTx(ctx, tx, eth("mine"))
		return err
	}))
	for range callers {
		require.NoError(t, <-done)
	}
	require.Len(t, dumpOf(t, k.store).issued(), callers+1)
}

func TestThreat_G5_AKeyInsideATransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		k := newTill(t, wrap)
		first, err := k.order("a", nil)
		require.NoError(t, err)
		again, err := k.gw.CreatePayment(t.Context(), eth("a"))
		require.NoError(t, err)
		require.Equal(t, first, again, "by the other verb")
		require.NoError(t, k.host(func(ctx context.Context, tx bursar.Tx) error {
			again, err := k.gw.CreatePaymentTx(ctx, tx, eth("a"))
			require.NoError(t, err)
			require.Equal(t, first, again, "in a later transaction")
			other := eth("a")
			other.Customer = "somebody else"
			_, err = k.gw.CreatePaymentTx(ctx, tx, other)
			require.ErrorIs(t, err, bursar.ErrIdempotencyConflict)
			return nil
		}))
		require.Len(t, dumpOf(t, k.store).Payments, 1)

		// Twice in the same transaction.
		err = k.host(func(ctx context.Context, tx bursar.Tx) error {
			one, err := k.gw.CreatePaymentTx(ctx, tx, eth("b"))
			require.NoError(t, err)
			two, err := k.gw.CreatePaymentTx(ctx, tx, eth("b"))
			require.NoError(t, err)
			if wrap != nil {
				require.Equal(t, one, two)
				other := eth("b")
				other.Amount = amount("2")
				_, err = k.gw.CreatePaymentTx(ctx, tx, other)
				require.ErrorIs(t, err, bursar.ErrIdempotencyConflict)
			}
			return nil
		})
		want := 2
		if wrap == nil {
			require.ErrorIs(t, err, bursar.ErrConflict, "its reads do not see what it wrote")
			want = 1
		} else {
			require.NoError(t, err)
		}
		require.Len(t, dumpOf(t, k.store).Payments, want)
		require.Len(t, dumpOf(t, k.store).Addresses, want)
	})
}

// TestThreat_G5_ManyHostsWithOneKey: whoever comes first, there is one payment,
// and everybody has it.
func TestThreat_G5_ManyHostsWithOneKey(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		k := newTill(t, wrap)
		const callers, keys = 24, 3
		got := make([]bursar.Payment, callers)
		many(callers, func(i int) {
			var err error
			for range 50 { // as a host does
				if got[i], err = k.order(fmt.Sprint("key ", i%keys), nil); err == nil {
					return
				}
			}
			t.Error(err)
		})
		for i, p := range got {
			require.Equal(t, got[i%keys].ID, p.ID)
		}
		d := dumpOf(t, k.store)
		require.Len(t, d.Payments, keys)
		require.Len(t, d.Addresses, keys)
		require.Equal(t, keys, d.created())
		for i := range keys {
			require.EqualValues(t, callers/keys, counted(t, k.store, fmt.Sprint("key ", i)), "every host's own row counts")
		}
	})
}

// conflictTx is a transaction that meets another writer.
type conflictTx struct {
	bursar.Tx
	look, write bool
	applied     int
}

func (c *conflictTx) Payments(ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
	if c.look {
		return nil, fmt.Errorf("%w: serialization", bursar.ErrConflict)
	}
	return c.Tx.Payments(ctx, q)
}

func (c *conflictTx) Apply(ctx context.Context, b bursar.Batch) error {
	c.applied++
	if c.write {
		return fmt.Errorf("%w: taken", bursar.ErrConflict)
	}
	return c.Tx.Apply(ctx, b)
}

func TestRetryTxErrorTellsTheHost(t *testing.T) {
	for _, look := range []bool{true, false} {
		for name, verb := range map[string]func(context.Context, *bursar.Gateway, bursar.Tx, string) (bursar.Payment, error){
			"create": func(ctx context.Context, gw *bursar.Gateway, tx bursar.Tx, _ string) (bursar.Payment, error) {
				return gw.CreatePaymentTx(ctx, tx, eth("new"))
			},
			"renew": func(ctx context.Context, gw *bursar.Gateway, tx bursar.Tx, old string) (bursar.Payment, error) {
				return gw.RenewPaymentTx(ctx, tx, old)
			},
		} {
			t.Run(fmt.Sprint(name, " at the look-up: ", look), func(t *testing.T) {
				k := newTill(t, nil)
				old, err := k.gw.CreatePayment(t.Context(), eth("old"))
				require.NoError(t, err)
				_, err = k.gw.CancelPayment(t.Context(), old.ID)
				require.NoError(t, err)
				require.ErrorIs(t, k.host(func(ctx context.Context, tx bursar.Tx) error {
					c := &conflictTx{Tx: tx, look: look, write: true}
					_, err := verb(ctx, k.gw, c, old.ID)
					var retry *bursar.RetryTxError
					require.ErrorAs(t, err, &retry)
					require.ErrorIs(t, err, bursar.ErrConflict)
					require.Contains(t, err.Error(), "run the whole transaction again")
					if look {
						require.Zero(t, c.applied)
					} else {
						require.Equal(t, 1, c.applied, "nothing is retried inside")
					}
					return errRollback
				}), errRollback)
				require.NoError(t, k.host(func(ctx context.Context, tx bursar.Tx) error {
					_, err := verb(ctx, k.gw, tx, old.ID)
					require.NoError(t, err)
					return nil
				}), "and again is well")
				require.Len(t, dumpOf(t, k.store).Payments, 2)
			})
		}
	}
}

// TestThreat_F25_AnAddressOfATransactionThatFailed: the host showed it too
// early and then rolled back. The money is booked, and nobody else gets the
// address, also where the store hands its index out again.
func TestThreat_F25_AnAddressOfATransactionThatFailed(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		log := &callLog{}
		var mu sync.Mutex // subjects are told of at the same time
		var kinds []bursar.Kind
		k := newTill(t, wrap, log.notifier("n", "a", func(_ context.Context, e bursar.Event) error {
			mu.Lock()
			defer mu.Unlock()
			kinds = append(kinds, e.Kind)
			return nil
		}))
		shown, err := k.order("a", errRollback)
		require.ErrorIs(t, err, errRollback)
		k.chain.Pay("payer", shown.Address, shown.Asset, shown.Amount)
		k.chain.Mine(1)
		k.step(k.gw)
		row, err := k.gw.Address(t.Context(), string(shown.Address))
		require.NoError(t, err)
		require.Equal(t, bursar.RoleUnissued, row.Role)
		require.Contains(t, kinds, bursar.AlertUnknownRecipient)
		for i := range 3 {
			p, err := k.order(fmt.Sprint(i), nil)
			require.NoError(t, err)
			require.NotEqual(t, shown.Address, p.Address)
		}
		p, err := k.gw.CreatePayment(t.Context(), eth(""))
		require.NoError(t, err)
		require.NotEqual(t, shown.Address, p.Address)
	})
}

// TestThreat_F25_TheCommitIsUnknown: the same key finds what was committed.
func TestThreat_F25_TheCommitIsUnknown(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.LoseAfter, storetest.LoseBefore, storetest.FailBefore, storetest.ConflictOnce} {
		armed := false
		k := newTill(t, func(s bursar.Store) bursar.Store {
			return storetest.Faulty(s, func(p storetest.Point) storetest.Fault {
				if armed && p.Op == storetest.OpWrite {
					armed = false
					return fault
				}
				return storetest.Pass
			})
		})
		armed = true
		p, err := k.order("a", nil)
		require.Equal(t, fault == storetest.ConflictOnce, err == nil)
		again, err := k.gw.CreatePayment(t.Context(), eth("a"))
		require.NoError(t, err)
		kept := fault == storetest.LoseAfter || fault == storetest.ConflictOnce
		require.Equal(t, kept, again.ID == p.ID)
		require.Equal(t, kept, counted(t, k.store, "a") == 1)
		require.Equal(t, kept, again.Address == p.Address, "what failed keeps its address to itself")
		require.Len(t, dumpOf(t, k.store).Payments, 1)
	}
}

// TestATakenAddressInStock: the conflict is told at once, and the next try has
// another address.
func TestATakenAddressInStock(t *testing.T) {
	k := newTill(t, onSQL)
	_, err := k.gw.CreatePayment(t.Context(), eth(""))
	require.NoError(t, err)
	next, err := k.order("a", errRollback)
	require.ErrorIs(t, err, errRollback)
	// Another process, with the same blocks in stock, would be paid there.
	require.NoError(t, k.host(func(ctx context.Context, tx bursar.Tx) error {
		rows, err := tx.Addresses(ctx, bursar.AddressQuery{})
		require.NoError(t, err)
		row := rows[0]
		row.ID, row.Version, row.Index, row.Address = row.ID[:len(row.ID)-1]+"2", 0, 2, "0x0000000000000000000000000000000000000002"
		return tx.Apply(ctx, bursar.Batch{Addresses: []bursar.Address{row}})
	}))
	var retry *bursar.RetryTxError
	_, err = k.order("a", nil)
	require.ErrorAs(t, err, &retry)
	p, err := k.order("a", nil)
	require.NoError(t, err)
	require.NotEqual(t, next.Address, p.Address)
	require.EqualValues(t, 1, counted(t, k.store, "a"))
}

// TestMoneyBeforeTheCommit: it is seen while the transaction is open, so that
// the address is somebody's, and the transaction takes another one.
func TestMoneyBeforeTheCommit(t *testing.T) {
	k := newTill(t, nil)
	var first bursar.Payment
	runs := 0
	var p bursar.Payment
	require.NoError(t, k.host(func(ctx context.Context, tx bursar.Tx) (err error) {
		runs++
		if p, err = k.gw.CreatePaymentTx(ctx, tx, eth("a")); err != nil || runs > 1 {
			return err
		}
		first = p
		k.chain.Pay("payer", p.Address, p.Asset, p.Amount)
		k.chain.Mine(1)
		return k.gw.Step(ctx)
	}))
	require.Equal(t, 2, runs)
	require.NotEqual(t, first.Address, p.Address)
	row, err := k.gw.Address(t.Context(), string(first.Address))
	require.NoError(t, err)
	require.Equal(t, bursar.RoleUnissued, row.Role)
}

func TestThreat_G8_TheContextEndsInsideTheTransaction(t *testing.T) {
	for _, at := range []string{"before", "after the call", "at the end", "never"} {
		t.Run(at, func(t *testing.T) {
			onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
				k := newTill(t, wrap)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				err := k.store.Write(ctx, func(tx bursar.Tx) error {
					if at == "before" {
						cancel()
					}
					if _, err := k.gw.CreatePaymentTx(ctx, tx, eth("a")); err != nil {
						return err
					}
					if at == "after the call" {
						cancel()
					}
					if err := count(ctx, tx, "a"); err != nil {
						return err
					}
					if at == "at the end" {
						cancel()
					}
					return nil
				})
				d := dumpOf(t, k.store)
				if at == "never" {
					require.NoError(t, err)
					require.Len(t, d.Payments, 1)
					return
				}
				require.ErrorIs(t, err, context.Canceled)
				require.Empty(t, d.Payments)
				require.Empty(t, d.Addresses)
				require.Zero(t, d.created())
				require.Zero(t, counted(t, k.store, "a"))
				p, err := k.order("a", nil)
				require.NoError(t, err, "and the key is free")
				require.EqualValues(t, 1, p.Version)
			})
		})
	}
}

func TestRenewInAHostTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		k := newTill(t, wrap)
		renew := func(id string, end error) (p bursar.Payment, err error) {
			err = k.host(func(ctx context.Context, tx bursar.Tx) (err error) {
				if p, err = k.gw.RenewPaymentTx(ctx, tx, id); err != nil {
					return err
				}
				return end
			})
			return p, err
		}
		_, err := renew("pay_unknown", nil)
		require.ErrorIs(t, err, bursar.ErrNotFound)
		old, err := k.order("a", nil)
		require.NoError(t, err)
		_, err = renew(old.ID, nil)
		require.ErrorIs(t, err, bursar.ErrNotRenewable)
		_, err = k.gw.CancelPayment(t.Context(), old.ID)
		require.NoError(t, err)

		before := dumpOf(t, k.store).Payments
		_, err = renew(old.ID, errRollback)
		require.ErrorIs(t, err, errRollback)
		require.Equal(t, before, dumpOf(t, k.store).Payments)

		next, err := renew(old.ID, nil)
		require.NoError(t, err)
		require.Equal(t, 2, next.Attempt)
		require.Equal(t, old.ID, next.Previous)
		require.EqualValues(t, 1, next.Version)
		require.NotEqual(t, old.Address, next.Address)
		same, err := k.gw.Payment(t.Context(), next.ID)
		require.NoError(t, err)
		require.Equal(t, same, next)
		again, err := renew(old.ID, nil)
		require.NoError(t, err)
		require.Equal(t, next, again)
		again, err = k.gw.RenewPayment(t.Context(), old.ID)
		require.NoError(t, err)
		require.Equal(t, next, again)
		old, err = k.gw.Payment(t.Context(), old.ID)
		require.NoError(t, err)
		require.Equal(t, next.ID, old.Next)
		require.Len(t, dumpOf(t, k.store).Payments, 2)
	})
}

func TestTxTwinsRefuse(t *testing.T) {
	k := newTill(t, nil)
	_, err := k.gw.CreatePaymentTx(t.Context(), nil, eth(""))
	isField(t, err, "CreatePaymentTx.Tx", bursar.CodeRequired)
	_, err = k.gw.RenewPaymentTx(t.Context(), nil, "pay_1")
	isField(t, err, "RenewPaymentTx.Tx", bursar.CodeRequired)
	require.NoError(t, k.host(func(ctx context.Context, tx bursar.Tx) error {
		_, err := k.gw.CreatePaymentTx(ctx, tx, bursar.PaymentRequest{Asset: "local/GOLD", Amount: amount("1")})
		isField(t, err, "PaymentRequest.Asset", bursar.CodeUnknown)
		return nil
	}))
	require.NoError(t, k.gw.Stop(t.Context()))
	for _, gw := range []*bursar.Gateway{nil, {}, k.gw} {
		want := bursar.ErrNotStarted
		if gw == k.gw {
			want = bursar.ErrStopped
		}
		require.NoError(t, k.host(func(ctx context.Context, tx bursar.Tx) error {
			_, err := gw.CreatePaymentTx(ctx, tx, eth(""))
			require.ErrorIs(t, err, want)
			_, err = gw.RenewPaymentTx(ctx, tx, "pay_1")
			require.ErrorIs(t, err, want)
			return nil
		}))
		gw.Wake()
	}
}

// TestWake: the outbox looks by itself, and at once where it was told.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		gw := o.open("a", log.notifier("n", "a", nil))
		create := func() {
			require.NoError(t, o.store.Write(t.Context(), func(tx bursar.Tx) error {
				_, err := gw.CreatePaymentTx(t.Context(), tx, eth(""))
				return err
			}))
		}
		time.Sleep(10*time.Second + time.Millisecond)
		create()
		synctest.Wait()
		require.Empty(t, log.all(), "nobody told it")
		time.Sleep(5 * time.Second)
		require.Len(t, log.all(), 1)
		create()
		gw.Wake()
		synctest.Wait()
		require.Len(t, log.all(), 2)
		require.NoError(t, gw.Stop(t.Context()))
	})
}
