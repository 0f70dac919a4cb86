package bursar

import (
	"context"
	"fmt"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

// clearance is what the audit before an automatic resumption came to.
type clearance struct {
	// version is that of the chain's row in the audited snapshot.
	version int64
	// problem is why the chain must not resume by itself; empty: it may.
	problem string
}

// resumes reports whether a halt may end by itself at a final height: after a
// deep reorg, once the new branch is final beyond the height at which it began.
func resumes(halted string, from, final uint64, known bool) bool {
	return halted == haltReorg && known && from > 0 && final >= from
}

// clear audits the store before a step that would end a halt; nil where the
// step ends none. It runs outside of the step's transaction, so that nobody
// waits for it but this chain, which credits nothing meanwhile anyway.
//
// It takes a third of the lease at most, so that the instance still has the
// chain afterwards. A database that cannot be audited in that time is resumed by
// an operator, who has all the time for Verify.
func (g *Gateway) clear(ctx context.Context, net *network, step scanner.Step) (*clearance, error) {
	var st ChainState
	err := g.store.Read(ctx, func(r Reader) (err error) {
		st, err = r.Chain(ctx, net.info.ID)
		return err
	})
	if err != nil || !g.endsHalt(net, st, step) {
		return nil, err
	}
	patience := g.cfg.Lease / 3
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := g.auditStore(limited)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return &clearance{st.Version, fmt.Sprintf("audit: not done within %s", patience)}, nil
	case err != nil:
		return nil, err
	}
	c := &clearance{version: a.states[net.info.ID].Version}
	if !a.report.Clean() {
		c.problem = shorten("audit: " + a.report.Findings[0].String())
		g.log.ErrorContext(ctx, "chain stays halted, the audit is not clean", "chain", string(net.info.ID), "report", a.report.String())
	}
	return c, nil
}

// endsHalt foresees whether a step ends a halt, be it one that the step's own
// reorg begins.
func (g *Gateway) endsHalt(net *network, st ChainState, step scanner.Step) bool {
	halted, from := st.Halted, st.HaltedFrom
	if uint64(len(step.Disconnect)) >= net.depth() {
		from = max(from, st.Tip().Height+1)
		if halted == "" {
			halted = haltReorg
		}
	}
	var tip chain.BlockRef
	if n := len(step.Recent); n > 0 {
		tip = step.Recent[n-1]
	}
	final, known := net.finalHeight(step.Head, tip.Height, step.Recent)
	return resumes(halted, from, final, known)
}
