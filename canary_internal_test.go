package bursar

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// poolTx is a transaction that holds the only writer of a poolStore.
type poolTx struct {
	Tx
	*poolStore
}

func (x poolTx) Reserve(ctx context.Context, pool string, n uint32) (uint32, error) {
	return x.poolStore.Reserve(ctx, pool, n)
}

func (poolTx) Addresses(context.Context, AddressQuery) ([]Address, error) { return nil, nil }

func TestThreat_D13_AHaltedBookIssuesNothing(t *testing.T) {
	store := newPools()
	b := testBook(t, store)
	pool := poolName(b.accounts[0])
	held, err := b.take(t.Context())
	require.NoError(t, err)
	b.halt(trouble{SkipForeign, 700})
	b.halt(trouble{SkipReused, 400})
	require.Equal(t, trouble{SkipForeign, 700}, *b.troubled(), "the first cause, and the highest index")
	_, err = b.take(t.Context())
	require.ErrorIs(t, err, ErrIssuanceHalted)
	require.ErrorContains(t, err, SkipForeign)
	_, _, err = b.takeTx(t.Context(), poolTx{nil, store})
	require.ErrorIs(t, err, ErrIssuanceHalted, "nor in a host's transaction, which could not mend it")
	require.EqualValues(t, reserveBlock, store.next[pool], "and nothing is reserved")

	old := b.troubled()
	b.halt(trouble{SkipForeign, 900})
	b.reopen(old, 5_000)
	require.NotNil(t, b.troubled(), "what came meanwhile is not mended by that")
	b.halt(trouble{SkipMoved, 0})
	require.Equal(t, trouble{SkipMoved, 900}, *b.troubled(), "what keeps the scanner from reading on is not hidden by what does not")
	store.next[pool] = 6_000
	b.reopen(b.troubled(), 6_000)
	require.Nil(t, b.troubled())
	b.giveBack(held)
	require.NoError(t, b.stock(span{64, 128}), "a block that was reserved before")
	first := b.split(span{128, 256})
	require.NoError(t, b.stock(first))
	for range 3 * deriveBlock {
		it, err := b.take(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, it.index, uint32(6_000))
	}
}

func TestThreat_D13_AMendThatFailsIsTold(t *testing.T) {
	store := newPools()
	b := testBook(t, store)
	failure := errors.New("no connection")
	b.mend = func(context.Context) error { return failure }
	b.halt(trouble{SkipMoved, 0})
	_, err := b.take(t.Context())
	require.ErrorIs(t, err, ErrIssuanceHalted)
	require.ErrorIs(t, err, failure)
	b.mend = func(context.Context) error {
		store.next[poolName(b.accounts[0])] = 300
		b.reopen(b.troubled(), 300)
		return nil
	}
	_, err = b.take(t.Context())
	require.NoError(t, err)
}

// TestThreat_D9_ARewoundStoreInsideAHostsTransaction is noticed there too.
func TestThreat_D9_ARewoundStoreInsideAHostsTransaction(t *testing.T) {
	store := newPools()
	b := testBook(t, store)
	pool := poolName(b.accounts[0])
	store.next[pool] = 1_000
	require.NoError(t, b.sync(t.Context(), store.pools()))
	it, own, err := b.takeTx(t.Context(), poolTx{nil, store})
	require.NoError(t, err)
	require.True(t, own)
	require.EqualValues(t, 1_000, it.index)
	store.next[pool] = 1_000 // rolled back: the same index again is no rewind
	_, _, err = b.takeTx(t.Context(), poolTx{nil, store})
	require.NoError(t, err)
	store.next[pool] = 999
	_, _, err = b.takeTx(t.Context(), poolTx{nil, store})
	require.ErrorIs(t, err, ErrIssuanceHalted)
	require.Equal(t, trouble{SkipRewound, 1_000}, *b.troubled())
}

// TestAnUncheckedReservationIsNotIssued: the store may have moved, and cannot
// say.
func TestAnUncheckedReservationIsNotIssued(t *testing.T) {
	store := newPools()
	b := testBook(t, store)
	failure := errors.New("no connection")
	b.check = func(context.Context) error { return failure }
	_, err := b.take(t.Context())
	require.ErrorIs(t, err, failure)
	b.check = trusting
	it, err := b.take(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, reserveBlock, it.index)
}

// TestKeysAheadAreDerivedOnce: the canary's keys serve those who issue them.
func TestKeysAheadAreDerivedOnce(t *testing.T) {
	store := newPools()
	b := testBook(t, store)
	require.NoError(t, b.sync(t.Context(), nil))
	require.Len(t, b.spare, lookAhead)
	keys := b.spare[0]
	it, err := b.take(t.Context())
	require.NoError(t, err)
	require.Equal(t, keys, it.numbered)
	require.Len(t, b.spare, lookAhead-deriveBlock)
	store.next[poolName(b.accounts[0])] = 100_000
	require.NoError(t, b.sync(t.Context(), store.pools()))
	require.Len(t, b.spare, lookAhead, "what nobody will ask for is forgotten")
	require.Equal(t, 100_000+lookAhead+2, watch{book: b}.Len())
	require.EqualValues(t, indexEnd, horizon(indexEnd-10))
}

func TestPlans(t *testing.T) {
	g := &Gateway{guard: newGuard(nil, DefaultSkipAhead), ids: &idSource{random: rand.Reader}}
	moved := Origin{Written: "a", Here: "b"}
	for name, c := range map[string]struct {
		s      survey
		reason string
		least  uint32
		far    bool
	}{
		"all is well":           {survey{origin: Origin{Written: "a", Here: "a", Reserved: map[string]uint32{"p": 500}}}, "", 0, false},
		"a first use":           {survey{origin: Origin{Here: "a"}}, "", 0, false},
		"moved":                 {survey{origin: moved}, SkipMoved, 500, true},
		"moved, and remembered": {survey{origin: Origin{Written: "a", Here: "b", Reserved: map[string]uint32{"p": 900}}}, SkipMoved, 900, true},
		"lost":                  {survey{origin: Origin{Written: "a", Here: "a", Reserved: map[string]uint32{"p": 501}}}, SkipLost, 501, false},
		"a fresh file":          {survey{origin: Origin{Here: "a", Reserved: map[string]uint32{"p": 501}}}, SkipLost, 501, false},
		"perhaps lost":          {survey{origin: Origin{Written: "a", Here: "a", Open: map[string]uint32{"p": 501}}}, "", 501, false},
		"lost, and more":        {survey{origin: Origin{Written: "a", Here: "a", Reserved: map[string]uint32{"p": 501}, Open: map[string]uint32{"p": 503}}}, SkipLost, 503, false},
		"money":                 {survey{alien: map[string]uint32{"p": 700}}, SkipForeign, 700, true},
		"halted":                {survey{troubles: map[string]*trouble{"p": {SkipRewound, 700}}}, SkipRewound, 700, true},
		"halted, others issued": {survey{troubles: map[string]*trouble{"p": {SkipForeign, 300}}}, SkipForeign, 500, true},
		"replaced while it ran": {survey{origin: Origin{Here: "b"}, troubles: map[string]*trouble{"p": {SkipMoved, 0}}}, SkipMoved, 500, true},
		"settled by another":    {survey{origin: Origin{Written: "b", Here: "b"}, troubles: map[string]*trouble{"p": {SkipMoved, 0}}}, "", 0, false},
	} {
		c.s.marks = map[string]uint32{"p": 500}
		data, least, err := g.plan(t.Context(), c.s)
		require.NoError(t, err, name)
		if c.reason == "" {
			require.Empty(t, data.Pools, name)
			require.Equal(t, c.least, least["p"], name)
			continue
		}
		p := data.Pools[0]
		require.Equal(t, c.reason, p.Reason, name)
		require.EqualValues(t, 500, p.From, name)
		require.Equal(t, c.least, least["p"], name)
		if c.far {
			require.GreaterOrEqual(t, p.To, c.least+DefaultSkipAhead, name)
			require.Less(t, p.To, c.least+2*DefaultSkipAhead, name)
		} else {
			require.Equal(t, c.least, p.To, name)
		}
	}

	// Healed by another instance already.
	done := survey{marks: map[string]uint32{"p": 300 + DefaultSkipAhead}, troubles: map[string]*trouble{"p": {SkipForeign, 300}}}
	data, _, err := g.plan(t.Context(), done)
	require.NoError(t, err)
	require.Empty(t, data.Pools)

	var field *FieldError
	_, _, err = g.plan(t.Context(), survey{origin: moved, marks: map[string]uint32{"p": indexEnd - DefaultSkipAhead}})
	require.ErrorAs(t, err, &field)
	require.Equal(t, "Config.Wallet", field.Field)
	require.Equal(t, CodeOutOfRange, field.Code)
}
