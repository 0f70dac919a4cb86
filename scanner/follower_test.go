package scanner_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

// chainOf returns count linked blocks on top of before.
func chainOf(before chain.BlockRef, branch string, count int) []chain.BlockRef {
	var out []chain.BlockRef
	for range count {
		b := chain.BlockRef{Height: before.Height + 1, Parent: before.Hash}
		b.Hash = chain.BlockHash(fmt.Sprintf("0x%s%d", branch, b.Height))
		out, before = append(out, b), b
	}
	return out
}

var root = chain.BlockRef{Height: 99, Hash: "0xroot"}

func TestFollowerRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keep := rapid.IntRange(1, 20).Draw(t, "keep")
		recent := chainOf(root, "a", rapid.IntRange(0, keep).Draw(t, "recent"))
		before, err := scanner.NewFollower(recent, keep)
		require.NoError(t, err)
		tip, ok := before.Tip()
		if !ok {
			tip = root
		}

		n := rapid.IntRange(0, 30).Draw(t, "n")
		blocks := chainOf(tip, "b", n)
		after := before
		for rest := blocks; len(rest) > 0; {
			cut := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			after, err = after.Connect(rest[:cut])
			require.NoError(t, err)
			rest = rest[cut:]
		}
		require.Equal(t, min(keep, len(recent)+n), after.Len())
		require.True(t, slices.Equal(recent, before.Recent()), "the old value is untouched")

		back, gone := after.Disconnect(n)
		slices.Reverse(gone)
		require.True(t, slices.Equal(blocks[n-len(gone):], gone), "newest first")
		// What grew out of the window does not come back; all else does.
		lost := min(len(recent), max(0, len(recent)+n-keep))
		require.True(t, slices.Equal(recent[lost:], back.Recent()), "%v is not the rest of %v", back.Recent(), recent)
	})
}

func TestFollowerRefusesWhatDoesNotFollow(t *testing.T) {
	window, err := scanner.NewFollower(chainOf(root, "a", 3), 5)
	require.NoError(t, err)
	good := chainOf(mustTip(t, window), "a", 3)
	for name, c := range map[string]struct {
		blocks []chain.BlockRef
		index  int
		text   string
	}{
		"gap":            {good[1:], 0, "scanner: block 104 after block 102"},
		"same height":    {[]chain.BlockRef{good[0], good[0]}, 1, "scanner: block 103 after block 103"},
		"other parent":   {[]chain.BlockRef{{Height: 103, Hash: "0xx", Parent: "0xy"}}, 0, "scanner: block 103 0xx has parent 0xy, want 0xa102"},
		"broken in page": {[]chain.BlockRef{good[0], good[2]}, 1, "scanner: block 105 after block 103"},
	} {
		t.Run(name, func(t *testing.T) {
			same, err := window.Connect(c.blocks)
			var link *scanner.LinkError
			require.ErrorAs(t, err, &link)
			require.Equal(t, c.index, link.Index)
			require.EqualError(t, err, c.text)
			require.Equal(t, window, same)
		})
	}
	_, err = scanner.NewFollower(append(chainOf(root, "a", 1), good...), 9)
	require.Error(t, err, "a stored window with a hole")
	_, err = scanner.NewFollower(nil, 0)
	var bad *scanner.ConfigError
	require.ErrorAs(t, err, &bad)
}

func mustTip(t *testing.T, f scanner.Follower) chain.BlockRef {
	t.Helper()
	tip, ok := f.Tip()
	require.True(t, ok)
	return tip
}

func TestFollowerAt(t *testing.T) {
	window, err := scanner.NewFollower(chainOf(root, "a", 5), 3)
	require.NoError(t, err)
	for height, want := range map[uint64]chain.BlockHash{0: "", 101: "", 102: "0xa102", 104: "0xa104", 105: "", 1<<64 - 1: ""} {
		b, ok := window.At(height)
		require.Equal(t, want, b.Hash, height)
		require.Equal(t, want != "", ok)
	}
	var empty scanner.Follower
	_, ok := empty.At(0)
	require.False(t, ok)
	_, ok = empty.Tip()
	require.False(t, ok)
}

func TestFollowerDisconnectsNoMoreThanItHas(t *testing.T) {
	window, err := scanner.NewFollower(chainOf(root, "a", 3), 5)
	require.NoError(t, err)
	empty, gone := window.Disconnect(9)
	require.Len(t, gone, 3)
	require.Zero(t, empty.Len())
	same, gone := window.Disconnect(-1)
	require.Empty(t, gone)
	require.Equal(t, window, same)
}

func TestFollowerDepth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ours := chainOf(root, "a", rapid.IntRange(1, 30).Draw(t, "ours"))
		keep := rapid.IntRange(1, 30).Draw(t, "keep")
		window, err := scanner.NewFollower(ours, keep)
		require.NoError(t, err)
		shared := rapid.IntRange(0, len(ours)).Draw(t, "shared")
		theirs := slices.Clone(ours[:shared])
		tip := root
		if shared > 0 {
			tip = theirs[shared-1]
		}
		theirs = append(theirs, chainOf(tip, "b", rapid.IntRange(0, 30).Draw(t, "theirs"))...)

		depth, ok := window.Depth(theirs)
		require.Equal(t, shared > len(ours)-min(keep, len(ours)), ok, "found exactly where the window holds it")
		if ok {
			require.Equal(t, len(ours)-shared, depth)
			next, _ := window.Disconnect(depth)
			_, err := next.Connect(theirs[shared:])
			require.NoError(t, err, "the other branch follows the ancestor")
		}
	})
}

func ExampleFollower() {
	window, _ := scanner.NewFollower(chainOf(root, "a", 3), 10)
	theirs := chainOf(chain.BlockRef{Height: 101, Hash: "0xa101"}, "b", 2) // another 102
	headers := append(chainOf(root, "a", 2), theirs...)

	depth, _ := window.Depth(headers)
	window, gone := window.Disconnect(depth)
	fmt.Println("left:", gone[0].Hash)
	window, _ = window.Connect(theirs)
	tip, _ := window.Tip()
	fmt.Println("tip:", tip.Height, tip.Hash)
	// Output:
	// left: 0xa102
	// tip: 103 0xb103
}
