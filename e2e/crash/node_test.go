//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// simulation is the chain of every world. Its blocks have the time of the wall,
// because the payments' deadlines are those of a database.
func simulation() chaintest.Options {
	return chaintest.Options{
		Start: time.Now().Add(-time.Hour),
		Info:  chain.Info{BlockTime: time.Second, InclusionSlack: time.Second},
	}
}

// question is one call of a host to the chain. Each method reads its own fields.
type question struct {
	From, To uint64
	Assets   []chain.Asset
	Asset    chain.Asset
	IDs      []chain.TxID
	Intent   chain.Intent
	Signed   chain.Signed
	Hash     chain.BlockHash
	Holdings []chain.Holding
}

// reply is what comes back: a value of the method's own, or an error.
type reply struct {
	Value json.RawMessage
	Error *wireError
}

// wireError is an error that keeps what a caller branches on.
type wireError struct {
	Text         string
	Kind         int // 1 + the place in sentinels
	Insufficient *chain.InsufficientFundsError
	TooHigh      *chain.FeeTooHighError
	Revert       *chain.RevertError
}

func sentinels() []error {
	return []error{chain.ErrNotFound, chain.ErrReorg, chain.ErrTransient, chain.ErrUnsupported, chain.ErrLockSpent, chain.ErrUnderpriced}
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Text: err.Error()}
	for i, known := range sentinels() {
		if errors.Is(err, known) {
			w.Kind = i + 1
		}
	}
	errors.As(err, &w.Insufficient)
	errors.As(err, &w.TooHigh)
	errors.As(err, &w.Revert)
	return w
}

func (w *wireError) unwrapped() error {
	switch {
	case w.Insufficient != nil:
		return w.Insufficient
	case w.TooHigh != nil:
		return w.TooHigh
	case w.Revert != nil:
		return w.Revert
	case w.Kind > 0:
		return fmt.Errorf("%w (%s)", sentinels()[w.Kind-1], w.Text)
	}
	return errors.New(w.Text)
}

// everything watches every account there is: what a host is interested in is
// its own business.
type everything struct{ assets []chain.Asset }

func (everything) Match([]byte) (uint32, bool) { return 0, true }
func (everything) Len() int                    { return 1 }
func (everything) Keys() iter.Seq[[]byte]      { return func(func([]byte) bool) {} }
func (w everything) Assets() []chain.Asset     { return w.assets }

// answer asks the chain.
func answer(ctx context.Context, client *chaintest.Client, m chaintest.Method, q question) (any, error) {
	switch m {
	case chaintest.MethodHead:
		return client.Head(ctx)
	case chaintest.MethodHeaders:
		return client.Headers(ctx, q.From, q.To)
	case chaintest.MethodTransfers:
		return client.Transfers(ctx, q.From, q.To, everything{q.Assets})
	case chaintest.MethodStatus:
		return client.Status(ctx, q.IDs...)
	case chaintest.MethodPrepare:
		return client.Prepare(ctx, q.Intent)
	case chaintest.MethodBump:
		return client.Bump(ctx, q.Intent, q.Signed)
	case chaintest.MethodBroadcast:
		return nil, client.Broadcast(ctx, q.Signed)
	case chaintest.MethodBalances:
		return client.Balances(ctx, q.Hash, q.Holdings)
	case chaintest.MethodIdentify:
		return client.Identify(ctx)
	case chaintest.MethodInspect:
		return client.Inspect(ctx, q.Asset)
	case chaintest.MethodDryRun:
		return nil, client.DryRun(ctx, q.Intent)
	}
	return nil, fmt.Errorf("unknown method %q: %w", m, chain.ErrUnsupported)
}

// serveChain answers a host's calls. It is told before and after the effect.
func (w *world) serveChain(out http.ResponseWriter, r *http.Request) {
	m, who := chaintest.Method(r.PathValue("method")), r.Header.Get("Instance")
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	w.at(point{string(m), false}, who)
	var a reply
	value, err := any(nil), error(nil)
	if m == chaintest.MethodBroadcast {
		err = w.broadcast(r.Context(), who, q.Signed)
	}
	if err == nil {
		value, err = answer(context.WithoutCancel(r.Context()), w.client, m, q)
	}
	if a.Error = toWire(err); err == nil {
		a.Value, err = json.Marshal(value)
	}
	w.at(point{string(m), true}, who)
	if err != nil && a.Error == nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	w.write(out, a)
}

// remote is a chain.Client whose node is the world. It signs by itself.
type remote struct {
	desk *desk
	// local knows the chain's description and how to sign; its blocks are never
	// looked at.
	local *chaintest.Client
}

var (
	_ chain.Client         = (*remote)(nil)
	_ chain.BalanceReader  = (*remote)(nil)
	_ chain.Identifier     = (*remote)(nil)
	_ chain.TokenInspector = (*remote)(nil)
	_ chain.DryRunner      = (*remote)(nil)
	_ chain.FeeBumper      = (*remote)(nil)
)

// ask makes one call. A node that does not answer may have done what it was asked.
func ask[T any](ctx context.Context, c *remote, m chaintest.Method, q question) (value T, err error) {
	var a reply
	if err := c.desk.post(ctx, "/chain/"+string(m), q, &a); err != nil {
		return value, fmt.Errorf("%w: %w", chain.ErrTransient, err)
	}
	if a.Error != nil {
		return value, a.Error.unwrapped()
	}
	if err := json.Unmarshal(a.Value, &value); err != nil {
		return value, fmt.Errorf("%w: %w", chain.ErrTransient, err)
	}
	return value, nil
}

func (c *remote) Info() chain.Info   { return c.local.Info() }
func (c *remote) Codec() chain.Codec { return c.local.Codec() }

func (c *remote) Head(ctx context.Context) (chain.Head, error) {
	return ask[chain.Head](ctx, c, chaintest.MethodHead, question{})
}

func (c *remote) Headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	return ask[[]chain.BlockRef](ctx, c, chaintest.MethodHeaders, question{From: from, To: to})
}

// Transfers asks for all that happened and keeps what concerns the watched set.
func (c *remote) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	all, err := ask[chain.Page](ctx, c, chaintest.MethodTransfers, question{From: from, To: to, Assets: w.Assets()})
	if err != nil {
		return chain.Page{}, err
	}
	page := chain.Page{Blocks: all.Blocks}
	for _, t := range all.Transfers {
		if key, ok := c.match(w, t.To); ok {
			t.Key = key
			page.Transfers = append(page.Transfers, t)
		}
	}
	for _, s := range all.Spends {
		if _, ok := c.match(w, s.From); ok {
			page.Spends = append(page.Spends, s)
		}
	}
	return page, nil
}

func (c *remote) match(w chain.Watch, a chain.Address) (uint32, bool) {
	keys, err := c.Codec().WatchKeys(a)
	if err != nil || len(keys) == 0 {
		return 0, false
	}
	return w.Match(keys[0])
}

func (c *remote) Status(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
	return ask[[]chain.TxStatus](ctx, c, chaintest.MethodStatus, question{IDs: ids})
}

func (c *remote) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	return ask[chain.Draft](ctx, c, chaintest.MethodPrepare, question{Intent: in})
}

func (c *remote) Bump(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	return ask[chain.Draft](ctx, c, chaintest.MethodBump, question{Intent: in, Signed: old})
}

func (c *remote) Sign(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	return c.local.Sign(ctx, d, s)
}

func (c *remote) Broadcast(ctx context.Context, s chain.Signed) error {
	_, err := ask[any](ctx, c, chaintest.MethodBroadcast, question{Signed: s})
	return err
}

func (c *remote) Balances(ctx context.Context, at chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
	return ask[[]chain.Amount](ctx, c, chaintest.MethodBalances, question{Hash: at, Holdings: of})
}

func (c *remote) Identify(ctx context.Context) (chain.Identity, error) {
	return ask[chain.Identity](ctx, c, chaintest.MethodIdentify, question{})
}

func (c *remote) Inspect(ctx context.Context, a chain.Asset) (chain.Token, error) {
	return ask[chain.Token](ctx, c, chaintest.MethodInspect, question{Asset: a})
}

func (c *remote) DryRun(ctx context.Context, in chain.Intent) error {
	_, err := ask[any](ctx, c, chaintest.MethodDryRun, question{Intent: in})
	return err
}
