package main

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/webhook/send"
)

// poll is how often the gateway looks at the chain here. On a real one it is
// the block time, and needs no setting.
const poll = 50 * time.Millisecond

// shop is a host: a program that sells things and has a gateway inside.
type shop struct {
	gateway  *bursar.Gateway
	preset   evm.Preset
	assets   map[string]chain.Asset // by symbol
	treasury common.Address
	sponsor  common.Address
	receiver *receiver
	sender   *send.Sender

	mu     sync.Mutex
	events []bursar.Event // as the in-process handler got them
}

// newShop makes the gateway: everything that a real host would write, but for
// the clock of the store, which stays what it is there.
func newShop(w world, d *database, c *clock, assets map[string]chain.Asset, out *report) (_ *shop, err error) {
	s := &shop{preset: evm.Local(w.number()), assets: assets}
	// The treasury is somewhere else: the gateway knows its address alone.
	cold, err := newAccount()
	if err != nil {
		return nil, err
	}
	s.treasury = cold.address
	words, err := hdwallet.NewMnemonic()
	if err != nil {
		return nil, err
	}
	wallet, err := hdwallet.FromMnemonic(words, "")
	if err != nil {
		return nil, err
	}
	client, err := evm.New(evm.Config{Preset: s.preset, URL: w.url()})
	if err != nil {
		return nil, err
	}
	if s.receiver, err = newReceiver(out.webhook); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.receiver.close(context.Background()) // nobody has called it yet
		}
	}()
	hooks, sender, err := s.receiver.notifier()
	if err != nil {
		return nil, err
	}
	s.sender = sender
	s.gateway, err = bursar.New(bursar.Config{
		Store:  clocked{d.Store, c},
		Wallet: wallet,
		Chains: []bursar.Chain{{
			Client: client, Assets: []chain.Asset{assets["USDC"], assets["USDT"]},
			Treasury: chain.Address(s.treasury.Hex()), Poll: poll,
		}},
		Notify: []bursar.Notifier{
			bursar.NotifyFunc("in-process", func(_ context.Context, e bursar.Event) error {
				s.record(e)
				out.event(e)
				return nil
			}),
			hooks,
		},
		Logger: slog.New(slog.NewTextHandler(out.logs(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, err
	}
	sponsor, err := s.gateway.Sponsor(s.preset.Info.ID)
	s.sponsor = common.HexToAddress(string(sponsor))
	return s, err
}

func (s *shop) record(e bursar.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// told returns the events of a subject that the in-process handler got; all of
// them where the subject is empty.
func (s *shop) told(subject string) (out []bursar.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if subject == "" || e.Subject == subject {
			out = append(out, e)
		}
	}
	return out
}

// heard reports whether the subject has had an event of that kind.
func (s *shop) heard(subject string, kind bursar.Kind) bool {
	return slices.ContainsFunc(s.told(subject), func(e bursar.Event) bool { return e.Kind == kind })
}

// sell makes the payment of an order.
func (s *shop) sell(ctx context.Context, o *order) (err error) {
	amount, err := decimal.NewFromString(o.amount)
	if err != nil {
		return err
	}
	o.payment, err = s.gateway.CreatePayment(ctx, bursar.PaymentRequest{
		Asset: s.preset.Info.Name + "/" + o.asset, Amount: amount, TTL: o.ttl,
		IdempotencyKey: "order-" + o.name, Metadata: map[string]string{"order": o.name},
	})
	return err
}

// units is an amount of an asset in base units.
func (s *shop) units(symbol, text string) (*big.Int, error) {
	a, err := s.assets[symbol].Parse(text)
	return a.Big(), err
}

// payouts returns all payouts of some kinds, finished or not.
func (s *shop) payouts(ctx context.Context, kinds ...bursar.PayoutKind) (all []bursar.Payout, err error) {
	q := bursar.PayoutQuery{Kinds: kinds, Limit: bursar.MaxPage}
	for {
		rows, err := s.gateway.Payouts(ctx, q)
		if err != nil || len(rows) == 0 {
			return all, err
		}
		all = append(all, rows...)
		last := rows[len(rows)-1]
		q.After = bursar.Cursor{At: last.CreatedAt, ID: last.ID}
	}
}

func (s *shop) close(ctx context.Context) error {
	err := s.gateway.Stop(ctx)
	s.sender.Close()
	return errors.Join(err, s.receiver.close(ctx))
}
