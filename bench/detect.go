package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/store/memory"
)

// pollInterval is that of the gateway which is told of no heads.
const pollInterval = 200 * time.Millisecond

// shop is a running gateway on a geth of its own that mines at once, with a host
// that wants to know.
type shop struct {
	node    *running
	gateway *bursar.Gateway
	told    chan time.Time // when the handler was called about a detected payment
	rich    string         // an unlocked account of the node
	blocks  chan struct{}  // a new head
	stops   []func()
}

// openShop starts all of it; push has the node tell of its heads.
func openShop(push bool) (s *shop, err error) {
	s = &shop{told: make(chan time.Time, 1), blocks: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.node, err = startDevGeth(); err != nil {
		return s, err
	}
	s.stops = append(s.stops, s.node.stop)
	var accounts []string
	if err := s.node.ask(&accounts, "eth_accounts"); err != nil {
		return s, err
	}
	s.rich = accounts[0]
	cfg := evm.Config{Preset: evm.Local(1337), URL: s.node.url, WebSocket: "ws" + strings.TrimPrefix(s.node.url, "http")}
	heads, err := evm.New(cfg)
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = heads.SubscribeHeads(ctx, s.blocks) }() // where it ends no block comes, which is told
	s.stops = append(s.stops, func() { cancel(); <-ended })
	if !push {
		cfg.WebSocket = ""
	}
	client, err := evm.New(cfg)
	if err != nil {
		return s, err
	}
	if s.gateway, err = s.open(client); err != nil {
		return s, err
	}
	s.stops = append(s.stops, func() { _ = s.gateway.Stop(context.Background()) })
	return s, s.gateway.Start(context.Background())
}

func (s *shop) open(client *evm.Client) (*bursar.Gateway, error) {
	wallet, err := watchOnly()
	if err != nil {
		return nil, err
	}
	return bursar.New(bursar.Config{
		Store: memory.New(), Wallet: wallet, Logger: slog.New(slog.DiscardHandler),
		Chains: []bursar.Chain{{Client: client, Sweep: bursar.SweepOff, Poll: pollInterval}},
		Notify: []bursar.Notifier{bursar.NotifyFunc("host", func(_ context.Context, e bursar.Event) error {
			if e.Kind == bursar.PaymentDetected {
				s.told <- time.Now()
			}
			return nil
		})},
	})
}

func (s *shop) close() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
}

// pay creates a payment and pays it, and returns the time between the block at
// the node and the call of the host's handler.
func (s *shop) pay(key string) (time.Duration, error) {
	p, err := s.gateway.CreatePayment(context.Background(), order(key))
	if err != nil {
		return 0, err
	}
	select {
	case <-s.blocks: // of before
	default:
	}
	var hash chain.TxID
	if err := s.node.ask(&hash, "eth_sendTransaction", map[string]string{"from": s.rich, "to": string(p.Address), "value": "0x" + p.Amount.Big().Text(16)}); err != nil {
		return 0, err
	}
	var mined time.Time
	for patience := time.After(30 * time.Second); ; {
		select {
		case <-s.blocks:
			mined = time.Now()
		case at := <-s.told:
			if mined.IsZero() {
				mined = at // before we heard of the block ourselves
			}
			return at.Sub(mined), nil
		case <-patience:
			return 0, fmt.Errorf("nothing was told of %s within 30 s", hash)
		}
	}
}

// latency pays again and again, and returns the median in milliseconds.
func (b *bench) latency(push bool) (reading, error) {
	s, err := openShop(push)
	if err != nil {
		return reading{}, err
	}
	defer s.close()
	n := 60
	if b.quick {
		n = 3
	}
	took := make([]time.Duration, n)
	for i := range took {
		// Not in step with the gateway's own looks.
		<-time.After(time.Duration(i%7) * pollInterval / 7)
		if took[i], err = s.pay(fmt.Sprint("order-", i)); err != nil {
			return reading{}, err
		}
	}
	slices.Sort(took)
	how := fmt.Sprintf("%d payments, from %s to %s", n, took[0].Round(time.Millisecond/10), took[n-1].Round(time.Millisecond/10))
	return reading{took[n/2].Seconds() * 1000, how}, nil
}

func detectPushed(b *bench) (reading, error) { return b.latency(true) }
func detectPolled(b *bench) (reading, error) { return b.latency(false) }
