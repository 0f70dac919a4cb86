package sweeper

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// vaulted is a policy under which only the sponsor's key signs, but for what was signed
// before.
func vaulted(p *Policy) { p.Offline = func(k chain.KeyRef) bool { return k != sponsor.Key } }

// newVaultBench is a sweeper that makes batches of addresses whose keys are offline.
func newVaultBench(t *testing.T, authorised ...chain.Address) *bench {
	x := newBatchBench(t, vaulted)
	x.k.vault = map[chain.Address]bool{}
	for _, a := range authorised {
		x.k.vault[a] = true
	}
	return x
}

func TestDecide_Offline(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 10, Gather: -1}
	missed := holding("m", "m", usdc, 100, 1)
	missed.Missed = 1
	plain := holding("p", "p", usdc, 100, 0)
	plain.Plain = true
	all := []Holding{holding("r", "a", usdc, 100, 3), holding("q", "b", usdc, 100, 2), missed, plain, holding("n", "c", native, 100, 1)}
	vaulted(&p)
	got := Decide(Work{Now: t0, Holdings: all}, p)
	require.Equal(t, [][]chain.Address{{"a", "b"}, {"c"}, {"m"}, {"p"}}, gathered(got))
	require.Equal(t, sponsor, got[2].Intent.FeePayer, "what a batch did not move has one of its own: its key signs nothing")
	require.Equal(t, []string{"m"}, got[2].Covers)
	for i, h := range all {
		way, why := p.choose(h)
		require.Equal(t, []chain.CollectionWay{chain.WayBatch, chain.WayBatch, chain.WayBatch, chain.WayTopUp, chain.WayTransfer}[i], way)
		require.Equal(t, []Reason{ReasonTogether, ReasonTogether, ReasonMissed, ReasonOffline, ReasonOffline}[i], why)
	}
	p.MaxBatch, p.Gather = 0, 0
	_, why := p.choose(all[0])
	require.Equal(t, ReasonOffline, why, "no batches")
	for _, f := range Forecasts([]Waiting{{Holding: all[0]}}, p, nil, chain.Amount{}) {
		require.Len(t, f.Ways, 1)
	}
	p.MaxBatch = 10
	f := Forecasts([]Waiting{{Holding: all[0]}}, p, nil, chain.Amount{})
	require.Len(t, f[0].Ways, 1, "a top-up is of no use")
	p.Offline = nil
	require.Len(t, Forecasts([]Waiting{{Holding: all[0]}}, p, nil, chain.Amount{})[0].Ways, 2)
}

func TestParts_Offline(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 10}.withDefaults(0)
	p.Offline = func(k chain.KeyRef) bool { return k != sponsor.Key && k != account("online").Key }
	refused := func(rule string, names ...string) error {
		out := &chain.SourcesError{}
		for _, n := range names {
			out.Sources = append(out.Sources, &chain.SourceError{Account: chain.Address(n), Err: &chain.PolicyError{Rule: rule, Key: account(n).Key}})
		}
		return out
	}
	revert := &chain.SourcesError{Sources: []*chain.SourceError{{Account: "b", Err: &chain.RevertError{}}}}
	for _, c := range []struct {
		name  string
		job   Job
		cause error
		want  [][]chain.Address
	}{
		{"two without", batchJob("a", "b", "c", "d"), refused("authorisation", "b", "d"), [][]chain.Address{{"b", "d"}, {"a", "c"}}},
		{"none has one", batchJob("a", "b"), refused("authorisation", "a", "b"), nil},
		{"the only one", batchJob("a"), refused("authorisation", "a"), nil},
		{"one of three is frozen", batchJob("a", "b", "c"), revert, [][]chain.Address{{"b"}, {"a", "c"}}},
		{"the frozen one by itself", batchJob("b"), revert, nil},
		{"nothing was signed before", batchJob("a", "b"), &chain.PolicyError{Rule: "offline", Key: account("a").Key}, nil},
		{"another rule", batchJob("a", "b", "c"), &chain.PolicyError{Rule: "x", Key: account("a").Key}, [][]chain.Address{{"a"}, {"b", "c"}}},
		{"a client that makes none", batchJob("a", "b"), chain.ErrUnsupported, nil},
		{"of which one can go", batchJob("a", "online"), chain.ErrUnsupported, [][]chain.Address{{"a"}, {"online"}}},
		{"one that can go alone", batchJob("a", "online"), refused("x", "online"), [][]chain.Address{{"online"}, {"a"}}},
		{"too many", batchJob("a", "b", "c"), &chain.TooManyMovesError{Moves: 3, Fit: 2}, [][]chain.Address{{"a", "b"}, {"c"}}},
		{"one is too many", batchJob("a"), &chain.TooManyMovesError{Moves: 1}, nil},
	} {
		got := p.parts(c.job, c.cause)
		require.Equal(t, c.want, gathered(got), c.name)
		for _, part := range got {
			require.Equal(t, part.Intent.Moves[0].From != account("online"), part.Intent.FeePayer == sponsor, c.name)
		}
	}
}

// Addresses of which nothing was signed wait together and hold up nobody, nothing is
// sent to them, and they go once it is there.
func TestThreat_F11_UnsignedAddressesWaitTogether(t *testing.T) {
	x := newVaultBench(t, "a", "c")
	for _, n := range []string{"a", "b", "c", "d"} {
		x.b.deposit(account(n), usdc, 100, true)
	}
	for range 4 {
		x.step()
		x.block()
	}
	require.EqualValues(t, 200, x.balance(treasury, usdcID))
	require.Equal(t, 2, x.b.unswept())
	require.Len(t, x.b.jobs, 3, "the batch, and its two parts")
	var waiting *row
	for _, r := range x.b.jobs {
		if !r.closed {
			require.Nil(t, waiting)
			waiting = r
		}
	}
	require.Equal(t, []chain.Address{"b", "d"}, waiting.sources())
	require.True(t, waiting.batch())
	var refused *chain.PolicyError
	require.ErrorAs(t, waiting.cause[0], &refused)

	// Others go on, also while it waits, and nothing runs hot.
	x.k.vault["e"] = true
	x.b.deposit(account("e"), usdc, 7, true)
	for range 40 {
		x.w.now = x.w.now.Add(time.Minute)
		x.step()
		x.block()
	}
	require.EqualValues(t, 207, x.balance(treasury, usdcID))
	require.Less(t, x.k.n, 60)
	require.Zero(t, x.b.topUps)

	x.k.vault["b"], x.k.vault["d"] = true, true
	x.w.now = x.w.now.Add(time.Hour)
	x.rounds(5)
	require.EqualValues(t, 407, x.balance(treasury, usdcID))
	require.Zero(t, x.b.topUps)

	// The second sweep of an address needs nothing that was signed before.
	clear(x.k.vault)
	for _, n := range []string{"a", "b", "c", "d"} {
		x.b.deposit(account(n), usdc, 100, true)
	}
	x.rounds(5)
	require.EqualValues(t, 807, x.balance(treasury, usdcID))
}

// What only the address's own key could move is deferred before the node is asked, told
// with a typed error, and gets no gas.
func TestThreat_F9_NoGasForOfflineKeys(t *testing.T) {
	x := newVaultBench(t, "a", "b", "c")
	x.b.deposit(account("a"), native, 1000, true)
	x.b.deposit(account("b"), usdc, 100, true)
	x.w.barred["b"] = true // no batch moves it
	x.b.deposit(account("c"), usdc, 100, true)
	for range 200 {
		x.w.now = x.w.now.Add(5 * time.Minute)
		x.step()
		x.block()
	}
	require.EqualValues(t, 100, x.balance(treasury, usdcID))
	require.Zero(t, x.b.topUps)
	require.Less(t, x.w.calls["Prepare"], 40)
	found := 0
	for _, r := range x.b.jobs {
		if r.closed {
			continue
		}
		found++
		require.Equal(t, Planned, r.State)
		require.Len(t, r.Intent.Moves, 1)
		var refused *chain.PolicyError
		var revert *chain.RevertError
		if r.Intent.Moves[0].Asset.Native() {
			require.ErrorAs(t, r.cause[len(r.cause)-1], &refused)
			require.Equal(t, account("a").Key, refused.Key)
			require.Less(t, len(r.cause), 40, "once an hour")
		} else {
			require.True(t, errors.As(r.cause[len(r.cause)-1], &revert))
			require.True(t, r.batch())
		}
	}
	require.Equal(t, 2, found, x.b.dump())
	x.w.barred["b"] = false
	x.w.now = x.w.now.Add(2 * time.Hour)
	for range 5 {
		x.step()
		x.block()
	}
	require.EqualValues(t, 200, x.balance(treasury, usdcID))
}
