package quorum_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// teller is a provider that says what it is told to say of the mempool.
type teller struct {
	chain.Client
	sights []chain.Sight
	watch  error
	tries  *int
	fates  []chain.Fate
	err    error
}

func (p *teller) WatchMempool(ctx context.Context, _ chain.Watch, out chan<- chain.Sight) error {
	*p.tries++
	for _, s := range p.sights {
		out <- s
	}
	if p.watch != nil {
		return p.watch
	}
	<-ctx.Done()
	return ctx.Err()
}

func (p *teller) Fates(context.Context, chain.BlockHash, ...chain.Waiting) ([]chain.Fate, error) {
	return p.fates, p.err
}

func (p *teller) As(target any) bool {
	to, ok := target.(*chain.MempoolWatcher)
	if ok {
		*to = p
	}
	return ok
}

// tellers are the providers of a world.
func tellers(t *testing.T, votes int, ps ...*teller) chain.MempoolWatcher {
	t.Helper()
	w := newWorld(t, chaintest.Options{}, func(w *world, c *quorum.Config) {
		c.Agree = votes
		for i := range c.Providers {
			ps[i].Client, ps[i].tries = c.Providers[i].Client, new(int)
			c.Providers[i].Client = ps[i]
		}
	})
	m, ok := chain.As[chain.MempoolWatcher](w.q)
	require.True(t, ok)
	return m
}

// Every provider's sights are passed on; one that fails is asked again, one that
// streams nothing is not.
func TestWatchMempool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := func(id chain.TxID) []chain.Sight { return []chain.Sight{{ID: chain.TransferID{Tx: id}}} }
		a, b, c := &teller{sights: s("a")}, &teller{sights: s("b"), watch: errors.New("away")}, &teller{watch: chain.ErrUnsupported}
		m := tellers(t, 1, a, b, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		out := make(chan chain.Sight, 100_000)
		require.ErrorIs(t, m.WatchMempool(ctx, nil, out), context.DeadlineExceeded)
		require.Equal(t, 1, *a.tries)
		require.Greater(t, *b.tries, 1)
		require.Equal(t, 1, *c.tries)
		require.Len(t, out, 1+*b.tries)
	})
	none := func() *teller { return &teller{watch: chain.ErrUnsupported} }
	require.ErrorIs(t, tellers(t, 1, none(), none(), none()).WatchMempool(t.Context(), nil, nil), chain.ErrUnsupported)
}

func TestThreat_A8_OneMempoolIsNotAll(t *testing.T) {
	unknown, waits := chain.Fate{State: chain.TxUnknown}, chain.Fate{State: chain.TxPending}
	block := func(h chain.BlockHash) chain.Fate {
		return chain.Fate{State: chain.TxIncluded, Block: chain.BlockRef{Height: 3, Hash: h}}
	}
	by := func(id chain.TxID) chain.Fate {
		return chain.Fate{State: chain.TxUnknown, Replaced: true, By: id}
	}
	for name, c := range map[string]struct {
		said [3]chain.Fate
		want chain.Fate
	}{
		"nobody knows it":          {[3]chain.Fate{unknown, unknown, unknown}, unknown},
		"one has it":               {[3]chain.Fate{unknown, unknown, waits}, waits},
		"mined":                    {[3]chain.Fate{block("b"), unknown, block("b")}, block("b")},
		"mined, and waits for one": {[3]chain.Fate{block("b"), waits, block("b")}, block("b")},
		"mined, one says":          {[3]chain.Fate{block("b"), unknown, unknown}, waits},
		"mined in two blocks":      {[3]chain.Fate{block("b"), block("c"), unknown}, waits},
		"replaced":                 {[3]chain.Fate{by("x"), by("x"), unknown}, by("x")},
		"replaced, one says":       {[3]chain.Fate{by("x"), unknown, unknown}, unknown},
		"replaced by what":         {[3]chain.Fate{by("x"), by("y"), unknown}, by("")},
		"replaced, one knows what": {[3]chain.Fate{by("x"), by(""), unknown}, by("")},
		"replaced, and one has it": {[3]chain.Fate{by("x"), by("x"), waits}, waits},
	} {
		var ps [3]*teller
		for i, f := range c.said {
			ps[i] = &teller{fates: []chain.Fate{f}}
		}
		got, err := tellers(t, 2, ps[:]...).Fates(t.Context(), "0xf", chain.Waiting{ID: "t"})
		require.NoError(t, err, name)
		require.Equal(t, []chain.Fate{c.want}, got, name)
	}
}

func TestFatesNeedEnoughWhoAnswer(t *testing.T) {
	good := func() *teller { return &teller{fates: []chain.Fate{{State: chain.TxPending}}} }
	got, err := tellers(t, 2, good(), good(), &teller{err: errors.New("away")}).Fates(t.Context(), "", chain.Waiting{ID: "t"})
	require.NoError(t, err)
	require.Equal(t, chain.TxPending, got[0].State)
	_, err = tellers(t, 2, good(), &teller{err: chain.ErrNotFound}, &teller{}).Fates(t.Context(), "", chain.Waiting{ID: "t"})
	require.ErrorIs(t, err, chain.ErrTransient, "one has no such block, one answers another question")
	got, err = tellers(t, 2, good(), good(), good()).Fates(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, got)
}
