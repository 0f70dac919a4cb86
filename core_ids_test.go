package bursar

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

func seeded(seed byte) io.Reader {
	key := [32]byte{seed}
	return rand.NewChaCha8(key)
}

// Ids are UUIDs of version 7 and variant 10, with the milliseconds in front.
func TestIDFormat(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^pay_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	s := &idSource{random: seeded(1)}
	for range 1000 {
		e, err := s.draw()
		require.NoError(t, err)
		require.Regexp(t, form, e.id("pay_", testStart()))
	}
	// The example of RFC 9562, appendix A.6: its time and its random bits.
	e := entropy{0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f}
	require.Equal(t, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", e.id("", time.UnixMilli(0x017F22E279B0)))
	// Version and variant are set, whatever was drawn.
	require.Equal(t, "x_000000000000-"[:2]+"00000000-0000-7000-8000-000000000000", entropy{}.id("x_", time.UnixMilli(0)))
	full := entropy(bytes.Repeat([]byte{0xff}, 10))
	require.Equal(t, "ffffffff-ffff-7fff-bfff-ffffffffffff", full.id("", time.UnixMilli(1<<48-1)))
}

// Ids of a later millisecond sort later, so that an index of them grows at its
// end.
func TestIDsRiseWithTime(t *testing.T) {
	t.Parallel()
	s := &idSource{random: seeded(2)}
	var ids []string
	for i := range 1000 {
		e, err := s.draw()
		require.NoError(t, err)
		ids = append(ids, e.id("pay_", testStart().Add(time.Duration(i)*time.Millisecond)))
	}
	require.True(t, slices.IsSorted(ids))
}

// A million ids of one instant are different, drawn by several callers at once.
func TestIDsAreUnique(t *testing.T) {
	t.Parallel()
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	s := &idSource{random: seeded(3)}
	var mu sync.Mutex
	seen := make(map[string]bool, 4*n)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			mine := make([]string, 0, n)
			for range n {
				e, err := s.draw()
				if err != nil {
					t.Error(err)
					return
				}
				mine = append(mine, e.id("", testStart()))
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range mine {
				seen[id] = true
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 4*n)
}

// A run over a seeded source makes the same ids, however it hands bytes out.
func TestIDsAreReproducible(t *testing.T) {
	t.Parallel()
	draw := func(r io.Reader) (out []string) {
		s := &idSource{random: r}
		for range 200 {
			e, err := s.draw()
			require.NoError(t, err)
			out = append(out, e.id("tx_", testStart()))
		}
		return out
	}
	want := draw(seeded(4))
	require.Equal(t, want, draw(seeded(4)))
	require.Equal(t, want, draw(iotest.OneByteReader(seeded(4))))
	require.NotEqual(t, want, draw(seeded(5)))
}

// Without random numbers there is no id: an error, never a weaker one. Once the
// source is well again, so are the ids.
func TestIDsOfAFailingSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("no entropy")
	s := &idSource{random: iotest.ErrReader(broken)}
	e, err := s.draw()
	require.ErrorIs(t, err, broken)
	require.Zero(t, e)

	short := &idSource{random: bytes.NewReader(make([]byte, 9))}
	_, err = short.draw()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	short.random = seeded(6)
	e, err = short.draw()
	require.NoError(t, err)
	require.NotZero(t, e)
	// What a failed read left behind is not used.
	want, err := (&idSource{random: seeded(6)}).draw()
	require.NoError(t, err)
	require.Equal(t, want, e)
}

func TestLivePrefix(t *testing.T) {
	t.Parallel()
	require.Equal(t, "pay_", livePrefix("pay", true))
	require.Equal(t, "pay_test_", livePrefix("pay", false))
}

// Parts of a hashed id do not run into each other.
func TestHashID(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^evt_[0-9a-f]{32}$`, hashID("evt_", "a"))
	ids := []string{hashID("", "ab", "c"), hashID("", "a", "bc"), hashID("", "abc"), hashID("", "", "abc"), hashID("", "abc", "")}
	slices.Sort(ids)
	require.Len(t, slices.Compact(ids), 5)
	require.Equal(t, hashID("x", "a", "b"), hashID("x", "a", "b"))
}
