package bursar

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar/internal/lifecycle"
)

// crew are the goroutines that call one notifier. Whoever has finished takes the
// next job, and while jobs wait there is one more on its way: a call that takes its
// time holds up no other, and calls that take none share a goroutine.
type crew struct {
	*pump
	todo chan job
	// back returns each job, whatever the notifier did.
	back chan job
	// spare is true while a goroutine was begun that has not looked for work yet.
	spare atomic.Bool
}

// newCrew returns a crew for up to p.most jobs that have not come back.
func newCrew(p *pump) *crew {
	return &crew{pump: p, todo: make(chan job, p.most), back: make(chan job, p.most)}
}

// call has the notifier called for a job.
func (c *crew) call(ctx context.Context, j job) {
	// Drawn here: by the order of the jobs, not by that in which they come back.
	j.said.spread = c.roll()
	c.todo <- j
	c.hire(ctx)
}

// hire begins a goroutine, unless one is about to look for work.
func (c *crew) hire(ctx context.Context) {
	if !c.spare.CompareAndSwap(false, true) {
		return
	}
	h := &hand{crew: c}
	work := func(lane context.Context) error { h.work(lane, ctx); return nil }
	lifecycle.Go(ctx, "call", work, func(error) { h.leave() })
}

// hand is one goroutine of a crew.
type hand struct {
	*crew
	job  job
	busy bool
}

// work takes jobs until none is left. lane is its own context, ctx that of the crew.
func (h *hand) work(lane, ctx context.Context) {
	h.spare.Store(false)
	for {
		select {
		case h.job = <-h.todo:
		default:
			return
		}
		if len(h.todo) > 0 {
			h.hire(ctx)
		}
		h.busy = true
		spread, began := h.job.said.spread, time.Now()
		h.job.said = h.notify(lane, h.job)
		h.job.said.spread = spread
		if h.job.said.receipt.Latency <= 0 {
			h.job.said.receipt.Latency = time.Since(began)
		}
		h.busy = false
		h.back <- h.job
	}
}

// leave returns the job of a goroutine that a notifier has ended. Whoever was to be
// called next has been hired before.
func (h *hand) leave() {
	if !h.busy {
		return
	}
	h.job.said.text = "the notifier ended its goroutine"
	h.back <- h.job
}
