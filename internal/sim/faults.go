package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is what goes wrong at one place. Names begin with where it does.
type Fault string

// The faults.
const (
	None Fault = ""

	RPCFail   Fault = "rpc.fail"   // the call fails before it has an effect
	RPCLost   Fault = "rpc.lost"   // the effect is there, the answer is not
	RPCSlow   Fault = "rpc.slow"   // the answer takes up to two minutes
	RPCLag    Fault = "rpc.lag"    // a node that has not caught up answers
	RPCBranch Fault = "rpc.branch" // a node that sits on an abandoned branch answers
	RPCCut    Fault = "rpc.cut"    // a list comes back shorter than it was asked for

	StoreFail     Fault = "store.fail"      // the call fails and nothing is written
	StoreUnknown  Fault = "store.unknown"   // nothing is written, and nobody can tell
	StoreLost     Fault = "store.lost"      // it is written, and nobody can tell
	StoreConflict Fault = "store.conflict"  // the closure runs again, as after a serialization failure
	StoreSlow     Fault = "store.slow"      // the call waits up to a minute
	StoreFailover Fault = "store.failover"  // a standby takes over that lacks the last commits
	StoreRestore  Fault = "store.restore"   // a backup is restored
	StoreClock    Fault = "store.clock"     // the server's clock jumps
	KillBefore    Fault = "process.before"  // the process dies before an effect
	KillAfter     Fault = "process.after"   // the process dies after it
	Freeze        Fault = "process.freeze"  // the process stands still and wakes as a zombie
	Restart       Fault = "process.restart" // it is stopped properly and started again

	TellFail  Fault = "tell.fail"  // the receiver fails
	TellLost  Fault = "tell.lost"  // it takes the event, its answer is lost
	TellPanic Fault = "tell.panic" // the host's handler panics
	TellSlow  Fault = "tell.slow"  // it takes its time
	TellDown  Fault = "tell.down"  // it is down for a while

	HostCancel Fault = "host.cancel" // the host gives a call up

	ChainReorg  Fault = "chain.reorg"  // fewer blocks than confirmations are replaced
	ChainDeep   Fault = "chain.deep"   // more are
	ChainReturn Fault = "chain.return" // the branch that was left wins again
	ChainDrop   Fault = "chain.drop"   // a reorg that loses transactions
	ChainHalt   Fault = "chain.halt"   // no block for a while
	ChainStall  Fault = "chain.stall"  // the finalized tag stands still
	ChainEvict  Fault = "chain.evict"  // the mempool forgets
	ChainSpike  Fault = "chain.spike"  // gas costs up to a hundred times as much
)

// kind is a fault with the odds of it where it can happen, in 100,000.
type kind struct {
	fault Fault
	odds  int
	// rare ones are left out of most seeds: they change what the others find.
	rare bool
}

// atGate are the faults of an effect, by the first part of its label. Odds are
// those of each single effect.
func atGate() map[string][]kind {
	process := []kind{{KillBefore, 60, false}, {KillAfter, 60, false}, {Freeze, 60, false}}
	return map[string][]kind{
		"rpc": append([]kind{
			{RPCFail, 1500, false}, {RPCLost, 500, false}, {RPCSlow, 300, false}, {RPCLag, 2000, false}, {RPCBranch, 500, false}, {RPCCut, 500, false},
		}, process...),
		"store": append([]kind{
			{StoreFail, 600, false}, {StoreUnknown, 200, false}, {StoreLost, 300, false}, {StoreConflict, 800, false}, {StoreSlow, 150, false},
		}, process...),
		"tell": append([]kind{{TellFail, 4000, false}, {TellLost, 1000, false}, {TellPanic, 500, false}, {TellSlow, 500, false}}, process...),
	}
}

// atBlock are the faults of the world, with the odds of each block.
func atBlock() []kind {
	return []kind{
		{ChainReorg, 4000, false}, {ChainDrop, 1500, false}, {ChainDeep, 300, true}, {ChainReturn, 1000, false}, {ChainHalt, 500, false},
		{ChainStall, 500, false}, {ChainEvict, 1000, false}, {ChainSpike, 700, false}, {TellDown, 700, false}, {Restart, 700, false},
		{HostCancel, 2000, false}, {StoreFailover, 300, true}, {StoreRestore, 150, true}, {StoreClock, 300, true},
	}
}

// Kinds are all faults, in a fixed order.
func Kinds() (out []Fault) {
	gates := atGate()
	for _, where := range []string{"rpc", "store", "tell"} {
		for _, k := range gates[where] {
			if !slices.Contains(out, k.fault) {
				out = append(out, k.fault)
			}
		}
	}
	for _, k := range atBlock() {
		out = append(out, k.fault)
	}
	return out
}

// Injected is a fault that happened: the n-th that was drawn in its run.
type Injected struct {
	N     int
	Fault Fault
	Where string
}

func (i Injected) String() string { return fmt.Sprintf("%d %s at %s", i.N, i.Fault, i.Where) }

// plan draws the faults of one seed.
type plan struct {
	seed  uint64
	gates map[string][]kind
	block []kind
	skip  map[int]bool
	drawn int
	list  []Injected
	off   bool // healing, or a calm run
}

// newPlan chooses what can go wrong in this seed: each kind is in half of them,
// a rare one in an eighth, and its odds are up to twice the usual ones.
func newPlan(o Options) *plan {
	rnd := stream(o.Seed, "faults")
	p := &plan{seed: o.Seed, gates: map[string][]kind{}, skip: o.Skip, off: o.Calm}
	choose := func(all []kind) (out []kind) {
		for _, k := range all {
			in, more := rnd.IntN(2) == 0, 25+rnd.IntN(175)
			if k.rare {
				in = in && rnd.IntN(4) == 0
			}
			if len(o.Only) > 0 {
				in, more = slices.Contains(o.Only, k.fault), 1000
			}
			if in {
				k.odds = k.odds * more / 100
				out = append(out, k)
			}
		}
		return out
	}
	gates := atGate()
	for _, where := range []string{"rpc", "store", "tell"} {
		p.gates[where] = choose(gates[where])
	}
	p.block = choose(atBlock())
	return p
}

// draw returns at most one fault of a list. What it draws follows from the place
// alone, so that a fault that is left out changes as little as can be of the rest.
func (p *plan) draw(list []kind, where, place string, possible func(Fault) bool) Fault {
	if p.off {
		return None
	}
	at := int(chance(p.seed, "fault "+place) % 100_000)
	for _, k := range list {
		if at -= k.odds; at >= 0 {
			continue
		}
		if !possible(k.fault) {
			return None
		}
		p.drawn++
		if p.skip[p.drawn] {
			return None
		}
		p.list = append(p.list, Injected{p.drawn, k.fault, where})
		return k.fault
	}
	return None
}

// effect draws the fault of an effect.
func (p *plan) effect(o *op, possible func(Fault) bool) Fault {
	where, _, _ := strings.Cut(o.label, "/")
	return p.draw(p.gates[where], o.by.name+" "+o.label, o.place(), possible)
}

// chance is a number that looks random and follows from a place alone.
func chance(seed uint64, place string) uint64 {
	x := seed ^ 0xcbf29ce484222325
	for i := range len(place) {
		x = (x ^ uint64(place[i])) * 0x100000001b3
	}
	// The finalizer of SplitMix64 spreads what neighbouring places have in common.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
