package clocktest

import (
	"testing"
	"time"
)

// Jump sets this process's wall clock that far from the true time, in whole
// seconds, until the test ends or jumps again; zero sets it right. All goroutines
// see it at once, so that the test cannot be a parallel one. Where the clock
// cannot be moved the test is skipped.
func Jump(t testing.TB, by time.Duration) {
	t.Helper()
	t.Setenv("BURSAR_WALL_CLOCK", by.String()) // ends parallel tests; nobody reads it
	if by%time.Second != 0 {
		t.Fatalf("clocktest: %s is no whole number of seconds", by)
	}
	if err := shift(int64(by / time.Second)); err != nil {
		t.Skipf("the wall clock cannot be moved here: %v", err)
	}
	t.Cleanup(func() {
		if err := shift(0); err != nil {
			t.Errorf("clocktest: the clock stays wrong: %v", err)
		}
	})
}
