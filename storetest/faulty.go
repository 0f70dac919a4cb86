package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bursar-go/bursar"
)

// The errors that a FaultyStore makes.
var (
	// ErrInjected: the call failed, and nothing was written.
	ErrInjected = errors.New("storetest: injected failure")
	// ErrCrashed: the process that used this store is dead. Every call says so
	// from then on.
	ErrCrashed = errors.New("storetest: the process has crashed")

	errAgain = errors.New("storetest: injected conflict")
)

// Fault is what happens to a call.
type Fault int

// The faults. Those that come after the commit have effects; the others none.
const (
	// Pass: nothing goes wrong.
	Pass Fault = iota
	// FailBefore returns ErrInjected and writes nothing.
	FailBefore
	// LoseBefore returns bursar.ErrUnknownOutcome and writes nothing.
	LoseBefore
	// LoseAfter writes and returns bursar.ErrUnknownOutcome.
	LoseAfter
	// ConflictOnce lets fn of a Write run once more, as if another writer had
	// been faster. Other calls pass.
	ConflictOnce
	// CrashBefore and CrashAfter kill the process before or after the commit:
	// the call and all later ones return ErrCrashed. What is committed stays in
	// the store underneath, for the next process.
	CrashBefore
	CrashAfter
	// PanicBefore and PanicAfter panic with the Point.
	PanicBefore
	PanicAfter
)

// Op is a method of a store.
type Op string

// The calls that can fail.
const (
	OpRead    Op = "read"
	OpWrite   Op = "write"
	OpReserve Op = "reserve"
	OpAcquire Op = "acquire"
)

// Point is a place where a store can fail.
type Point struct {
	// Op is the call. A Write that applies nothing is a read.
	Op Op
	// N counts from 1: reads by themselves, and all other calls together,
	// because they are what a crash can separate.
	N int
	// Name is the pool of a reservation and the name of a lease.
	Name string
	// Batches are what a Write applied; not to be changed or kept.
	Batches []bursar.Batch
}

// Commits reports whether the call writes.
func (p Point) Commits() bool { return p.Op != OpRead }

// Plan chooses a fault for a point. It is called once for each, in the order of
// the points, and never by two goroutines at once.
type Plan func(Point) Fault

// At lets the n-th commit point fail, counted from 1; with 0 none.
func At(n int, f Fault) Plan {
	return func(p Point) Fault {
		if p.Commits() && p.N == n {
			return f
		}
		return Pass
	}
}

// FaultyStore is a store that fails by plan. It is safe for concurrent use.
type FaultyStore struct {
	inner bursar.Store
	plan  Plan

	mu             sync.Mutex
	commits, reads int
	crashed        bool
}

var _ bursar.Store = (*FaultyStore)(nil)

// Faulty wraps a store. A nil plan fails nothing and still counts. Several
// faulty stores may share one store, as processes share a database. To crash
// at every commit of a scenario once:
//
//	count := storetest.Faulty(open(), nil)
//	scenario(count)
//	for n := range count.Points() {
//		store := open()
//		scenario(storetest.Faulty(store, storetest.At(n+1, storetest.CrashAfter)))
//		recover(store)
//	}
func Faulty(s bursar.Store, plan Plan) *FaultyStore {
	if plan == nil {
		plan = At(0, Pass)
	}
	return &FaultyStore{inner: s, plan: plan}
}

// Points returns how many commit points there were so far.
func (f *FaultyStore) Points() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commits
}

// Crashed reports whether the process was killed.
func (f *FaultyStore) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// reach counts a point and asks the plan.
func (f *FaultyStore) reach(p Point) (Point, Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counter := &f.commits
	if !p.Commits() {
		counter = &f.reads
	}
	*counter++
	p.N = *counter
	return p, f.plan(p)
}

// before is what a fault does before the commit.
func (f *FaultyStore) before(p Point, fault Fault) error {
	switch fault {
	case FailBefore:
		return ErrInjected
	case LoseBefore:
		return bursar.ErrUnknownOutcome
	case CrashBefore:
		f.die()
	case PanicBefore:
		panic(p)
	}
	return f.alive()
}

// after is what a fault does after the commit.
func (f *FaultyStore) after(p Point, fault Fault) error {
	switch fault {
	case LoseAfter:
		return bursar.ErrUnknownOutcome
	case CrashAfter:
		f.die()
		return ErrCrashed
	case PanicAfter:
		panic(p)
	}
	return nil
}

func (f *FaultyStore) die() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed = true
}

func (f *FaultyStore) alive() error {
	if f.Crashed() {
		return ErrCrashed
	}
	return nil
}

// call runs a call between the two halves of its fault.
func (f *FaultyStore) call(p Point, do func() error) error {
	if err := f.alive(); err != nil {
		return err
	}
	p, fault := f.reach(p)
	if err := f.before(p, fault); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return f.after(p, fault)
}

// Read implements bursar.Store.
func (f *FaultyStore) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	return f.call(Point{Op: OpRead}, func() error { return f.inner.Read(ctx, fn) })
}

// Reserve implements bursar.Store. An error hides the indexes that were handed
// out.
func (f *FaultyStore) Reserve(ctx context.Context, pool string, n uint32) (first uint32, err error) {
	err = f.call(Point{Op: OpReserve, Name: pool}, func() error {
		first, err = f.inner.Reserve(ctx, pool, n)
		return err
	})
	if err != nil {
		return 0, err
	}
	return first, nil
}

// Acquire implements bursar.Store.
func (f *FaultyStore) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (fence bursar.Fence, err error) {
	err = f.call(Point{Op: OpAcquire, Name: name}, func() error {
		fence, err = f.inner.Acquire(ctx, name, holder, ttl)
		return err
	})
	if err != nil {
		return bursar.Fence{}, err
	}
	return fence, nil
}

// Close implements bursar.Store. It closes the store underneath, unless the
// process is dead: then that one belongs to the next process.
func (f *FaultyStore) Close() error {
	if f.Crashed() {
		return nil
	}
	return f.inner.Close()
}

// Write implements bursar.Store. The point is reached when fn has returned:
// what a batch holds is written as a whole or not at all, so that there is
// nothing to fail in between.
func (f *FaultyStore) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	if err := f.alive(); err != nil {
		return err
	}
	w := &faultyWrite{f: f, fn: fn}
	for {
		err := f.inner.Write(ctx, w.run)
		switch {
		case errors.Is(err, errAgain):
			continue
		case err != nil:
			return err
		}
		return f.after(w.point, w.fault)
	}
}

// faultyWrite is one Write; a repeated closure stays the same point.
type faultyWrite struct {
	f       *FaultyStore
	fn      func(bursar.Tx) error
	reached bool
	point   Point
	fault   Fault
}

func (w *faultyWrite) run(tx bursar.Tx) error {
	seen := &seeingTx{Tx: tx}
	if err := w.fn(seen); err != nil {
		return err
	}
	if !w.reached {
		w.reached = true
		p := Point{Op: OpRead}
		if len(seen.batches) > 0 {
			p = Point{Op: OpWrite, Batches: seen.batches}
		}
		w.point, w.fault = w.f.reach(p)
	}
	if w.fault == ConflictOnce {
		w.fault = Pass
		return errAgain
	}
	return w.f.before(w.point, w.fault)
}

// seeingTx notes what is applied.
type seeingTx struct {
	bursar.Tx
	batches []bursar.Batch
}

func (t *seeingTx) Apply(ctx context.Context, b bursar.Batch) error {
	t.batches = append(t.batches, b)
	return t.Tx.Apply(ctx, b)
}
