package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
)

// callers is how many goroutines create at once for each core, as the requests
// of a busy shop do: with one each, a core would stand still whenever its only
// caller waits for the other's commit.
const callers = 8

// createAgainstDerive compares payments per second with batch derivations per
// second, both by the wall clock on all cores. A
// payment is all that CreatePayment does: it reserves and derives its share of
// a block of addresses, and commits row, address and event to the store.
func createAgainstDerive(b *bench) (reading, error) {
	workers := runtime.GOMAXPROCS(0)
	derive, err := ours(workers)
	if err != nil {
		return reading{}, err
	}
	rounds, err := b.alternate(byWall, whole(derive), create(workers))
	if err != nil {
		return reading{}, err
	}
	wall, cpu := rounds.by(byWall).per(batch, 1), rounds.by(byCPU).per(batch, 1)
	return reading{wall.ratio, wall.how("derive", "create") + fmt.Sprintf(", by CPU %.3f", cpu.ratio)}, nil
}

// create makes payments on a gateway of its own each time, so that no round
// meets the payments of the one before.
func create(workers int) work {
	return func(n int) (func() error, error) {
		h, err := newHost()
		if err != nil {
			return nil, err
		}
		req := bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.New(15, -1)}
		return func() error {
			err := share(callers*workers, n, func(int) error {
				_, err := h.gateway.CreatePayment(context.Background(), req)
				return err
			})
			if err != nil {
				return err
			}
			return h.stop()
		}, nil
	}
}
