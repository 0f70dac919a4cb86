package bursar_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

// situations brings a fresh payment of 10 USDC into every situation that a verb
// can meet.
var situations = []struct {
	name   string
	status bursar.Status
	bring  func(*bursartest.Kit, bursar.Payment)
	// The verbs' answers; nil: it succeeds.
	cancel, accept, renew error
}{
	{"pending", bursar.StatusPending, func(*bursartest.Kit, bursar.Payment) {},
		nil, bursar.ErrNothingToAccept, bursar.ErrNotRenewable},
	{"pending, another asset came", bursar.StatusPending, func(k *bursartest.Kit, p bursar.Payment) { k.PayAsset(p, k.USDT, "10"); k.Confirm() },
		nil, bursar.ErrNothingToAccept, bursar.ErrNotRenewable},
	{"detected", bursar.StatusDetected, func(k *bursartest.Kit, p bursar.Payment) { k.Pay(p); k.Mine(1) },
		bursar.ErrPaymentHasFunds, bursar.ErrNothingToAccept, bursar.ErrNotRenewable},
	{"partly confirmed", bursar.StatusDetected, func(k *bursartest.Kit, p bursar.Payment) { k.PayLess(p, "1"); k.Confirm() },
		bursar.ErrPaymentHasFunds, bursar.ErrNothingToAccept, bursar.ErrNotRenewable},
	{"confirmed", bursar.StatusConfirmed, func(k *bursartest.Kit, p bursar.Payment) { k.Pay(p); k.Confirm() },
		bursar.ErrPaymentHasFunds, bursar.ErrNothingToAccept, bursar.ErrNotRenewable},
	{"settled", bursar.StatusSettled, func(k *bursartest.Kit, p bursar.Payment) { k.Pay(p); k.Settle() },
		bursar.ErrPaymentHasFunds, bursar.ErrNothingToAccept, bursar.ErrNotRenewable},
	{"expired", bursar.StatusExpired, func(k *bursartest.Kit, _ bursar.Payment) { k.AdvanceTime(25 * time.Hour) },
		bursar.ErrAlreadyClosed, bursar.ErrNothingToAccept, nil},
	{"expired, late money unconfirmed", bursar.StatusExpired, func(k *bursartest.Kit, p bursar.Payment) {
		k.AdvanceTime(25 * time.Hour)
		k.Pay(p)
		k.Mine(1)
	}, bursar.ErrAlreadyClosed, bursar.ErrNothingToAccept, nil},
	{"expired, late money confirmed", bursar.StatusExpired, func(k *bursartest.Kit, p bursar.Payment) {
		k.AdvanceTime(25 * time.Hour)
		k.Pay(p)
		k.Confirm()
	}, bursar.ErrAlreadyClosed, nil, nil},
	{"underpaid", bursar.StatusUnderpaid, func(k *bursartest.Kit, p bursar.Payment) {
		k.PayLess(p, "1")
		k.Confirm()
		k.AdvanceTime(25 * time.Hour)
	}, bursar.ErrAlreadyClosed, nil, nil},
	{"canceled", bursar.StatusCanceled, func(k *bursartest.Kit, p bursar.Payment) { cancelled(k, p) },
		nil, bursar.ErrNothingToAccept, nil},
	{"canceled, paid after", bursar.StatusCanceled, func(k *bursartest.Kit, p bursar.Payment) {
		cancelled(k, p)
		k.Pay(p)
		k.Confirm()
	}, nil, nil, nil},
}

func TestVerbsInEverySituation(t *testing.T) {
	for _, tc := range situations {
		verbs := map[string]struct {
			want error
			call func(*bursar.Gateway, string) (bursar.Payment, error)
		}{
			"cancel": {tc.cancel, func(g *bursar.Gateway, id string) (bursar.Payment, error) { return g.CancelPayment(t.Context(), id) }},
			"accept": {tc.accept, func(g *bursar.Gateway, id string) (bursar.Payment, error) {
				return g.AcceptPayment(t.Context(), id, "k")
			}},
			"renew": {tc.renew, func(g *bursar.Gateway, id string) (bursar.Payment, error) { return g.RenewPayment(t.Context(), id) }},
		}
		for name, verb := range verbs {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				kit := newKit(t, bursartest.Options{})
				p := kit.Create("USDC", "10")
				tc.bring(kit, p)
				old := kit.Payment(p)
				require.Equal(t, tc.status, old.Status)
				before := dumpOf(t, kit.Store)
				out, err := verb.call(kit.Gateway, p.ID)
				if verb.want != nil {
					require.ErrorIs(t, err, verb.want)
					require.Equal(t, bursar.Payment{}, out)
					require.Equal(t, before, dumpOf(t, kit.Store), "a refused verb writes nothing")
					return
				}
				require.NoError(t, err)
				kit.CheckLedger()
				require.Equal(t, kit.Payment(out), out, "what is returned is what is stored")
				after := dumpOf(t, kit.Store)
				again, err := verb.call(kit.Gateway, p.ID)
				require.NoError(t, err)
				require.Equal(t, out, again, "idempotent")
				require.Equal(t, after, dumpOf(t, kit.Store), "a repetition writes nothing")
				switch now := kit.Payment(p); name {
				case "cancel":
					require.Equal(t, bursar.StatusCanceled, now.Status)
					require.True(t, now.Canceled())
				case "accept":
					require.Equal(t, bursar.StatusConfirmed, now.Status)
					require.True(t, now.Accepted)
					require.True(t, now.Held.IsZero())
					require.Equal(t, []string{"k"}, now.AcceptKeys)
				case "renew":
					require.Equal(t, tc.status, now.Status)
					require.Equal(t, out.ID, now.Next)
				}
			})
		}
	}
}

func TestVerbsOnNothing(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("USDC", "10")
	for _, id := range []string{"", "pay_test_x", "\x00", p.ID + " ", string(p.Address)} {
		_, err := kit.Gateway.CancelPayment(t.Context(), id)
		require.ErrorIs(t, err, bursar.ErrNotFound, "%q", id)
		_, err = kit.Gateway.AcceptPayment(t.Context(), id, "k")
		require.ErrorIs(t, err, bursar.ErrNotFound, "%q", id)
		_, err = kit.Gateway.RenewPayment(t.Context(), id)
		require.ErrorIs(t, err, bursar.ErrNotFound, "%q", id)
	}
	for key, code := range map[string]bursar.Code{"": bursar.CodeRequired, "a\nb": bursar.CodeInvalid, "\xff": bursar.CodeInvalid, strings.Repeat("k", 256): bursar.CodeOutOfRange} {
		_, err := kit.Gateway.AcceptPayment(t.Context(), p.ID, key)
		isField(t, err, "AcceptPayment.Key", code)
	}
}

// TestCancelIsStickyAndMoneyIsHeld: T16, T14, T15.
func TestCancelIsStickyAndMoneyIsHeld(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("USDC", "10")
	out, err := kit.Gateway.CancelPayment(t.Context(), p.ID)
	require.NoError(t, err)
	require.Equal(t, "canceled", out.FailureReason)
	require.True(t, out.Deadline.IsZero())
	kit.Pay(p)
	kit.Confirm()
	kit.AdvanceTime(25 * time.Hour)
	now := kit.Payment(p)
	require.Equal(t, bursar.StatusCanceled, now.Status)
	require.Equal(t, "10000000", now.Held.String())
	require.True(t, now.Received.IsZero())
	e := kit.WaitEvent(bursar.PaymentLate, p.ID)
	require.Equal(t, "canceled", e.Data.Reason)
	require.False(t, e.Data.Accepted)
	out, err = kit.Gateway.AcceptPayment(t.Context(), p.ID, "k")
	require.NoError(t, err)
	require.Equal(t, bursar.StatusConfirmed, out.Status)
	require.EqualValues(t, 3, out.Confirmations)
	_, err = kit.Gateway.CancelPayment(t.Context(), p.ID)
	require.ErrorIs(t, err, bursar.ErrPaymentHasFunds)
	kit.Settle()
	require.Equal(t, bursar.StatusSettled, kit.Payment(p).Status)
}

// TestAcceptBindsTransfers: the same key again, and an older key after a newer
// one, never take money that came since.
func TestAcceptBindsTransfers(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("USDC", "10")
	kit.AdvanceTime(25 * time.Hour)
	accept := func(key string) bursar.Payment {
		out, err := kit.Gateway.AcceptPayment(t.Context(), p.ID, key)
		require.NoError(t, err)
		kit.CheckLedger()
		return out
	}
	late := func(units string) {
		kit.PayAmount(p, units)
		kit.Confirm()
	}
	late("2")
	require.Equal(t, "2000000", accept("one").Confirmed.String())
	late("3")
	out := accept("one")
	require.Equal(t, "2000000", out.Confirmed.String())
	require.Equal(t, "3000000", out.Held.String())
	require.Equal(t, "5000000", accept("two").Confirmed.String())
	late("4")
	out = accept("one")
	require.Equal(t, "5000000", out.Confirmed.String(), "a key that was used takes nothing more")
	require.Equal(t, "4000000", out.Held.String())
	require.Equal(t, []string{"one", "two"}, out.AcceptKeys)
	_, err := kit.Gateway.AcceptPayment(t.Context(), p.ID, "three")
	require.NoError(t, err)
	_, err = kit.Gateway.AcceptPayment(t.Context(), p.ID, "four")
	require.ErrorIs(t, err, bursar.ErrNothingToAccept)
}

func TestConcurrentAcceptsBookOnce(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("USDC", "10")
	kit.AdvanceTime(25 * time.Hour)
	kit.Pay(p)
	kit.Confirm()
	var errs [20]error
	many(len(errs), func(i int) {
		_, errs[i] = kit.Gateway.AcceptPayment(context.Background(), p.ID, strings.Repeat("k", i+1))
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, bursar.ErrNothingToAccept)
	}
	require.Equal(t, 1, won)
	kit.Step()
	require.Equal(t, 1, kit.Payment(p).ConfirmationNo)
	require.Equal(t, "-10000000", kit.Balance(kit.USDC, bursar.Account("paid:"+p.ID)).String())
}

// TestThreat_G17_CancelRacesMoney: whichever comes first, money is never lost
// and a canceled payment never confirms by itself.
func TestThreat_G17_CancelRacesMoney(t *testing.T) {
	kit := newKit(t, bursartest.Options{SkipLedger: true})
	outcomes := map[bursar.Status]int{}
	for range 30 {
		p := kit.Create("USDC", "10")
		kit.Pay(p)
		kit.Chain.Mine(1)
		var canceled, stepped error
		many(2, func(i int) {
			if i == 0 {
				_, canceled = kit.Gateway.CancelPayment(context.Background(), p.ID)
			} else {
				stepped = kit.Gateway.Step(context.Background())
			}
		})
		require.NoError(t, stepped)
		kit.Confirm()
		kit.CheckLedger()
		now := kit.Payment(p)
		outcomes[now.Status]++
		if canceled == nil {
			require.Equal(t, bursar.StatusCanceled, now.Status)
			require.Equal(t, "10000000", now.Held.String())
		} else {
			require.ErrorIs(t, canceled, bursar.ErrPaymentHasFunds)
			require.Equal(t, bursar.StatusConfirmed, now.Status)
		}
	}
	require.Equal(t, 30, outcomes[bursar.StatusCanceled]+outcomes[bursar.StatusConfirmed])
}

// interleaved lets something happen between what the next Write reads and its
// commit.
type interleaved struct {
	bursar.Store
	next func()
}

func (s *interleaved) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return s.Store.Write(ctx, func(tx bursar.Tx) error {
		err := fn(tx)
		if next := s.next; next != nil && err == nil {
			s.next = nil
			next()
		}
		return err
	})
}

// TestThreat_G17_EachBetweenReadAndCommitOfTheOther: who commits first wins, and
// the other decides anew.
func TestThreat_G17_EachBetweenReadAndCommitOfTheOther(t *testing.T) {
	build := func() (*bursartest.Kit, *interleaved, bursar.Payment) {
		store := &interleaved{}
		kit := newKit(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
			store.Store = memory.NewWith(memory.Options{Now: now})
			return store
		}})
		p := kit.Create("USDC", "10")
		kit.Pay(p)
		kit.Chain.Mine(1)
		return kit, store, p
	}
	kit, store, p := build()
	store.next = func() { kit.Step() }
	_, err := kit.Gateway.CancelPayment(t.Context(), p.ID)
	require.ErrorIs(t, err, bursar.ErrPaymentHasFunds, "the money was faster")
	kit.Confirm()
	require.Equal(t, bursar.StatusConfirmed, kit.Payment(p).Status)

	kit, store, p = build()
	store.next = func() { cancelled(kit, p) }
	kit.Step()
	require.Nil(t, store.next)
	require.Equal(t, bursar.StatusCanceled, kit.Payment(p).Status, "the cancel was faster")
	kit.Confirm()
	require.Equal(t, "10000000", kit.Payment(p).Held.String())
	require.Equal(t, []bursar.Kind{
		bursar.PaymentCreated, bursar.PaymentCanceled, bursar.TransactionDetected, bursar.TransactionConfirmed, bursar.PaymentLate,
	}, kit.Kinds(p.ID))
}

func TestRenewChain(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	req := full()
	p := kit.Request(req)
	kit.AdvanceTime(2 * time.Hour)
	second, err := kit.Gateway.RenewPayment(t.Context(), p.ID)
	require.NoError(t, err)
	require.Equal(t, 2, second.Attempt)
	require.Equal(t, p.ID, second.Previous)
	require.Equal(t, second.ID, kit.Payment(p).Next)
	require.NotEqual(t, p.Address, second.Address)
	require.Equal(t, bursar.StatusPending, second.Status)
	require.Equal(t, second.CreatedAt.Add(time.Hour), second.ExpiresAt)
	require.Equal(t, [...]any{p.Asset, p.Amount, p.Required, p.Policy, p.TTL, p.Customer, p.Metadata},
		[...]any{second.Asset, second.Amount, second.Required, second.Policy, second.TTL, second.Customer, second.Metadata})
	require.Empty(t, second.IdempotencyKey)
	require.Equal(t, p.ID, kit.Request(req).ID, "the key stays with the first attempt")
	kit.WaitEvent(bursar.PaymentCreated, second.ID)

	_, err = kit.Gateway.RenewPayment(t.Context(), second.ID)
	require.ErrorIs(t, err, bursar.ErrNotRenewable)
	cancelled(kit, second)
	third, err := kit.Gateway.RenewPayment(t.Context(), second.ID)
	require.NoError(t, err)
	require.Equal(t, 3, third.Attempt)
	require.Equal(t, second.ID, third.Previous)
	again, err := kit.Gateway.RenewPayment(t.Context(), p.ID)
	require.NoError(t, err)
	require.Equal(t, second.ID, again.ID, "an older attempt has its next already")
	// Late money of the first attempt stays there.
	kit.Pay(p)
	kit.Confirm()
	require.Equal(t, "10000000", kit.Payment(p).Held.String())
	require.True(t, kit.Payment(third).Received.IsZero())
}

func TestConcurrentRenewalsMakeOne(t *testing.T) {
	kit := newKit(t, bursartest.Options{})
	p := kit.Create("USDC", "10")
	kit.AdvanceTime(25 * time.Hour)
	var ids [30]string
	many(len(ids), func(i int) {
		out, err := kit.Gateway.RenewPayment(context.Background(), p.ID)
		if err != nil {
			t.Error(err)
		}
		ids[i] = out.ID
	})
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	d := dumpOf(t, kit.Store)
	require.Len(t, d.Payments, 2)
	require.Equal(t, 2, d.created())
	require.Len(t, d.issued(), 2)
}

func TestRenewNeedsWhatIsConfigured(t *testing.T) {
	cfg, c, token := config(t)
	cfg.Manual = true
	start := func() *bursar.Gateway {
		gw, err := bursar.New(cfg)
		require.NoError(t, err)
		require.NoError(t, gw.Start(t.Context()))
		return gw
	}
	gw := start()
	p, err := gw.CreatePayment(t.Context(), usdc("10"))
	require.NoError(t, err)
	_, err = gw.CancelPayment(t.Context(), p.ID)
	require.NoError(t, err)
	open, err := gw.CreatePayment(t.Context(), usdc("10"))
	require.NoError(t, err)
	require.NoError(t, gw.Stop(t.Context()))
	_, err = gw.RenewPayment(t.Context(), p.ID)
	require.ErrorIs(t, err, bursar.ErrStopped)

	token.Minimum = chain.NewAmount(11_000_000)
	cfg.Chains[0].Assets = []chain.Asset{token}
	gw = start()
	_, err = gw.RenewPayment(t.Context(), p.ID)
	isField(t, err, "Payment.Amount", bursar.CodeOutOfRange)
	require.NoError(t, gw.Stop(t.Context()))

	cfg.Chains[0].Assets = nil
	gw = start()
	_, err = gw.RenewPayment(t.Context(), p.ID)
	isField(t, err, "Payment.Asset", bursar.CodeUnknown)
	_, err = gw.RenewPayment(t.Context(), open.ID)
	require.ErrorIs(t, err, bursar.ErrNotRenewable, "that it has not ended comes first")
	// The old payment can still be read, listed and canceled.
	_, err = gw.CancelPayment(t.Context(), open.ID)
	require.NoError(t, err)
	page, err := gw.Payments(t.Context(), bursar.PaymentFilter{Asset: string(token.ID)}, 0, "")
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	require.NoError(t, gw.Stop(t.Context()))
	_ = c
}

// TestVerbsAfterUnknownOutcome: a verb whose answer was lost can be repeated.
func TestVerbsAfterUnknownOutcome(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.LoseAfter, storetest.LoseBefore} {
		var armed bool
		kit := newKit(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
			return storetest.Faulty(memory.NewWith(memory.Options{Now: now}), func(p storetest.Point) storetest.Fault {
				if armed && p.Op == storetest.OpWrite {
					armed = false
					return fault
				}
				return storetest.Pass
			})
		}})
		twice := func(call func() (bursar.Payment, error)) bursar.Payment {
			armed = true
			_, err := call()
			require.True(t, errors.Is(err, bursar.ErrUnknownOutcome), "%v", err)
			out, err := call()
			require.NoError(t, err)
			return out
		}
		p := kit.Create("USDC", "10")
		twice(func() (bursar.Payment, error) { return kit.Gateway.CancelPayment(t.Context(), p.ID) })
		q := twice(func() (bursar.Payment, error) { return kit.Gateway.RenewPayment(t.Context(), p.ID) })
		require.Equal(t, q.ID, kit.Payment(p).Next)
		require.Len(t, dumpOf(t, kit.Store).Payments, 2)
		kit.Pay(p)
		kit.Confirm()
		out := twice(func() (bursar.Payment, error) { return kit.Gateway.AcceptPayment(t.Context(), p.ID, "k") })
		require.Equal(t, 1, out.ConfirmationNo)
		require.Equal(t, []string{"k"}, out.AcceptKeys)
		kit.Step()
		require.Equal(t, []bursar.Kind{
			bursar.PaymentCreated, bursar.PaymentCanceled, bursar.TransactionDetected, bursar.TransactionConfirmed, bursar.PaymentLate, bursar.PaymentConfirmed,
		}, kit.Kinds(p.ID))
	}
}

func cancelled(k *bursartest.Kit, p bursar.Payment) {
	if _, err := k.Gateway.CancelPayment(context.Background(), p.ID); err != nil {
		panic(err)
	}
}
