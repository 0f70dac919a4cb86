package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bursar-go/bursar"
	"github.com/stretchr/testify/require"
)

// raceChecks let many do the same at once. Run them with -race too.
func raceChecks() []check {
	checks := []check{
		{"writers of one row lose no update", noLostUpdate},
		{"events of one subject stay gapless under many writers", gaplessRace},
		{"readers see balanced books at any time", balancedBooks},
	}
	for _, c := range clashes() {
		checks = append(checks, check{"D4 one of many writers wins " + c.rule, func(k *kit) { k.oneWins(c) }})
	}
	return checks
}

const crowd = 8

// together runs fn in a crowd and returns the errors.
func together(fn func(i int) error) []error {
	errs := make([]error, crowd)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range crowd {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// insist repeats a write that lost too often, as a patient caller would.
func insist(ctx context.Context, fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, bursar.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// noLostUpdate lets two closures read before either commits, whatever the
// scheduler does, and a crowd follow.
func noLostUpdate(k *kit) {
	const each = 10
	var arrived atomic.Int32
	both := make(chan struct{})
	raise := func(wait func()) error {
		return k.s.Write(k.ctx, func(tx bursar.Tx) error {
			c, err := tx.Chain(k.ctx, mainnet)
			if err != nil {
				return err
			}
			wait()
			c.Final++
			return tx.Apply(k.ctx, bursar.Batch{Chains: []bursar.ChainState{c}})
		})
	}
	errs := together(func(i int) error {
		wait := func() {}
		if i < 2 {
			wait = sync.OnceFunc(func() {
				if arrived.Add(1) == 2 {
					close(both)
				}
				select {
				case <-both:
				case <-k.ctx.Done():
				}
			})
		}
		for range each {
			if err := insist(k.ctx, func() error { return raise(wait) }); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(k, errors.Join(errs...))
	k.read(func(v view) {
		require.EqualValues(k, crowd*each, v.chain(mainnet).Final)
		require.EqualValues(k, crowd*each, v.chain(mainnet).Version)
	})
}

func gaplessRace(k *kit) {
	const each = 5
	tell := func(i, n int) error {
		return k.s.Write(k.ctx, func(tx bursar.Tx) error {
			old, err := tx.Events(k.ctx, bursar.EventQuery{Subject: "p"})
			if err != nil {
				return err
			}
			e := event(fmt.Sprintf("%d/%d", i, n), "p", int64(len(old))+1)
			return tx.Apply(k.ctx, bursar.Batch{Events: []bursar.Event{e}})
		})
	}
	errs := together(func(i int) error {
		for n := range each {
			if err := insist(k.ctx, func() error { return tell(i, n) }); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(k, errors.Join(errs...))
	k.read(func(v view) {
		all := v.events(bursar.EventQuery{Subject: "p"})
		require.Len(k, all, crowd*each)
		for i, e := range all {
			require.EqualValues(k, i+1, e.Seq)
		}
	})
}

func balancedBooks(k *kit) {
	var writers atomic.Int32
	writers.Store(crowd / 2)
	errs := together(func(i int) error {
		if i%2 == 0 {
			defer writers.Add(-1)
			return k.post(i)
		}
		for writers.Load() > 0 {
			if err := k.s.Read(k.ctx, k.checkBooks); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(k, errors.Join(errs...))
	require.NoError(k, k.s.Read(k.ctx, k.checkBooks))
}

// post writes entries, and reverses every second one.
func (k *kit) post(writer int) error {
	for n := range 12 {
		e := entry(fmt.Sprintf("%d/%d", writer, n), func(e *bursar.Entry) { e.Debit = bursar.Account(fmt.Sprintf("U:%d", n%3)) })
		batch := []bursar.Entry{e}
		if n%2 == 1 {
			batch = append(batch, reversal("undo "+e.ID, e))
		}
		if err := insist(k.ctx, func() error { return k.try(bursar.Batch{Entries: batch}) }); err != nil {
			return err
		}
	}
	return nil
}

// checkBooks compares the balances with the entries of the same snapshot.
func (k *kit) checkBooks(r bursar.Reader) error {
	entries, err := r.Entries(k.ctx, bursar.EntryQuery{})
	if err != nil {
		return err
	}
	balances, err := r.Balances(k.ctx, bursar.BalanceQuery{})
	if err != nil {
		return err
	}
	m := newModel()
	m.entries = entries
	want, err := m.Balances(k.ctx, bursar.BalanceQuery{})
	if d := differ(want, balances); err != nil || d != "" {
		return fmt.Errorf("%d entries do not make these balances: %s", len(entries), d)
	}
	total := new(big.Int)
	for _, b := range balances {
		total.Add(total, b.Sum)
	}
	if total.Sign() != 0 {
		return fmt.Errorf("the balances of one asset sum to %v", total)
	}
	return nil
}

// oneWins lets a crowd insert the row that holds the key and the one that
// wants it, half and half: exactly one commit goes through.
func (k *kit) oneWins(c clash) {
	errs := together(func(i int) error {
		if i%2 == 0 {
			return k.try(c.holder)
		}
		return k.try(c.wants)
	})
	won := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err != nil })
	require.Len(k, won, 1)
	for _, err := range errs {
		if err != nil {
			require.ErrorIs(k, err, bursar.ErrConflict)
		}
	}
	holder, wants := differ(stored(c.holder), k.state()), differ(stored(c.wants), k.state())
	require.True(k, holder == "" || wants == "", "%s; %s", holder, wants)
}
