package scanner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

var (
	errNode  = errors.New("node: connection refused")
	errStore = errors.New("store: gone away")
	errMoved = errors.New("store: the cursor moved")
)

// node is a chain.Reader over one branch that the test changes as it likes.
type node struct {
	info chain.Info

	mu     sync.Mutex
	blocks []chain.BlockRef // index is height
	final  int              // height of the final block; -1: no such notion
	behind int              // how far below its newest block it says its head is
	paid   map[chain.BlockHash][]chain.Transfer
	calls  []string
	// before each call; a returned error is the answer.
	hook func(call string, from, to uint64) error
	// change what would be answered.
	bendHead    func(*chain.Head)
	bendHeaders func([]chain.BlockRef) []chain.BlockRef
	bendPage    func(*chain.Page)
}

func newNode(blocks int) *node {
	n := &node{
		info:  chain.Info{ID: "eip155:31337", BlockTime: 2 * time.Second, MaxReorg: 16, PageBlocks: 4, Confirmations: 3, FinalityDepth: 10},
		paid:  map[chain.BlockHash][]chain.Transfer{},
		final: -1,
	}
	n.mine("a", blocks)
	return n
}

// mine adds blocks whose hashes carry the name of their branch. All of them
// have the same timestamp.
func (n *node) mine(branch string, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range count {
		b := chain.BlockRef{Height: uint64(len(n.blocks)), Time: time.Unix(1_700_000_000, 0).UTC()}
		if b.Height > 0 {
			b.Parent = n.blocks[b.Height-1].Hash
		}
		b.Hash = chain.BlockHash(fmt.Sprintf("0x%s%d", branch, b.Height))
		n.blocks = append(n.blocks, b)
	}
}

// drop takes blocks back.
func (n *node) drop(count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocks = n.blocks[: len(n.blocks)-count : len(n.blocks)-count]
}

// reorg replaces the newest blocks by others of another branch.
func (n *node) reorg(branch string, depth, count int) {
	n.drop(depth)
	n.mine(branch, count)
}

func (n *node) branch() []chain.BlockRef {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.blocks)
}

func (n *node) become(blocks []chain.BlockRef) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocks = slices.Clone(blocks)
}

// pay puts a transfer into the newest block.
func (n *node) pay(tx string, amount uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.blocks[len(n.blocks)-1]
	n.paid[b.Hash] = append(n.paid[b.Hash], chain.Transfer{
		ID: chain.TransferID{Tx: chain.TxID(tx), Ordinal: "n"}, Amount: chain.NewAmount(amount), Block: b.Height, Hash: b.Hash,
	})
}

func (n *node) called(call string, from, to uint64) error {
	n.mu.Lock()
	n.calls = append(n.calls, call)
	hook := n.hook
	n.mu.Unlock()
	if hook != nil {
		return hook(call, from, to)
	}
	return nil
}

func (n *node) Info() chain.Info { return n.info }

func (n *node) Head(context.Context) (chain.Head, error) {
	if err := n.called("Head", 0, 0); err != nil {
		return chain.Head{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	head := chain.Head{Latest: n.blocks[len(n.blocks)-1-n.behind]}
	if n.final >= 0 {
		f := n.blocks[n.final]
		head.Finalized = &f
	}
	if n.bendHead != nil {
		n.bendHead(&head)
	}
	return head, nil
}

func (n *node) Headers(_ context.Context, from, to uint64) ([]chain.BlockRef, error) {
	if err := n.called("Headers", from, to); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	refs := n.run(from, to, 5)
	if n.bendHeaders != nil {
		refs = n.bendHeaders(refs)
	}
	return refs, nil
}

func (n *node) Transfers(_ context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	if err := n.called("Transfers", from, to); err != nil {
		return chain.Page{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	page := chain.Page{Blocks: n.run(from, to, 1<<10)}
	if len(page.Blocks) == 0 {
		return page, chain.ErrNotFound
	}
	for _, b := range page.Blocks {
		for _, t := range n.paid[b.Hash] {
			if _, ok := w.Match([]byte(t.ID.Tx)); ok {
				page.Transfers = append(page.Transfers, t)
			}
		}
	}
	if n.bendPage != nil {
		n.bendPage(&page)
	}
	return page, nil
}

// run returns at most limit blocks.
func (n *node) run(from, to uint64, limit int) []chain.BlockRef {
	if from >= uint64(len(n.blocks)) {
		return nil
	}
	blocks := n.blocks[from:min(to+1, uint64(len(n.blocks)))]
	return slices.Clone(blocks[:min(len(blocks), limit)])
}

func (n *node) Status(context.Context, ...chain.TxID) ([]chain.TxStatus, error) {
	return nil, chain.ErrUnsupported
}

// everything watches every key but those that are not issued yet.
type everything map[string]bool

func (e everything) Match(key []byte) (uint32, bool) { return 0, !e[string(key)] }
func (e everything) Len() int                        { return 1 }
func (e everything) Keys() iter.Seq[[]byte]          { return func(func([]byte) bool) {} }
func (e everything) Assets() []chain.Asset           { return nil }

// sink is a scanner.Sink in memory. It holds the scanner to the contract: each
// commit must continue what was committed before.
type sink struct {
	t *testing.T

	mu      sync.Mutex
	start   uint64
	view    []chain.BlockRef // every block that was connected and not disconnected
	window  []chain.BlockRef
	seen    map[chain.TransferID]chain.BlockHash
	steps   []scanner.Step
	reports []scanner.Condition
	calls   []string
	unready everything
	hook    func(call string, step *scanner.Step) error
	// lost makes Commit apply and then fail.
	lost bool
}

func newSink(t *testing.T) *sink {
	return &sink{t: t, seen: map[chain.TransferID]chain.BlockHash{}, unready: everything{}}
}

func (s *sink) called(call string, step *scanner.Step) error {
	s.mu.Lock()
	s.calls = append(s.calls, call)
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		return hook(call, step)
	}
	return nil
}

func (s *sink) Cursor(context.Context) (scanner.Cursor, error) {
	if err := s.called("Cursor", nil); err != nil {
		return scanner.Cursor{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return scanner.Cursor{Recent: slices.Clone(s.window), Start: s.start}, nil
}

func (s *sink) Watch(context.Context) (chain.Watch, error) {
	if err := s.called("Watch", nil); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unready := everything{}
	for k, v := range s.unready {
		unready[k] = v
	}
	return unready, nil
}

func (s *sink) Commit(_ context.Context, step scanner.Step) error {
	if err := s.called("Commit", &step); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.False(s.t, len(step.Disconnect) > 0 && len(step.Connect.Blocks) > 0, "a step does one thing")
	require.NotEmpty(s.t, step.Recent)
	var tip chain.BlockRef
	if len(s.window) > 0 {
		tip = s.window[len(s.window)-1]
	}
	if step.Base != tip {
		return errMoved
	}
	for _, b := range step.Disconnect {
		if len(s.view) > 0 {
			require.Equal(s.t, s.view[len(s.view)-1], b, "newest first, from our tip")
			s.view = s.view[:len(s.view)-1]
		}
		for id, hash := range s.seen {
			if hash == b.Hash {
				delete(s.seen, id)
			}
		}
	}
	for _, b := range step.Connect.Blocks {
		if len(s.view) > 0 {
			require.Equal(s.t, s.view[len(s.view)-1].Hash, b.Parent)
		}
		require.LessOrEqual(s.t, b.Height, step.Head.Latest.Height)
		s.view = append(s.view, b)
	}
	for _, tr := range step.Connect.Transfers {
		require.NotContains(s.t, s.seen, tr.ID)
		s.seen[tr.ID] = tr.Hash
	}
	if len(s.view) > 0 {
		require.Equal(s.t, s.view[len(s.view)-1], step.Recent[len(step.Recent)-1])
	}
	s.window = slices.Clone(step.Recent)
	s.steps = append(s.steps, step)
	if s.lost {
		s.lost = false
		return errStore
	}
	return nil
}

func (s *sink) Report(_ context.Context, c scanner.Condition) error {
	if err := s.called("Report", nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, c)
	return nil
}

// reported returns what was told of a kind: true where it began.
func (s *sink) reported(kind scanner.ConditionKind) (out []bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.reports {
		if c.Kind == kind {
			out = append(out, c.Active)
		}
	}
	return out
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func config(n *node, s *sink) scanner.Config {
	return scanner.Config{Client: n, Sink: s, Logger: quiet(), Rand: rand.NewPCG(1, 2)}
}

func newScanner(t *testing.T, n *node, s *sink) *scanner.Scanner {
	t.Helper()
	sc, err := scanner.New(config(n, s))
	require.NoError(t, err)
	return sc
}

// step wants a step without an error.
func step(t *testing.T, sc *scanner.Scanner) time.Duration {
	t.Helper()
	wait, err := sc.Step(t.Context())
	require.NoError(t, err)
	return wait
}

// settle steps until there is nothing more to do.
func settle(t *testing.T, sc *scanner.Scanner) {
	t.Helper()
	for range 1000 {
		if step(t, sc) > 0 {
			return
		}
	}
	t.Fatal("it never caught up")
}

// follows wants the sink to have exactly the node's branch, from its first block on.
func follows(t *testing.T, n *node, s *sink) {
	t.Helper()
	branch := n.branch()
	require.NotEmpty(t, s.view)
	require.Equal(t, branch[s.view[0].Height:], s.view)
	require.LessOrEqual(t, len(s.window), int(n.info.MaxReorg))
	require.Equal(t, branch[len(branch)-len(s.window):], s.window)
}
