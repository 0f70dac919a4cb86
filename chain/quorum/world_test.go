package quorum_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// node is a provider's client: a simulated one that takes its time.
type node struct {
	*chaintest.Client
	mu       sync.Mutex
	delay    time.Duration
	calls    map[chaintest.Method]int
	returned int // how many calls ended because their context did
}

// takes makes every answer take so long, or for ever.
func (n *node) takes(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// asked is how often a method was called.
func (n *node) asked(m chaintest.Method) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls[m]
}

func (n *node) all() (sum int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.calls {
		sum += c
	}
	return sum
}

func (n *node) cancelled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.returned
}

func (n *node) wait(ctx context.Context, m chaintest.Method) error {
	n.mu.Lock()
	n.calls[m]++
	d := n.delay
	n.mu.Unlock()
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		n.mu.Lock()
		n.returned++
		n.mu.Unlock()
		return ctx.Err()
	}
}

func (n *node) Head(ctx context.Context) (h chain.Head, err error) {
	if err := n.wait(ctx, chaintest.MethodHead); err != nil {
		return h, err
	}
	return n.Client.Head(ctx)
}

func (n *node) Headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	if err := n.wait(ctx, chaintest.MethodHeaders); err != nil {
		return nil, err
	}
	return n.Client.Headers(ctx, from, to)
}

func (n *node) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (p chain.Page, err error) {
	if err := n.wait(ctx, chaintest.MethodTransfers); err != nil {
		return p, err
	}
	return n.Client.Transfers(ctx, from, to, w)
}

func (n *node) Identify(ctx context.Context) (id chain.Identity, err error) {
	if err := n.wait(ctx, chaintest.MethodIdentify); err != nil {
		return id, err
	}
	return n.Client.Identify(ctx)
}

func (n *node) Prepare(ctx context.Context, in chain.Intent) (d chain.Draft, err error) {
	if err := n.wait(ctx, chaintest.MethodPrepare); err != nil {
		return d, err
	}
	return n.Client.Prepare(ctx, in)
}

func (n *node) Broadcast(ctx context.Context, s chain.Signed) error {
	if err := n.wait(ctx, chaintest.MethodBroadcast); err != nil {
		return err
	}
	return n.Client.Broadcast(ctx, s)
}

// world is a simulated chain, some providers of it, and accounts.
type world struct {
	*chaintest.Chain
	t      *testing.T
	nodes  []*node
	q      *quorum.Client
	signer *chaintest.Signer
	own    chain.Account
	eth    chain.Asset
	usd    chain.Asset

	mu   sync.Mutex
	told []quorum.Condition
}

// errAway is a node that cannot be reached.
var errAway = fmt.Errorf("%w: connection refused", chain.ErrTransient)

// newWorld makes a chain with three providers, "a", "b" and "c", of as many
// operators, unless edit says otherwise.
func newWorld(t *testing.T, o chaintest.Options, edit func(*world, *quorum.Config)) *world {
	t.Helper()
	w := &world{Chain: chaintest.New(o), t: t}
	w.eth = w.Info().Native
	w.usd = w.DeployToken(chaintest.TokenSpec{Symbol: "USD", Decimals: 6})
	w.Mine(10)
	cfg := quorum.Config{}
	if bubbles := time.Now().Year() < 2010; !bubbles {
		// In real time nobody is slow but by the machine's doing.
		cfg.HedgeLeast, cfg.HedgeMost = time.Hour, time.Hour
	}
	for i := range 3 {
		w.nodes = append(w.nodes, &node{Client: w.Chain.Client(), calls: map[chaintest.Method]int{}})
		cfg.Providers = append(cfg.Providers, quorum.Provider{Name: string(rune('a' + i)), Client: w.nodes[i]})
	}
	cfg.OnCondition = func(c quorum.Condition) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, c)
	}
	if edit != nil {
		edit(w, &cfg)
	}
	var err error
	w.q, err = quorum.New(cfg)
	require.NoError(t, err)
	w.signer = chaintest.NewSigner(w.q.Codec(), t.Name())
	w.own = w.signer.Account("own")
	return w
}

// agree asks for k operators.
func agree(k int) func(*world, *quorum.Config) {
	return func(_ *world, c *quorum.Config) { c.Agree = k }
}

func (w *world) watch() chain.Watch {
	return chaintest.NewWatch(w.q.Codec(), []chain.Asset{w.usd}, w.own.Address)
}

func (w *world) head() chain.Head {
	w.t.Helper()
	h, err := w.q.Head(w.t.Context())
	require.NoError(w.t, err)
	return h
}

// page reads from a height to the head.
func (w *world) page(from uint64) (chain.Page, error) {
	return w.q.Transfers(w.t.Context(), from, w.Head().Height, w.watch())
}

// truth is that page by a client of the simulation itself.
func (w *world) truth(from uint64) chain.Page {
	w.t.Helper()
	p, err := w.Chain.Client().Transfers(w.t.Context(), from, w.Head().Height, w.watch())
	require.NoError(w.t, err)
	return p
}

// status is what is known of a provider.
func (w *world) status(name string) quorum.ProviderStatus {
	w.t.Helper()
	all := w.q.Providers()
	i := slices.IndexFunc(all, func(s quorum.ProviderStatus) bool { return s.Name == name })
	require.GreaterOrEqual(w.t, i, 0)
	return all[i]
}

// out checks that exactly one provider is put aside, for that.
func (w *world) out(name string, fault quorum.Fault) {
	w.t.Helper()
	for _, s := range w.q.Providers() {
		require.Equal(w.t, s.Name == name, s.Aside, "%s: %s %s", s.Name, s.Fault, s.Reason)
		if s.Aside {
			require.Equal(w.t, fault, s.Fault)
			require.NotEmpty(w.t, s.Reason)
			require.False(w.t, s.Until.IsZero())
		}
	}
}

// conditions are those that were told of a kind.
func (w *world) conditions(kind quorum.ConditionKind) (out []quorum.Condition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.told {
		if c.Kind == kind {
			out = append(out, c)
		}
	}
	return out
}

// made is a deposit that no chain has.
func (w *world) made(block uint64) chain.Transfer {
	return chain.Transfer{
		ID: chain.TransferID{Tx: "0xdead", Ordinal: "n"}, Asset: w.eth.ID, From: w.Payer("nobody"), To: w.own.Address,
		Amount: chain.NewAmount(1e18), Block: block, Via: chain.ViaDirect,
	}
}

// send is an intent of ours.
func (w *world) send(amount uint64) chain.Intent {
	return chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: w.own, To: w.Payer("shop"), Asset: w.eth, Amount: chain.NewAmount(amount)}}}
}

// signed is a transaction of ours, ready to be sent.
func (w *world) signed() chain.Signed {
	w.t.Helper()
	w.Fund(w.own.Address, chain.NewAmount(1e18))
	w.Mine(1)
	d, err := w.Chain.Client().Prepare(w.t.Context(), w.send(5))
	require.NoError(w.t, err)
	s, err := w.Chain.Client().Sign(w.t.Context(), d, w.signer)
	require.NoError(w.t, err)
	return s
}
