package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
)

// Run makes one run, inside a bubble of virtual time.
func Run(o Options) Result {
	w, err := newWorld(o)
	if err != nil {
		return Result{Seed: o.Seed, Err: err}
	}
	w.processes = make([]*process, w.params.instances)
	for slot := range w.processes {
		w.boot(slot, time.Duration(slot)*time.Second)
	}
	w.mine()
	if o.Load.Open == 0 && o.Scenario == nil {
		w.open()
	}
	w.until(time.Now().Add(365*24*time.Hour), func() bool { return w.mined >= o.Blocks })
	if !o.Brief {
		w.heal()
		w.rest()
	}
	w.leave()
	return w.report()
}

// heal ends all faults and gives everything the time it needs: blocks until all
// is final, then hours for deadlines, holds and the retries of deliveries.
func (w *world) heal() {
	if w.failed != nil {
		return
	}
	w.note("heal")
	w.healing, w.faults.off = true, true
	w.unstall()
	w.spikeUntil, w.hostCancel = time.Time{}, false
	clear(w.down)
	for o := range w.held {
		w.held[o] = time.Now()
	}
	for _, p := range w.processes {
		if p != nil {
			p.frozen = false
		}
	}
	w.soothe()
	w.resume()
	goal := w.mined + 4*int(w.params.finality) + 10
	w.until(time.Now().Add(24*time.Hour), func() bool { return w.mined >= goal })
	hours := 4
	if w.o.Scenario != nil {
		hours = 2
	}
	for range hours {
		// Slow blocks: what is left waits for time, and what comes late becomes final.
		w.params.blockTime = min(4*w.params.blockTime, 2*time.Minute)
		w.until(time.Now().Add(time.Hour), nil)
	}
}

// rest makes the checks at rest, and audits.
func (w *world) rest() {
	if w.failed != nil {
		return
	}
	if w.failed = w.logs.broken; w.failed != nil {
		return
	}
	if w.failed = w.excused(w.oracle.Quiet(context.Background())); w.failed != nil {
		return
	}
	w.judge(w.sales(context.Background()))
	p := w.any()
	if p == nil {
		w.judge(fmt.Errorf("Q6: no instance is up at the end"))
		return
	}
	done := false
	w.call("verify", func(ctx context.Context) func() {
		r, err := p.gw.Verify(ctx)
		return func() {
			done = true
			w.judge(err)
			w.judge(findings(r))
		}
	})
	w.until(time.Now().Add(time.Hour), func() bool { return done })
}

// excused leaves out what a store that has forgotten commits cannot know: what
// was sent in the time that it forgot has moved money of which its rows say that it
// waits. The gateway tells (alert.key_compromised) and leaves it to an operator.
func (w *world) excused(err error) error {
	if err != nil && w.rewound && (strings.HasPrefix(err.Error(), "Q4") || strings.HasPrefix(err.Error(), "Q5")) {
		return nil
	}
	return err
}

// findings is the first finding of an audit.
func findings(r bursar.Report) error {
	if len(r.Findings) == 0 {
		return nil
	}
	return fmt.Errorf("Q6: Verify finds %d, the first is %s", len(r.Findings), r.Findings[0])
}

// leave stops every gateway. Whatever waits at the gate fails from now on, so that
// nothing holds a Stop up.
func (w *world) leave() {
	all := w.buried
	for _, p := range w.processes {
		if p != nil {
			p.dead.Store(true)
			go w.stop(p)
			all = append(all, p)
		}
	}
	for _, o := range w.gate.waiting(func(*op) bool { return true }) {
		w.gate.release(o, verdict{err: errKilled})
	}
	for _, p := range all {
		<-p.gone
	}
	w.o.Rest()
}

func (w *world) report() Result {
	r := w.result
	r.Hash, r.Blocks, r.Elapsed, r.Faults, r.Err = w.hash, w.mined, time.Since(w.begun), w.faults.list, w.failed
	for _, m := range w.oracle.Marks() {
		r.Marks[m]++
	}
	for _, f := range r.Faults {
		r.Marks["fault "+string(f.Fault)]++
	}
	return r
}
