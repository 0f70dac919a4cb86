package bursar

import (
	"context"
	"errors"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/internal/lifecycle"
	"github.com/bursar-go/bursar/sweeper"
)

// lanes are the background activities of a gateway, by name.
func (g *Gateway) lanes() []lifecycle.Lane {
	if g.cfg.Manual {
		return nil
	}
	var out []lifecycle.Lane
	for i, net := range g.order {
		out = append(out,
			lifecycle.Lane{Name: net.info.Name + "/scan", Run: g.loop(func(ctx context.Context) (time.Duration, error) { return g.scanStep(ctx, i, net) }, net.hint)},
			lifecycle.Lane{Name: net.info.Name + "/sweep", Run: g.loop(func(ctx context.Context) (time.Duration, error) { return g.sweepStep(ctx, net) }, nil)},
		)
		if heads, ok := chain.As[chain.HeadSubscriber](net.client); ok {
			out = append(out, lifecycle.Lane{Name: net.info.Name + "/heads", Run: func(ctx context.Context) error { return g.followHeads(ctx, net, heads) }})
		}
		out = append(out, g.mempoolLanes(net)...)
	}
	for _, p := range g.pumps {
		out = append(out, lifecycle.Lane{Name: "notify/" + p.name, Run: p.run})
	}
	if g.directory != nil {
		out = append(out, lifecycle.Lane{Name: "endpoints", Run: g.directory.run})
	}
	if _, ok := g.cfg.Store.(Pruner); ok && g.cfg.Retention > 0 {
		out = append(out, lifecycle.Lane{Name: "retention", Run: g.loop(g.prune, nil)})
	}
	return out
}

// laneFailed reports a lane that panicked or broke an invariant of ours: loud,
// and without taking the host down.
func (g *Gateway) laneFailed(ctx context.Context, f lifecycle.Failure) {
	g.log.ErrorContext(ctx, "lane failed", "lane", f.Lane, "restarts", f.Restarts, "err", f.Err)
}

// minRetry is the shortest pause after a failed step.
const minRetry = 100 * time.Millisecond

// minStep is the shortest time between the beginnings of two steps of which a
// hint brought the second: a node that floods us with heads is no reason to
// flood it with questions.
const minStep = 50 * time.Millisecond

// loop is the thin loop around a step. hint, where there is one, tells what cuts
// the pause after a step without an error short.
func (g *Gateway) loop(step func(context.Context) (time.Duration, error), hint func() <-chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		failures := 0
		for {
			began := time.Now()
			wait, err := step(ctx)
			if ctx.Err() != nil {
				return nil
			}
			var wake <-chan struct{}
			if err != nil {
				failures++
				g.log.DebugContext(ctx, "step failed", "lane", lifecycle.Name(ctx), "failures", failures, "err", err)
				wait = max(wait, minRetry) // whatever a step says, a failing one does not spin
			} else {
				failures = 0
				if hint != nil {
					wake = hint()
				}
			}
			if wait > 0 {
				sleep(ctx, wait, wake)
				if wake != nil {
					sleep(ctx, minStep-time.Since(began), nil)
				}
			}
		}
	}
}

// sleep waits for d, a wake-up or the end of ctx.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// scanStep verifies the chain where that is still due, and makes one step of
// the scanner where this instance has the chain's lease.
func (g *Gateway) scanStep(ctx context.Context, i int, net *network) (time.Duration, error) {
	retry := max(net.info.BlockTime, 5*time.Second)
	if !net.isVerified() {
		if err := g.verify(ctx, i, net); err != nil {
			g.log.WarnContext(ctx, "chain not verified", "chain", string(net.info.ID), "err", err)
			return retry, err
		}
	}
	if err := net.brokenBy(); err != nil {
		return time.Minute, err // and no lease, so that another instance can try
	}
	if _, err := g.lease(ctx, net); err != nil {
		if errors.Is(err, ErrLeaseHeld) {
			return g.lookAgain(), g.stand(ctx, net)
		}
		net.set(func(n *network) { n.problem = err })
		return retry, err
	}
	wait, err := net.scanner.Step(ctx)
	if err == nil && wait > 0 && net.info.OnDemandBlocks {
		err = g.deadlines(ctx, net)
	}
	switch {
	case errors.Is(err, ErrLeaseHeld):
		return g.lookAgain(), g.stand(ctx, net)
	case errors.Is(err, ErrFenced), ctx.Err() != nil:
		return wait, err // another instance was faster, or the end: no problem of the chain
	}
	net.set(func(n *network) { n.problem = err })
	g.breaks(ctx, net, err)
	g.tellConditions(ctx, net)
	return wait, err
}

// breaks stops a chain's work in this instance where a rule of ours does not
// hold: loudly, with nothing written. Only a restart with a mended program goes
// on.
func (g *Gateway) breaks(ctx context.Context, net *network, err error) {
	if !errors.Is(err, ErrInvariant) {
		return
	}
	net.set(func(n *network) { n.problem, n.broken = err, err })
	g.log.ErrorContext(ctx, "invariant broken, chain stopped", "chain", string(net.info.ID), "err", err)
}

// stand is what an instance does for a chain that another one works on.
func (g *Gateway) stand(ctx context.Context, net *network) error {
	net.set(func(n *network) { n.problem = nil })
	if err := g.heed(ctx, net); err != nil {
		return err
	}
	return g.readReady(ctx, net)
}

// readReady learns from the store what other instances did: that the cursor is
// set, and which assets there are.
func (g *Gateway) readReady(ctx context.Context, net *network) error {
	return g.store.Read(ctx, func(r Reader) error {
		st, err := r.Chain(ctx, net.info.ID)
		if err != nil {
			return err
		}
		if !st.StartedAt.IsZero() {
			net.set(func(n *network) { n.ready = true })
		}
		return net.learn(st)
	})
}

func (g *Gateway) sweepStep(ctx context.Context, net *network) (time.Duration, error) {
	retry := max(net.info.BlockTime, time.Second)
	if !net.isVerified() || !net.isReady() {
		return retry, nil
	}
	if err := net.brokenBy(); err != nil {
		return time.Minute, nil // no money moves by a ledger that is in doubt; the scanning lane tells
	}
	if _, err := g.lease(ctx, net); err != nil {
		if errors.Is(err, ErrLeaseHeld) {
			return g.lookAgain(), nil
		}
		return retry, err
	}
	net.set(func(n *network) { n.sweeping = n.term })
	wait, err := net.sweeper.Step(ctx)
	if errors.Is(err, sweeper.ErrLost) {
		return minRetry, nil // whoever has the lease goes on; we ask for it again
	}
	g.breaks(ctx, net, err)
	return wait, err
}

// lookAgain is how often an instance looks whether another one's chain is free.
// The store is asked for a lease that is shorter by as much, so that whoever dies
// is replaced within Config.Lease.
func (g *Gateway) lookAgain() time.Duration { return g.cfg.Lease / 8 }

// lease returns a fence for the chain that is good for at least three eighths of
// the lease's time by this process's own monotonic clock.
func (g *Gateway) lease(ctx context.Context, net *network) (Fence, error) {
	net.mu.Lock()
	fence, at := net.fence, net.fenceAt
	net.mu.Unlock()
	if fence.Name != "" && time.Since(at) < g.cfg.Lease/2 {
		return fence, nil
	}
	asked := time.Now()
	fence, err := g.store.Acquire(ctx, leaseName(net), g.cfg.Instance, g.cfg.Lease-g.lookAgain())
	if err != nil {
		fence = Fence{}
	}
	if net.took(fence, asked, err) {
		g.log.InfoContext(ctx, "the lease went to another instance", "chain", string(net.info.ID))
	}
	return fence, err
}

// dropFence forgets a fence that the store refused, unless there is a newer one.
func (n *network) dropFence(fence Fence, err error) {
	if errors.Is(err, ErrFenced) {
		n.set(func(n *network) {
			if n.fence.Epoch == fence.Epoch {
				n.fence = Fence{}
			}
		})
	}
}

// maxSteps bounds a manual Step: catching up with a long outage takes several.
const maxSteps = 10_000

// Step does all work that is due now, once, in the caller's goroutine: it scans
// to the head of every chain, sweeps, and delivers events. It is for hosts that
// set Config.Manual and schedule by themselves, and for tests. One chain's error
// keeps the other work from nothing; all errors are returned, joined. A second
// Step at the same time is an error.
func (g *Gateway) Step(ctx context.Context) error {
	if err := g.writable(ctx); err != nil {
		return err
	}
	if !g.stepped.TryLock() {
		return errors.New("bursar: another Step is at work")
	}
	defer g.stepped.Unlock()
	var errs []error
	for i, net := range g.order {
		errs = append(errs, g.catchUp(ctx, i, net))
		if _, err := g.tendStep(ctx, net); err != nil {
			errs = append(errs, err)
		}
		if _, err := g.sweepStep(ctx, net); err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range g.pumps {
		errs = append(errs, p.drain(ctx))
	}
	errs = append(errs, g.directory.drain(ctx))
	return errors.Join(errs...)
}

func (g *Gateway) catchUp(ctx context.Context, i int, net *network) error {
	for range maxSteps {
		if wait, err := g.scanStep(ctx, i, net); err != nil || wait > 0 {
			return err
		}
	}
	return nil
}
