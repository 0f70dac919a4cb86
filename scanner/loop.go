package scanner

import (
	"context"
	"errors"
	"time"
)

// Run steps until ctx ends and returns its error. It waits between steps as
// Step says, or less where Wake says that there is news; a pause after an error
// is never cut short, so that hints cannot turn an outage into a hot loop.
func (s *Scanner) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, err := s.Step(ctx)
		if ctx.Err() != nil {
			break
		}
		wake := s.wake
		if err != nil {
			wake = nil
			s.log.WarnContext(ctx, "step failed", "err", err, "wait", wait)
		}
		if wait > 0 {
			sleep(ctx, wait, wake)
		}
	}
	return ctx.Err()
}

// Wake hints that the node may have a new head. It never blocks; hints that
// come while one is waiting are one.
func (s *Scanner) Wake() {
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

// backoff returns the pause after the present run of failures: Poll doubled for
// each one up to MaxBackoff, of which the upper half is spread at random, so
// that scanners that failed together do not come back together. A halt pauses
// the same way: what it waits for is a person.
func (s *Scanner) backoff() time.Duration {
	d := s.cfg.Poll
	for i := 1; i < s.failures && d < s.cfg.MaxBackoff; i++ {
		d *= 2
	}
	d = min(d, s.cfg.MaxBackoff)
	return d/2 + time.Duration(s.rnd.Int64N(int64(d/2)+1))
}

// report tells the sink which conditions began or ended with the last step.
func (s *Scanner) report(ctx context.Context, stepErr error) {
	now := time.Now()
	halted := errors.Is(stepErr, ErrNoCommonAncestor)
	p := s.Progress()
	s.watchdog.judge(Halted, halted, stepErr == nil || halted)
	s.watchdog.judge(Failing, s.failures >= s.cfg.FailAfter, stepErr == nil || s.failures >= s.cfg.FailAfter)
	if p.Head.Latest.Hash != "" {
		limit := s.cfg.LagBlocks
		if s.watchdog.active(Lagging) {
			limit /= 2
		}
		s.watchdog.judge(Lagging, p.Lag > limit, p.Tip.Hash != "")
		s.watchdog.judge(Stalled, now.Sub(s.watchdog.rose) >= s.cfg.StallAfter, !s.info.OnDemandBlocks)
		s.watchdog.judge(FinalityStalled, now.Sub(s.watchdog.finalRose) >= s.cfg.FinalityStallAfter, !s.info.OnDemandBlocks && s.watchdog.final > 0)
	}
	for _, kind := range s.watchdog.changed() {
		c := Condition{
			Chain: s.info.ID, Kind: kind, Active: s.watchdog.active(kind), At: now.UTC(),
			Head: p.Head.Latest.Height, Tip: p.Tip.Height,
		}
		if c.Active && (kind == Halted || kind == Failing) {
			c.Err = stepErr
		}
		if err := s.cfg.Sink.Report(ctx, c); err != nil {
			s.log.WarnContext(ctx, "report failed", "condition", string(kind), "active", c.Active, "err", err)
			continue
		}
		s.watchdog.reported(kind)
	}
}
