package quorum

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// answer is what one provider said: a value, or a definite error.
type answer[T any] struct {
	by    *provider
	place int // in the list of those to ask, which orders the answers
	value T
	err   error
}

// plan says how many providers are asked one thing.
type plan struct {
	// want is how many are asked at once.
	want int
	// distinct has one provider of each operator asked, its next one only where
	// that failed.
	distinct bool
	// patience ends the wait for stragglers some time after need have answered.
	patience bool
	need     int
	// grace is the least time stragglers get. They are let go on so long also
	// where the answers are enough already.
	grace time.Duration
}

// race is one question to several providers.
type race[T any] struct {
	q       *Client
	m       method
	plan    plan
	call    func(context.Context, *provider) (T, error)
	left    []*provider // not asked yet
	places  map[*provider]int
	busy    map[string]bool // operators that were asked and have not failed
	running int
	results chan answer[T]
	answers []answer[T]
	faults  []ProviderFault
	timer   *time.Timer
	since   time.Time
	wait    time.Duration // the longest usual time of those that were asked
}

// gather asks the providers of a list until enough says that their answers are,
// nobody is left to be asked, or ctx ends. Whoever does not answer in its usual
// time has the next one asked as well; whoever fails does at once; and where
// those who were wanted have all answered and it is not enough, all others are.
// The answers come in the order of the list.
//
// Those that lost are cancelled and waited for; see join.
func gather[T any](ctx context.Context, q *Client, m method, list []*provider, p plan,
	call func(context.Context, *provider) (T, error), enough func([]answer[T]) bool,
) ([]answer[T], []ProviderFault) {
	if ctx.Err() != nil || len(list) == 0 {
		return nil, nil
	}
	r := &race[T]{
		q: q, m: m, plan: p, call: call, left: slices.Clone(list),
		places: make(map[*provider]int, len(list)), busy: map[string]bool{},
		// Room for all, so that nobody who answers late waits for a reader.
		results: make(chan answer[T], len(list)),
		timer:   time.NewTimer(time.Hour), since: time.Now(),
	}
	for i, p := range list {
		r.places[p] = i
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer r.timer.Stop()
	defer r.join()
	defer cancel(errLost)
	for range p.want {
		r.start(inner)
	}
	r.run(ctx, inner, enough)
	return r.answers, r.faults
}

// run collects answers.
func (r *race[T]) run(ctx, inner context.Context, enough func([]answer[T]) bool) {
	for r.running > 0 {
		select {
		case a := <-r.results:
			r.running--
			if ctx.Err() != nil {
				return
			}
			if !definite(a.err) {
				r.faults = append(r.faults, ProviderFault{Provider: a.by.Name, Fault: classify(a.err), Reason: a.err.Error()})
				r.busy[a.by.Operator] = false
				r.start(inner)
				continue
			}
			at, _ := slices.BinarySearchFunc(r.answers, a.place, func(x answer[T], place int) int { return cmp.Compare(x.place, place) })
			r.answers = slices.Insert(r.answers, at, a)
			switch {
			case enough(r.answers):
				r.linger(ctx)
				return
			case r.running == 0:
				for r.start(inner) {
				}
			case r.plan.patience && len(r.answers) >= r.plan.need:
				// From here on, stragglers have as long as they usually take.
				r.timer.Reset(max(0, max(r.wait, r.plan.grace)-time.Since(r.since)))
			}
		case <-r.timer.C:
			if r.plan.patience && len(r.answers) >= r.plan.need {
				return
			}
			r.start(inner)
		case <-ctx.Done():
			return
		}
	}
}

// start asks the next provider, and reports whether there was one.
func (r *race[T]) start(ctx context.Context) bool {
	for i, p := range r.left {
		if r.plan.distinct && r.busy[p.Operator] {
			continue
		}
		r.left = slices.Delete(r.left, i, i+1)
		r.busy[p.Operator] = true
		r.running++
		wait := r.q.delay(p, r.m)
		r.wait = max(r.wait, wait)
		r.timer.Reset(wait)
		go func() {
			value, err := try(ctx, r.q, p, r.m, r.call)
			r.results <- answer[T]{by: p, place: r.places[p], value: value, err: err}
		}()
		return true
	}
	return false
}

// linger gives those that are still at work the plan's grace.
func (r *race[T]) linger(ctx context.Context) {
	rest := r.plan.grace - time.Since(r.since)
	if rest <= 0 {
		return
	}
	r.timer.Reset(rest)
	for r.running > 0 {
		select {
		case <-r.results:
			r.running--
		case <-r.timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// joinWait is how long a cancelled call is waited for. A client that keeps the
// port's contract returns at once; one that does not must not hold up the others.
const joinWait = 100 * time.Millisecond

// join waits for those that were cancelled, so that no goroutine outlives the
// call unless a client ignores its context.
func (r *race[T]) join() {
	r.timer.Reset(joinWait)
	for r.running > 0 {
		select {
		case <-r.results:
			r.running--
		case <-r.timer.C:
			return
		}
	}
}
