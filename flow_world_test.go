package bursar_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// flow is a kit that listens to the gateway's log: what a gateway logs as an
// error is a broken rule unless a test expects it.
type flow struct {
	*bursartest.Kit
	t    testing.TB
	logs *logbook
	cfg  bursar.Config
	// honest are other tokens of which each transfer is to be credited.
	honest []chain.AssetID
}

// logbook keeps the lines of a log from level error on.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l *logbook) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logbook) WithGroup(string) slog.Handler                    { return l }
func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(" " + a.String())
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, b.String())
	return nil
}

// broken returns the lines about broken invariants.
func (l *logbook) broken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.lines), func(s string) bool { return !strings.Contains(s, "invariant") })
}

func newFlow(t testing.TB, o bursartest.Options) *flow {
	t.Helper()
	f := &flow{t: t, logs: &logbook{}}
	edit := o.Edit
	o.Edit = func(c *bursar.Config) {
		c.Logger = slog.New(f.logs)
		if edit != nil {
			edit(c)
		}
		f.cfg = *c
	}
	f.Kit = bursartest.New(t, o)
	return f
}

// reconfigure stops the gateway and starts one with another configuration on
// the same store.
func (f *flow) reconfigure(edit func(*bursar.Config)) {
	f.t.Helper()
	require.NoError(f.t, f.Gateway.Stop(f.ctx()))
	f.cfg.Chains = slices.Clone(f.cfg.Chains)
	edit(&f.cfg)
	f.Gateway = f.another(f.cfg)
}

// another starts one more gateway.
func (f *flow) another(cfg bursar.Config) *bursar.Gateway {
	f.t.Helper()
	gw, err := bursar.New(cfg)
	require.NoError(f.t, err)
	require.NoError(f.t, gw.Start(f.ctx()))
	f.t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	return gw
}

// list configures one more token.
func (f *flow) list(a chain.Asset) chain.Asset {
	f.t.Helper()
	f.reconfigure(func(c *bursar.Config) {
		c.Chains[0].Assets = append(slices.Clone(c.Chains[0].Assets), a)
	})
	return a
}

// tagged is a chain whose node tells a finalized block.
func tagged() chaintest.Options { return chaintest.Options{Finalized: true} }

// ctx also serves clean-up functions.
func (f *flow) ctx() context.Context { return context.WithoutCancel(f.t.Context()) }

// read runs a closure on the store.
func (f *flow) read(fn func(bursar.Reader) error) {
	f.t.Helper()
	require.NoError(f.t, f.Store.Read(f.ctx(), fn))
}

// entries are all postings that stand.
func (f *flow) entries() (out []bursar.Entry) {
	f.t.Helper()
	f.read(func(r bursar.Reader) (err error) {
		out, err = r.Entries(f.ctx(), bursar.EntryQuery{Unreversed: true})
		return err
	})
	return out
}

func (f *flow) payouts(kinds ...bursar.PayoutKind) (out []bursar.Payout) {
	f.t.Helper()
	f.read(func(r bursar.Reader) (err error) {
		out, err = r.Payouts(f.ctx(), bursar.PayoutQuery{Kinds: kinds})
		return err
	})
	return out
}

func (f *flow) attempts(p bursar.Payout) (out []bursar.Attempt) {
	f.t.Helper()
	f.read(func(r bursar.Reader) (err error) {
		out, err = r.Attempts(f.ctx(), bursar.AttemptQuery{PayoutIDs: []string{p.ID}})
		return err
	})
	return out
}

// payout reads a payout again.
func (f *flow) payout(p bursar.Payout) bursar.Payout {
	f.t.Helper()
	for _, row := range f.payouts() {
		if row.ID == p.ID {
			return row
		}
	}
	f.t.Fatalf("payout %s is gone", p.ID)
	return p
}

// incoming are all incoming transactions.
func (f *flow) incoming() (out []bursar.Transaction) {
	f.t.Helper()
	f.read(func(r bursar.Reader) (err error) {
		out, err = r.Transactions(f.ctx(), bursar.TransactionQuery{Types: []bursar.TransactionType{bursar.TypeIncoming}})
		return err
	})
	return out
}

func (f *flow) state() (out bursar.ChainState) {
	f.t.Helper()
	f.read(func(r bursar.Reader) (err error) {
		out, err = r.Chain(f.ctx(), f.Chain.Info().ID)
		return err
	})
	return out
}

// chainKinds are the kinds of the chain's own events.
func (f *flow) chainKinds() []bursar.Kind { return f.Kinds(string(f.Chain.Info().ID)) }

// count is how often a kind of event was told of a subject, or of all.
func (f *flow) count(kind bursar.Kind, subject string) int {
	n := 0
	for _, e := range f.told(subject) {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// told are the delivered events without repetitions.
func (f *flow) told(subject string) []bursar.Event {
	seen := map[string]bool{}
	var out []bursar.Event
	for _, e := range f.Events(subject) {
		if !seen[e.ID] {
			seen[e.ID] = true
			out = append(out, e)
		}
	}
	return out
}

// noBrokenRules checks what must hold at any time: nothing logged about a
// broken invariant, every event delivered once in the order of its subject, one
// credit for each live transfer.
func (f *flow) noBrokenRules() {
	f.t.Helper()
	require.Empty(f.t, f.logs.broken())
	next := map[string]int64{}
	for _, e := range f.told("") {
		require.Equal(f.t, next[e.Subject]+1, e.Seq, "%s of %s", e.Kind, e.Subject)
		next[e.Subject] = e.Seq
	}
	var all []bursar.Event
	f.read(func(r bursar.Reader) (err error) {
		all, err = r.Events(f.ctx(), bursar.EventQuery{})
		return err
	})
	require.Len(f.t, f.told(""), len(all), "every event is delivered")
	f.oneCreditEach()
}

// oneCreditEach compares the chain with the ledger: for each transfer of a
// configured asset to an address of ours there is exactly one credit that
// stands, of what really moved, and there is no other one. What only traces and
// balances show is left to the comparison of ledger and chain.
func (f *flow) oneCreditEach() {
	f.t.Helper()
	var ours []bursar.Address
	f.read(func(r bursar.Reader) (err error) {
		ours, err = r.Addresses(f.ctx(), bursar.AddressQuery{})
		return err
	})
	own := map[chain.Address]bool{f.Sponsor: true}
	for _, a := range ours {
		own[a.Address] = true
	}
	want := map[string]string{}
	for h := uint64(1); h <= f.Chain.Head().Height; h++ {
		for _, tx := range f.Chain.Transactions(h) {
			for _, tr := range tx.Transfers {
				if own[tr.To] && !own[tr.From] && !tr.Amount.IsZero() && f.known(tr.Asset) {
					want[tr.ID.String()] = fmt.Sprintf("%s %s to %s", tr.Amount, tr.Asset, tr.To)
				}
			}
		}
	}
	names := map[string]string{}
	for _, tx := range f.incoming() {
		if tx.Via == chain.ViaDirect {
			names[tx.ID] = tx.Transfer.String()
		}
	}
	got := map[string]string{}
	for _, e := range f.entries() {
		if e.Rule == "L1" && names[e.Transaction] != "" {
			to := strings.TrimPrefix(string(e.Debit), "U:")
			require.NotContains(f.t, got, names[e.Transaction], "credited twice")
			got[names[e.Transaction]] = fmt.Sprintf("%s %s to %s", e.Amount, e.Asset, to)
		}
	}
	require.Equal(f.t, want, got)
}

func (f *flow) known(id chain.AssetID) bool {
	return id == f.ETH.ID || id == f.USDC.ID || id == f.USDT.ID || slices.Contains(f.honest, id)
}

// tryStep steps and lets failures of node and store pass.
func (f *flow) tryStep() error {
	f.t.Helper()
	err := f.Gateway.Step(f.ctx())
	require.NotErrorIs(f.t, err, bursar.ErrInvariant)
	f.CheckLedger()
	if f.t.Failed() {
		f.t.FailNow()
	}
	return err
}

// units parses an amount of an asset.
func units(t testing.TB, a chain.Asset, text string) chain.Amount {
	t.Helper()
	n, err := a.Parse(text)
	require.NoError(t, err)
	return n
}

var errNode = fmt.Errorf("%w: the node is away", chain.ErrTransient)
