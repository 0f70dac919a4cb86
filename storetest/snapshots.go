package storetest

import (
	"fmt"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/stretchr/testify/require"
)

// snapshotChecks hold a closure to one world.
func snapshotChecks() []check {
	return []check{
		{"Read sees nothing of later writes, in any table", func(k *kit) {
			k.seesOneWorld(func(fn func(bursar.Reader) error) error { return k.s.Read(k.ctx, fn) })
		}},
		{"D20 Write reads one snapshot too", func(k *kit) {
			k.seesOneWorld(func(fn func(bursar.Reader) error) error {
				return k.s.Write(k.ctx, func(tx bursar.Tx) error { return fn(tx) })
			})
		}},
		{"every query of a snapshot stays as it was while rows move between states", oldIndexes},
		{"several snapshots of different ages each see their own world", ages},
		{"the next transaction sees what was written", nextSees},
		{"Now is one time for the closure, in UTC and whole microseconds", oneNow},
		{"a parked closure blocks nobody", parked},
	}
}

// seesOneWorld reads everything, changes everything, and reads again.
func (k *kit) seesOneWorld(closure func(func(bursar.Reader) error) error) {
	k.write(fullBatch(1))
	k.reserve("pool", 5)
	runs := 0
	require.NoError(k, closure(func(r bursar.Reader) error {
		v := view{k, k.ctx, r}
		before, now := v.state(), r.Now()
		if runs++; runs == 1 {
			k.changeAll()
		}
		require.Empty(k, differ(before, v.state()))
		require.Equal(k, now, r.Now())
		return nil
	}))
	m := newModel()
	require.NoError(k, m.apply(fullBatch(1)))
	require.NoError(k, m.apply(changes()))
	m.pools["pool"] = 6
	require.Empty(k, differ(m.state(), k.state()))
}

// changeAll updates and inserts in every table.
func (k *kit) changeAll() {
	k.write(changes())
	k.reserve("pool", 1)
}

// changes updates the rows of fullBatch(1) and adds those of fullBatch(2).
func changes() bursar.Batch {
	b := fullBatch(2)
	b.Chains[0].Chain = base
	old := fullBatch(1)
	p, t, a, o := old.Payments[0], old.Transactions[0], old.Addresses[0], old.Payouts[0]
	n, d, c := old.Attempts[0], old.Deliveries[0], old.Chains[0]
	p.Version, t.Version, a.Version, o.Version, n.Version, d.Version, c.Version = 1, 1, 1, 1, 1, 1, 1
	p.Status, t.Status, a.Customer, o.Status = bursar.StatusExpired, bursar.TxFailed, "changed", bursar.PayoutFailed
	w := old.Endpoints[0]
	w.Version, w.Revision, w.Sealed = 1, 1_000_000, []byte("changed")
	n.Open, d.Status, c.Halted = false, bursar.DeliveryDone, "changed"
	return merge(b, bursar.Batch{
		Payments: []bursar.Payment{p}, Transactions: []bursar.Transaction{t}, Addresses: []bursar.Address{a},
		Payouts: []bursar.Payout{o}, Attempts: []bursar.Attempt{n}, Deliveries: []bursar.Delivery{d}, Chains: []bursar.ChainState{c},
		Endpoints: []bursar.EndpointRow{w},
		Entries:   []bursar.Entry{reversal("reversal", old.Entries[0])},
		Events:    []bursar.Event{event("next", old.Events[0].Subject, 2)},
	})
}

func oldIndexes(k *kit) {
	at := func(s bursar.Status, deadline, version int) bursar.Payment {
		return payment("p", func(p *bursar.Payment) {
			p.Status, p.Deadline, p.Version, p.Customer = s, later(deadline), int64(version), string(s)
		})
	}
	job := func(seq int64, status bursar.DeliveryStatus, version int64) bursar.Delivery {
		return delivery(fmt.Sprintf("e%d", seq), "hook", "p", seq, func(d *bursar.Delivery) { d.Status, d.Version = status, version })
	}
	pending, done := bursar.DeliveryPending, bursar.DeliveryDone
	k.write(bursar.Batch{Payments: []bursar.Payment{at("pending", 5, 0)}, Deliveries: []bursar.Delivery{job(1, pending, 0), job(2, pending, 0)}})
	k.read(func(old view) {
		k.write(bursar.Batch{Payments: []bursar.Payment{at("detected", 50, 1)}, Deliveries: []bursar.Delivery{job(1, done, 1)}})
		k.read(func(middle view) {
			k.write(bursar.Batch{Payments: []bursar.Payment{at("pending", 7, 2)}, Deliveries: []bursar.Delivery{job(2, done, 1)}})
			k.read(func(now view) {
				require.Equal(k, "5 1 0 1 | e1", sight(old))
				require.Equal(k, "50 0 1 0 | e2", sight(middle))
				require.Equal(k, "7 1 0 1 | ", sight(now))
			})
			require.Equal(k, "50 0 1 0 | e2", sight(middle))
		})
		require.Equal(k, "5 1 0 1 | e1", sight(old))
	})
}

// sight tells how the payment of oldIndexes looks through different indexes,
// and what may be delivered.
func sight(v view) string {
	count := func(q bursar.PaymentQuery) int { return len(v.payments(q)) }
	due := ""
	for _, d := range v.deliveries(bursar.DeliveryQuery{DueBy: later(1)}) {
		due += d.EventID
	}
	return fmt.Sprintf("%d %d %d %d | %s",
		v.payments(bursar.PaymentQuery{DueBy: later(99)})[0].Deadline.Sub(t0)/time.Second,
		count(bursar.PaymentQuery{Statuses: []bursar.Status{"pending"}}),
		count(bursar.PaymentQuery{Customer: "detected"}),
		count(bursar.PaymentQuery{DueBy: later(10), DueChain: mainnet}), due)
}

func ages(k *kit) {
	const n = 4
	var nest func(depth int)
	nest = func(depth int) {
		if depth == n {
			return
		}
		k.read(func(v view) {
			require.EqualValues(k, depth, v.chain(mainnet).Final)
			require.NoError(k, bump(k.ctx, k.s))
			nest(depth + 1)
			require.EqualValues(k, depth, v.chain(mainnet).Final)
		})
	}
	nest(0)
	k.read(func(v view) { require.EqualValues(k, n, v.chain(mainnet).Final) })
}

func nextSees(k *kit) {
	for i := range 20 {
		require.NoError(k, bump(k.ctx, k.s))
		k.read(func(v view) { require.EqualValues(k, i+1, v.chain(mainnet).Final) })
	}
}

func oneNow(k *kit) {
	look := func(r bursar.Reader) error {
		now := r.Now()
		k.write(bursar.Batch{})
		require.Equal(k, now, r.Now())
		require.Equal(k, time.UTC, now.Location())
		require.Equal(k, now.Truncate(time.Microsecond), now)
		require.False(k, now.IsZero())
		return nil
	}
	require.NoError(k, k.s.Read(k.ctx, look))
	require.NoError(k, k.s.Write(k.ctx, func(tx bursar.Tx) error { return look(tx) }))
}

func parked(k *kit) {
	inside, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- k.s.Write(k.ctx, func(tx bursar.Tx) error {
			close(inside)
			select {
			case <-leave:
			case <-k.ctx.Done():
			}
			return tx.Apply(k.ctx, bursar.Batch{Payments: []bursar.Payment{payment("parked")}})
		})
	}()
	<-inside
	k.write(fullBatch(1))
	k.reserve("pool", 1)
	_, err := k.s.Acquire(k.ctx, "lease", "me", patience)
	require.NoError(k, err)
	close(leave)
	require.NoError(k, <-done)
}
