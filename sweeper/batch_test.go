package sweeper

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// together is a policy that makes batches at once.
func together(p *Policy) { p.MaxBatch, p.Gather = maxRoom, -1 }

// newBatchBench is a sweeper that makes batches.
func newBatchBench(t *testing.T, change ...func(*Policy)) *bench {
	x := newBench(t)
	x.w.room = maxRoom
	for _, c := range append([]func(*Policy){together}, change...) {
		c(&x.p)
	}
	x.restart()
	return x
}

// gathered are the addresses of each plan.
func gathered(plans []Plan) (out [][]chain.Address) {
	for _, p := range plans {
		out = append(out, Job{Intent: p.Intent}.sources())
	}
	return out
}

func TestDecide_Batch(t *testing.T) {
	coin := usdc
	coin.MaxSweepFee = units(30)
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxFee: units(80), MaxBatch: 10, Gather: time.Hour}
	got := Decide(Work{Now: t0, Holdings: []Holding{holding("r", "a", coin, 100, 1), holding("q", "b", coin, 50, 2)}}, p)
	require.Len(t, got, 1)
	require.Equal(t, chain.Intent{
		Purpose: chain.PurposeCollection, FeePayer: sponsor, MaxFee: units(60),
		Moves: []chain.Move{
			{From: account("b"), To: treasury, Asset: coin, Amount: units(50)},
			{From: account("a"), To: treasury, Asset: coin, Amount: units(100)},
		},
	}, got[0].Intent, "what each may cost, for all of them")
	require.Equal(t, []string{"q", "r"}, got[0].Covers)
	p.MaxFee = units(50)
	require.Equal(t, units(50), Decide(Work{Now: t0, Holdings: []Holding{holding("r", "a", coin, 100, 1), holding("q", "b", coin, 50, 2)}}, p)[0].Intent.MaxFee)
}

func TestDecide_BatchKeysNameWhatIsCovered(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 10, Gather: -1}
	key := func(h ...Holding) string {
		got := Decide(Work{Now: t0, Holdings: h}, p)
		require.Len(t, got, 1)
		return got[0].Key
	}
	a, b := holding("r", "a", usdc, 1, 1), holding("q", "b", usdc, 1, 1)
	require.Equal(t, key(a, b), key(b, a))
	require.NotEqual(t, key(a, b), key(a))
	again := b
	again.Ref = "other"
	require.NotEqual(t, key(a, b), key(a, again))
}

func TestDecide_Gathers(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 3, Gather: time.Hour}
	young := func(ref, name string, minutes int) Holding {
		h := holding(ref, name, usdc, 100, 0)
		h.Since = t0.Add(-time.Duration(minutes) * time.Minute)
		return h
	}
	at := func(h ...Holding) [][]chain.Address { return gathered(Decide(Work{Now: t0, Holdings: h}, p)) }
	require.Empty(t, at(young("r", "a", 59), young("q", "b", 1)), "neither has waited for an hour")
	require.Equal(t, [][]chain.Address{{"a", "b"}}, at(young("r", "a", 60), young("q", "b", 1)))
	require.Equal(t, [][]chain.Address{{"a", "b", "c"}}, at(young("r", "a", 9), young("q", "b", 8), young("o", "c", 7), young("n", "d", 6)), "full")
	var many []Holding
	for i := range 7 {
		many = append(many, young("r"+strconv.Itoa(i), "a"+strconv.Itoa(i), 99))
	}
	require.Equal(t, [][]chain.Address{{"a0", "a1", "a2"}}, at(many...), "one at a time")
	other := holding("u", "d", usdt, 100, 9)
	require.Equal(t, [][]chain.Address{{"d"}}, at(young("r", "a", 59), other), "each asset for itself")

	// A batch that waits for its signature takes no more, and what comes meanwhile goes
	// with the next one.
	waiting := Job{ID: "j", State: Planned, Group: 1, Intent: chain.Intent{
		Purpose: chain.PurposeCollection, FeePayer: sponsor, Moves: []chain.Move{{From: account("z"), To: treasury, Asset: usdc, Amount: units(1)}},
	}}
	next := func() [][]chain.Address {
		return gathered(Decide(Work{Now: t0, Holdings: []Holding{young("r", "a", 99)}, Jobs: []Job{waiting}}, p))
	}
	require.Empty(t, next())
	waiting.Failures = 99
	require.Equal(t, [][]chain.Address{{"a"}}, next(), "not for one in quarantine")
	waiting.Failures, waiting.State = 0, Broadcast
	waiting.Attempts = []Attempt{{}}
	require.Equal(t, [][]chain.Address{{"a"}}, next(), "nor for one that is on its way")
}

func TestDecide_BatchLeavesOut(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 10, Gather: -1}
	missed := holding("m", "m", usdc, 100, 1)
	missed.Missed = 1
	plain := holding("p", "p", usdc, 100, 0)
	plain.Plain = true
	got := Decide(Work{Now: t0, Holdings: []Holding{
		holding("r", "a", usdc, 100, 3), holding("q", "b", usdc, 100, 2), missed, plain, holding("n", "c", native, 100, 1), holding("o", "busy", usdc, 100, 1),
	}, Jobs: []Job{sweepJob("j", "busy", usdt, Planned)}}, p)
	require.Equal(t, [][]chain.Address{{"a", "b"}, {"c"}, {"m"}, {"p"}}, gathered(got))
	require.Zero(t, got[1].Intent.FeePayer, "coin pays for itself")
	require.Zero(t, got[2].Intent.FeePayer, "what a batch did not move goes by itself")
	require.Zero(t, got[3].Intent.FeePayer, "so does what must stay without code")

	for _, c := range []struct {
		name string
		job  func(*Job)
		want bool
	}{
		{"included", func(j *Job) { j.State = Included }, true},
		{"in quarantine", func(j *Job) { j.Failures = 99 }, true},
		{"on its way", func(j *Job) { j.State, j.Attempts = Broadcast, []Attempt{{}} }, false},
	} {
		j := sweepJob("j", "a", usdt, Planned)
		c.job(&j)
		got := Decide(Work{Now: t0, Holdings: []Holding{holding("r", "a", usdc, 100, 1)}, Jobs: []Job{j}}, p)
		require.Equal(t, c.want, len(got) == 1, c.name)
	}

	// Two assets at one address are not in two batches at once.
	got = Decide(Work{Now: t0, Holdings: []Holding{
		holding("r", "a", usdc, 100, 4), holding("q", "a", usdt, 100, 3), holding("o", "b", usdt, 100, 2),
	}}, p)
	require.Equal(t, [][]chain.Address{{"a"}, {"b"}}, gathered(got))
}

func batchJob(names ...string) Job {
	j := Job{ID: "j", Key: "batch:x", State: Planned, Group: 1, Intent: chain.Intent{Purpose: chain.PurposeCollection, FeePayer: sponsor}}
	for _, n := range names {
		j.Intent.Moves = append(j.Intent.Moves, chain.Move{From: account(n), To: treasury, Asset: usdc, Amount: units(100)})
	}
	return j
}

func TestParts(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 10}.withDefaults(0)
	sources := func(err error, names ...string) error {
		out := &chain.SourcesError{}
		for _, n := range names {
			out.Sources = append(out.Sources, &chain.SourceError{Account: chain.Address(n), Err: err})
		}
		return out
	}
	revert, dear := &chain.RevertError{Reason: "x"}, &chain.FeeTooHighError{Fee: units(2), Cap: units(1)}
	for _, c := range []struct {
		name  string
		job   Job
		cause error
		want  [][]chain.Address
	}{
		{"two in the way", batchJob("a", "b", "c", "d"), sources(nil, "b", "d"), [][]chain.Address{{"b"}, {"d"}, {"a", "c"}}},
		{"one reverts", batchJob("a", "b", "c"), sources(revert, "c"), [][]chain.Address{{"c"}, {"a", "b"}}},
		{"all are in the way", batchJob("a", "b"), sources(nil, "a", "b"), [][]chain.Address{{"a"}, {"b"}}},
		{"all revert: the asset", batchJob("a", "b"), sources(revert, "a", "b"), nil},
		{"one that is alone", batchJob("a"), sources(revert, "a"), [][]chain.Address{{"a"}}},
		{"somebody else", batchJob("a", "b"), sources(nil, "z"), nil},
		{"too many", batchJob("a", "b", "c"), &chain.TooManyMovesError{Moves: 3, Fit: 2}, [][]chain.Address{{"a", "b"}, {"c"}}},
		{"a client that says nonsense", batchJob("a", "b", "c"), &chain.TooManyMovesError{Moves: 3, Fit: 7}, [][]chain.Address{{"a", "b"}, {"c"}}},
		{"and another", batchJob("a", "b", "c"), &chain.TooManyMovesError{Moves: 3, Fit: -1}, [][]chain.Address{{"a"}, {"b", "c"}}},
		{"one is too many", batchJob("a"), &chain.TooManyMovesError{Moves: 1}, [][]chain.Address{{"a"}}},
		{"one is dear, at first", batchJob("a"), dear, nil},
		{"dear, at first", batchJob("a", "b", "c"), dear, nil},
		{"a client that makes none", batchJob("a", "b"), chain.ErrUnsupported, [][]chain.Address{{"a"}, {"b"}}},
		{"the node", batchJob("a", "b"), chain.ErrTransient, nil},
		{"not a batch", sweepJob("j", "a", usdc, Planned), sources(nil, "a"), nil},
	} {
		got := p.parts(c.job, c.cause)
		require.Equal(t, c.want, gathered(got), c.name)
		keys := map[string]bool{c.job.Key: true}
		for _, part := range got {
			require.False(t, keys[part.Key], c.name)
			keys[part.Key] = true
			require.Equal(t, part.Intent.FeePayer == sponsor, len(part.Intent.Moves) > 1 || c.name == "too many" || c.name == "a client that says nonsense" || c.name == "and another", c.name)
		}
	}
	capped := batchJob("a", "b", "c")
	for i := range capped.Intent.Moves {
		capped.Intent.Moves[i].Asset.MaxSweepFee = units(7)
	}
	capped.Intent.MaxFee = units(21)
	for _, part := range p.parts(capped, sources(nil, "a")) {
		require.Equal(t, units(7*uint64(len(part.Intent.Moves))), part.Intent.MaxFee)
	}
	j := batchJob("a", "b", "c")
	j.Failures = DefaultQuarantineAfter - 1
	require.Equal(t, [][]chain.Address{{"a"}, {"b", "c"}}, gathered(p.parts(j, dear)), "dear for long")
	one := batchJob("a")
	one.Failures = DefaultQuarantineAfter - 1
	got := p.parts(one, dear)
	require.Equal(t, [][]chain.Address{{"a"}}, gathered(got), "a batch of one takes more than its sweep")
	require.Empty(t, got[0].Intent.FeePayer.Address)
	j.Attempts = []Attempt{{}}
	require.Empty(t, p.parts(j, sources(nil, "a")), "something is signed")
}

func TestStep_BatchInOneTransaction(t *testing.T) {
	x := newBatchBench(t)
	for _, n := range []string{"a", "b", "c"} {
		x.b.deposit(account(n), usdc, 100, true)
	}
	x.rounds(5)
	require.Len(t, x.b.jobs, 1)
	require.Len(t, x.w.mined, 1)
	require.EqualValues(t, 300, x.balance(treasury, usdcID))
	require.Equal(t, []chain.Lock{"nonce:sponsor:0", "nonce:a:0", "nonce:b:0", "nonce:c:0"}, x.b.jobs[0].all[0].Signed.Locks)
	require.Zero(t, x.b.topUps)
}

// What one source has wrong holds up no other one: neither what a dry run shows nor
// what shows up on the chain alone.
func TestThreat_F11_OneBadSourceHoldsUpNobody(t *testing.T) {
	for name, spoil := range map[string]func(x *bench, a chain.Address){
		"frozen":             func(x *bench, a chain.Address) { x.w.barred[a] = true },
		"frozen in secret":   func(x *bench, a chain.Address) { x.w.hidden[a] = true },
		"has less than that": func(x *bench, a chain.Address) { x.w.balances[place{a, usdcID}] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			x := newBatchBench(t)
			for _, n := range []string{"a", "bad", "c"} {
				x.b.deposit(account(n), usdc, 100, true)
			}
			spoil(x, "bad")
			for range 10 {
				x.step()
				x.block()
			}
			require.EqualValues(t, 200, x.balance(treasury, usdcID))
			require.Equal(t, 1, x.b.unswept())
			last := x.b.jobs[len(x.b.jobs)-1]
			for _, r := range x.b.jobs {
				if !r.closed {
					last = r
				}
			}
			require.False(t, last.closed)
			require.Equal(t, []chain.Address{"bad"}, last.sources())
			require.False(t, last.batch(), "by itself")

			// More of the others goes on, together.
			x.b.deposit(account("d"), usdc, 7, true)
			for range 4 {
				x.step()
				x.block()
			}
			require.EqualValues(t, 207, x.balance(treasury, usdcID))

			clear(x.w.barred)
			clear(x.w.hidden)
			x.w.balances[place{"bad", usdcID}] = 100
			for range 60 {
				x.w.now = x.w.now.Add(time.Hour)
				x.step()
				x.block()
			}
			require.Zero(t, x.b.unswept(), x.b.dump())
			require.EqualValues(t, 307, x.balance(treasury, usdcID))
		})
	}
}

// An account that can be in no batch pays for itself.
func TestStep_ASourceThatCannotDelegate(t *testing.T) {
	x := newBatchBench(t)
	for _, n := range []string{"a", "odd", "c"} {
		x.b.deposit(account(n), usdc, 100, true)
	}
	x.w.odd["odd"] = true
	x.rounds(12)
	require.EqualValues(t, 300, x.balance(treasury, usdcID))
	require.Equal(t, 1, x.b.topUps)
}

// A token that moves from nobody is one job that waits, and not as many as there are
// addresses.
func TestThreat_F11_AFrozenTokenIsOneJob(t *testing.T) {
	x := newBatchBench(t)
	for i := range 5 {
		x.b.deposit(account("a"+strconv.Itoa(i)), usdc, 100, true)
	}
	x.w.frozen[usdcID] = true
	for range 20 {
		x.w.now = x.w.now.Add(10 * time.Minute)
		x.step()
		x.block()
	}
	require.Len(t, x.b.jobs, 1)
	var revert *chain.RevertError
	require.ErrorAs(t, x.b.jobs[0].cause[0], &revert)
	x.b.deposit(account("b"), usdt, 5, true)
	x.step()
	x.block()
	require.EqualValues(t, 5, x.balance(treasury, usdtID))

	x.w.frozen[usdcID] = false
	x.w.now = x.w.now.Add(2 * time.Hour)
	x.rounds(5)
	require.EqualValues(t, 500, x.balance(treasury, usdcID))
}

func TestStep_BatchThatDoesNotFit(t *testing.T) {
	x := newBatchBench(t)
	for i := range 8 {
		x.b.deposit(account("a"+strconv.Itoa(i)), usdc, 100, true)
	}
	x.w.room = 3
	for range 6 {
		x.step()
		x.block()
	}
	require.Zero(t, x.b.unswept(), x.b.dump())
	for _, m := range x.w.mined {
		require.LessOrEqual(t, len(m.Parts), 3)
	}
	require.Len(t, x.w.mined, 3)
}

// A cap on a transaction that is too low for so many addresses divides them, once it
// is clear that this is no passing spike.
func TestThreat_F8_ABatchOverItsCapIsDivided(t *testing.T) {
	x := newBatchBench(t, func(p *Policy) { p.MaxFee = units(45) })
	for i := range 4 {
		x.b.deposit(account("a"+strconv.Itoa(i)), usdc, 100, true)
	}
	x.step()
	require.Len(t, x.b.jobs, 1, "it may be a spike")
	for range 10 {
		x.w.now = x.w.now.Add(time.Hour)
		x.step()
		x.block()
	}
	require.Zero(t, x.b.unswept(), x.b.dump())
	for _, m := range x.w.mined {
		require.LessOrEqual(t, m.Fee, uint64(45))
		require.Len(t, m.Parts, 2)
	}
}

func TestStep_BatchWithoutGasMoney(t *testing.T) {
	x := newBatchBench(t)
	x.w.balances[place{sponsor.Address, nativeID}] = 10
	x.b.deposit(account("a"), usdc, 100, true)
	x.step()
	var funds *chain.InsufficientFundsError
	require.ErrorAs(t, x.b.jobs[0].cause[0], &funds)
	require.Equal(t, sponsor.Address, funds.Account)
	require.Len(t, x.b.jobs, 1, "nobody tops the sponsor up")
	x.w.balances[place{sponsor.Address, nativeID}] = 1000
	x.w.now = x.w.now.Add(time.Hour)
	x.rounds(4)
}

func TestThreat_F6_AStuckBatchIsOutbid(t *testing.T) {
	x := newBatchBench(t)
	for _, n := range []string{"a", "b"} {
		x.b.deposit(account(n), usdc, 100, true)
	}
	x.step()
	x.w.price *= 3
	x.w.now = x.w.now.Add(6 * time.Minute)
	x.step()
	attempts := x.b.jobs[0].all
	require.Len(t, attempts, 2)
	require.Equal(t, attempts[0].Signed.Locks, attempts[1].Signed.Locks)
	require.Len(t, parse(attempts[1].Signed.Raw).Parts, 2)
	x.rounds(4)
	require.Len(t, x.w.mined, 1)
}

// A reorg of a batch brings the same bytes back, and nothing else.
func TestThreat_F14_ABatchThatLeftTheChain(t *testing.T) {
	x := newBatchBench(t)
	for _, n := range []string{"a", "b"} {
		x.b.deposit(account(n), usdc, 100, true)
	}
	x.step()
	x.block()
	x.w.reorg(true)
	x.b.scan()
	x.rounds(5)
	require.Len(t, x.b.jobs, 1)
	require.Len(t, x.b.jobs[0].all, 1)
	require.EqualValues(t, 200, x.balance(treasury, usdcID))
}

func TestThreat_F1_BatchesPayTheTreasuryAndTheSponsorPays(t *testing.T) {
	for field, spoil := range map[string]func(*chain.Intent){
		"intent.fee_payer": func(in *chain.Intent) { in.FeePayer = account("a") },
		"intent.moves":     func(in *chain.Intent) { in.FeePayer = chain.Account{} },
		"move.to":          func(in *chain.Intent) { in.Moves[1].To = stranger },
		"move.from":        func(in *chain.Intent) { in.Moves[1].From = sponsor },
	} {
		x := newBatchBench(t)
		for _, n := range []string{"a", "b"} {
			x.b.deposit(account(n), usdc, 100, true)
		}
		x.w.price = 1 << 40
		x.step()
		spoil(&x.b.jobs[0].Intent)
		x.w.price = 1
		x.w.now = x.w.now.Add(time.Hour)
		x.step()
		var refused *RefusedError
		causes := x.b.jobs[0].cause
		require.ErrorAs(t, causes[len(causes)-1], &refused, field)
		require.Equal(t, field, refused.Field)
		require.Empty(t, x.b.raws)
	}
}

func TestNew_Batching(t *testing.T) {
	for _, c := range []struct {
		field  string
		change func(x *bench)
	}{
		{"Policy.MaxBatch", func(x *bench) { x.w.room = 0 }},
		{"Policy.MaxBatch", func(x *bench) { x.p.MaxBatch = maxRoom + 1 }},
		{"Policy.MaxBatch", func(x *bench) { x.p.MaxBatch = -1 }},
		{"Policy.MaxBatch", func(x *bench) { x.p.Sponsor = chain.Account{} }},
		{"Policy.Treasury", func(x *bench) { x.p.Treasury = "elsewhere" }},
		{"Policy.Sponsor", func(x *bench) { x.p.Sponsor = account("other") }},
		{"Policy.Gather", func(x *bench) { x.p.Gather = MaxDeadline + 1 }},
		{"Policy.Gather", func(x *bench) { x.p.MaxBatch, x.p.Gather = 0, 1 }},
	} {
		x := newBatchBench(t)
		c.change(x)
		_, err := New(Config{Client: x.w.client(), Journal: x.b, Signer: x.k, Policy: x.p, Logger: quiet()})
		var config *ConfigError
		require.ErrorAs(t, err, &config, c.field)
		require.Equal(t, c.field, config.Field)
	}
}

// A journal that cannot divide costs one turn, and nothing is lost.
func TestStep_DivideFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		x := newBatchBench(t)
		for _, n := range []string{"a", "b"} {
			x.b.deposit(account(n), usdc, 100, true)
		}
		x.w.odd["b"] = true
		x.w.fault = failing("Divide", 1, after, errLost)
		_, err := x.s.Step(t.Context())
		var job *JobError
		require.True(t, errors.As(err, &job) && job.Call == "Divide", err)
		x.w.fault = never
		x.rounds(8)
	}
}

// TestStormMakesBatches: the random histories meet what they are there for.
func TestStormMakesBatches(t *testing.T) {
	counts := map[string]int{}
	for seed := range uint64(60) {
		s := newStorm(t, 2*seed+1)
		for range 60 {
			s.stepWithFault()
			s.weather()
		}
		s.calm()
		counts["divided"] += s.w.calls["Divide"]
		for _, r := range s.b.jobs {
			if r.batch() && len(r.Intent.Moves) > 1 {
				counts["batches"]++
			}
		}
		for _, m := range s.w.mined {
			if len(m.missed) > 0 {
				counts["missed"]++
			}
		}
		if slices.ContainsFunc(s.b.jobs, func(r *row) bool { return r.batch() && len(r.all) > 1 }) {
			counts["replaced"]++
		}
	}
	for _, what := range []string{"divided", "batches", "missed", "replaced"} {
		require.Greater(t, counts[what], 5, what)
	}
}

// A batch gives way once a dearer one was refused for long because of its cap, and
// nothing else does.
func TestThreat_F6_WhatIsAbandoned(t *testing.T) {
	p := Policy{Treasury: treasury, Sponsor: sponsor, MaxBatch: 10}.withDefaults(0)
	dear := &chain.FeeTooHighError{Fee: units(2), Cap: units(1)}
	stuck := func() Job {
		j := batchJob("a", "b")
		j.State, j.Failures = Broadcast, p.QuarantineAfter-1
		return j
	}
	require.True(t, p.abandons(stuck(), dear))
	for name, change := range map[string]func(*Job){
		"a spike":       func(j *Job) { j.Failures-- },
		"canceled":      func(j *Job) { j.Cancel = true },
		"of one source": func(j *Job) { j.Intent.FeePayer = chain.Account{} },
		"a top-up":      func(j *Job) { j.Intent.Purpose = chain.PurposeTopUp },
	} {
		j := stuck()
		change(&j)
		require.False(t, p.abandons(j, dear), name)
	}
	require.False(t, p.abandons(stuck(), &chain.RevertError{Reason: "x"}))
}
