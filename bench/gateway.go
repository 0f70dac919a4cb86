package main

import (
	"context"
	"iter"
	"log/slog"
	"sync"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/store/memory"
)

// host is a started gateway on the canned chain, with the memory store and a
// wallet that only watches.
type host struct {
	gateway *bursar.Gateway
	store   *memory.Store
	node    *node
	client  *spy
}

// spy hands the client's pages on and keeps the set that the gateway watches.
type spy struct {
	chain.Client
	mu      sync.Mutex
	watched chain.Watch
}

// Transfers implements chain.Reader.
func (s *spy) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	s.mu.Lock()
	s.watched = w
	s.mu.Unlock()
	return s.Client.Transfers(ctx, from, to, w)
}

func (s *spy) watch() chain.Watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watched
}

func newHost() (*host, error) {
	n := newNode()
	client, err := n.client()
	if err != nil {
		return nil, err
	}
	token, err := evm.Token(client.Info().ID, n.token, "TKN", 6)
	if err != nil {
		return nil, err
	}
	wallet, err := watchOnly()
	if err != nil {
		return nil, err
	}
	h := &host{store: memory.New(), node: n, client: &spy{Client: client}}
	h.gateway, err = bursar.New(bursar.Config{
		Store: h.store, Wallet: wallet, Manual: true, Logger: slog.New(slog.DiscardHandler),
		Chains: []bursar.Chain{{Client: h.client, Assets: []chain.Asset{token}, Sweep: bursar.SweepOff, Start: 1}},
	})
	if err != nil {
		return nil, err
	}
	return h, h.gateway.Start(context.Background())
}

func (h *host) stop() error { return h.gateway.Stop(context.Background()) }

// assets is a Watch of nothing but tokens.
type assets []chain.Asset

// Match implements chain.Watch.
func (assets) Match([]byte) (uint32, bool) { return 0, false }

// Len implements chain.Watch.
func (assets) Len() int { return 0 }

// Keys implements chain.Watch.
func (assets) Keys() iter.Seq[[]byte] { return func(func([]byte) bool) {} }

// Assets implements chain.Watch.
func (a assets) Assets() []chain.Asset { return a }
