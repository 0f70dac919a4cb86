package send

import (
	"sync"
	"time"
)

// BreakerConfig says when an endpoint is left alone.
type BreakerConfig struct {
	// Failures is how many failures in a row open the breaker. Zero means 5.
	// At most 1000.
	Failures int
	// Cooldown is how long it stays open the first time. Each probe that fails
	// doubles it. Zero means 30 s.
	Cooldown time.Duration
	// MaxCooldown bounds the doubling, and the Retry-After that is honoured.
	// Zero means 10 min, or Cooldown where that is longer.
	MaxCooldown time.Duration
}

func (c BreakerConfig) withDefaults() BreakerConfig {
	if c.Failures == 0 {
		c.Failures = 5
	}
	if c.Cooldown == 0 {
		c.Cooldown = 30 * time.Second
	}
	if c.MaxCooldown == 0 {
		c.MaxCooldown = max(10*time.Minute, c.Cooldown)
	}
	return c
}

func (c BreakerConfig) validate() error {
	switch {
	case c.Failures < 0 || c.Failures > 1000:
		return &FieldError{"Breaker.Failures", "want 1 to 1000"}
	case c.Cooldown < 0:
		return &FieldError{"Breaker.Cooldown", "negative"}
	case c.MaxCooldown < c.Cooldown:
		return &FieldError{"Breaker.MaxCooldown", "less than Cooldown"}
	}
	return nil
}

// outcome is what a request said about its endpoint.
type outcome int

const (
	neutral outcome = iota // nothing: the caller gave up, or it was never sent
	alive                  // it answered, whatever it thought of the event
	failing                // no answer, or an answer of overload
)

// breaker is closed, open until a time, or half open: one request, the probe,
// is under way and decides. It judges whether the endpoint can be reached, not
// what it thinks of one event; an event that a receiver cannot digest must not
// stop the others.
//
// Requests that began before the breaker last changed do not count, or a slow
// failure of yesterday would close or open it today. The lock is held for
// arithmetic only.
type breaker struct {
	config BreakerConfig

	mu         sync.Mutex
	generation uint64
	failures   int           // in a row, while closed
	cooldown   time.Duration // of the present opening
	until      time.Time     // zero while closed
	probing    bool
}

func newBreaker(c BreakerConfig) *breaker { return &breaker{config: c, cooldown: c.Cooldown} }

// allow admits a request and returns the generation to report with, or the time
// at which it makes sense to ask again.
func (b *breaker) allow(now time.Time) (generation uint64, until time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return b.generation, time.Time{}, true
	case now.Before(b.until):
		return 0, b.until, false
	case b.probing:
		// The probe takes a while; one cooldown is a guess, not a promise.
		return 0, now.Add(b.config.Cooldown), false
	}
	b.probing = true
	b.generation++
	return b.generation, time.Time{}, true
}

// report takes the outcome of an admitted request, and how long the receiver
// asked to be left alone.
func (b *breaker) report(generation uint64, o outcome, now time.Time, retryAfter time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if generation != b.generation {
		return
	}
	switch {
	case o == neutral:
		b.probing = false
	case o == alive:
		if b.probing {
			b.generation++
		}
		b.failures, b.cooldown, b.until, b.probing = 0, b.config.Cooldown, time.Time{}, false
	case b.probing:
		b.cooldown = min(2*b.cooldown, b.config.MaxCooldown)
		b.open(now, retryAfter)
	default:
		if b.failures++; b.failures >= b.config.Failures {
			b.open(now, retryAfter)
		}
	}
}

// open needs the lock.
func (b *breaker) open(now time.Time, retryAfter time.Duration) {
	b.generation++
	b.failures, b.probing = 0, false
	b.until = now.Add(max(b.cooldown, min(retryAfter, b.config.MaxCooldown)))
}
