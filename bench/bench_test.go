package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEveryFigure runs each figure in its quick form: it prints one line, in
// the documented shape.
func TestEveryFigure(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run([]string{"-quick"}, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, len(figures()))
	values := map[string]float64{}
	for i, f := range figures() {
		var name, unit string
		var value float64
		_, err := fmt.Sscan(lines[i], &name, &value, &unit)
		require.NoError(t, err, lines[i])
		require.Equal(t, f.name, name)
		require.Equal(t, f.unit, unit)
		require.Positive(t, value, lines[i])
		require.Contains(t, lines[i], "# GOMAXPROCS=")
		values[name] = value
	}
	requireSweeps(t, values)
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run([]string{"-list"}, &out))
	require.Equal(t, len(figures()), strings.Count(out.String(), "\n"))
	require.Contains(t, out.String(), "derive_vs_floor    <= 1.3 x  GOMAXPROCS=1")
}

func TestOnly(t *testing.T) {
	got, err := choose("watch_flat,derive_vs_floor")
	require.NoError(t, err)
	require.Equal(t, "watch_flat", got[0].name)
	require.Equal(t, "derive_vs_floor", got[1].name)
	require.Len(t, got, 2)

	err = run([]string{"-only", "no_such_figure"}, io.Discard)
	require.ErrorContains(t, err, `"no_such_figure"`)
}

// TestCheck wants the bounds to be looked at, from the right side.
func TestCheck(t *testing.T) {
	fixed := func(value float64) func(*bench) (reading, error) {
		return func(*bench) (reading, error) { return reading{value: value, how: "fixed"}, nil }
	}
	b := newBench(true, 0)
	high := figure{name: "high", bound: 2, atLeast: true, procs: 1, measure: fixed(2)}
	low := figure{name: "low", bound: 2, procs: 1, measure: fixed(2)}
	require.NoError(t, b.all(io.Discard, []figure{high, low}, true))

	high.measure, low.measure = fixed(1.99), fixed(2.01)
	require.NoError(t, b.all(io.Discard, []figure{high, low}, false))
	err := b.all(io.Discard, []figure{high, low}, true)
	require.ErrorIs(t, err, errMissed)
	require.ErrorContains(t, err, "high 1.990, want >= 2; low 2.010, want <= 2")
}

func TestFigureFails(t *testing.T) {
	broken := errors.New("broken")
	f := figure{name: "f", procs: 1, measure: func(*bench) (reading, error) { return reading{}, broken }}
	require.ErrorIs(t, newBench(true, 0).all(io.Discard, []figure{f}, false), broken)
}

// TestRatio: of rounds that met different machines the ratios agree, where the
// costs do not.
func TestRatio(t *testing.T) {
	round := func(a, b time.Duration) pair { return pair{a: spent{wall: a, cpu: 5}, b: spent{wall: b, cpu: 5}} }
	p := pairs{round(200, 100), round(2000, 1000), round(20, 10), round(30, 10), round(10, 10)}
	got := p.by(byWall)
	require.InDelta(t, 2, got.ratio, 1e-9)
	require.Equal(t, comparison{a: 30, b: 10, ratio: got.ratio, rounds: 5}, got)
	require.InDelta(t, 1, p.by(byCPU).ratio, 1e-9)

	got = got.per(10, 1)
	require.Equal(t, time.Duration(3), got.a)
	require.InDelta(t, 0.2, got.ratio, 1e-9)
	require.InDelta(t, 20, p.by(byWall).per(1, 10).ratio, 1e-9)
}

func TestMedian(t *testing.T) {
	require.InDelta(t, 2.0, median([]float64{9, 1, 2}), 0)
	require.Equal(t, time.Duration(2), median([]time.Duration{9, 3, 2, 1}))
}

// TestAlternate: both sides get the same number of rounds, prepared outside of
// the measurement, and take turns in going first.
func TestAlternate(t *testing.T) {
	var order strings.Builder
	side := func(name string) work {
		return func(n int) (func() error, error) {
			return func() error {
				order.WriteString(name)
				for begin := time.Now(); time.Since(begin) < time.Duration(n)*100*time.Microsecond; {
				}
				return nil
			}, nil
		}
	}
	b := &bench{rounds: 4, slice: 2 * time.Millisecond}
	got, err := b.alternate(byWall, side("a"), side("b"))
	require.NoError(t, err)
	require.Len(t, got, 4)
	// Before the rounds each side was tried on its own, to find their size.
	require.Regexp(t, "^a+b+abbaabba$", order.String())
	for _, round := range got {
		require.GreaterOrEqual(t, round.a.wall, 100*time.Microsecond)
	}
}

func TestAlternateFails(t *testing.T) {
	broken := errors.New("broken")
	fine := func(int) (func() error, error) { return func() error { return nil }, nil }
	unprepared := func(int) (func() error, error) { return nil, broken }
	failing := func(int) (func() error, error) { return func() error { return broken }, nil }
	for _, sides := range [][2]work{{fine, unprepared}, {failing, fine}} {
		_, err := newBench(true, 0).alternate(byCPU, sides[0], sides[1])
		require.ErrorIs(t, err, broken)
	}
}

// TestShare: everything is done once, by any number of workers.
func TestShare(t *testing.T) {
	for _, workers := range []int{1, 3} {
		done := make([]int, 100)
		require.NoError(t, share(workers, len(done), func(i int) error { done[i]++; return nil }))
		for i, n := range done {
			require.Equal(t, 1, n, i)
		}
		broken := errors.New("broken")
		require.ErrorIs(t, share(workers, 5, func(i int) error {
			if i == 3 {
				return broken
			}
			return nil
		}), broken)
	}
}

// TestCannedBlock pins what is measured: the block that the ratios are about.
func TestCannedBlock(t *testing.T) {
	n := newNode()
	busy := n.at(1)
	require.Greater(t, len(busy.full), 140_000)
	require.Equal(t, 160, bytes.Count(busy.logs, []byte(transferTopic)))

	client, err := n.client()
	require.NoError(t, err)
	n.mine()
	page, err := client.Transfers(t.Context(), 1, 2, assets{})
	require.NoError(t, err)
	require.Len(t, page.Blocks, 2)
	require.Equal(t, page.Blocks[0].Hash, page.Blocks[1].Parent)

	do, err := decode(busy)(1)
	require.NoError(t, err)
	require.NoError(t, do())
}

// TestWatchedSets: the sets that are measured hold what they are said to.
func TestWatchedSets(t *testing.T) {
	h, err := newHost()
	require.NoError(t, err)
	defer func() { require.NoError(t, h.stop()) }()
	require.NoError(t, h.grow(5000))
	// Beside the issued ones there are the gateway's own two accounts.
	require.Equal(t, 6002, h.client.watch().Len())
	for key := range h.client.watch().Keys() {
		_, ok := h.client.watch().Match(key)
		require.True(t, ok)
	}
}
