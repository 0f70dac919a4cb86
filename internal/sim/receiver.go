package sim

import (
	"context"
	"time"

	"github.com/bursar-go/bursar"
)

// receiver is one endpoint as one process tells it.
type receiver struct {
	w    *world
	p    *process
	name string
}

// Name implements bursar.Notifier.
func (r receiver) Name() string { return r.name }

// Notify implements bursar.Notifier.
func (r receiver) Notify(ctx context.Context, e bursar.Event) error {
	v := r.w.gate.enter(ctx, r.p, "tell/"+r.name, e.ID)
	switch {
	case v.err != nil:
		return v.err
	case v.fault == TellFail, time.Now().Before(r.w.down[r.name]):
		return errReceiver
	case v.fault == TellPanic:
		panic("sim: a handler panics")
	}
	r.w.oracle.Delivered(r.name, e)
	switch v.fault {
	case TellLost:
		return errReceiver
	case KillAfter:
		r.p.dead.Store(true)
		return errKilled
	}
	return nil
}
