package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
)

// few is the smaller number of watched addresses.
const few = 1000

// watchedSets are the sets of two gateways, as their scanners use them, and
// what the larger one takes. They are made once for both figures: a million
// derivations take half a minute.
type watchedSets struct {
	small, large *host
	// heap is how much larger the heap was with the large set; count is how
	// many addresses came to it.
	heap  uint64
	count int
}

func (b *bench) sets() (*watchedSets, error) {
	if b.watched != nil {
		return b.watched, nil
	}
	s := &watchedSets{}
	var err error
	if s.small, err = newHost(); err != nil {
		return nil, err
	}
	if s.large, err = newHost(); err != nil {
		return nil, err
	}
	if err := s.small.grow(few); err != nil {
		return nil, err
	}
	// A first block brings everything into being that does not grow.
	if err := s.large.grow(batch); err != nil {
		return nil, err
	}
	count, before := s.large.client.watch().Len(), heap()
	if err := s.large.grow(b.many); err != nil {
		return nil, err
	}
	after := heap()
	s.count = s.large.client.watch().Len() - count
	if after < before || s.count < int(b.many)-2*batch {
		return nil, fmt.Errorf("%d addresses took %d to %d bytes", s.count, before, after)
	}
	s.heap = after - before
	b.watched = s
	return s, nil
}

// heap is the size of the live heap in bytes.
func heap() uint64 {
	// The second collection frees what finalizers and pools held in the first.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// grow makes the gateway watch n addresses: the store is told of reservations,
// as if other instances had made them, and the gateway scans, which begins with
// deriving what was reserved.
func (h *host) grow(n uint32) error {
	ctx := context.Background()
	req := bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.New(1, 0)}
	if _, err := h.gateway.CreatePayment(ctx, req); err != nil {
		return err
	}
	var pools []bursar.Pool
	err := h.store.Read(ctx, func(r bursar.Reader) (err error) {
		pools, err = r.Pools(ctx)
		return err
	})
	switch {
	case err != nil:
		return err
	case len(pools) != 1:
		return fmt.Errorf("%d index pools, want one", len(pools))
	}
	if pools[0].Next < n {
		if _, err := h.store.Reserve(ctx, pools[0].Name, n-pools[0].Next); err != nil {
			return err
		}
	}
	h.node.mine()
	return h.gateway.Step(ctx)
}
