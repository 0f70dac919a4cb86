package sim

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/internal/lifecycle"
)

// errKilled is what a dead process gets to see, though nobody is there to see it.
var errKilled = errors.New("sim: the process is dead")

// op is one effect that waits at the gate.
type op struct {
	by    *process
	lane  string // the goroutine's name
	label string // what it is about to do
	about string // with what, to tell equals apart
	n     uint64 // arrivals of its like, the last resort of the order
	pass  chan verdict
	turn  uint64 // when its turn is; 0: not drawn yet
	drawn bool   // its fault was drawn
	over  error  // its context has ended; under the gate's lock
}

// place names an op by what it is and not by what was before it elsewhere.
func (o *op) place() string {
	return o.by.name + " " + o.lane + " " + o.label + " " + o.about + " " + strconv.FormatUint(o.n, 10)
}

// verdict is what becomes of an op. The zero value lets it happen.
type verdict struct {
	fault Fault
	// view is which of the node's views answers.
	view int
	// back is how far that view lags behind, in blocks.
	back uint64
	// pin is the head of the branch that it sits on; empty for the chain's own.
	pin chain.BlockHash
	// err is set where the op does not happen at all.
	err error
}

// order puts ops in the order of their names, which does not depend on who was
// first.
func order(a, b *op) int {
	return cmp.Or(cmp.Compare(a.by.name, b.by.name), cmp.Compare(a.lane, b.lane), cmp.Compare(a.label, b.label),
		cmp.Compare(a.about, b.about), cmp.Compare(a.n, b.n))
}

// Labels are all effects there are.
func Labels() []string {
	return []string{
		"store/read", "store/begin", "store/commit", "store/reserve", "store/acquire", "store/origin", "store/settle",
		"rpc/Head", "rpc/Headers", "rpc/Transfers", "rpc/Status", "rpc/Prepare", "rpc/Sign", "rpc/Broadcast", "rpc/Balances",
		"rpc/Identify", "rpc/Inspect", "rpc/Bump", "rpc/WatchMempool", "rpc/Fates", "tell/orders", "tell/books",
	}
}

// gate is where effects wait.
type gate struct {
	bell chan struct{} // rung for each arrival

	mu     sync.Mutex
	parked []*op
	count  map[string]uint64
}

func newGate() *gate { return &gate{bell: make(chan struct{}, 1), count: map[string]uint64{}} }

// enter waits until the driver lets the caller pass. The end of ctx is a way out
// with nothing done, and the driver opens that one too: of several calls whose time
// ends at once, one goes first.
func (g *gate) enter(ctx context.Context, p *process, label, about string) verdict {
	if p.dead.Load() {
		return verdict{err: errKilled}
	}
	if err := ctx.Err(); err != nil {
		return verdict{err: err}
	}
	o := &op{by: p, lane: lifecycle.Name(ctx), label: label, about: about, pass: make(chan verdict, 1)}
	g.mu.Lock()
	same := o.lane + " " + label + " " + about
	g.count[same]++
	o.n = g.count[same]
	g.parked = append(g.parked, o)
	g.mu.Unlock()
	g.ring()
	select {
	case v := <-o.pass:
		return v
	case <-ctx.Done():
		g.mu.Lock()
		o.over = ctx.Err()
		g.mu.Unlock()
		g.ring()
		return <-o.pass
	}
}

func (g *gate) ring() {
	select {
	case g.bell <- struct{}{}:
	default:
	}
}

// over is why an op will not happen any more: the end of its context.
func (g *gate) over(o *op) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return o.over
}

func (g *gate) remove(o *op) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parked = slices.DeleteFunc(g.parked, func(p *op) bool { return p == o })
}

// waiting returns what waits, sorted, except for what awake leaves out.
func (g *gate) waiting(awake func(*op) bool) []*op {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*op, 0, len(g.parked))
	for _, o := range g.parked {
		if awake(o) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, order)
	return out
}

// release lets an op pass.
func (g *gate) release(o *op, v verdict) {
	g.remove(o)
	o.pass <- v
}

// process is one run of one instance of the host's program.
type process struct {
	name string
	slot int
	dead atomic.Bool
	gw   *bursar.Gateway
	// up is true from the end of Start on. Driver only.
	up bool
	// frozen is true while nothing of it moves. Driver only.
	frozen bool
	// gone is closed when its gateway has stopped.
	gone chan struct{}
}
