package oracle

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
)

// BenchmarkCommitted takes the batches of real flows: the time is that of one
// batch.
func BenchmarkCommitted(b *testing.B) {
	w := newWorld(b, bursartest.Options{})
	for i := range 20 {
		w.pay(w.USDC, fmt.Sprint(i+1))
		w.Mine(2)
	}
	w.AdvanceTime(25 * time.Hour)
	w.Settle()
	batches := append([]bursar.Batch{}, w.early...)
	batches = append(batches, w.oracle.batches[len(w.early):]...)
	for i := range batches {
		batches[i] = unstored(batches[i], i >= len(w.early))
	}
	b.ReportAllocs()
	for b.Loop() {
		o := New(w.oracle.cfg)
		for i := range batches {
			if err := o.Committed(batches[i]); err != nil {
				require.NoError(b, err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batches)), "ns/batch")
}

// unstored takes back what stored did.
func unstored(b bursar.Batch, was bool) bursar.Batch {
	if !was {
		return b
	}
	n := stored(b)
	for i := range n.Payments {
		n.Payments[i].Version -= 2
	}
	for i := range n.Transactions {
		n.Transactions[i].Version -= 2
	}
	for i := range n.Addresses {
		n.Addresses[i].Version -= 2
	}
	for i := range n.Payouts {
		n.Payouts[i].Version -= 2
	}
	for i := range n.Attempts {
		n.Attempts[i].Version -= 2
	}
	for i := range n.Deliveries {
		n.Deliveries[i].Version -= 2
	}
	for i := range n.Chains {
		n.Chains[i].Version -= 2
	}
	return n
}
