package sweeper

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

var t0 = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func holding(ref, name string, a chain.Asset, n uint64, age int) Holding {
	return Holding{Ref: ref, Account: account(name), Asset: a, Amount: units(n), Since: t0.Add(-time.Duration(age) * time.Hour)}
}

func sweepJob(id, name string, a chain.Asset, state JobState) Job {
	return Job{ID: id, State: state, Group: 1, Intent: chain.Intent{
		Purpose: chain.PurposeCollection,
		Moves:   []chain.Move{{From: account(name), To: treasury, Asset: a, Amount: units(100), All: a.Native()}},
	}}
}

func planKeys(plans []Plan) (out []string) {
	for _, p := range plans {
		out = append(out, p.Key)
	}
	return out
}

func decide(holdings []Holding, jobs ...Job) []string {
	return planKeys(Decide(Work{Holdings: holdings, Jobs: jobs}, Policy{Treasury: treasury, Sponsor: sponsor}))
}

func TestDecide_TokenIntent(t *testing.T) {
	coin := usdc
	coin.MaxSweepFee = units(70)
	p := Policy{Treasury: treasury, MaxFee: units(90)}
	got := Decide(Work{Holdings: []Holding{holding("r", "a", coin, 100, 1)}}, p)
	require.Equal(t, []Plan{{
		Key: "sweep:r", Covers: []string{"r"},
		Intent: chain.Intent{
			Purpose: chain.PurposeCollection, MaxFee: units(70),
			Moves: []chain.Move{{From: account("a"), To: treasury, Asset: coin, Amount: units(100)}},
		},
	}}, got)
}

func TestDecide_NativeGivesUpAtMostTheHolding(t *testing.T) {
	got := Decide(Work{Holdings: []Holding{holding("r", "a", native, 100, 1)}}, Policy{Treasury: treasury})
	require.Len(t, got, 1)
	m := got[0].Intent.Moves[0]
	require.True(t, m.All)
	require.Equal(t, units(100), m.Amount)
	require.Equal(t, units(50), got[0].Intent.MaxFee, "half of it, unless the policy says otherwise")
}

func TestDecide_FeeCaps(t *testing.T) {
	for _, c := range []struct {
		name                        string
		asset, policy, share, money uint64
		want                        uint64
	}{
		{"the share", 0, 0, 10, 1000, 100},
		{"the asset", 30, 0, 10, 1000, 30},
		{"the policy", 30, 20, 10, 1000, 20},
		{"the share rounds to nothing", 0, 0, 1, 3, 1},
		{"all of it", 0, 0, 100, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			coin := native
			coin.MaxSweepFee = units(c.asset)
			p := Policy{Treasury: treasury, MaxFee: units(c.policy), MaxFeeShare: c.share}
			got := Decide(Work{Holdings: []Holding{holding("r", "a", coin, c.money, 1)}}, p)
			require.Equal(t, units(c.want), got[0].Intent.MaxFee)
		})
	}
}

func TestDecide_SkipsWhatIsTooSmall(t *testing.T) {
	coin := usdc
	coin.SweepMinimum = units(100)
	require.Empty(t, decide([]Holding{holding("r", "a", coin, 99, 1)}))
	require.Equal(t, []string{"sweep:r"}, decide([]Holding{holding("r", "a", coin, 100, 1)}))
	require.Empty(t, decide([]Holding{holding("r", "a", usdc, 0, 1)}))
}

func TestDecide_NeverSweepsSponsorOrTreasury(t *testing.T) {
	require.Empty(t, decide([]Holding{
		holding("r", string(sponsor.Address), native, 100, 1), holding("q", string(treasury), native, 100, 1),
	}))
}

func TestDecide_WithoutTreasuryNothing(t *testing.T) {
	require.Empty(t, Decide(Work{Holdings: []Holding{holding("r", "a", usdc, 1, 1)}}, Policy{}))
}

func TestDecide_OneJobPerAssetAndAddress(t *testing.T) {
	h := []Holding{holding("r", "a", usdc, 100, 1), holding("q", "a", usdt, 100, 2), holding("o", "b", usdc, 100, 3)}
	for _, state := range []JobState{Planned, Signed, Broadcast, Included} {
		require.Equal(t, []string{"sweep:o", "sweep:q"}, decide(h, sweepJob("j", "a", usdc, state)), state)
	}
	lame := sweepJob("j", "a", usdc, Planned)
	lame.Failures = 99
	require.Equal(t, []string{"sweep:o", "sweep:q"}, decide(h, lame), "also in quarantine")
}

func TestDecide_TwoHoldingsOfOnePlaceGiveOnePlan(t *testing.T) {
	twice := []Holding{holding("r", "a", usdc, 1, 1), holding("q", "a", usdc, 1, 2)}
	require.Equal(t, []string{"sweep:q"}, decide(twice))
	got := Decide(Work{Now: t0, Holdings: twice}, Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 5, Gather: -1})
	require.Equal(t, [][]chain.Address{{"a"}}, gathered(got))
}

func TestDecide_NativeWaitsForTokens(t *testing.T) {
	coin := holding("n", "a", native, 1000, 9)
	require.Equal(t, []string{"sweep:n"}, decide([]Holding{coin}))
	require.Equal(t, []string{"sweep:r"}, decide([]Holding{coin, holding("r", "a", usdc, 1, 1)}), "for one that is about to be planned")
	require.Equal(t, []string{"sweep:n", "sweep:r"}, decide([]Holding{coin, holding("r", "b", usdc, 1, 1)}), "not for one elsewhere")

	for _, state := range []JobState{Planned, Signed, Broadcast, Included} {
		require.Empty(t, decide([]Holding{coin}, sweepJob("j", "a", usdc, state)), state)
	}
	lame := sweepJob("j", "a", usdc, Planned)
	lame.Failures = DefaultQuarantineAfter - 1
	require.Empty(t, decide([]Holding{coin}, lame))
	lame.Failures++
	require.Equal(t, []string{"sweep:n"}, decide([]Holding{coin}, lame), "not for one in quarantine")
	more := holding("m", "a", usdc, 1, 1)
	require.Equal(t, []string{"sweep:n"}, decide([]Holding{coin, more}, lame), "nor for what waits behind it")
	lame.State, lame.Attempts = Broadcast, []Attempt{{}}
	require.Empty(t, decide([]Holding{coin}, lame), "what is out there is not in quarantine")
}

func TestDecide_TokenBelowMinimumDoesNotHoldNative(t *testing.T) {
	dust := usdc
	dust.SweepMinimum = units(10)
	require.Equal(t, []string{"sweep:n"}, decide([]Holding{holding("r", "a", dust, 9, 9), holding("n", "a", native, 100, 1)}))
}

func TestDecide_MaxOpen(t *testing.T) {
	var h []Holding
	for _, n := range []string{"a", "b", "c", "d"} {
		h = append(h, holding("r"+n, n, usdc, 1, 1))
	}
	lame := sweepJob("k", "y", usdc, Planned)
	lame.Failures = DefaultQuarantineAfter
	w := Work{Holdings: h, Jobs: []Job{sweepJob("i", "x", usdc, Included), sweepJob("j", "z", usdc, Broadcast), lame}}
	got := Decide(w, Policy{Treasury: treasury, MaxOpen: 3})
	require.Equal(t, []string{"sweep:ra", "sweep:rb"}, planKeys(got), "only the broadcast one counts")
}

// TestDecide_OrderIsItsOwn: the order of the input decides nothing.
func TestDecide_OrderIsItsOwn(t *testing.T) {
	h := []Holding{
		holding("1", "b", usdc, 1, 5), holding("2", "a", usdt, 1, 4), holding("3", "a", usdc, 1, 4),
		holding("4", "c", native, 9, 4), holding("5", "d", native, 9, 1), holding("6", "d", native, 9, 1),
	}
	want := []string{"sweep:1", "sweep:3", "sweep:2", "sweep:4", "sweep:5"}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		rnd.Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
		before := slices.Clone(h)
		require.Equal(t, want, decide(h))
		require.Equal(t, before, h, "the input is left as it is")
	}
}

func TestTopUps(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	job := sweepJob("j7", "a", usdc, Planned)
	job.TopUps, job.Intent.MaxFee = 2, units(80)
	p := Policy{Treasury: treasury, Sponsor: sponsor}.withDefaults(blockTime)
	need := chain.Need{Account: account("a"), Asset: native, Amount: units(30)}
	got, err := p.topUps(job, []chain.Need{need}, now)
	require.NoError(t, err)
	own := account("a").Key
	require.Equal(t, []Plan{{
		Key: "topup:j7:2:a", Parent: "j7",
		Intent: chain.Intent{
			Purpose: chain.PurposeTopUp, MaxFee: units(80),
			Moves: []chain.Move{{From: sponsor, To: "a", Own: &own, Asset: native, Amount: units(30)}},
		},
	}}, got)

	refused := func(field string, change func(*chain.Need)) {
		t.Helper()
		n := need
		change(&n)
		_, err := p.topUps(job, []chain.Need{n}, now)
		var r *RefusedError
		require.ErrorAs(t, err, &r)
		require.Equal(t, field, r.Field)
	}
	refused("need.asset", func(n *chain.Need) { n.Asset = usdc })
	refused("need.amount", func(n *chain.Need) { n.Amount = chain.Amount{} })
	refused("need.account", func(n *chain.Need) { n.Account = account("mallory") })
	refused("need.account", func(n *chain.Need) { n.Account.Key.Path = "m/other" })

	var fee *chain.FeeTooHighError
	need.Amount = units(81)
	_, err = p.topUps(job, []chain.Need{need}, now)
	require.ErrorAs(t, err, &fee, "the fee cap of the job bounds what it is given")
	p.MaxTopUp = units(81)
	_, err = p.topUps(job, []chain.Need{need}, now)
	require.NoError(t, err)

	job.TopUps = DefaultMaxTopUps
	_, err = p.topUps(job, []chain.Need{need}, now)
	require.NoError(t, err, "the last one is long ago")
	job.ToppedUp = now.Add(-DefaultTopUpPause + 1)
	_, err = p.topUps(job, []chain.Need{need}, now)
	require.ErrorIs(t, err, ErrTopUpLimit)
	job.ToppedUp = now.Add(-DefaultTopUpPause)
	_, err = p.topUps(job, []chain.Need{need}, now)
	require.NoError(t, err, "the price of gas may rise for days, and no job is stuck for ever")
	p.Sponsor = chain.Account{}
	_, err = p.topUps(job, []chain.Need{need}, now)
	require.ErrorIs(t, err, ErrNoSponsor)
}
