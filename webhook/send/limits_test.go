package send

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConcurrency(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	server := serve(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	s := newLocal(t, server.URL, func(c *Config) { c.Concurrency = 2 })
	var wg sync.WaitGroup
	results := make(chan error, 2)
	for range 2 {
		wg.Go(func() { results <- s.Send(context.Background(), message("a")) })
		<-arrived
	}
	err := s.Send(t.Context(), message("b"))
	require.ErrorIs(t, err, ErrBusy)
	var unsent *NotSentError
	require.ErrorAs(t, err, &unsent)
	require.Zero(t, unsent.Until)
	close(release)
	wg.Wait()
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	go func() { <-arrived }()
	require.NoError(t, s.Send(t.Context(), message("c")), "a slot is given back")
}

// TestThreat_E18_RateAfterAnOutage: however much has piled up, an endpoint gets
// its burst and then its rate.
func TestThreat_E18_RateAfterAnOutage(t *testing.T) {
	var got atomic.Int64
	server := serve(t, func(http.ResponseWriter, *http.Request) { got.Add(1) })
	now := newClock()
	s := newLocal(t, server.URL, func(c *Config) { c.Every, c.Burst, c.Now, c.Concurrency = 100*time.Millisecond, 3, now.Now, 1 })
	refused := 0
	for range 50 {
		if err := s.Send(t.Context(), message("a")); err != nil {
			var unsent *NotSentError
			require.ErrorAs(t, err, &unsent)
			require.ErrorIs(t, err, ErrRateLimited)
			require.Equal(t, now.Now().Add(100*time.Millisecond), unsent.Until)
			require.Contains(t, err.Error(), "not sent: rate limit until 2026-03-01T12:00:00Z")
			refused++
		}
	}
	require.Equal(t, 47, refused)
	for range 5 {
		now.advance(100 * time.Millisecond)
		require.NoError(t, s.Send(t.Context(), message("a")), "a refusal costs nothing")
		require.ErrorIs(t, s.Send(t.Context(), message("a")), ErrRateLimited)
	}
	require.Equal(t, int64(8), got.Load())
}

// switchable is a receiver whose status tests change.
func switchable(t *testing.T) (url string, status *atomic.Int64, got *atomic.Int64) {
	status, got = &atomic.Int64{}, &atomic.Int64{}
	status.Store(200)
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		got.Add(1)
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(int(status.Load()))
	})
	return server.URL, status, got
}

func TestBreakerStopsAndProbes(t *testing.T) {
	url, status, got := switchable(t)
	now := newClock()
	s := newLocal(t, url, func(c *Config) {
		c.Now, c.Breaker = now.Now, &BreakerConfig{Failures: 3, Cooldown: time.Minute, MaxCooldown: 3 * time.Minute}
	})
	status.Store(503)
	for range 3 {
		var answer *StatusError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &answer)
	}
	open := func(d time.Duration) {
		t.Helper()
		before := got.Load()
		err := s.Send(t.Context(), message("a"))
		require.ErrorIs(t, err, ErrBreakerOpen)
		var unsent *NotSentError
		require.ErrorAs(t, err, &unsent)
		require.Equal(t, now.Now().Add(d), unsent.Until)
		require.Equal(t, before, got.Load(), "nothing is sent while open")
	}
	probe := func() {
		t.Helper()
		before := got.Load()
		var answer *StatusError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &answer)
		require.Equal(t, before+1, got.Load())
	}
	open(time.Minute)
	now.advance(time.Minute - 1)
	open(1)
	now.advance(1)
	probe()
	open(2 * time.Minute)
	now.advance(2 * time.Minute)
	probe()
	open(3 * time.Minute) // Doubling is bounded.
	now.advance(3 * time.Minute)
	status.Store(200)
	require.NoError(t, s.Send(t.Context(), message("a")))

	// Closed for good: it takes three failures again, and the first cooldown.
	status.Store(502)
	probe()
	probe()
	status.Store(200)
	require.NoError(t, s.Send(t.Context(), message("a")))
	status.Store(504)
	probe()
	probe()
	probe()
	open(time.Minute)
}

// TestThreat_E6_OnePoisonEventDoesNotOpenTheBreaker: a receiver that answers
// 500 to one event, or 401 to all, is there.
func TestThreat_E6_OnePoisonEventDoesNotOpenTheBreaker(t *testing.T) {
	url, status, got := switchable(t)
	s := newLocal(t, url, func(c *Config) { c.Breaker = &BreakerConfig{Failures: 2} })
	for _, code := range []int64{500, 400, 401, 404, 410, 302} {
		status.Store(code)
		for range 3 {
			require.NotErrorIs(t, s.Send(t.Context(), message("a")), ErrBreakerOpen)
		}
	}
	require.Equal(t, int64(18), got.Load())
	status.Store(429)
	for range 2 {
		require.NotErrorIs(t, s.Send(t.Context(), message("a")), ErrBreakerOpen)
	}
	require.ErrorIs(t, s.Send(t.Context(), message("a")), ErrBreakerOpen)
}

// TestBreakerIgnoresTheCaller: giving up says nothing about the endpoint, and a
// probe that was given up does not leave the breaker half open.
func TestBreakerIgnoresTheCaller(t *testing.T) {
	url, status, _ := switchable(t)
	now := newClock()
	s := newLocal(t, url, func(c *Config) {
		c.Now, c.Breaker = now.Now, &BreakerConfig{Failures: 1, Cooldown: time.Minute}
	})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		require.ErrorIs(t, s.Send(canceled, message("a")), context.Canceled)
	}
	status.Store(503)
	require.NotErrorIs(t, s.Send(t.Context(), message("a")), ErrBreakerOpen)
	require.ErrorIs(t, s.Send(t.Context(), message("a")), ErrBreakerOpen)
	now.advance(time.Minute)
	require.ErrorIs(t, s.Send(canceled, message("a")), context.Canceled)
	status.Store(200)
	require.NoError(t, s.Send(t.Context(), message("a")))
}

// TestRefusalsHoldNoSlot: an open breaker and a used-up rate give the place
// among the concurrent requests back.
func TestRefusalsHoldNoSlot(t *testing.T) {
	url, status, _ := switchable(t)
	status.Store(503)
	s := newLocal(t, url, func(c *Config) { c.Concurrency, c.Breaker = 1, &BreakerConfig{Failures: 1} })
	require.Error(t, s.Send(t.Context(), message("a")))
	for range 3 {
		require.ErrorIs(t, s.Send(t.Context(), message("a")), ErrBreakerOpen)
	}
}

func TestBreakerCountsSilence(t *testing.T) {
	server := serve(t, nil)
	url := server.URL
	server.Close()
	s := newLocal(t, url, func(c *Config) { c.Breaker = &BreakerConfig{Failures: 2} })
	for range 2 {
		var failed *TransportError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &failed)
	}
	require.ErrorIs(t, s.Send(t.Context(), message("a")), ErrBreakerOpen)
}

// TestBreakerOneProbe: of many that come when the time is up, one goes.
func TestBreakerOneProbe(t *testing.T) {
	now := newClock().Now()
	b := newBreaker(BreakerConfig{Failures: 1, Cooldown: time.Minute, MaxCooldown: time.Hour})
	g, _, ok := b.allow(now)
	require.True(t, ok)
	b.report(g, failing, now, 0)
	now = now.Add(time.Minute)
	probe, _, ok := b.allow(now)
	require.True(t, ok)
	for range 3 {
		_, until, ok := b.allow(now)
		require.False(t, ok)
		require.True(t, until.After(now))
	}
	b.report(probe, alive, now, 0)
	_, _, ok = b.allow(now)
	require.True(t, ok)
}

// TestBreakerForgetsOldRequests: results of requests that began before the
// breaker changed say nothing about now.
func TestBreakerForgetsOldRequests(t *testing.T) {
	now := newClock().Now()
	b := newBreaker(BreakerConfig{Failures: 1, Cooldown: time.Minute, MaxCooldown: time.Hour})
	old, _, _ := b.allow(now)
	first, _, _ := b.allow(now)
	b.report(first, failing, now, 0)
	b.report(old, alive, now, 0)
	_, _, ok := b.allow(now)
	require.False(t, ok, "an old success does not close it")

	now = now.Add(time.Minute)
	probe, _, ok := b.allow(now)
	require.True(t, ok)
	b.report(old, failing, now, 0)
	b.report(probe, alive, now, 0)
	b.report(old, failing, now, 0)
	b.report(probe, failing, now, 0)
	_, _, ok = b.allow(now)
	require.True(t, ok, "an old failure does not open it")
}

func TestBreakerHonoursRetryAfter(t *testing.T) {
	now := newClock().Now()
	for asked, want := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Minute, 5 * time.Minute: 5 * time.Minute, 24 * time.Hour: time.Hour} {
		b := newBreaker(BreakerConfig{Failures: 1, Cooldown: time.Minute, MaxCooldown: time.Hour})
		g, _, _ := b.allow(now)
		b.report(g, failing, now, asked)
		_, until, ok := b.allow(now)
		require.False(t, ok)
		require.Equal(t, now.Add(want), until)
	}
}

// TestRateLimitedProbeIsGivenBack: the breaker lets a probe through, the rate
// does not.
func TestRateLimitedProbeIsGivenBack(t *testing.T) {
	url, status, _ := switchable(t)
	now := newClock()
	s := newLocal(t, url, func(c *Config) {
		c.Now, c.Every, c.Breaker = now.Now, 10*time.Minute, &BreakerConfig{Failures: 1, Cooldown: time.Minute}
	})
	status.Store(503)
	require.Error(t, s.Send(t.Context(), message("a")))
	now.advance(time.Minute)
	require.ErrorIs(t, s.Send(t.Context(), message("a")), ErrRateLimited)
	now.advance(10 * time.Minute)
	status.Store(200)
	require.NoError(t, s.Send(t.Context(), message("a")))
}

// TestSendConcurrently is for the race detector: one sender, many goroutines.
func TestSendConcurrently(t *testing.T) {
	url, status, got := switchable(t)
	s := newLocal(t, url, func(c *Config) {
		c.Concurrency, c.Every, c.Burst, c.Breaker = 4, time.Microsecond, 10, &BreakerConfig{Failures: 2, Cooldown: time.Microsecond}
	})
	var wg sync.WaitGroup
	var sent atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				status.Store([]int64{200, 503, 500}[(i+n)%3])
				receipt, _ := s.Deliver(context.Background(), message("a"))
				if receipt.Code != 0 {
					sent.Add(1)
				}
				_ = s.String()
			}
		})
	}
	wg.Wait()
	require.Equal(t, sent.Load(), got.Load())
	require.NotZero(t, got.Load())
}
