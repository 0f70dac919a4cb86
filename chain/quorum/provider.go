package quorum

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/bursar-go/bursar/chain"
)

// method is a call of the port, as figures are kept of it.
type method int

const (
	mHead method = iota
	mHeaders
	mTransfers
	mStatus
	mFates
	mBalances
	mInternal
	mIdentify
	mInspect
	mDryRun
	mPrepare
	mBump
	mEstimate
	mBroadcast
	methods // how many there are
)

// String is the method's name in the port.
func (m method) String() string {
	return [...]string{"Head", "Headers", "Transfers", "Status", "Fates", "Balances", "Internal", "Identify", "Inspect", "DryRun", "Prepare", "Bump", "EstimateFees", "Broadcast"}[m]
}

// provider is one node and what is known of it.
type provider struct {
	Provider

	index int
	limit *rate.Limiter // nil: no budget

	mu sync.Mutex
	standing
}

// standing is what a provider's mu guards.
type standing struct {
	aside    bool
	fault    Fault
	reason   string
	until    time.Time // end of the cool-down
	strikes  int       // times put aside in close succession
	returned time.Time // when it came back last
	tried    time.Time // when an early attempt was made during the cool-down

	checked  time.Time     // when its chain was checked last; zero: never
	due      bool          // a failure asks for another check
	checking chan struct{} // closed when the check under way has ended

	failures [methods]int           // in a row
	failed   [methods]time.Time     // when, last
	latency  [methods]time.Duration // smoothed; zero: not known
	overall  time.Duration

	head  chain.BlockRef // as it told last
	final chain.BlockRef // the newest it ever called final

	counts Counters
	// falls counts how often it was put aside from being in, or for another fault
	// than before; fell is the condition of the last time, changed when it began or
	// ended.
	falls     uint64
	fell      Condition
	changed   time.Time
	errorRate uint64 // failures in a million calls, smoothed
}

func newProvider(cfg Provider, index int) *provider {
	p := &provider{Provider: cfg, index: index}
	if cfg.Rate > 0 {
		p.limit = rate.NewLimiter(rate.Limit(cfg.Rate), cfg.Burst)
	}
	return p
}

// spend waits until the budget allows one more call.
func (p *provider) spend(ctx context.Context) error {
	if p.limit == nil {
		return ctx.Err()
	}
	r := p.limit.Reserve()
	wait := r.Delay()
	if wait == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		r.Cancel()
		return ctx.Err()
	}
}

// broke reports whether the budget is spent for now.
func (p *provider) broke(now time.Time) bool { return p.limit != nil && p.limit.TokensAt(now) < 1 }

// try makes one call of a provider and keeps the books about it.
func try[T any](ctx context.Context, q *Client, p *provider, m method, call func(context.Context, *provider) (T, error)) (T, error) {
	var none T
	if err := q.admit(ctx, p, m); err != nil {
		return none, err
	}
	if err := p.spend(ctx); err != nil {
		return none, err
	}
	began := time.Now()
	out, err := contain(ctx, p, call)
	q.record(ctx, p, m, time.Since(began), err)
	if err != nil {
		return none, err
	}
	return out, nil
}

// contain turns a panic of a provider's client into an error: it happens in a
// goroutine of ours, where nobody else could contain it.
func contain[T any](ctx context.Context, p *provider, call func(context.Context, *provider) (T, error)) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = faulty(FaultIncoherent, "the client of %s panicked: %v", p.Name, r)
		}
	}()
	return call(ctx, p)
}

// smoothing is the share, as 1/smoothing, that a new measurement has in a
// latency.
const smoothing = 4

// record notes how a call went.
func (q *Client) record(ctx context.Context, p *provider, m method, took time.Duration, err error) {
	if ctx.Err() != nil && err != nil {
		if !errors.Is(context.Cause(ctx), errLost) {
			return // the caller gave up, which says nothing of the provider
		}
		// It would have taken longer still.
		p.mu.Lock()
		p.measure(m, max(took, p.latency[m]))
		p.mu.Unlock()
		if took < q.cfg.HedgeMost {
			return
		}
		err = faulty(FaultTransport, "no answer within %s, while others had one", took)
	}
	p.mu.Lock()
	p.counts.Calls++
	p.rate(definite(err))
	if definite(err) {
		p.measure(m, took)
		p.failures[m] = 0
		p.mu.Unlock()
		return
	}
	fault := classify(err)
	p.counts.Failures++
	out := fault.atOnce()
	if fault == FaultLimited {
		p.counts.Limited++
	}
	if fault.counted() {
		p.failures[m]++
		p.failed[m], p.due = time.Now(), true
		out = p.failures[m] >= q.cfg.FailAfter
	}
	p.mu.Unlock()
	if out {
		q.putAside(p, fault, err.Error(), retryDelay(err))
	}
}

// measure smooths a latency. The caller holds mu.
func (p *provider) measure(m method, took time.Duration) {
	for _, at := range []*time.Duration{&p.latency[m], &p.overall} {
		if *at == 0 {
			*at = max(took, 1)
		} else {
			*at += (took - *at) / smoothing
		}
	}
}

// lately is how many calls an error rate looks back on, about.
const lately = 32

// rate smooths the share of failures. The caller holds mu.
func (s *standing) rate(ok bool) {
	s.errorRate -= s.errorRate / lately
	if !ok {
		s.errorRate += 1_000_000 / lately
	}
}

// maxReason bounds what is kept of an error's text.
const maxReason = 512

func shorten(reason string) string {
	if len(reason) > maxReason {
		return reason[:maxReason] + "…"
	}
	return reason
}

// putAside takes a provider out for a cool-down that doubles while it keeps
// coming back with faults; asked is how long it wants to be left alone.
func (q *Client) putAside(p *provider, fault Fault, reason string, asked time.Duration) {
	reason = shorten(reason)
	now := time.Now()
	p.mu.Lock()
	if p.aside && now.Before(p.until) && (p.fault.atOnce() || !fault.atOnce()) {
		// It is out already: calls that were under way, or an early attempt.
		p.tried = now
		p.mu.Unlock()
		return
	}
	if !p.returned.IsZero() && now.Sub(p.returned) > q.cfg.MaxCooldown && !p.aside {
		p.strikes = 0
	}
	cool := q.cfg.Cooldown
	for range p.strikes {
		cool = min(2*cool, q.cfg.MaxCooldown)
	}
	p.strikes = min(p.strikes+1, 62)
	// What it asks for is respected, though not beyond an hour.
	cool = max(cool, min(asked, time.Hour))
	was := p.aside && p.fault == fault
	p.aside, p.fault, p.reason, p.until, p.tried = true, fault, reason, now.Add(cool), now
	p.counts.Aside++
	told := Condition{Kind: ProviderAside, Active: true, Provider: p.Name, Fault: fault, Reason: reason, Until: p.until, At: now}
	if !was {
		p.falls++
		p.fell, p.changed = told, now
	}
	p.mu.Unlock()
	if !was {
		q.tell(told)
	}
}

// delay is how long to wait for an answer before another provider is asked.
func (q *Client) delay(p *provider, m method) time.Duration {
	p.mu.Lock()
	known := p.latency[m]
	p.mu.Unlock()
	if known == 0 {
		return q.cfg.HedgeMost
	}
	return min(max(3*known, q.cfg.HedgeLeast), q.cfg.HedgeMost)
}

// asideError says why a provider is not asked.
func (s *standing) asideError() error {
	return &faultError{FaultAside, fmt.Sprintf("put aside (%s) until %s: %s", s.fault, s.until.UTC().Format(time.RFC3339), s.reason)}
}
