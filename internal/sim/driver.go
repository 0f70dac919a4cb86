package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/internal/lifecycle"
)

// agenda is what the world does at its times, in the order of time and of entry.
type agenda struct {
	list []entry
	n    int
}

type entry struct {
	at time.Time
	n  int
	do func()
}

func (a *agenda) add(at time.Time, do func()) {
	a.n++
	e := entry{at, a.n, do}
	i, _ := slices.BinarySearchFunc(a.list, e, func(x, y entry) int { return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.n, y.n)) })
	a.list = slices.Insert(a.list, i, e)
}

// after has the world do something in d.
func (w *world) after(d time.Duration, do func()) { w.agenda.add(time.Now().Add(d), do) }

// answers are results of calls of hosts, which the driver takes in at rest.
type answers struct {
	mu   sync.Mutex
	list []answer
}

type answer struct {
	n  int
	do func()
}

// call has a process do something in a goroutine of its own, as a request to the
// host's program. What it returns is done by the driver once all is at rest.
func (w *world) call(name string, fn func(ctx context.Context) (then func())) (cancel context.CancelFunc) {
	w.calls++
	n := w.calls
	ctx, cancel := context.WithCancel(lifecycle.WithName(context.Background(), fmt.Sprintf("%s/%d", name, n)))
	go func() {
		then := fn(ctx)
		w.answers.mu.Lock()
		defer w.answers.mu.Unlock()
		w.answers.list = append(w.answers.list, answer{n, then})
		w.gate.ring()
	}()
	return cancel
}

// listen takes in what calls have answered.
func (w *world) listen() bool {
	w.answers.mu.Lock()
	list := w.answers.list
	w.answers.list = nil
	w.answers.mu.Unlock()
	slices.SortFunc(list, func(a, b answer) int { return cmp.Compare(a.n, b.n) })
	for _, a := range list {
		if a.do != nil {
			a.do()
		}
	}
	return len(list) > 0
}

// until drives the world until a time, a condition or the first broken rule.
func (w *world) until(end time.Time, done func() bool) {
	for w.failed == nil {
		w.o.Rest()
		for w.listen() {
			w.o.Rest()
		}
		w.bury()
		if done != nil && done() {
			return
		}
		if ops := w.gate.waiting(w.awake); len(ops) > 0 {
			w.step(ops)
			continue
		}
		now := time.Now()
		if len(w.agenda.list) > 0 && !w.agenda.list[0].at.After(now) {
			e := w.agenda.list[0]
			w.agenda.list = w.agenda.list[1:]
			e.do()
			continue
		}
		if !now.Before(end) {
			return
		}
		w.sleep(end)
	}
}

// awake reports whether an op can be let through now.
func (w *world) awake(o *op) bool {
	if o.by.frozen && !o.by.dead.Load() {
		return false
	}
	until, ok := w.held[o]
	return !ok || o.over != nil || !time.Now().Before(until) || o.by.dead.Load()
}

// sleep lets time pass until something can happen.
func (w *world) sleep(end time.Time) {
	next := end
	if len(w.agenda.list) > 0 && w.agenda.list[0].at.Before(next) {
		next = w.agenda.list[0].at
	}
	for _, at := range w.held {
		if at.After(time.Now()) && at.Before(next) {
			next = at
		}
	}
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	select {
	case <-w.gate.bell:
	case <-timer.C:
	}
}

// step lets one op pass.
func (w *world) step(ops []*op) {
	o := ops[0]
	if !w.o.Calm {
		o = slices.MinFunc(ops, func(a, b *op) int { return cmp.Compare(w.turn(a), w.turn(b)) })
	}
	if o.by.dead.Load() {
		w.gate.release(o, verdict{err: errKilled})
		return
	}
	if err := w.gate.over(o); err != nil {
		delete(w.held, o)
		w.note("%s %s %s %s %v", o.by.name, o.lane, o.label, o.about, err)
		w.gate.release(o, verdict{err: err})
		return
	}
	v := verdict{}
	if o.drawn {
		delete(w.held, o)
	} else {
		o.drawn = true
		v.fault = w.faults.effect(o, func(f Fault) bool { return w.possible(o, f) })
	}
	if w.o.Scenario != nil && !w.healing && lasting(o.label) {
		if w.result.Lasting++; w.result.Lasting == w.o.Crash.N {
			v.fault = KillAfter
		}
	}
	w.result.Steps++
	w.result.Marks["gate "+o.label]++
	w.note("%s %s %s %s %s", o.by.name, o.lane, o.label, o.about, v.fault)
	if strings.HasPrefix(o.label, "rpc/") {
		v.view = int(chance(w.o.Seed, "view "+o.place()) % uint64(len(w.views)))
	}
	if w.apply(o, &v) {
		w.gate.release(o, v)
	}
}

// turn is when an op's turn comes among those that wait: random, and the same
// whoever else waits.
func (w *world) turn(o *op) uint64 {
	if o.turn == 0 {
		o.turn = chance(w.o.Seed, "turn "+o.place())
	}
	return o.turn
}

// apply is what a fault does in the driver. It is false where the op waits on.
func (w *world) apply(o *op, v *verdict) bool {
	switch v.fault {
	case RPCSlow:
		w.hold(o, 2*time.Minute)
		return false
	case StoreSlow:
		w.hold(o, time.Minute)
		return false
	case TellSlow:
		w.hold(o, 90*time.Second)
		return false
	case RPCLag:
		v.back = uint64(1 + w.sched.IntN(10))
		if w.sched.IntN(5) == 0 {
			v.back *= 5
		}
	case RPCBranch:
		v.pin = w.abandoned[len(w.abandoned)-1]
	case KillBefore:
		w.kill(o.by)
		return false
	case Freeze:
		w.freeze(o.by)
		return false
	}
	return true
}

func (w *world) hold(o *op, most time.Duration) {
	w.held[o] = time.Now().Add(time.Duration(1 + w.sched.Int64N(int64(most))))
}

// possible reports whether a fault makes sense for an op.
func (w *world) possible(o *op, f Fault) bool {
	_, call, _ := strings.Cut(o.label, "/")
	switch f {
	case RPCBranch:
		return len(w.abandoned) > 0 && call != string(chaintest.MethodSign) && call != string(chaintest.MethodBroadcast)
	case RPCLag:
		return call != string(chaintest.MethodSign) && call != string(chaintest.MethodBroadcast)
	case RPCCut:
		return call == string(chaintest.MethodHeaders) || call == string(chaintest.MethodTransfers)
	case RPCLost, RPCSlow:
		return call != string(chaintest.MethodSign)
	case StoreUnknown, StoreLost:
		return call == "commit"
	case StoreConflict:
		return call == "commit"
	}
	return true
}

// kill ends a process where it stands.
func (w *world) kill(p *process) {
	w.note("%s is killed", p.name)
	p.dead.Store(true)
	w.bury()
}

// bury stops what is left of dead processes and has others take their places.
func (w *world) bury() {
	for slot, p := range w.processes {
		if p == nil || !p.dead.Load() {
			continue
		}
		w.processes[slot] = nil
		w.buried = append(w.buried, p)
		p.frozen = false
		for _, o := range w.gate.waiting(func(o *op) bool { return o.by == p }) {
			delete(w.held, o)
			w.gate.release(o, verdict{err: errKilled})
		}
		go w.stop(p)
		w.boot(slot, time.Duration(1+w.sched.IntN(90))*time.Second)
	}
}

func (w *world) stop(p *process) {
	defer close(p.gone)
	if p.gw != nil {
		_ = p.gw.Stop(context.Background())
	}
}

// freeze lets nothing of a process happen for a while: up to four times a lease.
func (w *world) freeze(p *process) {
	p.frozen = true
	d := time.Duration(1 + w.sched.Int64N(int64(4*w.params.lease)))
	w.note("%s freezes for %s", p.name, d)
	w.after(d, func() {
		p.frozen = false
		w.note("%s thaws", p.name)
	})
}

// boot starts a process in a slot after a while, again and again until it is up.
func (w *world) boot(slot int, d time.Duration) {
	w.after(d, func() {
		w.started++
		p := &process{name: fmt.Sprintf("i%d-%d", slot, w.started), slot: slot, gone: make(chan struct{})}
		var to []bursar.Notifier
		for _, name := range w.params.endpoints {
			to = append(to, receiver{w, p, name})
		}
		// An instance keeps its name: the next one takes the lease over at once.
		gw, err := bursar.New(w.config(fmt.Sprint("i", slot), w.started, storeOf{w, p}, w.client(p), to...))
		if err != nil {
			w.judge(fmt.Errorf("New: %w", err))
			return
		}
		p.gw = gw
		w.processes[slot] = p
		w.note("%s starts", p.name)
		w.call("start", func(ctx context.Context) func() {
			err := gw.Start(lifecycle.WithName(ctx, p.name))
			return func() { w.hasStarted(p, err) }
		})
	})
}

func (w *world) hasStarted(p *process, err error) {
	var field *bursar.FieldError
	switch {
	case p.dead.Load():
	case errors.As(err, &field):
		w.judge(fmt.Errorf("Start says that something is wrong: %w", err))
	case err != nil:
		w.note("%s has not started: %v", p.name, err)
		p.dead.Store(true)
	default:
		p.up = true
		w.note("%s is up", p.name)
	}
}

// any returns a process that is up, or nil.
func (w *world) any() *process {
	var up []*process
	for _, p := range w.processes {
		if p != nil && p.up && !p.dead.Load() && !p.frozen {
			up = append(up, p)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[w.sched.IntN(len(up))]
}

// logged takes what a gateway logs.
func (w *world) logged(level slog.Level, text string) {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	if w.o.Trace != nil {
		w.o.Trace(fmt.Sprintf("%12s    log %s %s", time.Since(w.begun), level, text))
	}
	if level >= slog.LevelError && strings.Contains(text, "invariant") && w.logs.broken == nil {
		w.logs.broken = fmt.Errorf("a gateway says: %s", text)
	}
	if err := w.oracle.Log(text); err != nil && w.logs.broken == nil {
		w.logs.broken = err
	}
}
