package memory_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/memory"
)

// create writes the rows of one new payment, with the look-up before it.
func create(tb testing.TB, s *memory.Store, n int) {
	key := fmt.Sprintf("order-%09d", n)
	err := s.Write(context.Background(), func(tx bursar.Tx) error {
		old, err := tx.Payments(context.Background(), bursar.PaymentQuery{IdempotencyKeys: []string{key}})
		if err != nil || len(old) > 0 {
			return fmt.Errorf("%d old payments: %w", len(old), err)
		}
		return tx.Apply(context.Background(), creation(n, key, tx.Now()))
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// creation is the batch of one CreatePayment with one notifier.
func creation(n int, key string, now time.Time) bursar.Batch {
	id := fmt.Sprintf("pay_%012x", n)
	to := chain.Address(fmt.Sprintf("0x%040x", n*2654435761))
	asset := chain.Asset{ID: "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", Symbol: "USDC", Decimals: 6}
	return bursar.Batch{
		Payments: []bursar.Payment{{
			ID: id, Status: bursar.StatusPending, Asset: asset, Amount: chain.NewAmount(25_000_000),
			Required: chain.NewAmount(25_000_000), Address: to, AddressID: "addr_" + id, IdempotencyKey: key,
			Metadata: map[string]string{"order": "yes"}, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
			Deadline: now.Add(time.Hour), Seq: 1,
		}},
		Addresses: []bursar.Address{{
			ID: "addr_" + id, Address: to, Pool: "main/0", Index: uint32(n), Role: bursar.RolePayment, PaymentID: id, CreatedAt: now,
		}},
		Events: []bursar.Event{{
			ID: "evt_" + id, Kind: bursar.PaymentCreated, Subject: id, Seq: 1, Time: now,
			Data: bursar.EventData{PaymentID: id, Status: bursar.StatusPending, Address: to, Amount: "25"},
		}},
		Deliveries: []bursar.Delivery{{
			EventID: "evt_" + id, Endpoint: "orders", Subject: id, Seq: 1, Status: bursar.DeliveryPending, NextAt: now,
		}},
	}
}

// processorTime is what the process has used of all processors, the garbage
// collector included. Unlike wall time it does not suffer from neighbours.
func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCreate measures the commit of a new payment in stores of different
// sizes: look-up by idempotency key, payment, address, event, delivery.
func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{0, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("payments=%d", size), func(b *testing.B) {
			if testing.Short() && size > 100_000 {
				b.Skip("takes 4 GB")
			}
			s := memory.New()
			for n := range size {
				create(b, s, n)
			}
			n := size
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				create(b, s, n)
				n++
			}
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}
