package sweeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// keys is a signer that signs anything, or fails on command.
type keys struct {
	fail func() error
	n    int
	// vault, where it is set, has all keys but the sponsor's: of those it names the
	// authorisations are there, of others nothing.
	vault map[chain.Address]bool
}

func (k *keys) Sign(_ context.Context, requests []chain.SignRequest) ([][]byte, error) {
	k.n++
	if k.fail != nil {
		if err := k.fail(); err != nil {
			return nil, err
		}
	}
	if k.vault != nil {
		out := &chain.SourcesError{}
		for _, r := range requests {
			name := chain.Address(strings.TrimPrefix(r.Key.Path, "m/"))
			if r.Key == sponsor.Key || r.Purpose == chain.SignAuthorization && k.vault[name] {
				continue
			}
			refused := &chain.PolicyError{Rule: "authorisation", Detail: string(name), Key: r.Key}
			out.Sources = append(out.Sources, &chain.SourceError{Account: name, Reason: refused.Error(), Err: refused})
		}
		if len(out.Sources) > 0 {
			return nil, out
		}
	}
	return make([][]byte, len(requests)), nil
}

// bench is a sweeper with everything around it.
type bench struct {
	*testing.T
	w *world
	b *book
	k *keys
	s *Sweeper
	p Policy
}

func newBench(t *testing.T, change ...func(*Policy)) *bench {
	w := newWorld(t)
	x := &bench{T: t, w: w, b: newBook(t, w), k: &keys{}, p: Policy{Treasury: treasury, Sponsor: sponsor}}
	w.balances[place{sponsor.Address, nativeID}] = 1_000_000
	for _, c := range change {
		c(&x.p)
	}
	x.restart()
	return x
}

// restart is a new process: all that the old one knew is gone.
func (x *bench) restart() {
	s, err := New(Config{Client: x.w.client(), Journal: x.b, Signer: x.k, Policy: x.p, Logger: quiet()})
	require.NoError(x, err)
	x.s = s
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (x *bench) step() {
	x.Helper()
	_, err := x.s.Step(context.Background())
	require.NoError(x, err)
	x.b.audit()
}

// block mines and scans.
func (x *bench) block() {
	x.w.mine()
	x.b.scan()
	x.b.audit()
}

// rounds steps and mines until everything is swept, at most n times.
func (x *bench) rounds(n int) {
	x.Helper()
	for range n {
		x.step()
		x.block()
		if x.b.unswept() == 0 {
			return
		}
	}
	x.Fatalf("%d deposits unswept after %d rounds:\n%s", x.b.unswept(), n, x.b.dump())
}

func (b *book) dump() (out string) {
	for _, r := range b.jobs {
		if !r.closed {
			out += fmt.Sprintf("%s %s %s group %d attempts %v failures %d not before %v causes %v\n",
				r.ID, r.Key, r.State, r.Group, r.Attempts, r.Failures, r.NotBefore, r.cause[max(0, len(r.cause)-2):])
		}
	}
	return out
}

func (x *bench) balance(a chain.Address, asset chain.AssetID) uint64 {
	return x.w.balances[place{a, asset}]
}

// failing makes one call fail once: the nth of that name, before or after its
// effect.
func failing(call string, nth int, after bool, err error) func(string, bool) error {
	return func(c string, a bool) error {
		if c != call || a != after {
			return nil
		}
		if nth--; nth == 0 {
			return err
		}
		return nil
	}
}

var errLost = errors.New("connection lost")

func never(string, bool) error { return nil }
