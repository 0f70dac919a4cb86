package sweeper

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Run steps until ctx ends and returns its error. It waits between steps as
// Step says, or less where Wake says that there is something new; a pause after
// an error is never cut short.
func (s *Sweeper) Run(ctx context.Context) error {
	if s.WatchOnly() {
		s.log.InfoContext(ctx, "no signer: nothing is swept, only what others signed is sent")
	}
	failures := 0
	for ctx.Err() == nil {
		wait, err := s.Step(ctx)
		if ctx.Err() != nil {
			break
		}
		wake := s.wake
		if err != nil {
			failures++
			wake, wait = nil, s.pause(failures)
			level := slog.LevelWarn
			if errors.Is(err, ErrLost) {
				level = slog.LevelInfo // another worker goes on: nothing has failed
			}
			s.log.Log(ctx, level, "step failed", "err", err, "wait", wait)
		} else {
			failures = 0
		}
		sleep(ctx, wait, wake)
	}
	return ctx.Err()
}

// pause doubles with each failure in a row, up to Policy.RetryCap.
func (s *Sweeper) pause(failures int) time.Duration {
	d := s.interval
	for i := 1; i < failures && d < s.policy.RetryCap; i++ {
		d *= 2
	}
	return max(min(d, s.policy.RetryCap, time.Minute), s.interval)
}

// Wake hints that there is new work. It never blocks; hints that come while one
// is waiting are one.
func (s *Sweeper) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// sleep returns after d, at a hint, or when ctx ends. The caller does the same
// thing in each case, so that it does not matter which one wins.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}
