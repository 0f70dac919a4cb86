package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/sqlite"
	"github.com/bursar-go/bursar/storetest"
)

// writeForEver writes sales by several goroutines and says each that is
// confirmed, and the first index of each reservation.
func writeForEver(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d_%d_%d", os.Getpid(), g, n)
				if err := put(ctx, s, sale(id)); err != nil {
					fmt.Println("error:", err)
					return
				}
				fmt.Println("sale", id)
				if n%8 != 0 {
					continue
				}
				first, err := s.Reserve(ctx, "pool", 10)
				if err != nil {
					fmt.Println("error:", err)
					return
				}
				fmt.Println("index", first)
			}
		})
	}
	wg.Wait()
	return errors.New("a writer ended")
}

// D1: what was confirmed to a process that was then killed is there, whole, and
// nothing is there by half.
func TestThreat_D1_KillMinus9(t *testing.T) {
	path := fileIn(t)
	require.NoError(t, openAt(t, path).Settle(t.Context()))
	confirmed, handedOut := map[string]bool{}, map[string]bool{}
	for round := range 20 {
		c := startChild(t, "write", path)
		var said []string
		for range 1 + round*7%40 {
			said = append(said, c.line(t))
		}
		said = append(said, c.kill(t)...)
		for _, line := range said {
			word, what, _ := strings.Cut(line, " ")
			switch word {
			case "sale":
				confirmed[what] = true
			case "index":
				require.False(t, handedOut[what], "index %s a second time", what)
				handedOut[what] = true
			default:
				// The last line may be cut short, by the kill alone.
				require.Equal(t, said[len(said)-1], line)
			}
		}
		sound(t, path)
		s, err := sqlite.Open(t.Context(), path)
		require.NoError(t, err)
		there := map[string]bool{}
		for _, id := range sales(t, s) {
			there[id] = true
		}
		for id := range confirmed {
			require.True(t, there[id], "%s was confirmed and is gone", id)
		}
		// The file beside it knows at least what anybody was told.
		o, err := s.Origin(t.Context())
		require.NoError(t, err)
		require.Equal(t, o.Written, o.Here)
		for first := range handedOut {
			var n uint32
			_, err := fmt.Sscan(first, &n)
			require.NoError(t, err)
			require.GreaterOrEqual(t, o.Reserved["pool"], n+10)
		}
		require.NoError(t, s.Close())
	}
	require.Greater(t, len(confirmed), 100)
	require.NotEmpty(t, handedOut)
}

// D1: every commit of a scenario is where the process dies once, and where the
// answer is lost once. The next process does the same again, and what there is in
// the end is the same.
func TestThreat_D1_CrashAtEveryCommit(t *testing.T) {
	ctx := t.Context()
	scenario := func(s bursar.Store) error {
		if _, err := s.Acquire(ctx, "lease", "me", 0); err != nil {
			return err
		}
		for _, id := range []string{"a", "b", "c"} {
			if _, err := s.Reserve(ctx, "pool", 1); err != nil {
				return err
			}
			if err := put(ctx, s, sale(id)); err != nil && !errors.Is(err, bursar.ErrConflict) {
				return err
			}
		}
		return nil
	}
	count := storetest.Faulty(openAt(t, fileIn(t)), nil)
	require.NoError(t, scenario(count))
	require.Equal(t, 7, count.Points())
	for _, fault := range []storetest.Fault{storetest.CrashBefore, storetest.CrashAfter, storetest.LoseBefore, storetest.LoseAfter} {
		for n := range count.Points() {
			path := fileIn(t)
			s, err := sqlite.Open(ctx, path)
			require.NoError(t, err)
			require.Error(t, scenario(storetest.Faulty(s, storetest.At(n+1, fault))))
			require.NoError(t, s.Close())
			s = openAt(t, path)
			sales(t, s)
			require.NoError(t, scenario(s))
			require.Equal(t, []string{"c", "b", "a"}, sales(t, s))
		}
	}
}
