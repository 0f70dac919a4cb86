package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/webhook"
	sender "github.com/bursar-go/bursar/webhook/send"
)

// callsAtOnce is how many requests of one endpoint the gateway has under way; the
// floor has as many.
const callsAtOnce = 64

// inbox is a receiver on the loopback that takes everything. It counts.
type inbox struct {
	*httptest.Server
	got  atomic.Int64
	want int64
	done chan struct{}
}

func newInbox(want int) *inbox {
	s := &inbox{want: int64(want), done: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		w.WriteHeader(http.StatusNoContent)
		if s.got.Add(1) == s.want {
			close(s.done)
		}
	}))
	return s
}

func (s *inbox) close() error {
	s.Close()
	return nil
}

// hook is a notifier that posts, signed, to a URL on the loopback.
func hook(name, url string) (bursar.Notifier, error) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		return nil, err
	}
	to, err := sender.New(sender.Config{
		URL: url, Secrets: []webhook.Secret{secret}, AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	return bursar.Webhooks(name, to), err
}

// gated waits until the measurement begins: the start of a gateway is none of it.
type gated struct {
	bursar.Notifier
	begin <-chan struct{}
}

// Notify implements bursar.Notifier.
func (g gated) Notify(ctx context.Context, e bursar.Event) error {
	<-g.begin
	return g.Notifier.Notify(ctx, e)
}

// webhooksOnPostgres is how fast events leave, with all that the outbox writes.
func webhooksOnPostgres(b *bench) (reading, error) {
	s, err := postgresServer()
	if err != nil {
		return reading{}, err
	}
	defer s.Close() //nolint:errcheck // it is thrown away
	return b.webhooks(s.open)
}

func webhooksOnSQLite(b *bench) (reading, error) { return b.webhooks(openSQLite) }

// webhooks compares with the same requests by a bare client.
func (b *bench) webhooks(open func() (bursar.Store, func() error, error)) (reading, error) {
	got, err := b.compare(byWall, bare, delivered(open))
	if err != nil {
		return reading{}, err
	}
	got = got.per(callsAtOnce, callsAtOnce)
	each := time.Second / max(got.b, 1)
	return reading{got.ratio, got.how("bare client", "outbox") + fmt.Sprintf(", %d deliveries/s", each)}, nil
}

// bare posts n batches of bodies of the usual size, and that is all.
func bare(n int) (func() error, error) {
	s := newInbox(n * callsAtOnce)
	body := bytes.Repeat([]byte("x"), 700)
	transport := &http.Transport{MaxIdleConnsPerHost: callsAtOnce}
	client := &http.Client{Transport: transport}
	return after(func() error {
		return share(callsAtOnce, n*callsAtOnce, func(int) error {
			r, err := client.Post(s.URL, "application/json", bytes.NewReader(body))
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r.Body)
			return errors.Join(err, r.Body.Close())
		})
	}, func() error { transport.CloseIdleConnections(); return nil }, s.close), nil
}

// delivered has a running gateway tell n batches of events that wait in the store.
func delivered(open func() (bursar.Store, func() error, error)) work {
	return func(n int) (func() error, error) {
		store, end, err := open()
		if err != nil {
			return nil, err
		}
		s := newInbox(n * callsAtOnce)
		to, err := hook("orders", s.URL)
		if err != nil {
			return nil, err
		}
		h, err := hostOn(store, to)
		if err != nil {
			return nil, err
		}
		err = share(storeCallers, n*callsAtOnce, func(i int) error {
			_, err := h.gateway.CreatePayment(context.Background(), order(fmt.Sprint("order-", i)))
			return err
		})
		if err != nil {
			return nil, err
		}
		if err := h.stop(); err != nil {
			return nil, err
		}
		begin := make(chan struct{})
		running, err := runningOn(store, gated{to, begin})
		if err != nil {
			return nil, err
		}
		return after(func() error {
			close(begin)
			return s.wait()
		}, running.stop, s.close, end), nil
	}
}

// stuck is how long a measurement waits for what never comes.
const stuck = 2 * time.Minute

func (s *inbox) wait() error {
	timer := time.NewTimer(stuck)
	defer timer.Stop()
	select {
	case <-s.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("%d of %d deliveries came", s.got.Load(), s.want)
	}
}

// runningOn is hostOn with a gateway that works by itself.
func runningOn(store bursar.Store, notify ...bursar.Notifier) (*host, error) {
	n := newNode()
	client, err := n.client()
	if err != nil {
		return nil, err
	}
	wallet, err := watchOnly()
	if err != nil {
		return nil, err
	}
	h := &host{node: n}
	h.gateway, err = bursar.New(bursar.Config{
		Store: store, Wallet: wallet, Logger: slog.New(slog.DiscardHandler), Notify: notify,
		Chains: []bursar.Chain{{Client: client, Sweep: bursar.SweepOff, Start: 1, Poll: time.Hour}},
	})
	if err != nil {
		return nil, err
	}
	return h, h.gateway.Start(context.Background())
}

// endpoints is how many lane_isolation has, of which one is dead or not.
const endpoints = 100

// laneIsolation compares the rate to 99 endpoints beside a dead one with that beside
// a good one.
func laneIsolation(b *bench) (reading, error) {
	got, err := b.compare(byWall, isolated(false), isolated(true))
	if err != nil {
		return reading{}, err
	}
	return reading{got.ratio, got.how("all good", "one dead") + " for an event to 99 endpoints"}, nil
}

// isolated has a gateway tell n events to 99 endpoints. The hundredth takes them too
// or, where it is dead, accepts connections and never answers.
func isolated(dead bool) work {
	return func(n int) (func() error, error) {
		store := memory.New()
		s, last := newInbox(n*(endpoints-1)), newInbox(1<<40)
		url := last.URL
		hole, err := newHole()
		if err != nil {
			return nil, err
		}
		if dead {
			url = hole.url()
		}
		var to []bursar.Notifier
		for i := range endpoints {
			at := s.URL
			if i == 0 {
				at = url
			}
			one, err := hook(fmt.Sprint("shop-", i), at)
			if err != nil {
				return nil, err
			}
			to = append(to, one)
		}
		h, err := hostOn(store, to...)
		if err != nil {
			return nil, err
		}
		for i := range n {
			if _, err := h.gateway.CreatePayment(context.Background(), order(fmt.Sprint("order-", i))); err != nil {
				return nil, err
			}
		}
		if err := h.stop(); err != nil {
			return nil, err
		}
		begin := make(chan struct{})
		for i := range to {
			to[i] = gated{to[i], begin}
		}
		running, err := runningOn(store, to...)
		if err != nil {
			return nil, err
		}
		return after(func() error {
			close(begin)
			return s.wait()
		}, running.stop, hole.close, s.close, last.close), nil
	}
}

// hole accepts connections and says nothing.
type hole struct {
	l  net.Listener
	mu sync.Mutex
	in []net.Conn
}

func newHole() (*hole, error) {
	var c net.ListenConfig
	l, err := c.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hole{l: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.in = append(h.in, conn)
			h.mu.Unlock()
		}
	}()
	return h, nil
}

func (h *hole) url() string { return "http://" + h.l.Addr().String() }

func (h *hole) close() error {
	err := h.l.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.in {
		err = errors.Join(err, c.Close())
	}
	return err
}
