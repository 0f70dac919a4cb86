//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
)

// hostVariable has a host's configuration; where it is set, the test binary is
// a host.
const hostVariable = "BURSAR_CRASH_HOST"

// hostConfig is all that a host knows when it begins.
type hostConfig struct {
	Instance string
	URL      string // of the world
	Driver   string // "sqlite" or "postgres"
	DSN      string
	Lease    time.Duration
	Workers  int
	Assets   []chain.Asset
	Treasury chain.Address
}

// host is a program that takes payments, as a shop would.
type host struct {
	hostConfig
	desk  *desk
	books books
	gw    *bursar.Gateway
}

// pause is how long a host waits before it tries again.
const pause = 50 * time.Millisecond

// runHost is the host's main function. It works until its standard input ends,
// which the death of the world does too.
func runHost(text string) int {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})))
	h := &host{}
	if err := json.Unmarshal([]byte(text), &h.hostConfig); err != nil {
		slog.Error("configuration", "err", err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that matters
		cancel()
	}()
	h.desk = &desk{url: h.URL, instance: h.Instance, http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	if err := h.work(ctx); err != nil && ctx.Err() == nil {
		slog.Error("host failed", "err", err)
		return 1
	}
	return 0
}

// work takes payments until ctx ends.
func (h *host) work(ctx context.Context) (err error) {
	if h.books, err = again(ctx, func() (books, error) { return openBooks(ctx, h.Driver, h.DSN, h.Instance) }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.books.close()) }()
	// A gateway starts once; one that found no database is thrown away.
	if h.gw, err = again(ctx, func() (*bursar.Gateway, error) { return h.start(ctx) }); err != nil {
		return err
	}
	slog.Info("host works", "pid", os.Getpid())
	var all sync.WaitGroup
	for range h.Workers {
		all.Go(func() { h.serve(ctx) })
	}
	all.Wait()
	patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return h.gw.Stop(patience)
}

// again repeats what needs a database until there is one.
func again[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	for {
		value, err := fn()
		if err == nil {
			return value, nil
		}
		slog.Warn("not yet", "err", err)
		select {
		case <-ctx.Done():
			return value, err
		case <-time.After(pause):
		}
	}
}

func (h *host) start(ctx context.Context) (*bursar.Gateway, error) {
	config, err := h.config(h.books.told(h.tell), &remote{desk: h.desk, local: chaintest.New(simulation()).Client()})
	if err != nil {
		return nil, err
	}
	config.Notify = []bursar.Notifier{
		bursar.NotifyFunc("bell", func(ctx context.Context, e bursar.Event) error {
			return h.desk.post(ctx, "/bell", told{e.ID, string(e.Kind), e.Subject, e.Seq}, nil)
		}),
		bursar.NotifyTx("books", func(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
			if err := h.books.note(ctx, tx, e, h.Instance); err != nil {
				return err
			}
			// The row stands, and nothing is committed.
			return h.desk.post(ctx, "/inside", told{e.ID, string(e.Kind), e.Subject, e.Seq}, nil)
		}),
	}
	gw, err := bursar.New(config)
	if err != nil {
		return nil, err
	}
	return gw, gw.Start(ctx)
}

// tell lets the world have its way with a write. One that cannot be told of is
// made all the same.
func (h *host) tell(ctx context.Context, moment string) {
	_ = h.desk.post(ctx, "/write/"+moment, struct{}{}, nil)
}

// config is the gateway's but for its notifiers. The world audits with it.
func (c hostConfig) config(store bursar.Store, client chain.Client) (bursar.Config, error) {
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	if err != nil {
		return bursar.Config{}, err
	}
	return bursar.Config{
		Store: store, Wallet: wallet, Instance: c.Instance, Lease: c.Lease, TTL: bursar.MinTTL,
		Chains: []bursar.Chain{{Client: client, Assets: c.Assets, Treasury: c.Treasury, Start: 1, Poll: 200 * time.Millisecond}},
	}, nil
}

// serve does one job after the other.
func (h *host) serve(ctx context.Context) {
	for ctx.Err() == nil {
		var j job
		if err := h.desk.post(ctx, "/work", struct{}{}, &j); err != nil || j.Kind == "" {
			h.rest(ctx)
			continue
		}
		for ctx.Err() == nil {
			result, err := h.do(ctx, j)
			if err == nil || lasting(err) {
				if err != nil {
					result = done{Job: j, Trouble: err.Error()}
				}
				_ = h.desk.post(ctx, "/done", result, nil) // unheard, it is asked for again
				break
			}
			slog.Info("job", "key", j.Key, "err", err)
			h.rest(ctx)
		}
	}
}

func (h *host) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// lasting reports whether an error would come again.
func lasting(err error) bool {
	var field *bursar.FieldError
	return errors.As(err, &field) || errors.Is(err, bursar.ErrInvariant) || errors.Is(err, bursar.ErrIdempotencyConflict) || errors.Is(err, errBroken)
}

// errBroken is a promise that was not kept.
var errBroken = errors.New("broken promise")

func (h *host) do(ctx context.Context, j job) (done, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	switch j.Kind {
	case "cancel":
		p, err := h.gw.CancelPayment(ctx, j.Payment)
		if errors.Is(err, bursar.ErrPaymentHasFunds) || errors.Is(err, bursar.ErrAlreadyClosed) {
			// Another host may have done it, and money that counted come back since.
			p, err = h.gw.Payment(ctx, j.Payment)
		}
		return report(j, p), err
	case "create tx":
		p, err := h.order(ctx, j)
		return report(j, p), err
	}
	request, err := j.request()
	if err != nil {
		return done{}, err
	}
	p, err := h.gw.CreatePayment(ctx, request)
	return report(j, p), err
}

func (j job) request() (bursar.PaymentRequest, error) {
	amount, err := decimal.NewFromString(j.Amount)
	return bursar.PaymentRequest{Asset: j.Asset, Amount: amount, IdempotencyKey: j.Key, Metadata: map[string]string{"order": j.Key}}, err
}

func report(j job, p bursar.Payment) done {
	return done{
		Job: j, Payment: p.ID, Address: string(p.Address), Status: string(p.Status), Canceled: p.Canceled(),
		Created: p.CreatedAt.UnixMicro(), Expires: p.ExpiresAt.UnixMicro(),
	}
}

// order makes a payment together with a row of the shop's own. What was
// committed once is there for ever, whoever repeats it.
func (h *host) order(ctx context.Context, j job) (p bursar.Payment, err error) {
	request, err := j.request()
	if err != nil {
		return p, err
	}
	before := ""
	err = h.books.order(ctx, j.Key, func(tx bursar.Tx) (string, error) {
		p, err = h.gw.CreatePaymentTx(ctx, tx, request)
		h.tell(ctx, pointOrder)
		return p.ID, err
	}, &before)
	if err == nil && before != "" && before != p.ID {
		return p, fmt.Errorf("%w: order %s had payment %s, and now %s", errBroken, j.Key, before, p.ID)
	}
	h.gw.Wake()
	return p, err
}
