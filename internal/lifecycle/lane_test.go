package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGoNamesTheLane(t *testing.T) {
	ctx := lifecycle.WithName(t.Context(), "gateway")
	ended := make(chan error, 1)
	var name, label string
	lifecycle.Go(ctx, "scanner", func(ctx context.Context) error {
		name = lifecycle.Name(ctx)
		label, _ = pprof.Label(ctx, "lane")
		return nil
	}, func(err error) { ended <- err })

	require.NoError(t, <-ended)
	require.Equal(t, "gateway/scanner", name)
	require.Equal(t, name, label)
	require.Empty(t, lifecycle.Name(t.Context()), "outside of any lane")
}

func TestGoWithoutAnyoneToTell(t *testing.T) {
	ran := make(chan struct{})
	lifecycle.Go(t.Context(), "x", func(context.Context) error { close(ran); panic("nobody hears it") }, nil)
	<-ran
}

func TestGoTellsHowItEnded(t *testing.T) {
	failure := errors.New("no")
	for name, c := range map[string]struct {
		fn    func(context.Context) error
		check func(t *testing.T, err error)
	}{
		"nil": {
			func(context.Context) error { return nil },
			func(t *testing.T, err error) { require.NoError(t, err) },
		},
		"error": {
			func(context.Context) error { return failure },
			func(t *testing.T, err error) { require.ErrorIs(t, err, failure) },
		},
		"panic": {
			func(context.Context) error { panic("boom") },
			func(t *testing.T, err error) {
				var p *lifecycle.PanicError
				require.ErrorAs(t, err, &p)
				require.Equal(t, "boom", p.Value)
				require.Equal(t, "lane", p.Lane)
				require.Contains(t, string(p.Stack), "lane_test.go", "the stack shows where")
				require.EqualError(t, err, "lifecycle: panic in lane: boom")
				require.NoError(t, p.Unwrap(), "a string is no error")
			},
		},
		"panic with an error": {
			func(context.Context) error { panic(failure) },
			func(t *testing.T, err error) { require.ErrorIs(t, err, failure) },
		},
		"goexit": {
			func(context.Context) error { runtime.Goexit(); return nil },
			func(t *testing.T, err error) { require.ErrorIs(t, err, lifecycle.ErrGoexit) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			lifecycle.Go(t.Context(), "lane", c.fn, func(err error) { ended <- err })
			c.check(t, <-ended)
		})
	}
}

func TestLabelIsInAProfile(t *testing.T) {
	running, stop, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	lifecycle.Go(t.Context(), "visible", func(context.Context) error { close(running); <-stop; return nil }, func(err error) { ended <- err })
	<-running
	var text strings.Builder
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&text, 1))
	close(stop)
	<-ended
	require.Contains(t, text.String(), `"lane":"visible"`)
}

func ExampleName() {
	ended := make(chan error)
	ctx := lifecycle.WithName(context.Background(), "ethereum")
	lifecycle.Go(ctx, "scanner", func(ctx context.Context) error {
		fmt.Println(lifecycle.Name(ctx))
		return nil
	}, func(err error) { ended <- err })
	<-ended
	// Output: ethereum/scanner
}
