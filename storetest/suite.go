package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/stretchr/testify/require"
)

// Run checks a store against the contract of bursar.Store. open returns a new
// empty store; it is called about 300 times. The suite closes each store, so
// that open only cleans up what lies behind it. Up to ten transactions of a
// store are open at once; a pool of connections must hold that many.
func Run(t *testing.T, open func(t *testing.T) bursar.Store) {
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.checks {
				t.Run(c.rule, func(t *testing.T) {
					c.run(newKit(t, func() bursar.Store { return open(t) }))
				})
			}
		})
	}
}

// check is one rule of the contract.
type check struct {
	// rule says it in a few words; it is the subtest's name.
	rule string
	run  func(k *kit)
}

type group struct {
	name   string
	checks []check
}

func groups() []group {
	return []group{
		{"rows", rowChecks()},
		{"writes", writeChecks()},
		{"unique", uniqueChecks()},
		{"snapshots", snapshotChecks()},
		{"races", raceChecks()},
		{"leases", leaseChecks()},
		{"pools", poolChecks()},
		{"ledger", ledgerChecks()},
		{"events", eventChecks()},
		{"queries", queryChecks()},
		{"paging", pagingChecks()},
		{"deliveries", deliveryChecks()},
		{"model", modelChecks()},
	}
}

// patience bounds everything that waits for something to happen.
const patience = 2 * time.Minute

// kit is what a check works with: a fresh store and short ways to use it.
type kit struct {
	testing.TB
	ctx  context.Context
	s    bursar.Store
	open func() bursar.Store
}

func newKit(t testing.TB, open func() bursar.Store) *kit {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	k := &kit{TB: t, ctx: ctx, open: open}
	k.s = k.fresh()
	return k
}

// fresh opens another store, which is closed with the test.
func (k *kit) fresh() bursar.Store {
	s := k.open()
	k.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, bursar.ErrStoreClosed) {
			k.Errorf("Close: %v", err)
		}
	})
	return s
}

// try writes batches in one transaction, each by an Apply of its own.
func (k *kit) try(batches ...bursar.Batch) error {
	return k.s.Write(k.ctx, func(tx bursar.Tx) error {
		for _, b := range batches {
			if err := tx.Apply(k.ctx, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// write is try that must succeed.
func (k *kit) write(batches ...bursar.Batch) {
	k.Helper()
	require.NoError(k, k.try(batches...))
}

// refuse is try that must fail with want and leave nothing behind.
func (k *kit) refuse(want error, batches ...bursar.Batch) {
	k.Helper()
	before := k.state()
	require.ErrorIs(k, k.try(batches...), want)
	k.unchanged(before)
}

// unchanged fails where the store is not as it was.
func (k *kit) unchanged(before state) {
	k.Helper()
	if diff := differ(before, k.state()); diff != "" {
		k.Fatalf("a transaction that failed left something behind: %s", diff)
	}
}

// read runs fn on a snapshot.
func (k *kit) read(fn func(v view)) {
	k.Helper()
	require.NoError(k, k.s.Read(k.ctx, func(r bursar.Reader) error { fn(view{k, k.ctx, r}); return nil }))
}

// state reads all there is.
func (k *kit) state() (st state) {
	k.Helper()
	k.read(func(v view) { st = v.state() })
	return st
}

// state is all that a store holds.
type state struct {
	Payments     []bursar.Payment
	Transactions []bursar.Transaction
	Addresses    []bursar.Address
	Payouts      []bursar.Payout
	Attempts     []bursar.Attempt
	Entries      []bursar.Entry
	Balances     []bursar.Balance
	Events       []bursar.Event
	Deliveries   []bursar.Delivery
	Chains       []bursar.ChainState
	Pools        []bursar.Pool
	Endpoints    []bursar.EndpointRow
}
