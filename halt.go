package bursar

import (
	"context"
	"fmt"
)

// The reasons for which a chain is halted.
const (
	haltReorg  = "deep_reorg"   // haltReorg: confirmed blocks left the chain.
	haltWindow = "no_ancestor"  // haltWindow: the reorg is older than the window.
	haltLoose  = "payout_loose" // haltLoose: a final, failed attempt of a payout left the chain.
)

// resume ends a halt by itself where that is safe: after a deep reorg, once the
// new branch is final beyond the height at which it began, and what the store
// has come to is clean. Otherwise an operator resumes.
func (d *desk) resume(final uint64, known bool) {
	c := d.clearance
	switch {
	case !resumes(d.state.Halted, d.state.HaltedFrom, final, known):
	case c == nil || c.version != d.state.Version:
		// What was audited is not what stands here: the next block asks again.
	case c.problem != "":
		d.halt(c.problem, string(d.state.Tip().Hash))
	default:
		d.endHalt()
	}
}

func (d *desk) endHalt() {
	reason := d.state.Halted
	d.state.Halted, d.state.HaltedFrom = "", 0
	d.chainEvent(ChainResumed, fmt.Sprintf("%s %d", reason, d.state.Seq), EventData{Reason: reason, Height: d.state.Tip().Height})
}

// halt stops new credits and signatures on the chain until an operator resumes.
func (d *desk) halt(reason string, cause string) {
	if d.state.Halted == reason {
		return
	}
	d.state.Halted, d.state.HaltedAt, d.state.HaltedFrom = reason, d.now, 0
	d.chainEvent(ChainHalted, fmt.Sprintf("%s %s %d", reason, cause, d.state.Seq), EventData{Reason: reason, Height: d.state.Tip().Height})
}

// setHalt begins (reason not empty) or ends a halt of that kind on behalf of
// the scanner.
func (g *Gateway) setHalt(ctx context.Context, net *network, reason, kind string) error {
	fence, err := g.lease(ctx, net)
	if err != nil {
		return err
	}
	return g.store.Write(ctx, func(tx Tx) error {
		d, err := newDesk(ctx, g, net, tx)
		if err != nil {
			return err
		}
		switch {
		case reason != "" && d.state.Halted == "":
			d.halt(kind, "scanner")
		case reason == "" && d.state.Halted == kind && d.state.HaltedFrom > 0:
			// A deep reorg came on top of it: that halt goes on.
			d.state.Halted = haltReorg
		case reason == "" && d.state.Halted == kind:
			d.endHalt()
		default:
			return nil
		}
		b := d.batch()
		b.Fences = append(b.Fences, fence)
		return tx.Apply(ctx, b)
	})
}

// ResumeChain ends a halt by an operator's decision: credits, verdicts and
// sweeps go on from where they stood. It does nothing where the chain is not
// halted. Errors: *FieldError for a chain that is not configured, ErrLeaseHeld
// where another instance has the chain.
func (g *Gateway) ResumeChain(ctx context.Context, id ChainID) error {
	if err := g.writable(ctx); err != nil {
		return err
	}
	net, ok := g.nets[id]
	if !ok {
		return fieldErr("ResumeChain.ID", CodeUnknown, "chain %q is not configured", id)
	}
	fence, err := g.lease(ctx, net)
	if err != nil {
		return err
	}
	return g.store.Write(ctx, func(tx Tx) error {
		d, err := newDesk(ctx, g, net, tx)
		if err != nil || d.state.Halted == "" {
			return err
		}
		d.endHalt()
		b := d.batch()
		b.Fences = append(b.Fences, fence)
		return tx.Apply(ctx, b)
	})
}
