package bursar_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

var errNoRoom = &bursar.StoreError{Store: "test", Code: bursar.CodeDiskFull, Reason: "the disk is full"}

// disk is a store on a disk that can be full. It can be read all the same.
type disk struct {
	bursar.Store
	// full fails what writes a payment, or anything; small what writes less.
	full, small atomic.Bool
	probes      atomic.Int64
	// hang is what a probe waits for, where it is set.
	hang chan struct{}
}

func (d *disk) fails(big bool) error {
	if d.full.Load() && (big || !d.small.Load()) {
		return errNoRoom
	}
	return nil
}

func (d *disk) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return d.Store.Write(ctx, func(tx bursar.Tx) error { return fn(&diskTx{tx, d}) })
}

type diskTx struct {
	bursar.Tx
	disk *disk
}

func (t *diskTx) Apply(ctx context.Context, b bursar.Batch) error {
	if err := t.disk.fails(len(b.Payments) > 0); err != nil {
		return err
	}
	return t.Tx.Apply(ctx, b)
}

func (d *disk) Reserve(ctx context.Context, pool string, n uint32) (uint32, error) {
	if err := d.fails(false); err != nil {
		return 0, err
	}
	return d.Store.Reserve(ctx, pool, n)
}

func (d *disk) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	if err := d.fails(false); err != nil {
		return bursar.Fence{}, err
	}
	return d.Store.Acquire(ctx, name, holder, ttl)
}

func (d *disk) Probe(ctx context.Context) error {
	d.probes.Add(1)
	if d.hang != nil {
		select {
		case <-d.hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return d.fails(true)
}

// onDisk is a kit on such a store, or on one that hides what it is.
func onDisk(t *testing.T, hide bool) (*bursartest.Kit, *disk) {
	t.Helper()
	d := &disk{}
	k := bursartest.New(t, bursartest.Options{
		Store: func(now func() time.Time) bursar.Store {
			d.Store = memory.NewWith(memory.Options{Now: now})
			if hide {
				return struct{ bursar.Store }{d}
			}
			return d
		},
		Edit: func(c *bursar.Config) { c.Logger = slog.New(slog.DiscardHandler) },
	})
	return k, d
}

func create(t *testing.T, k *bursartest.Kit) error {
	t.Helper()
	_, err := k.Gateway.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	return err
}

// notReady holds a gateway to be not ready, for the reason it is.
func notReady(t *testing.T, gw *bursar.Gateway) *bursar.UnwritableError {
	t.Helper()
	h := gw.Health(t.Context())
	require.False(t, h.Ready)
	require.True(t, h.Running)
	require.NoError(t, h.Err, "it can be read")
	require.NotNil(t, h.Unwritable)
	var reason *bursar.StoreError
	require.ErrorAs(t, h.Unwritable, &reason)
	require.Equal(t, bursar.CodeDiskFull, reason.Code)
	require.ErrorContains(t, h.Unwritable, "taken no writes since")
	return h.Unwritable
}

func ready(t *testing.T, gw *bursar.Gateway) {
	t.Helper()
	h := gw.Health(t.Context())
	require.Nil(t, h.Unwritable)
	require.True(t, h.Ready)
}

// TestThreat_D10_NotReadyWhileWritesFail: by whatever write it is noticed, Health
// says so at once, for as long as it lasts, and no longer.
func TestThreat_D10_NotReadyWhileWritesFail(t *testing.T) {
	for name, notice := range map[string]func(t *testing.T, k *bursartest.Kit) error{
		"a payment": create,
		"a step": func(t *testing.T, k *bursartest.Kit) error {
			t.Helper()
			k.Chain.Mine(1)
			return k.Gateway.Step(t.Context())
		},
	} {
		for _, hide := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					k, d := onDisk(t, hide)
					ready(t, k.Gateway)
					for range 3 {
						d.full.Store(true)
						noticed := time.Now()
						require.ErrorIs(t, notice(t, k), errNoRoom)
						for range 30 {
							require.WithinDuration(t, noticed, notReady(t, k.Gateway).Since, 0)
							time.Sleep(time.Second)
						}
						d.full.Store(false)
						time.Sleep(5 * time.Second)
						ready(t, k.Gateway)
						require.NoError(t, create(t, k))
						k.Confirm()
						ready(t, k.Gateway)
					}
				})
			})
		}
	}
}

// TestThreat_D10_ReadyAfterTheFirstWrite: work that goes on by itself makes the
// gateway ready at once.
func TestThreat_D10_ReadyAfterTheFirstWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, d := onDisk(t, false)
		d.full.Store(true)
		require.Error(t, create(t, k))
		notReady(t, k.Gateway)
		d.full.Store(false)
		notReady(t, k.Gateway)
		k.Mine(1)
		ready(t, k.Gateway)
	})
}

// TestThreat_D10_SmallWritesProveNothing: a disk without room for a payment still
// takes a cursor and a lease.
func TestThreat_D10_SmallWritesProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, d := onDisk(t, false)
		d.full.Store(true)
		d.small.Store(true)
		require.ErrorIs(t, create(t, k), errNoRoom)
		for range 10 {
			notReady(t, k.Gateway)
			k.Mine(1)
			notReady(t, k.Gateway)
			time.Sleep(time.Second)
		}
		d.full.Store(false)
		k.Mine(1)
		ready(t, k.Gateway)
		require.NoError(t, create(t, k))
	})
}

// TestThreat_D10_NoticedWithoutWork: an instance that has nothing to write notices
// too, within a minute: alone, standing by, and stepped by nobody.
func TestThreat_D10_NoticedWithoutWork(t *testing.T) {
	for name, hide := range map[string]bool{"proved by the store": false, "proved by a row": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, d := onDisk(t, hide)
				d.full.Store(true)
				time.Sleep(time.Minute)
				notReady(t, k.Gateway)
				d.full.Store(false)
				time.Sleep(5 * time.Second)
				ready(t, k.Gateway)
			})
		})
	}
}

// TestThreat_D10_AStandbyNoticesToo: the instance that another one's lease keeps from
// all work is not ready either, and is again.
func TestThreat_D10_AStandbyNoticesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		f := newFlow(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
			d.Store = memory.NewWith(memory.Options{Now: now})
			return d
		}})
		two := f.twin("two")
		require.NoError(t, two.Step(t.Context()))
		d.full.Store(true)
		ready(t, two)
		time.Sleep(time.Minute)
		notReady(t, two)
		d.full.Store(false)
		time.Sleep(5 * time.Second)
		ready(t, two)
	})
}

// TestThreat_D10_HealthIsNoStorm: a host may ask as often as it likes, from as many
// goroutines as it likes.
func TestThreat_D10_HealthIsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, d := onDisk(t, false)
		ask := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() { k.Gateway.Health(t.Context()) })
				}
				all.Wait()
				_ = k.Gateway.Step(t.Context()) // looks for events to deliver, and finds none
			}
		}
		require.EqualValues(t, 1, d.probes.Swap(0), "at the start")
		ask(10 * time.Minute)
		require.LessOrEqual(t, d.probes.Swap(0), int64(10), "while all is well")
		d.full.Store(true)
		require.Error(t, create(t, k))
		ask(10 * time.Minute)
		require.LessOrEqual(t, d.probes.Swap(0), int64(121), "while writes fail")
		notReady(t, k.Gateway)
	})
}

// TestThreat_D10_AWriteThatNeverEnds is as good as one that fails; one that had no
// time to end proves nothing.
func TestThreat_D10_AWriteThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, d := onDisk(t, false)
		d.hang = make(chan struct{})
		time.Sleep(time.Minute)
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.True(t, k.Gateway.Health(hasty).Ready)

		// Others do not wait for the one that proves.
		asked := time.Now()
		proved := make(chan bursar.Health)
		go func() { proved <- k.Gateway.Health(t.Context()) }()
		synctest.Wait()
		ready(t, k.Gateway)
		require.WithinDuration(t, asked, time.Now(), 0)
		h := <-proved
		require.False(t, h.Ready)
		require.ErrorIs(t, h.Unwritable, context.DeadlineExceeded)
		require.ErrorContains(t, h.Unwritable, "a write has not ended within 10s")

		close(d.hang)
		time.Sleep(5 * time.Second)
		ready(t, k.Gateway)
	})
}

// TestThreat_D10_AHostThatAsksBriefly: the poller of a host gives up after a second
// each time; that is enough to find out.
func TestThreat_D10_AHostThatAsksBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, d := onDisk(t, false)
		d.hang = make(chan struct{})
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(time.Second, cancel)
		defer stop.Stop()
		require.False(t, k.Gateway.Health(ctx).Ready)
		close(d.hang)
	})
}

// TestThreat_D10_StartSaysSo: a store that takes no writes is an error at Start.
func TestThreat_D10_StartSaysSo(t *testing.T) {
	for name, hide := range map[string]bool{"proved by the store": false, "proved by a row": true} {
		t.Run(name, func(t *testing.T) {
			d := &disk{}
			f := newFlow(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
				d.Store = memory.NewWith(memory.Options{Now: now})
				if hide {
					return struct{ bursar.Store }{d}
				}
				return d
			}})
			require.NoError(t, f.Gateway.Stop(t.Context()))
			d.full.Store(true)
			gw, err := bursar.New(f.cfg)
			require.NoError(t, err)
			err = gw.Start(t.Context())
			require.ErrorIs(t, err, errNoRoom)
			require.ErrorContains(t, err, "bursar: start: ")
			require.ErrorContains(t, err, "test: the disk is full")
			require.False(t, gw.Health(t.Context()).Running)
			require.NotNil(t, gw.Health(t.Context()).Unwritable, "as far as it is known")
			d.full.Store(false)
			ready(t, f.another(f.cfg))
		})
	}
}

// TestThreat_D10_StartThatIsCut is no verdict on the store.
func TestThreat_D10_StartThatIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		f := newFlow(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
			d.Store = memory.NewWith(memory.Options{Now: now})
			return d
		}})
		d.hang = make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		gw, err := bursar.New(f.cfg)
		require.NoError(t, err)
		require.ErrorIs(t, gw.Start(ctx), context.DeadlineExceeded)
		require.Nil(t, gw.Health(t.Context()).Unwritable)
		close(d.hang)
	})
}

// TestAnswersAreNoFailures: that a rule forbids a write, or that somebody was
// faster, says nothing of the disk.
func TestAnswersAreNoFailures(t *testing.T) {
	for _, c := range []struct {
		answer error
		ready  bool
	}{
		{bursar.ErrConflict, true},
		{bursar.ErrFenced, true},
		{bursar.ErrLeaseHeld, true},
		{&bursar.FieldError{Field: "x"}, true},
		{context.Canceled, true},
		{bursar.ErrUnknownOutcome, false},
		{storetest.ErrInjected, false},
		{errNoRoom, false},
	} {
		s := &answering{}
		k := bursartest.New(t, bursartest.Options{
			Store: func(now func() time.Time) bursar.Store {
				s.Store = memory.NewWith(memory.Options{Now: now})
				return s
			},
			Edit: func(c *bursar.Config) { c.Logger = slog.New(slog.DiscardHandler) },
		})
		s.answer = c.answer
		require.ErrorIs(t, create(t, k), c.answer)
		h := k.Gateway.Health(t.Context())
		require.Equal(t, c.ready, h.Ready, "%v", c.answer)
		require.Equal(t, c.ready, h.Unwritable == nil, "%v", c.answer)
	}
}

// answering is a store whose commits of payments all end in the same way.
type answering struct {
	bursar.Store
	answer error
}

func (s *answering) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	if s.answer == nil {
		return s.Store.Write(ctx, fn)
	}
	err := s.Store.Write(ctx, func(tx bursar.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAnswered
	})
	if errors.Is(err, errAnswered) {
		return s.answer
	}
	return err
}

var errAnswered = errors.New("answered")

// TestOwnErrorsAreNoFailures: a closure that gives up, and a handler that fails in the
// store's transaction, say nothing of the disk either.
func TestOwnErrorsAreNoFailures(t *testing.T) {
	refused := errors.New("the shop is closed")
	d := &disk{}
	k := bursartest.New(t, bursartest.Options{
		Store: func(now func() time.Time) bursar.Store {
			d.Store = memory.NewWith(memory.Options{Now: now})
			return d
		},
		Notify: []bursar.Notifier{bursar.NotifyTx("shop", func(context.Context, bursar.Tx, bursar.Event) error { return refused })},
		Edit:   func(c *bursar.Config) { c.Logger = slog.New(slog.DiscardHandler) },
	})
	k.Create("ETH", "1")
	k.Mine(1)
	_, err := k.Gateway.CancelPayment(t.Context(), "pay_unknown")
	require.Error(t, err)
	_, err = k.Gateway.RenewPayment(t.Context(), "pay_unknown")
	require.Error(t, err)
	ready(t, k.Gateway)
	require.EqualValues(t, 1, d.probes.Load(), "nothing was to be cleared up since the start")
}
