package sim

import (
	"context"
	"errors"
	"time"

	"github.com/bursar-go/bursar"
)

// operate is what operators do, and what happens to their machines.
func (w *world) operate(f Fault) {
	switch f {
	case Restart:
		if p := w.any(); p != nil {
			w.restart(p)
		}
	case TellDown:
		name := w.params.endpoints[w.dice.IntN(len(w.params.endpoints))]
		w.down[name] = time.Now().Add(time.Duration(1+w.dice.IntN(40)) * time.Minute)
	case HostCancel:
		w.hostCancel = true
	case StoreClock:
		w.db.skew += time.Duration(w.dice.IntN(180)-90) * time.Second
	case StoreFailover:
		w.rewind(1 + w.dice.IntN(5))
	case StoreRestore:
		w.rewind(w.dice.IntN(max(1, len(w.db.journal)/2)))
	}
}

// restart stops a process properly and starts another one.
func (w *world) restart(p *process) {
	p.up = false
	w.note("%s is stopped", p.name)
	w.call("stop", func(ctx context.Context) func() {
		err := p.gw.Stop(ctx)
		return func() {
			w.note("%s has stopped: %v", p.name, err)
			p.dead.Store(true)
		}
	})
}

// rewind has the store lose its last n commits, or as many of them as reserved no
// more addresses than a gateway can leave out.
func (w *world) rewind(n int) {
	if n >= len(w.db.journal) {
		return
	}
	lost := uint32(0)
	for i := range n {
		if lost += w.db.journal[len(w.db.journal)-1-i].count; lost > skipAhead {
			n = i
			break
		}
	}
	keep, err := w.db.rewind(context.Background(), len(w.db.journal)-n)
	w.note("the store loses %d commits", n)
	w.rewound = true
	w.judge(err)
	w.judge(w.oracle.Rewound(keep))
}

// resume ends halts that wait for an operator, once the world is well.
func (w *world) resume() {
	if p := w.any(); p != nil {
		w.call("resume", func(ctx context.Context) func() {
			halted := ""
			err := w.db.store.Read(ctx, func(r bursar.Reader) error {
				st, err := r.Chain(ctx, w.chain.Info().ID)
				halted = st.Halted
				return err
			})
			if err == nil && halted != "" && halted != "deep_reorg" {
				err = p.gw.ResumeChain(ctx, w.chain.Info().ID)
			}
			if errors.Is(err, bursar.ErrLeaseHeld) {
				err = nil
			}
			return func() { w.judge(err) }
		})
	}
	w.after(10*time.Minute, w.resume)
}
