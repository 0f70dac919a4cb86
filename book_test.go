package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

// poolStore is the part of a store that a book uses.
type poolStore struct {
	Store
	mu   sync.Mutex
	next map[string]uint32
	fail error
}

func (s *poolStore) Reserve(_ context.Context, pool string, n uint32) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	first := s.next[pool]
	s.next[pool] += n
	return first, nil
}

func (s *poolStore) pools() []Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Pool
	for name, next := range s.next {
		out = append(out, Pool{Name: name, Next: next})
	}
	return out
}

const devMnemonic = "test test test test test test test test test test test junk"

func testBook(t testing.TB, s Store, passphrases ...string) *book {
	t.Helper()
	var wallets []*hdwallet.Wallet
	for _, p := range append([]string{""}, passphrases...) {
		w, err := hdwallet.FromMnemonic(devMnemonic, p)
		require.NoError(t, err)
		wallets = append(wallets, w)
	}
	b, err := newBook(s, evm.Codec(), 60, wallets, DefaultSkipAhead)
	require.NoError(t, err)
	return b
}

func newPools() *poolStore { return &poolStore{next: map[string]uint32{}} }

func TestBookIssuesEachAddressOnce(t *testing.T) {
	store := newPools()
	books := []*book{testBook(t, store), testBook(t, store)} // two processes
	var mu sync.Mutex
	taken := map[chain.Address]int{}
	var wg sync.WaitGroup
	for w := range 8 {
		b := books[w%2]
		wg.Go(func() {
			for i := range 120 {
				it, err := b.take(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if _, watched := (watch{book: b}).Match(it.key); !watched {
					t.Errorf("%s was issued and is not watched", it.address)
				}
				if i%3 == 0 {
					b.giveBack(it) // not issued: somebody else may have it
					continue
				}
				mu.Lock()
				taken[it.address]++
				mu.Unlock()
				if i%10 == 0 {
					if err := b.sync(t.Context(), store.pools()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, taken, 8*80)
	for a, n := range taken {
		require.Equal(t, 1, n, a)
	}
	for _, b := range books {
		require.NoError(t, b.sync(t.Context(), store.pools()))
		for a := range taken {
			it, ours := b.own(a)
			require.True(t, ours, "each process knows what the other one issued")
			require.Equal(t, a, it.address)
		}
	}
}

func TestBookOrderAndNames(t *testing.T) {
	store := newPools()
	b := testBook(t, store)
	first, err := b.take(t.Context())
	require.NoError(t, err)
	require.Equal(t, chain.Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"), first.address, "the published first address of that mnemonic")
	require.EqualValues(t, 0, first.index)
	require.Empty(t, b.missing(poolName(b.accounts[0]), deriveBlock), "derived once")
	second, err := b.take(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, second.index)
	b.giveBack(second)
	again, err := b.take(t.Context())
	require.NoError(t, err)
	require.Equal(t, second, again)

	require.Equal(t, fmt.Sprintf("addr_60_%s_0_0", b.accounts[0].ID()), first.id)
	row := first.row(RolePayment)
	require.Equal(t, poolName(b.accounts[0]), row.Pool)
	require.Equal(t, first.account(), chain.Account{Address: row.Address, Key: row.Key})

	sponsor, err := b.sponsor()
	require.NoError(t, err)
	require.EqualValues(t, changeOwn, sponsor.change)
	it, ours := b.own(sponsor.address)
	require.True(t, ours)
	require.Equal(t, sponsor.slot, it.slot)
	_, ours = b.own("0x000000000000000000000000000000000000dEaD")
	require.False(t, ours)
	_, ours = b.own("no address")
	require.False(t, ours)
}

func TestBookWatchesExactlyWhatIsReserved(t *testing.T) {
	store := newPools()
	b := testBook(t, store, "retired")
	names := []string{poolName(b.accounts[0]), poolName(b.accounts[1])}
	store.next[names[0]], store.next[names[1]] = 700, 300
	store.next["60/ffffffff/0"] = 5 // of a wallet that is not ours
	require.NoError(t, b.sync(t.Context(), store.pools()))
	w := watch{book: b}
	require.Equal(t, 700+lookAhead+300+2*2, w.Len(), "and some beyond, of the wallet that issues")
	seen := map[string]bool{}
	for key := range w.Keys() {
		n, ok := w.Match(key)
		require.True(t, ok)
		require.False(t, seen[string(key)])
		seen[string(key)] = true
		require.Less(t, int(n), w.Len())
	}
	require.Len(t, seen, w.Len())
	before := w.Len()
	require.NoError(t, b.sync(t.Context(), store.pools()))
	require.Equal(t, before, w.Len(), "nothing twice")

	it, err := b.take(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 700, it.index, "never what was handed out before")
	require.Equal(t, names[0], it.pool, "and never of a retired wallet")
}

func TestBookFailures(t *testing.T) {
	store := newPools()
	b := testBook(t, store)
	store.fail = errors.New("no connection")
	_, err := b.take(t.Context())
	require.ErrorIs(t, err, store.fail)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store.fail, store.next[poolName(b.accounts[0])] = nil, 1_000
	require.ErrorIs(t, b.sync(ctx, store.pools()), context.Canceled)
	require.NoError(t, b.sync(t.Context(), store.pools()), "and what was begun is finished later")
	require.Equal(t, 1_002+lookAhead, watch{book: b}.Len())
	for range cap(b.refill) {
		b.refill <- struct{}{} // everybody is at it
	}
	_, err = b.take(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// TestBookGaps: whatever was derived in whatever order, what is missing below
// the high-water mark is listed exactly once.
func TestBookGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &book{done: map[string]uint32{}, gaps: map[string][]span{}}
		have := map[uint32]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "spans") {
			from := rapid.Uint32Range(0, 2_000).Draw(t, "from")
			s := span{from, from + rapid.Uint32Range(1, 300).Draw(t, "length")}
			b.mark("p", s)
			for i := s.from; i < s.to; i++ {
				have[i] = true
			}
		}
		next := rapid.Uint32Range(0, 2_500).Draw(t, "next")
		listed := map[uint32]bool{}
		for _, s := range b.missing("p", next) {
			if s.to <= s.from || s.to-s.from > reserveBlock || s.to > next {
				t.Fatalf("span %v under %d", s, next)
			}
			for i := s.from; i < s.to; i++ {
				if listed[i] || have[i] {
					t.Fatalf("index %d listed in vain", i)
				}
				listed[i] = true
			}
		}
		for i := range next {
			if !have[i] && !listed[i] {
				t.Fatalf("index %d is missing and not listed", i)
			}
		}
		for _, s := range b.gaps["p"] {
			if s.from <= b.done["p"] {
				t.Fatalf("span %v is no gap above %d", s, b.done["p"])
			}
		}
		if !slices.IsSortedFunc(b.gaps["p"], func(x, y span) int { return int(x.from) - int(y.from) }) {
			t.Fatal("gaps out of order")
		}
	})
}
