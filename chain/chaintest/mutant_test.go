package chaintest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// recorder stands in for a subtest's *testing.T, so that a check may fail
// without failing the test that watches it.
type recorder struct {
	*testing.T
	name            string
	failed, skipped bool
	said            []string
}

func (r *recorder) Name() string { return r.name }
func (r *recorder) Helper()      {}
func (r *recorder) FailNow()     { r.failed = true; runtime.Goexit() }
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	r.said = append(r.said, fmt.Sprintf(format, args...))
}
func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	r.said = append(r.said, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// watch runs what a check does, and tells what became of it.
func watch(t *testing.T, name string, check func(r *recorder)) *recorder {
	r := &recorder{T: t, name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(r)
	}()
	<-done
	return r
}

// judge runs one check on a harness and tells what became of it.
func judge(t *testing.T, c check, h Harness) *recorder {
	return watch(t, c.name, func(r *recorder) { c.run(newSuite(r, h)) })
}

// trials run the checks of a suite, by their names, each on a client that was spoilt.
type trials map[string]func(t *testing.T, spoil func(m *mutant)) *recorder

// detect requires that each wrong client fails the checks that it names, and that
// there is one for each check.
func (all trials) detect(t *testing.T, wrong []wrongClient) {
	undetected := maps.Clone(all)
	for _, w := range wrong {
		t.Run(strings.ReplaceAll(w.name, " ", "_"), func(t *testing.T) {
			for _, name := range w.caught {
				try, ok := all[name]
				require.True(t, ok, "no check %q", name)
				require.True(t, try(t, w.spoil).failed, "%s does not notice", name)
				delete(undetected, name)
			}
		})
	}
	require.Empty(t, slices.Sorted(maps.Keys(undetected)), "checks that no wrong client fails")
}

// mutant is a correct client with one of its methods spoilt.
type mutant struct {
	*Client
	info      func(chain.Info) chain.Info
	head      func(chain.Head) chain.Head
	headers   func(ctx context.Context, from, to uint64) ([]chain.BlockRef, error)
	transfers func(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error)
	status    func(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error)
	prepare   func(context.Context, chain.Intent) (chain.Draft, error)
	sign      func(context.Context, chain.Draft, chain.Signer) (chain.Signed, error)
	broadcast func(context.Context, chain.Signed) error
	balances  func(context.Context, chain.BlockHash, []chain.Holding) ([]chain.Amount, error)
	internal  func(context.Context, chain.BlockRef, []chain.Address) (chain.Internals, error)
	identify  func(chain.Identity) chain.Identity
	inspect   func(chain.Token, error) (chain.Token, error)
	dryRun    func(error) error
	bump      func(context.Context, chain.Intent, chain.Signed) (chain.Draft, error)
	as        func(any) bool
	codec     chain.Codec
	batching  func(chain.Batching) chain.Batching
	works     func(chain.Collection) chain.Work
	bounds    func(in chain.Intent, b chain.Batching) error
}

func (m *mutant) Info() chain.Info {
	if m.info != nil {
		return m.info(m.Client.Info())
	}
	return m.Client.Info()
}

func (m *mutant) Head(ctx context.Context) (chain.Head, error) {
	h, err := m.Client.Head(ctx)
	if m.head != nil && err == nil {
		h = m.head(h)
	}
	return h, err
}

func (m *mutant) Headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	if m.headers != nil {
		return m.headers(ctx, from, to)
	}
	return m.Client.Headers(ctx, from, to)
}

func (m *mutant) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	if m.transfers != nil {
		return m.transfers(ctx, from, to, w)
	}
	return m.Client.Transfers(ctx, from, to, w)
}

func (m *mutant) Status(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
	if m.status != nil {
		return m.status(ctx, ids...)
	}
	return m.Client.Status(ctx, ids...)
}

// Batching is, where the client makes none, of batches that nobody can make: they are
// refused for what they are, or as more than the client does.
func (m *mutant) Batching() chain.Batching {
	b := m.bound()
	if m.batching != nil {
		return m.batching(b)
	}
	return b
}

func (m *mutant) bound() chain.Batching {
	if b := m.Client.Batching(); b.MaxMoves > 0 {
		return b
	}
	return chain.Batching{Treasury: m.chain.Payer("batching's treasury"), FeePayer: m.chain.Payer("batching's payer"), MaxMoves: 400}
}

// outOfBounds is why a batch is none that Batching tells of.
func outOfBounds(in chain.Intent, b chain.Batching) error {
	if in.FeePayer.Address != b.FeePayer {
		return &chain.FormatError{What: "fee payer"}
	}
	for _, x := range in.Moves {
		if x.To != b.Treasury {
			return &chain.FormatError{What: "destination"}
		}
	}
	return nil
}

func (m *mutant) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	if m.Client.Batching().MaxMoves == 0 && in.Purpose == chain.PurposeCollection && in.FeePayer.Address != "" {
		bounds := m.bounds
		if bounds == nil {
			bounds = outOfBounds
		}
		if err := bounds(in, m.bound()); err != nil {
			return chain.Draft{}, err
		}
	}
	if m.prepare != nil {
		return m.prepare(ctx, in)
	}
	return m.Client.Prepare(ctx, in)
}

func (m *mutant) Sign(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	if m.sign != nil {
		return m.sign(ctx, d, s)
	}
	return m.Client.Sign(ctx, d, s)
}

func (m *mutant) Broadcast(ctx context.Context, x chain.Signed) error {
	if m.broadcast != nil {
		return m.broadcast(ctx, x)
	}
	return m.Client.Broadcast(ctx, x)
}

func (m *mutant) Balances(ctx context.Context, at chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
	if m.balances != nil {
		return m.balances(ctx, at, of)
	}
	return m.Client.Balances(ctx, at, of)
}

func (m *mutant) Internal(ctx context.Context, at chain.BlockRef, to []chain.Address) (chain.Internals, error) {
	if m.internal != nil {
		return m.internal(ctx, at, to)
	}
	return m.Client.Internal(ctx, at, to)
}

func (m *mutant) Identify(ctx context.Context) (chain.Identity, error) {
	id, err := m.Client.Identify(ctx)
	if m.identify != nil {
		id = m.identify(id)
	}
	return id, err
}

func (m *mutant) Inspect(ctx context.Context, a chain.Asset) (chain.Token, error) {
	token, err := m.Client.Inspect(ctx, a)
	if m.inspect != nil {
		return m.inspect(token, err)
	}
	return token, err
}

func (m *mutant) DryRun(ctx context.Context, in chain.Intent) error {
	err := m.Client.DryRun(ctx, in)
	if m.dryRun != nil {
		return m.dryRun(err)
	}
	return err
}

func (m *mutant) Bump(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	if m.bump != nil {
		return m.bump(ctx, in, old)
	}
	return m.Client.Bump(ctx, in, old)
}

func (m *mutant) Work(of chain.Collection) chain.Work {
	if m.works != nil {
		return m.works(of)
	}
	return m.work(of)
}

// work is what a right client tells that makes batches where the mutant says so.
func (m *mutant) work(of chain.Collection) chain.Work {
	w, n := m.Client.Work(of), max(of.First, 0)+max(of.Again, 0)
	if of.Way == chain.WayBatch && !of.Asset.Native() && n > 0 {
		w.Now = batchWork(uint64(max(of.First, 0)), uint64(max(of.Again, 0)))
	}
	return w
}

func (m *mutant) As(target any) bool {
	if m.as != nil {
		return m.as(target)
	}
	switch t := target.(type) {
	case *chain.BalanceReader:
		*t = m
	case *chain.Tracer:
		*t = m
	case *chain.Identifier:
		*t = m
	case *chain.TokenInspector:
		*t = m
	case *chain.DryRunner:
		*t = m
	case *chain.FeeBumper:
		*t = m
	case *chain.Batcher:
		*t = m
	case *chain.WorkEstimator:
		*t = m
	default:
		return false
	}
	return true
}

func (m *mutant) Codec() chain.Codec {
	if m.codec != nil {
		return m.codec
	}
	return m.Client.Codec()
}

// page spoils the pages of a mutant.
func (m *mutant) page(spoil func(p *chain.Page)) {
	m.transfers = func(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
		p, err := m.Client.Transfers(ctx, from, to, w)
		if err == nil {
			spoil(&p)
		}
		return p, err
	}
}

// believe adds transfers that a careless reader takes from a transaction.
func (m *mutant) believe(read func(r *receipt, add func(asset chain.AssetID, to chain.Address, n chain.Amount))) {
	m.page(func(p *chain.Page) {
		for _, ref := range p.Blocks {
			m.chain.mu.Lock()
			b := m.chain.blocks[ref.Hash]
			m.chain.mu.Unlock()
			for _, r := range b.txs {
				k := 0
				read(r, func(asset chain.AssetID, to chain.Address, n chain.Amount) {
					k++
					p.Transfers = append(p.Transfers, chain.Transfer{
						ID: chain.TransferID{Tx: r.tx.id, Ordinal: fmt.Sprint("believed ", k)}, Asset: asset, To: to, Amount: n,
						Block: ref.Height, Hash: ref.Hash, TxIndex: r.index, Via: chain.ViaDirect,
					})
				})
			}
		}
		slices.SortStableFunc(p.Transfers, func(a, b chain.Transfer) int {
			return int(a.Block*1000+uint64(a.TxIndex)) - int(b.Block*1000+uint64(b.TxIndex))
		})
	})
}

// believeEvents takes an event as a transfer where odd says so.
func (m *mutant) believeEvents(odd func(e event) bool) {
	m.believe(func(r *receipt, add func(chain.AssetID, chain.Address, chain.Amount)) {
		for _, e := range r.logs {
			if odd(e) {
				word := e.data
				if len(word) == 0 {
					word = e.topics[3][:]
				}
				n, _ := chain.AmountFromBytes(word[:32])
				add("eip155:1337/erc20:"+chain.AssetID(e.contract.Hex()), chain.Address("0x"+e.topics[2].Hex()[26:]), n)
			}
		}
	})
}

// drop leaves transfers out of the pages.
func (m *mutant) drop(which func(x chain.Transfer) bool) {
	m.page(func(p *chain.Page) { p.Transfers = slices.DeleteFunc(p.Transfers, which) })
}

// spends spoils what the pages say of our own transactions.
func (m *mutant) spends(spoil func(x *chain.TxStatus)) {
	m.page(func(p *chain.Page) {
		for i := range p.Spends {
			spoil(&p.Spends[i])
		}
	})
}

// draft spoils what Prepare makes.
func (m *mutant) draft(spoil func(in chain.Intent, d *chain.Draft, err error) error) {
	m.prepare = func(ctx context.Context, in chain.Intent) (chain.Draft, error) {
		d, err := m.Client.Prepare(ctx, in)
		err = spoil(in, &d, err)
		return d, err
	}
}

// intent spoils what Prepare is asked for.
func (m *mutant) intent(spoil func(in *chain.Intent)) {
	m.prepare = func(ctx context.Context, in chain.Intent) (chain.Draft, error) {
		spoil(&in)
		return m.Client.Prepare(ctx, in)
	}
}

// broadcastAnswer spoils what Broadcast says.
func (m *mutant) broadcastAnswer(spoil func(known bool, err error) error) {
	m.broadcast = func(ctx context.Context, x chain.Signed) error {
		st, err := m.Client.Status(ctx, x.ID)
		known := err == nil && st[0].State != chain.TxUnknown
		return spoil(known, m.Client.Broadcast(ctx, x))
	}
}

// badCodec is a codec with some functions spoilt.
type badCodec struct {
	chain.Codec
	decode func(chain.Effects, []byte, error) (chain.Effects, []byte, error)
	parse  func(string, chain.Address, error) (chain.Address, error)
	uri    func(string, error) (string, error)
	keys   func([][]byte) [][]byte
}

func (c badCodec) Decode(r chain.SignRequest) (chain.Effects, []byte, error) {
	e, digest, err := c.Codec.Decode(r)
	if c.decode != nil {
		return c.decode(e, digest, err)
	}
	return e, digest, err
}

func (c badCodec) Parse(text string) (chain.Address, error) {
	a, err := c.Codec.Parse(text)
	if c.parse != nil {
		return c.parse(text, a, err)
	}
	return a, err
}

func (c badCodec) PaymentURI(a chain.Asset, to chain.Address, n chain.Amount) (string, error) {
	uri, err := c.Codec.PaymentURI(a, to, n)
	if c.uri != nil {
		return c.uri(uri, err)
	}
	return uri, err
}

func (c badCodec) WatchKeys(a chain.Address) ([][]byte, error) {
	keys, err := c.Codec.WatchKeys(a)
	if c.keys != nil {
		keys = c.keys(keys)
	}
	return keys, err
}

// everyone watches everything.
type everyone struct{ chain.Watch }

func (everyone) Match([]byte) (uint32, bool) { return 0, true }

// withAssets is a watch of other tokens.
type withAssets struct {
	chain.Watch
	assets []chain.Asset
}

func (w withAssets) Assets() []chain.Asset { return w.assets }

var errSome = errors.New("some failure")

// TestSuiteDetectsWrongClients is the proof that the suite is worth something:
// each rule has a client that breaks it, and the rule's subtest fails on it.
func TestSuiteDetectsWrongClients(t *testing.T) {
	all := trials{}
	for _, c := range checks() {
		all[c.name] = func(t *testing.T, spoil func(m *mutant)) *recorder {
			h := New(Options{Finalized: true}).Harness()
			m := &mutant{Client: h.Client.(*Client)}
			spoil(m)
			h.Client = m
			return judge(t, c, h)
		}
	}
	all.detect(t, wrongClients())
}

// TestSuitePassesMutantHarness shows that it is the defects that are caught,
// and not the way in which they are made.
func TestSuitePassesMutantHarness(t *testing.T) {
	for _, c := range checks() {
		h := New(Options{Finalized: true}).Harness()
		h.Client = &mutant{Client: h.Client.(*Client)}
		r := judge(t, c, h)
		require.False(t, r.failed, "%s: %v", c.name, r.said)
		require.False(t, r.skipped, "%s: %v", c.name, r.said)
	}
}

// TestSuiteSkipsWithReason runs on a network that can do nothing optional.
func TestSuiteSkipsWithReason(t *testing.T) {
	skipped := 0
	for _, c := range checks() {
		h := New(Options{}).Harness()
		plain := h.Tokens[TokenPlain]
		h.Tokens = map[TokenKind]chain.Asset{TokenPlain: plain}
		h.Reorg, h.PayMany, h.Rejecter, h.MinesAtOnce = nil, nil, "", true
		h.Client = struct{ chain.Client }{h.Client}
		r := judge(t, c, h)
		require.False(t, r.failed, "%s: %v", c.name, r.said)
		if r.skipped {
			skipped++
			require.Contains(t, r.said[0], "skipped: ")
		}
	}
	require.Greater(t, skipped, 10)
}

type wrongClient struct {
	name   string
	caught []string
	spoil  func(m *mutant)
}

func wrongClients() []wrongClient {
	return slices.Concat(wrongReaders(), wrongScanners(), wrongStatuses(), wrongWriters(), wrongCodecs(), wrongWorkers())
}

// TestSuiteIsPatient: a node that is busy now and then is no wrong client.
func TestSuiteIsPatient(t *testing.T) {
	for _, c := range checks() {
		if strings.HasPrefix(c.name, "Status/") {
			h := New(Options{}).Harness()
			client := h.Client.(*Client)
			client.FailNext(MethodStatus, chain.ErrTransient, 1)
			client.FailNext(MethodHead, chain.ErrReorg, 1)
			if c.name == "Status/NoIDs" {
				client.next = nil // it asks once
			}
			r := judge(t, c, h)
			require.False(t, r.failed, "%s: %v", c.name, r.said)
		}
	}
}
