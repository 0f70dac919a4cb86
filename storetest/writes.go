package storetest

import (
	"context"
	"errors"

	"github.com/bursar-go/bursar"
	"github.com/stretchr/testify/require"
)

// writeChecks hold a transaction to be all or nothing, guarded by versions.
func writeChecks() []check {
	checks := []check{
		{"an error of fn comes back as it is and nothing is written", fnError},
		{"an error of fn in Read comes back as it is", readError},
		{"a panic of fn passes through, nothing is written, the store lives", fnPanics},
		{"a refused Apply that fn ignores still fails the transaction", ignoredApply},
		{"several Applies are one commit", severalApplies},
		{"an empty transaction is nil", emptyWrite},
		{"versions count writes from 1", versionsCount},
		{"D3 fn runs again on a fresh snapshot when another writer was faster", runsAgain},
		{"D3 a writer that always loses gets ErrConflict in the end", givesUp},
		{"D2 a batch repeated after an unknown outcome changes nothing", repeatBatch},
		{"D2 a step repeated after an unknown outcome finds its rows", repeatStep},
		{"a key given up by a row is free for a later row of the batch", freedInBatch},
		{"a done context writes nothing", doneContext},
		{"a context done inside fn writes nothing", doneInside},
		{"a closed store says so everywhere", closed},
	}
	for _, bad := range badBatches() {
		checks = append(checks, check{"D1 nothing is left of a batch with " + bad.what, func(k *kit) { leavesNothing(k, bad) }})
	}
	return checks
}

var errOwn = errors.New("storetest: an error of fn")

func fnError(k *kit) {
	before := k.state()
	err := k.s.Write(k.ctx, func(tx bursar.Tx) error {
		require.NoError(k, tx.Apply(k.ctx, fullBatch(1)))
		return errOwn
	})
	require.Equal(k, errOwn, err)
	k.unchanged(before)
}

func readError(k *kit) {
	require.Equal(k, errOwn, k.s.Read(k.ctx, func(bursar.Reader) error { return errOwn }))
}

func fnPanics(k *kit) {
	before := k.state()
	require.PanicsWithValue(k, errOwn, func() {
		_ = k.s.Write(k.ctx, func(tx bursar.Tx) error {
			require.NoError(k, tx.Apply(k.ctx, fullBatch(1)))
			panic(errOwn)
		})
	})
	k.unchanged(before)
	require.PanicsWithValue(k, errOwn, func() {
		_ = k.s.Read(k.ctx, func(bursar.Reader) error { panic(errOwn) })
	})
	k.write(fullBatch(1))
	require.Empty(k, differ(stored(fullBatch(1)), k.state()))
}

func ignoredApply(k *kit) {
	k.write(bursar.Batch{Payments: []bursar.Payment{payment("p")}})
	before := k.state()
	err := k.s.Write(k.ctx, func(tx bursar.Tx) error {
		_ = tx.Apply(k.ctx, bursar.Batch{Payments: []bursar.Payment{payment("q")}})
		_ = tx.Apply(k.ctx, bursar.Batch{Payments: []bursar.Payment{payment("p")}})
		_ = tx.Apply(k.ctx, bursar.Batch{Payments: []bursar.Payment{payment("r")}})
		return nil
	})
	require.ErrorIs(k, err, bursar.ErrConflict)
	k.unchanged(before)
}

func severalApplies(k *kit) {
	one := bursar.Batch{Payments: []bursar.Payment{payment("p")}, Events: []bursar.Event{event("e1", "p", 1)}}
	two := bursar.Batch{Payments: []bursar.Payment{payment("q")}, Events: []bursar.Event{event("e2", "p", 2)}}
	k.refuse(bursar.ErrConflict, one, two, bursar.Batch{Payments: []bursar.Payment{payment("p", func(p *bursar.Payment) { p.Version = 7 })}})
	k.write(one, two)
	require.Empty(k, differ(stored(one, two), k.state()))
}

func emptyWrite(k *kit) {
	before := k.state()
	require.NoError(k, k.s.Write(k.ctx, func(bursar.Tx) error { return nil }))
	k.write(bursar.Batch{})
	k.unchanged(before)
}

func versionsCount(k *kit) {
	b := fullBatch(1)
	b.Entries, b.Events = nil, nil
	for want := int64(1); want <= 3; want++ {
		k.write(b)
		got := k.state()
		require.Equal(k, []int64{want, want, want, want, want, want, want, want}, versions(got))
		b = bursar.Batch{
			Payments: got.Payments, Transactions: got.Transactions, Addresses: got.Addresses, Payouts: got.Payouts,
			Attempts: got.Attempts, Deliveries: got.Deliveries, Chains: got.Chains[:1],
			Endpoints: got.Endpoints,
		}
	}
}

func versions(st state) []int64 {
	return []int64{
		st.Payments[0].Version, st.Transactions[0].Version, st.Addresses[0].Version, st.Payouts[0].Version,
		st.Attempts[0].Version, st.Deliveries[0].Version, st.Chains[0].Version, st.Endpoints[0].Version,
	}
}

// bump raises the chain's height by one, once for each call.
func bump(ctx context.Context, s bursar.Store) error {
	return s.Write(ctx, func(tx bursar.Tx) error {
		c, err := tx.Chain(ctx, mainnet)
		if err != nil {
			return err
		}
		c.Final++
		return tx.Apply(ctx, bursar.Batch{Chains: []bursar.ChainState{c}})
	})
}

func runsAgain(k *kit) {
	require.NoError(k, bump(k.ctx, k.s))
	var seen []uint64
	require.NoError(k, k.s.Write(k.ctx, func(tx bursar.Tx) error {
		c, err := tx.Chain(k.ctx, mainnet)
		if err != nil {
			return err
		}
		if seen = append(seen, c.Final); len(seen) == 1 {
			require.NoError(k, bump(k.ctx, k.s), "a closure under way blocks no other writer")
		}
		c.Final += 100
		return tx.Apply(k.ctx, bursar.Batch{Chains: []bursar.ChainState{c}})
	}))
	require.Equal(k, []uint64{1, 2}, seen)
	k.read(func(v view) { require.EqualValues(k, 102, v.chain(mainnet).Final) })
}

func givesUp(k *kit) {
	runs := 0
	err := k.s.Write(k.ctx, func(tx bursar.Tx) error {
		runs++
		c, err := tx.Chain(k.ctx, mainnet)
		if err != nil {
			return err
		}
		require.NoError(k, bump(k.ctx, k.s))
		c.Final += 1_000_000
		return tx.Apply(k.ctx, bursar.Batch{Chains: []bursar.ChainState{c}})
	})
	require.ErrorIs(k, err, bursar.ErrConflict)
	require.Greater(k, runs, 1, "one conflict is no reason to give up")
	k.read(func(v view) { require.EqualValues(k, runs, v.chain(mainnet).Final) })
}

func repeatBatch(k *kit) {
	b := fullBatch(1)
	k.write(b)
	k.refuse(bursar.ErrConflict, b)
	for _, only := range tables(b) {
		k.refuse(bursar.ErrConflict, only)
	}
}

// tables returns a batch for each table of b.
func tables(b bursar.Batch) []bursar.Batch {
	return []bursar.Batch{
		{Payments: b.Payments}, {Transactions: b.Transactions}, {Addresses: b.Addresses}, {Payouts: b.Payouts},
		{Attempts: b.Attempts}, {Deliveries: b.Deliveries}, {Chains: b.Chains}, {Endpoints: b.Endpoints}, {Entries: b.Entries}, {Events: b.Events},
	}
}

func repeatStep(k *kit) {
	step := func() error {
		return k.s.Write(k.ctx, func(tx bursar.Tx) error {
			old, err := tx.Payments(k.ctx, bursar.PaymentQuery{IdempotencyKeys: []string{"key_p"}})
			if err != nil || len(old) > 0 {
				return err
			}
			return tx.Apply(k.ctx, bursar.Batch{Payments: []bursar.Payment{payment("p")}, Entries: []bursar.Entry{entry("e")}})
		})
	}
	require.NoError(k, step())
	before := k.state()
	require.NoError(k, step())
	k.unchanged(before)
}

func freedInBatch(k *kit) {
	first := bursar.Batch{
		Attempts: []bursar.Attempt{attempt("n1", "po1", lock("nonce:1"))},
		Payments: []bursar.Payment{payment("p")},
		Entries:  []bursar.Entry{entry("e1", live("t"))},
	}
	second := bursar.Batch{
		Attempts: []bursar.Attempt{
			attempt("n1", "po1", lock("nonce:1"), func(a *bursar.Attempt) { a.Version, a.Open = 1, false }),
			attempt("n2", "po2", lock("nonce:1")),
		},
		Payments: []bursar.Payment{
			payment("p", func(p *bursar.Payment) { p.Version, p.IdempotencyKey = 1, "other" }),
			payment("q", func(p *bursar.Payment) { p.IdempotencyKey = "key_p" }),
		},
		Entries: []bursar.Entry{reversal("e2", first.Entries[0]), entry("e3", live("t"))},
	}
	k.write(first)
	k.write(second)
	require.Empty(k, differ(stored(first, second), k.state()))
}

func doneContext(k *kit) {
	before := k.state()
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	ran := false
	require.ErrorIs(k, k.s.Write(ctx, func(tx bursar.Tx) error { ran = true; return tx.Apply(ctx, fullBatch(1)) }), context.Canceled)
	require.ErrorIs(k, k.s.Read(ctx, func(bursar.Reader) error { ran = true; return nil }), context.Canceled)
	require.False(k, ran, "fn ran under a done context")
	_, err := k.s.Reserve(ctx, "pool", 1)
	require.ErrorIs(k, err, context.Canceled)
	_, err = k.s.Acquire(ctx, "lease", "me", patience)
	require.ErrorIs(k, err, context.Canceled)
	k.unchanged(before)
}

func doneInside(k *kit) {
	before := k.state()
	ctx, cancel := context.WithCancel(k.ctx)
	err := k.s.Write(ctx, func(tx bursar.Tx) error {
		if err := tx.Apply(ctx, fullBatch(1)); err != nil {
			return err
		}
		cancel()
		return nil
	})
	require.ErrorIs(k, err, context.Canceled)
	k.unchanged(before)
}

func closed(k *kit) {
	require.NoError(k, k.s.Close())
	require.ErrorIs(k, k.s.Read(k.ctx, func(bursar.Reader) error { return nil }), bursar.ErrStoreClosed)
	require.ErrorIs(k, k.s.Write(k.ctx, func(bursar.Tx) error { return nil }), bursar.ErrStoreClosed)
	_, err := k.s.Reserve(k.ctx, "pool", 1)
	require.ErrorIs(k, err, bursar.ErrStoreClosed)
	_, err = k.s.Acquire(k.ctx, "lease", "me", patience)
	require.ErrorIs(k, err, bursar.ErrStoreClosed)
}
