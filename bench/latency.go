package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// manyCallers is how many create payments at the same time where latency counts.
const manyCallers = 200

// createLatency is the time that one of a hundred creations exceeds, with many
// callers at once on PostgreSQL.
func createLatency(b *bench) (reading, error) {
	s, err := postgresServer()
	if err != nil {
		return reading{}, err
	}
	defer s.Close() //nolint:errcheck // it is thrown away
	store, end, err := s.open()
	if err != nil {
		return reading{}, err
	}
	h, err := hostOn(store)
	if err != nil {
		return reading{}, err
	}
	n := manyCallers * 50
	if b.quick {
		n = manyCallers
	}
	took := make([]time.Duration, n)
	err = share(manyCallers, n, func(i int) error {
		begin := time.Now()
		_, err := h.gateway.CreatePayment(context.Background(), order(fmt.Sprint("order-", i)))
		took[i] = time.Since(begin)
		return err
	})
	if err != nil {
		return reading{}, err
	}
	slices.Sort(took)
	how := fmt.Sprintf("%d creations, median %s, longest %s", n, took[n/2].Round(time.Millisecond), took[n-1].Round(time.Millisecond))
	return reading{took[n*99/100].Seconds(), how}, after(h.stop, end)()
}
