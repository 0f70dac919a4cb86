package scanner_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func TestThreat_A1_ReorgShallow(t *testing.T) {
	n, s := newNode(11), newSink(t)
	s.start = 5
	sc := newScanner(t, n, s)
	settle(t, sc)
	n.pay("0xt", 7)
	n.reorg("b", 1, 2)
	n.calls = nil
	step(t, sc)
	require.NotContains(t, n.calls, "Transfers", "the head alone proves it")
	last := s.steps[len(s.steps)-1]
	require.Len(t, last.Disconnect, 1)
	require.EqualValues(t, "0xa10", last.Disconnect[0].Hash)
	require.Empty(t, last.Connect.Blocks, "one thing a step")
	settle(t, sc)
	follows(t, n, s)
	require.Empty(t, s.seen)
}

func TestReorgOfEveryDepth(t *testing.T) {
	for depth := 1; depth <= 15; depth++ {
		for _, grow := range []int{-1, 0, 1, 9} {
			n, s := newNode(30), newSink(t)
			s.start = 10
			sc := newScanner(t, n, s)
			settle(t, sc)
			// Also branches that are shorter than ours, or as long.
			n.reorg("b", depth, max(1, depth+grow))
			settle(t, sc)
			follows(t, n, s)
		}
	}
}

func TestThreat_A3_MinedAgainElsewhere(t *testing.T) {
	n, s := newNode(11), newSink(t)
	sc := newScanner(t, n, s)
	settle(t, sc)
	n.mine("a", 1)
	n.pay("0xt", 7)
	settle(t, sc)
	id := chain.TransferID{Tx: "0xt", Ordinal: "n"}
	require.EqualValues(t, "0xa11", s.seen[id])
	n.reorg("b", 1, 3)
	n.pay("0xt", 7)
	settle(t, sc)
	require.Equal(t, map[chain.TransferID]chain.BlockHash{id: "0xb13"}, s.seen)
}

func TestThreat_A6_ThereAndBackAgain(t *testing.T) {
	n, s := newNode(11), newSink(t)
	sc := newScanner(t, n, s)
	settle(t, sc)
	n.mine("a", 3)
	n.pay("0xt", 7)
	settle(t, sc)
	a := n.branch()
	n.reorg("b", 3, 4)
	settle(t, sc)
	require.Empty(t, s.seen)
	follows(t, n, s)
	n.become(a)
	n.mine("a", 2)
	settle(t, sc)
	follows(t, n, s)
	require.EqualValues(t, "0xa13", s.seen[chain.TransferID{Tx: "0xt", Ordinal: "n"}])
}

// The branch changes while nobody looks; a new process starts from the cursor.
func TestThreat_A9_ReorgWhileDown(t *testing.T) {
	n, s := newNode(30), newSink(t)
	s.start = 8
	settle(t, newScanner(t, n, s))
	n.reorg("b", 9, 40)
	n.calls = nil
	s.steps = nil

	sc := newScanner(t, n, s)
	step(t, sc)
	require.Len(t, s.steps[0].Disconnect, 9)
	require.NotContains(t, n.calls, "Transfers", "the ancestor comes before anything else")
	settle(t, sc)
	follows(t, n, s)
}

func TestReorgDuringCatchUpBetweenPages(t *testing.T) {
	n, s := newNode(30), newSink(t)
	s.start = 10
	sc := newScanner(t, n, s)
	step(t, sc)
	step(t, sc)
	require.Len(t, s.view, 8)
	n.reorg("b", 14, 30) // the upper two of what was read
	settle(t, sc)
	follows(t, n, s)
	require.Equal(t, 1, disconnects(s))
}

func disconnects(s *sink) (n int) {
	for _, st := range s.steps {
		if len(st.Disconnect) > 0 {
			n++
		}
	}
	return n
}

// The branch changes after the tip was checked: the page does not follow it.
func TestReorgBetweenHeadAndTransfers(t *testing.T) {
	n, s := newNode(11), newSink(t)
	sc := newScanner(t, n, s)
	settle(t, sc)
	n.mine("a", 3)
	n.hook = func(call string, _, _ uint64) error {
		if call == "Transfers" {
			n.hook = nil
			n.reorg("b", 5, 5)
		}
		return nil
	}
	require.Zero(t, step(t, sc))
	require.Len(t, s.steps, 2, "no gap was jumped")
	require.Len(t, s.steps[1].Disconnect, 2, "a10, and a9 that came with the window")
	settle(t, sc)
	follows(t, n, s)
	require.Equal(t, 1, disconnects(s))
}

// The branch changes while the ancestor is looked for.
func TestReorgDuringTheSearch(t *testing.T) {
	for name, at := range map[string]int{"at its first batch": 1, "at its second": 2, "inside its second": 3} {
		t.Run(name, func(t *testing.T) {
			n, s := newNode(30), newSink(t)
			s.start = 10
			sc := newScanner(t, n, s)
			settle(t, sc)
			n.reorg("b", 10, 10)
			n.hook = func(call string, _, _ uint64) error {
				if call == "Headers" {
					at--
				}
				if at == 0 {
					n.hook = nil
					n.reorg("c", 12, 14)
				}
				return nil
			}
			_, err := sc.Step(t.Context())
			require.ErrorIs(t, err, chain.ErrReorg, "headers of two branches are no branch")
			require.Zero(t, disconnects(s))
			settle(t, sc)
			follows(t, n, s)
		})
	}
}

// One answer in the middle of the search comes from a node with another branch.
func TestHeadersOfTwoNodes(t *testing.T) {
	n, s := newNode(30), newSink(t)
	s.start = 10
	sc := newScanner(t, n, s)
	settle(t, sc)
	n.reorg("c", 12, 12)
	other := n.branch()
	n.become(s.view[:0])
	n.mine("a", 30)
	n.reorg("b", 10, 10)
	own, asked := n.branch(), 0
	n.hook = func(call string, _, _ uint64) error {
		if call == "Headers" {
			asked++
			n.become(own)
			if asked == 2 {
				n.become(other)
			}
		}
		return nil
	}
	_, err := sc.Step(t.Context())
	require.ErrorIs(t, err, chain.ErrReorg)
	require.Zero(t, disconnects(s), "less was shared with the other branch")
	n.hook = nil
	n.become(own)
	settle(t, sc)
	follows(t, n, s)
}

// A page of another branch, although the tip is canonical: two nodes.
func TestPageOfAnotherBranch(t *testing.T) {
	n, s := newNode(11), newSink(t)
	sc := newScanner(t, n, s)
	settle(t, sc)
	n.mine("a", 2)
	n.bendPage = func(p *chain.Page) { p.Blocks[0].Parent = "0xelse" }
	_, err := sc.Step(t.Context())
	require.ErrorIs(t, err, chain.ErrReorg)
	require.Len(t, s.steps, 1)
	n.bendPage = nil
	settle(t, sc)
	follows(t, n, s)
	require.Zero(t, disconnects(s))
}

func TestThreat_C2_HeadGoesBackwards(t *testing.T) {
	n, s := newNode(20), newSink(t)
	s.start = 10
	sc := newScanner(t, n, s)
	settle(t, sc)
	commits := len(s.steps)
	for _, behind := range []int{1, 5, 9, 19} {
		n.behind = behind // 19 is below the window
		require.Equal(t, n.info.BlockTime, step(t, sc), "wait")
	}
	require.Len(t, s.steps, commits)
	require.Zero(t, disconnects(s))
	require.Zero(t, sc.Progress().Lag)
	n.behind = 0
	n.mine("a", 2)
	settle(t, sc)
	follows(t, n, s)
}

func TestThreat_C2_LowerHeadOfAnotherBranchIsAReorg(t *testing.T) {
	n, s := newNode(20), newSink(t)
	s.start = 10
	sc := newScanner(t, n, s)
	settle(t, sc)
	n.reorg("b", 6, 2)
	settle(t, sc)
	require.Equal(t, 1, disconnects(s))
	follows(t, n, s)
}

func TestThreat_C1_HeadersOfANodeThatIsBehind(t *testing.T) {
	n, s := newNode(11), newSink(t)
	sc := newScanner(t, n, s)
	settle(t, sc)
	n.mine("a", 3)
	n.bendHeaders = func([]chain.BlockRef) []chain.BlockRef { return nil }
	_, err := sc.Step(t.Context())
	require.ErrorIs(t, err, chain.ErrNotFound)
	n.bendHeaders = nil
	n.hook = func(call string, _, _ uint64) error {
		if call == "Transfers" {
			return chain.ErrNotFound
		}
		return nil
	}
	_, err = sc.Step(t.Context())
	require.ErrorIs(t, err, chain.ErrNotFound)
	require.Len(t, s.steps, 1, "an unknown block is not an empty one")
	n.hook = nil
	settle(t, sc)
	follows(t, n, s)
}
