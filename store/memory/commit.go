package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/bursar-go/bursar"
)

// tx is one run of a Write's closure: a reader and copies of what was applied.
type tx struct {
	*reader

	fences       []bursar.Fence
	payments     []*version[bursar.Payment]
	transactions []*version[bursar.Transaction]
	addresses    []*version[bursar.Address]
	payouts      []*version[bursar.Payout]
	attempts     []*version[bursar.Attempt]
	deliveries   []*version[job]
	chains       []*version[bursar.ChainState]
	endpoints    []*version[bursar.EndpointRow]
	entries      []*posted
	events       []*told
}

// Apply implements bursar.Tx. Everything is checked at commit, under the lock
// that it takes anyway.
func (t *tx) Apply(ctx context.Context, b bursar.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.over.Load() {
		return errOver
	}
	t.fences = append(t.fences, b.Fences...)
	t.payments = stage(t.payments, b.Payments, copyPayment)
	t.transactions = stage(t.transactions, b.Transactions, copyTransaction)
	t.addresses = stage(t.addresses, b.Addresses, copyAddress)
	t.payouts = stage(t.payouts, b.Payouts, copyPayout)
	t.attempts = stage(t.attempts, b.Attempts, copyAttempt)
	t.deliveries = stage(t.deliveries, b.Deliveries, newJob)
	t.chains = stage(t.chains, b.Chains, copyChain)
	t.endpoints = stage(t.endpoints, b.Endpoints, copyEndpoint)
	for i := range b.Entries {
		t.entries = append(t.entries, &posted{row: b.Entries[i]})
	}
	for i := range b.Events {
		t.events = append(t.events, &told{row: copyEvent(&b.Events[i])})
	}
	return nil
}

// stage appends copies of rows.
func stage[In, Out any](to []*version[Out], rows []In, one func(*In) Out) []*version[Out] {
	for i := range rows {
		to = append(to, &version[Out]{row: one(&rows[i])})
	}
	return to
}

// commit publishes what the transaction applied, all or nothing.
func (s *Store) commit(t *tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, closed := s.snaps.state()
	if closed {
		return bursar.ErrStoreClosed
	}
	// Its own snapshot has served; without it the versions that this commit
	// outdates go at once.
	t.release()
	if err := s.publish(last+1, t); err != nil {
		for _, table := range s.tables {
			table.revert()
		}
		return err
	}
	s.committed()
	return nil
}

// committed ends a successful commit.
func (s *Store) committed() {
	last := s.snaps.commit()
	for _, table := range s.tables {
		table.settle(last)
	}
	s.sweep()
}

// publish writes the rows in the order of the batch's fields. Conflicts come
// before broken rules, because a writer that was too slow breaks rules too.
func (s *Store) publish(number uint64, t *tx) error {
	for _, f := range t.fences {
		if held, ok := s.leases[f.Name]; !ok || held.epoch != f.Epoch {
			return fmt.Errorf("%w: %q is at epoch %d, not %d", bursar.ErrFenced, f.Name, held.epoch, f.Epoch)
		}
	}
	if err := s.publishRows(number, t); err != nil {
		return err
	}
	if err := each(number, t.entries, s.ledger.add); err != nil {
		return err
	}
	return each(number, t.events, s.events.add)
}

func (s *Store) publishRows(number uint64, t *tx) error {
	if err := each(number, t.payments, s.payments.put); err != nil {
		return err
	}
	if err := each(number, t.transactions, s.transactions.put); err != nil {
		return err
	}
	if err := each(number, t.addresses, s.addresses.put); err != nil {
		return err
	}
	if err := each(number, t.payouts, s.payouts.put); err != nil {
		return err
	}
	if err := each(number, t.attempts, s.attempts.put); err != nil {
		return err
	}
	if err := each(number, t.deliveries, s.deliveries.put); err != nil {
		return err
	}
	if err := each(number, t.chains, s.chains.put); err != nil {
		return err
	}
	return each(number, t.endpoints, s.endpoints.put)
}

func each[T any](number uint64, rows []*T, put func(uint64, *T) error) error {
	for _, row := range rows {
		if err := put(number, row); err != nil {
			return err
		}
	}
	return nil
}

// lease is who holds a name until when. Epochs only ever rise.
type lease struct {
	holder string
	epoch  int64
	until  time.Time
}

// Acquire implements bursar.Store. A lease whose end has come counts as
// expired for its holder too, and is taken again with a higher epoch: somebody
// may have been told so. A ttl of zero or less gives a held lease up.
func (s *Store) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	if err := ctx.Err(); err != nil {
		return bursar.Fence{}, err
	}
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, closed := s.snaps.state(); closed {
		return bursar.Fence{}, bursar.ErrStoreClosed
	}
	l := s.leases[name]
	running := now.Before(l.until)
	switch {
	case running && l.holder != holder:
		return bursar.Fence{}, bursar.ErrLeaseHeld
	case !running:
		l.epoch++
	}
	l.holder, l.until = holder, now.Add(ttl)
	s.leases[name] = l
	return bursar.Fence{Name: name, Epoch: l.epoch, Until: l.until}, nil
}
