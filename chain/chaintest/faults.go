package chaintest

import (
	"context"
	"sync"
)

// Method names a call of a client.
type Method string

// The methods that faults can hit.
const (
	MethodHead      Method = "Head"
	MethodHeaders   Method = "Headers"
	MethodTransfers Method = "Transfers"
	MethodStatus    Method = "Status"
	MethodPrepare   Method = "Prepare"
	MethodSign      Method = "Sign"
	MethodBroadcast Method = "Broadcast"
	MethodBalances  Method = "Balances"
	MethodInternal  Method = "Internal"
	MethodIdentify  Method = "Identify"
	MethodInspect   Method = "Inspect"
	MethodDryRun    Method = "DryRun"
	MethodBump      Method = "Bump"
	MethodEstimate  Method = "EstimateFees"

	MethodWatchMempool Method = "WatchMempool"
	MethodFates        Method = "Fates"
)

// Call is one moment of a client's call at which a fault can happen.
type Call struct {
	// Method is what was called.
	Method Method
	// After is false before the call has any effect, and true when it has had
	// it and only the answer can still be lost: the unknown outcome.
	After bool
}

// Faults makes calls fail. Its zero value lets everything pass. It may be used
// concurrently.
type Faults struct {
	mu   sync.Mutex
	hook func(Call) error
	next []planned
	lag  uint64
}

type planned struct {
	call Call
	err  error
	left int
}

// Fail has hook asked twice in every call, before and after its effect. What it
// returns instead of nil is the call's error. A nil hook ends that. The hook is
// called without any lock held, and may use the chain.
func (f *Faults) Fail(hook func(Call) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// FailNext makes the next n calls of a method fail before they have an effect.
func (f *Faults) FailNext(m Method, err error, n int) { f.plan(Call{Method: m}, err, n) }

// FailNextAfter makes the next n calls of a method fail although they had their
// effect: a broadcast whose answer is lost.
func (f *Faults) FailNextAfter(m Method, err error, n int) {
	f.plan(Call{Method: m, After: true}, err, n)
}

func (f *Faults) plan(c Call, err error, n int) {
	if err == nil {
		panic("chaintest: FailNext: want an error")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = append(f.next, planned{c, err, n})
}

// Lag makes reading calls see the chain n blocks behind its head, as a node that
// has not caught up. Where it exceeds the height, they see the genesis block.
func (f *Faults) Lag(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lag = n
}

func (f *Faults) behind() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lag
}

// check returns the error that the call gets at this moment.
func (f *Faults) check(c Call) error {
	f.mu.Lock()
	hook := f.hook
	for i := range f.next {
		if p := &f.next[i]; p.call == c && p.left > 0 {
			p.left--
			f.mu.Unlock()
			return p.err
		}
	}
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(c)
}

// guard runs one call of a client: the context, the faults of the chain and of
// the client, the effect, the faults that lose an answer, and the lies.
func guard[T any](ctx context.Context, l *Client, m Method, effect func() (T, error)) (T, error) {
	var none T
	if err := l.fault(ctx, Call{Method: m}); err != nil {
		return none, err
	}
	answer, err := effect()
	if err != nil {
		return none, err
	}
	if err := l.fault(ctx, Call{Method: m, After: true}); err != nil {
		return none, err
	}
	return twist(l, answer), nil
}

func (l *Client) fault(ctx context.Context, c Call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.chain.check(c); err != nil {
		return err
	}
	return l.check(c)
}
