package bursar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How the gateway finds out whether its store takes writes.
const (
	// proofEvery is how long one proof counts. What fails meanwhile is noticed at
	// once; a gateway without any work, or one that stands by, at the next proof.
	proofEvery = time.Minute
	// proofAgain is the pause between two proofs while they fail, so that a host
	// that asks for Health every second burdens no store that is in trouble.
	proofAgain = 5 * time.Second
	// proofWait bounds a proof: a write that has not returned by then is as good
	// as failed. A caller that gives up before proofFair has proved nothing.
	proofWait = 10 * time.Second
	proofFair = 500 * time.Millisecond
)

// UnwritableError reports that the store takes no writes: no payment can be made
// and nothing is credited until it does, whatever can still be read.
type UnwritableError struct {
	// Since is when it was noticed first, by this process's clock.
	Since time.Time
	// Err is the newest failure, a *StoreError where the store knows the reason.
	Err error
}

// Error tells since when and why.
func (e *UnwritableError) Error() string {
	return fmt.Sprintf("bursar: the store has taken no writes since %s: %v", e.Since.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns the newest failure.
func (e *UnwritableError) Unwrap() error { return e.Err }

// watchedStore is the host's store, whose writes are noted on their way. What a
// store may offer beyond the port is asked of Config.Store: this one hides it.
type watchedStore struct {
	Store
	watch *writeWatch
}

// Write implements Store.
func (s *watchedStore) Write(ctx context.Context, fn func(Tx) error) error {
	var tx *watchedTx
	err := s.Store.Write(ctx, func(inner Tx) error {
		tx = &watchedTx{Tx: inner}
		if c, ok := inner.(DeliveryClaimer); ok {
			tx.said = fn(&watchedClaimer{tx, c})
		} else {
			tx.said = fn(tx)
		}
		return tx.said
	})
	switch {
	case err == nil && tx != nil && !tx.wrote:
		// Nothing was applied, which a full disk does not mind.
	case err == nil, tx == nil, tx.said == nil, tx.refused:
		s.watch.note(ctx, err)
	}
	return err
}

// watchedTx tells a write that the store refused from one that its own closure
// gave up, for reasons that have nothing to do with writing.
type watchedTx struct {
	Tx
	wrote, refused bool
	said           error // what the closure returned
}

// Apply implements Tx.
func (t *watchedTx) Apply(ctx context.Context, b Batch) error {
	err := t.Tx.Apply(ctx, b)
	t.wrote, t.refused = true, t.refused || err != nil
	return err
}

// watchedClaimer is a watchedTx of a store that can claim.
type watchedClaimer struct {
	*watchedTx
	claimer DeliveryClaimer
}

// ClaimDeliveries implements DeliveryClaimer.
func (t *watchedClaimer) ClaimDeliveries(ctx context.Context, endpoint string, d time.Duration, most int, skip []string) ([]Delivery, []Event, error) {
	rows, events, err := t.claimer.ClaimDeliveries(ctx, endpoint, d, most, skip)
	t.wrote, t.refused = t.wrote || len(rows) > 0, t.refused || err != nil
	return rows, events, err
}

// Reserve implements Store.
func (s *watchedStore) Reserve(ctx context.Context, pool string, n uint32) (uint32, error) {
	first, err := s.Store.Reserve(ctx, pool, n)
	s.watch.note(ctx, err)
	return first, err
}

// Acquire implements Store.
func (s *watchedStore) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Fence, error) {
	fence, err := s.Store.Acquire(ctx, name, holder, ttl)
	s.watch.note(ctx, err)
	return fence, err
}

// writeWatch remembers whether the store takes writes. The gateway's own writes
// raise a suspicion; only a proof clears it, because a small write that succeeds,
// such as the renewal of a lease, finds room on a disk that has none for a
// payment.
type writeWatch struct {
	prove func(context.Context) error

	mu sync.Mutex
	// failed is the newest failure since the last proof; since is when the first
	// of them was.
	failed error
	since  time.Time
	// proved is when the last proof ended, whatever came of it. worked tells that
	// a write has succeeded since: then the next proof need not wait.
	proved  time.Time
	worked  bool
	proving bool
}

// note takes in what came of a write.
func (w *writeWatch) note(ctx context.Context, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.worked = true
	case ctx.Err() == nil && isRefusal(err):
		w.fail(err)
	}
}

// isRefusal reports whether an error is the store's failure to write, and not an
// answer: that somebody was faster, or that a rule forbids this very write.
func isRefusal(err error) bool {
	for _, answer := range []error{ErrConflict, ErrFenced, ErrLeaseHeld, ErrInvariant, context.Canceled} {
		if errors.Is(err, answer) {
			return false
		}
	}
	var field *FieldError
	return !errors.As(err, &field)
}

// fail remembers a failure; the lock is held.
func (w *writeWatch) fail(err error) {
	if w.failed == nil {
		w.since = time.Now()
	}
	w.failed, w.worked = err, false
}

// last returns what is known without asking the store; nil: it takes writes.
func (w *writeWatch) last() *UnwritableError {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		return nil
	}
	return &UnwritableError{Since: w.since, Err: w.failed}
}

// look returns what is known, after a proof where one is due. Of many callers at
// once one proves; the others are told what was known before.
func (w *writeWatch) look(ctx context.Context) *UnwritableError {
	if w.begin(false) {
		w.end(w.try(ctx))
	}
	return w.last()
}

// start proves the store at the start of a gateway, due or not.
func (w *writeWatch) start(ctx context.Context) error {
	w.begin(true)
	ended, err := w.try(ctx)
	w.end(ended, err)
	if err != nil && !ended {
		return err
	}
	if known := w.last(); known != nil {
		return known
	}
	return nil
}

// begin reports whether the caller is to prove now.
func (w *writeWatch) begin(anyway bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	pause := proofEvery
	if w.failed != nil {
		pause = proofAgain
	}
	due := anyway || w.failed != nil && w.worked || time.Since(w.proved) >= pause
	if w.proving || !due {
		return anyway
	}
	w.proving = true
	return true
}

// try proves. ended is false where the caller gave up too soon to tell.
func (w *writeWatch) try(ctx context.Context) (ended bool, err error) {
	asked := time.Now()
	bounded, cancel := context.WithTimeout(ctx, proofWait)
	defer cancel()
	err = w.prove(bounded)
	if err == nil || bounded.Err() == nil {
		return true, err
	}
	took := time.Since(asked)
	return took >= proofFair, fmt.Errorf("a write has not ended within %s: %w", took.Round(time.Millisecond), err)
}

// end takes in what came of a proof.
func (w *writeWatch) end(ended bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proving = false
	if !ended {
		return
	}
	w.proved, w.worked = time.Now(), false
	if err == nil {
		w.failed = nil
	} else {
		w.fail(err)
	}
}

// proveStore has the store prove that it takes writes. One that has no proof of
// its own is given the state of a chain to write again, as it is.
func (g *Gateway) proveStore(ctx context.Context) error {
	if p, ok := g.cfg.Store.(Prober); ok {
		return p.Probe(ctx)
	}
	if volatile(g.cfg.Store) {
		return nil // memory is never full
	}
	id := g.order[0].info.ID
	err := g.cfg.Store.Write(ctx, func(tx Tx) error {
		st, err := tx.Chain(ctx, id)
		if err != nil {
			return err
		}
		st.Chain = id
		return tx.Apply(ctx, Batch{Chains: []ChainState{st}})
	})
	if errors.Is(err, ErrConflict) {
		return nil // so many others write it
	}
	return err
}
