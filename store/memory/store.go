package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// maxTries is how often Write runs a closure before it gives up. Conflicts in
// one process last microseconds; a writer that loses this often is working on
// a row that never rests.
const maxTries = 32

// Options are what New has defaults for.
type Options struct {
	// Now is the store's clock; nil means time.Now. It is called outside of all
	// locks and may jump.
	Now func() time.Time
	// Seed starts the random numbers that spread retries, so that a simulation
	// repeats. Any value will do.
	Seed uint64
}

// Store is a bursar.Store in memory. Make it with New or NewWith.
type Store struct {
	now func() time.Time

	// mu is held for single look-ups and commits, never across a call to a
	// closure, to Options.Now or to anything that can wait.
	mu   lock
	rand *rand.Rand
	// snaps has a lock of its own, so that nobody waits for a commit to begin. It
	// is taken under mu, never the other way round.
	snaps snapshots

	payments     *payments
	transactions *transactions
	addresses    *addresses
	payouts      *payouts
	attempts     *attempts
	deliveries   *deliveries
	chains       *table[bursar.ChainState]
	pools        *pools
	endpoints    *endpoints
	ledger       *ledger
	events       *eventLog
	tables       []kept
	leases       map[string]lease
}

var _ bursar.Store = (*Store)(nil)

// New returns an empty store that follows the wall clock.
func New() *Store { return NewWith(Options{}) }

// NewWith returns an empty store.
func NewWith(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		now:          o.Now,
		rand:         rand.New(rand.NewPCG(o.Seed, 0)),
		payments:     newPayments(),
		transactions: newTransactions(),
		addresses:    newAddresses(),
		payouts:      newPayouts(),
		attempts:     newAttempts(),
		deliveries:   newDeliveries(),
		chains:       newChains(),
		pools:        newPools(),
		endpoints:    newEndpoints(),
		ledger:       newLedger(),
		events:       newEventLog(),
		leases:       map[string]lease{},
	}
	s.tables = []kept{
		s.payments, s.transactions, s.addresses, s.payouts, s.attempts, s.deliveries,
		s.chains, s.pools, s.endpoints, s.ledger, s.events,
	}
	return s
}

// Volatile implements bursar.Volatile: what is in here ends with the process,
// which no gateway on a live network should find out by itself.
func (s *Store) Volatile() bool { return true }

// clock returns the time of a transaction.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// Read implements bursar.Store.
func (s *Store) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	r, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer r.end()
	return fn(r)
}

// Write implements bursar.Store.
func (s *Store) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	for try := 1; ; try++ {
		again, err := s.try(ctx, fn)
		if !again || try == maxTries {
			return err
		}
		if err := s.backoff(ctx, try); err != nil {
			return err
		}
	}
}

// try runs the closure once and commits what it applied. It reports whether
// another run can end otherwise: after a conflict on a snapshot that has aged
// meanwhile. On an unchanged store the same closure meets the same conflict.
func (s *Store) try(ctx context.Context, fn func(bursar.Tx) error) (again bool, err error) {
	r, err := s.begin(ctx)
	if err != nil {
		return false, err
	}
	// A panic, or a runtime.Goexit of a failing test, passes through here with
	// nothing written.
	defer r.end()
	t := &tx{reader: r}
	if err = fn(t); err == nil {
		if err = ctx.Err(); err == nil {
			err = s.commit(t)
		}
	}
	return errors.Is(err, bursar.ErrConflict) && s.newest() != r.number, err
}

// newest returns the number of the newest commit.
func (s *Store) newest() uint64 {
	last, _ := s.snaps.state()
	return last
}

// backoff waits before the next try: not at all at first, then up to 5 ms, at
// random, so that equals do not meet again.
func (s *Store) backoff(ctx context.Context, try int) error {
	if try <= 2 {
		return ctx.Err()
	}
	bound := min(20*time.Microsecond<<min(try, 10), 5*time.Millisecond)
	s.mu.Lock()
	wait := time.Duration(s.rand.Int64N(int64(bound)))
	s.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements bursar.Store. Transactions under way fail. Closing twice is
// nil.
func (s *Store) Close() error {
	s.mu.Lock() // lets a commit under way end first
	defer s.mu.Unlock()
	s.snaps.close()
	return nil
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{bursar.ErrConflict}, args...)...)
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{bursar.ErrInvariant}, args...)...)
}

// newChains makes the table of chain states, which is only read by its key.
func newChains() *table[bursar.ChainState] {
	return newTable("chain",
		func(c *bursar.ChainState) string { return string(c.Chain) },
		func(c *bursar.ChainState) *int64 { return &c.Version })
}

// Chain implements bursar.Reader.
func (r *reader) Chain(ctx context.Context, id chain.ID) (bursar.ChainState, error) {
	found, err := byID(ctx, r, r.s.chains, []chain.ID{id}, always)
	if err != nil || len(found) == 0 {
		return bursar.ChainState{Chain: id}, err
	}
	return copyChain(found[0]), nil
}
