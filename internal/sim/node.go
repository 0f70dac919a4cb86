package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// client is the node as one process reaches it: a balancer in front of several
// nodes, each with its own view of the one chain. Its capabilities stop at the gate
// too, because it hands them out itself.
type client struct {
	w *world
	p *process
}

var (
	_ chain.Client         = client{}
	_ chain.BalanceReader  = client{}
	_ chain.Tracer         = client{}
	_ chain.Identifier     = client{}
	_ chain.TokenInspector = client{}
	_ chain.DryRunner      = client{}
	_ chain.FeeBumper      = client{}
)

func (c client) Info() chain.Info   { return c.w.chain.Info() }
func (c client) Codec() chain.Codec { return c.w.views[0].Codec() }

// ask lets one call through the gate to one of the nodes.
func ask[T any](ctx context.Context, c client, m chaintest.Method, about string, do func(*chaintest.Client) (T, error)) (T, error) {
	var none T
	v := c.w.gate.enter(ctx, c.p, "rpc/"+string(m), about)
	if v.err != nil {
		return none, v.err
	}
	if v.fault == RPCFail {
		return none, fmt.Errorf("%w: sim: the node fails", chain.ErrTransient)
	}
	view := c.w.views[v.view]
	view.Lag(v.back)
	view.Pin(v.pin)
	out, err := do(view)
	view.Lag(0)
	view.Pin("")
	switch {
	case v.fault == KillAfter:
		c.p.dead.Store(true)
		return none, errKilled
	case v.fault == RPCLost:
		return none, fmt.Errorf("%w: sim: the answer is lost", chain.ErrTransient)
	}
	if v.fault == RPCCut && err == nil {
		out = cut(out)
	}
	return out, err
}

// cut shortens a list to its first half: what a node may always do, as long as
// there is no gap.
func cut[T any](out T) T {
	switch list := any(&out).(type) {
	case *[]chain.BlockRef:
		*list = (*list)[:(len(*list)+1)/2]
	case *chain.Page:
		list.Blocks = list.Blocks[:(len(list.Blocks)+1)/2]
		if len(list.Blocks) == 0 {
			break
		}
		top := list.Last().Height
		list.Transfers = slices.DeleteFunc(list.Transfers, func(t chain.Transfer) bool { return t.Block > top })
		list.Spends = slices.DeleteFunc(list.Spends, func(t chain.TxStatus) bool { return t.Block.Height > top })
	}
	return out
}

// subject tells intents apart.
func subject(in chain.Intent) string {
	text := string(in.Purpose)
	for _, m := range in.Moves {
		text += fmt.Sprint(" ", m.From.Address, m.To, m.Asset.ID)
	}
	return text
}

func (c client) Head(ctx context.Context) (chain.Head, error) {
	return ask(ctx, c, chaintest.MethodHead, "", func(l *chaintest.Client) (chain.Head, error) { return l.Head(ctx) })
}

func (c client) Headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	return ask(ctx, c, chaintest.MethodHeaders, fmt.Sprint(from, to), func(l *chaintest.Client) ([]chain.BlockRef, error) { return l.Headers(ctx, from, to) })
}

func (c client) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	return ask(ctx, c, chaintest.MethodTransfers, fmt.Sprint(from, to), func(l *chaintest.Client) (chain.Page, error) { return l.Transfers(ctx, from, to, w) })
}

func (c client) Status(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
	return ask(ctx, c, chaintest.MethodStatus, fmt.Sprint(ids), func(l *chaintest.Client) ([]chain.TxStatus, error) { return l.Status(ctx, ids...) })
}

func (c client) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	return ask(ctx, c, chaintest.MethodPrepare, subject(in), func(l *chaintest.Client) (chain.Draft, error) { return l.Prepare(ctx, in) })
}

func (c client) Sign(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	return ask(ctx, c, chaintest.MethodSign, subject(d.Intent), func(l *chaintest.Client) (chain.Signed, error) { return l.Sign(ctx, d, s) })
}

func (c client) Broadcast(ctx context.Context, s chain.Signed) error {
	_, err := ask(ctx, c, chaintest.MethodBroadcast, string(s.ID), func(l *chaintest.Client) (none struct{}, err error) {
		c.w.broadcast(s)
		return none, l.Broadcast(ctx, s)
	})
	return err
}

func (c client) Balances(ctx context.Context, at chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
	return ask(ctx, c, chaintest.MethodBalances, fmt.Sprint(at, len(of)), func(l *chaintest.Client) ([]chain.Amount, error) { return l.Balances(ctx, at, of) })
}

func (c client) Internal(ctx context.Context, at chain.BlockRef, to []chain.Address) (chain.Internals, error) {
	return ask(ctx, c, chaintest.MethodInternal, fmt.Sprint(at.Hash, len(to)), func(l *chaintest.Client) (chain.Internals, error) { return l.Internal(ctx, at, to) })
}

func (c client) Identify(ctx context.Context) (chain.Identity, error) {
	return ask(ctx, c, chaintest.MethodIdentify, "", func(l *chaintest.Client) (chain.Identity, error) { return l.Identify(ctx) })
}

func (c client) Inspect(ctx context.Context, a chain.Asset) (chain.Token, error) {
	return ask(ctx, c, chaintest.MethodInspect, string(a.ID), func(l *chaintest.Client) (chain.Token, error) { return l.Inspect(ctx, a) })
}

func (c client) DryRun(ctx context.Context, in chain.Intent) error {
	_, err := ask(ctx, c, chaintest.MethodDryRun, subject(in), func(l *chaintest.Client) (none struct{}, err error) { return none, l.DryRun(ctx, in) })
	return err
}

func (c client) Bump(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	return ask(ctx, c, chaintest.MethodBump, subject(in), func(l *chaintest.Client) (chain.Draft, error) { return l.Bump(ctx, in, old) })
}

// errReceiver is the failure of a receiver.
var errReceiver = errors.New("sim: the receiver fails")
