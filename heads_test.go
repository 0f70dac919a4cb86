package bursar_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
)

// pushing is a node that pushes a head for each value of its channel, until the
// channel is closed.
type pushing struct {
	chain.Client
	push chan struct{}
	// refuse is what subscribing ends with, after it lasted.
	refuse func() (lasted time.Duration, err error)
	asked  *atomic.Int64
	heads  *atomic.Int64 // questions for the head
}

func (p pushing) Head(ctx context.Context) (chain.Head, error) {
	p.heads.Add(1)
	return p.Client.Head(ctx)
}

func (p pushing) SubscribeHeads(ctx context.Context, wake chan<- struct{}) error {
	p.asked.Add(1)
	if p.refuse != nil {
		lasted, err := p.refuse()
		<-time.After(lasted)
		return err
	}
	for {
		select {
		case <-p.push:
			select {
			case wake <- struct{}{}:
			default:
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p pushing) As(target any) bool {
	if to, ok := target.(*chain.HeadSubscriber); ok {
		*to = p
		return true
	}
	wrapper, ok := p.Client.(interface{ As(any) bool })
	return ok && wrapper.As(target)
}

// pushed is a running gateway that looks for itself once an hour.
type pushed struct {
	*chaintest.Chain
	node  pushing
	store bursar.Store
	log   bytes.Buffer
	gw    *bursar.Gateway
}

func newPushed(t *testing.T, refuse func() (time.Duration, error)) *pushed {
	t.Helper()
	p := &pushed{Chain: chaintest.New(chaintest.Options{Start: time.Now().Add(-time.Hour)}), store: memory.New()}
	p.Mine(1)
	p.node = pushing{p.Client(), make(chan struct{}), refuse, new(atomic.Int64), new(atomic.Int64)}
	p.gw = p.open(t, "one")
	return p
}

func (p *pushed) open(t *testing.T, name string) *bursar.Gateway {
	t.Helper()
	gw, err := bursar.New(bursar.Config{
		Store: p.store, Wallet: wallet(t, bursartest.Mnemonic, ""), Instance: name, Lease: 48 * time.Hour,
		Chains: []bursar.Chain{{Client: p.node, Treasury: p.Payer("treasury"), Poll: time.Hour, Sweep: bursar.SweepOff}},
		Logger: slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	synctest.Wait()
	return gw
}

func TestAHeadWakesTheScanner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushed(t, nil)
		time.Sleep(90 * time.Minute)
		order, err := p.gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
		require.NoError(t, err)
		p.Pay("payer", order.Address, order.Asset, order.Amount)
		p.Mine(1)
		status := func() bursar.Status {
			got, err := p.gw.Payment(t.Context(), order.ID)
			require.NoError(t, err)
			return got.Status
		}
		synctest.Wait()
		require.Equal(t, bursar.StatusPending, status())
		began := time.Now()
		p.node.push <- struct{}{}
		synctest.Wait()
		require.Equal(t, bursar.StatusDetected, status())
		require.Equal(t, began, time.Now(), "at once")

		// A flood of heads is not answered by a flood of questions.
		asked := p.node.heads.Load()
		for range 200 {
			p.node.push <- struct{}{}
			time.Sleep(time.Millisecond)
		}
		require.InDelta(t, 4, p.node.heads.Load()-asked, 2)

		// Polling goes on whatever the subscription says.
		p.Mine(1)
		time.Sleep(2 * time.Hour)
		require.Equal(t, p.Head().Height, p.gw.Health(t.Context()).Chains[0].Tip.Height)
		require.EqualValues(t, 1, p.node.asked.Load())
	})
}

// asking counts requests for leases.
type asking struct {
	bursar.Store
	n atomic.Int64
}

func (a *asking) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	a.n.Add(1)
	return a.Store.Acquire(ctx, name, holder, ttl)
}

// TestAHeadIsNoNewsForAnInstanceThatWaits for another one's lease.
func TestAHeadIsNoNewsForAnInstanceThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushed(t, nil)
		store := &asking{Store: p.store}
		p.store, p.node.push = store, make(chan struct{})
		p.open(t, "two")
		p.Mine(1)
		asked := store.n.Load()
		for range 3 {
			p.node.push <- struct{}{}
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, asked, store.n.Load())
	})
}

// TestThreat_C13_ASubscriptionThatEndsIsMadeAgain ever less often, and told once.
func TestThreat_C13_ASubscriptionThatEndsIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPushed(t, func() (time.Duration, error) { return 0, errors.New("gone") })
		time.Sleep(10 * time.Minute)
		require.InDelta(t, 6+9, p.node.asked.Load(), 1, "after 1, 2, 4 … 32 seconds, then each minute")
		require.Equal(t, 1, strings.Count(p.log.String(), "no heads are pushed"), p.log.String())
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPushed(t, func() (time.Duration, error) { return time.Hour, errors.New("gone") })
		time.Sleep(5*time.Hour + time.Minute)
		require.EqualValues(t, 6, p.node.asked.Load(), "one that lasted is made again after a second")
		require.Equal(t, 5, strings.Count(p.log.String(), "no heads are pushed"))
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPushed(t, func() (time.Duration, error) { return 0, chain.ErrUnsupported })
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, p.node.asked.Load())
		require.Empty(t, p.log.String(), "nothing is wrong")
	})
}
