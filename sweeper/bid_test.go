package sweeper

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

func TestDeadline_NamesWhatIsWrong(t *testing.T) {
	good := Policy{Treasury: treasury, MaxFee: units(1000), Deadline: time.Hour}
	require.NoError(t, good.withDefaults(blockTime).validate(true))
	for why, change := range map[string]func(*Policy){
		"needs a MaxFee":     func(p *Policy) { p.MaxFee = units(0) },
		"needs replacements": func(p *Policy) { p.BumpAfter = -1 },
		"first replacement":  func(p *Policy) { p.BumpAfter = 2 * time.Hour },
		"want 1m0s to":       func(p *Policy) { p.Deadline = MinDeadline - 1 },
		"to 720h0m0s":        func(p *Policy) { p.Deadline = MaxDeadline + 1 },
		"want 1m0s":          func(p *Policy) { p.Deadline = -time.Hour },
	} {
		p := good
		change(&p)
		err := p.withDefaults(blockTime).validate(true)
		var config *ConfigError
		require.ErrorAs(t, err, &config, why)
		require.Equal(t, "Policy.Deadline", config.Field)
		require.Contains(t, config.Reason, why)
	}
	w := newWorld(t)
	w.noBump = true
	_, err := New(Config{Client: w.client(), Journal: newBook(t, w), Signer: &keys{}, Policy: good})
	require.ErrorContains(t, err, "Policy.Deadline: the client replaces nothing")
	_, err = New(Config{Client: w.client(), Journal: newBook(t, w), Policy: good})
	require.NoError(t, err, "who only watches bids for nothing")
}

// bidder draws a policy with a deadline.
func bidder(r *rapid.T) Policy {
	p := Policy{
		Treasury: treasury, MaxFee: units(rapid.Uint64Range(1, 1<<60).Draw(r, "max fee")),
		Deadline: time.Duration(rapid.Int64Range(int64(MinDeadline), int64(MaxDeadline)).Draw(r, "deadline")),
		MaxBumps: rapid.IntRange(1, 50).Draw(r, "bumps"),
	}
	p.BumpAfter = time.Duration(rapid.Int64Range(1, int64(p.Deadline)).Draw(r, "bump after"))
	p = p.withDefaults(blockTime)
	require.NoError(r, p.validate(true))
	return p
}

func signedJob(attempts ...time.Time) Job {
	j := Job{State: Broadcast, Intent: chain.Intent{Purpose: chain.PurposeCollection}}
	for _, at := range attempts {
		j.Attempts = append(j.Attempts, Attempt{SignedAt: at, SentAt: at})
	}
	return j
}

// TestBidRisesWithTime: a pure function of the time, from nothing to everything.
func TestBidRisesWithTime(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := bidder(r)
		j := signedJob()
		require.Equal(r, uint64(0), p.bid(j, t0).Part, "begins at the market's least")
		for range p.raises() {
			j.Attempts = append(j.Attempts, Attempt{SignedAt: t0})
		}
		at := time.Duration(rapid.Int64Range(-int64(time.Hour), 2*int64(p.Deadline)).Draw(r, "at"))
		later := at + time.Duration(rapid.Int64Range(0, int64(p.Deadline)).Draw(r, "later"))
		a, b := p.bid(j, t0.Add(at)), p.bid(j, t0.Add(later))
		require.Equal(r, a, p.bid(j, t0.Add(at)))
		require.LessOrEqual(r, a.Part, b.Part, "never falls")
		require.LessOrEqual(r, b.Part, b.Of, "never beyond the budget")
		require.Equal(r, &chain.Bid{Part: b.Of, Of: b.Of}, p.bid(j, t0.Add(p.Deadline)), "all of it at the deadline")
		half := p.bid(j, t0.Add(p.Deadline/2))
		require.LessOrEqual(r, half.Part, half.Of/8, "cheap while there is time")
	})
}

// TestBidsReachTheBudgetInTime: replaced whenever it is due, an unlucky sweep
// offers everything at the deadline and not before, without a step too many.
func TestBidsReachTheBudgetInTime(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := bidder(r)
		j, now := signedJob(t0), t0
		for len(j.Attempts) <= p.MaxBumps {
			pause := p.bumpAfter(j)
			require.GreaterOrEqual(r, pause, p.BumpAfter)
			now = now.Add(pause)
			b := p.bid(j, now)
			j.Attempts = append(j.Attempts, Attempt{SignedAt: now})
			if b.Part == b.Of {
				break
			}
		}
		require.Equal(r, p.raises(), len(j.Attempts)-1)
		require.InDelta(r, p.Deadline, now.Sub(t0), float64(p.raises()))
	})
}

func TestBid_OnlyOfSweepsThatCanWait(t *testing.T) {
	p := Policy{MaxFee: units(1000), Deadline: time.Hour}.withDefaults(blockTime)
	require.NotNil(t, p.bid(signedJob(), t0))
	for name, change := range map[string]func(*Policy, *Job){
		"top-up":     func(_ *Policy, j *Job) { j.Intent.Purpose = chain.PurposeTopUp },
		"refund":     func(_ *Policy, j *Job) { j.Intent.Purpose = chain.PurposeRefund },
		"withdrawal": func(_ *Policy, j *Job) { j.Intent.Purpose = chain.PurposeWithdrawal },
		"urgent":     func(_ *Policy, j *Job) { j.Urgent = true },
		"default":    func(p *Policy, _ *Job) { p.Deadline = 0 },
		"no budget":  func(p *Policy, _ *Job) { p.MaxFee = units(0) },
	} {
		q, j := p, signedJob(t0)
		change(&q, &j)
		require.Nil(t, q.bid(j, t0.Add(time.Hour)), name)
		require.Equal(t, q.BumpAfter, q.bumpAfter(j), name)
	}
}

// TestThreat_F6_BidRisesUntilItIsMined: a sweep begins cheap; while the market is
// dearer it is replaced step by step, never beyond its budget, and the whole budget
// is offered when its time is over. All attempts share the nonce.
func TestThreat_F6_BidRisesUntilItIsMined(t *testing.T) {
	const budget = 160
	x := newBench(t, func(p *Policy) { p.MaxFee, p.Deadline, p.MaxBumps = units(budget), time.Hour, 4 })
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	r := x.b.jobs[0]
	begun := r.Attempts[0].SignedAt
	require.Equal(t, uint64(10), parse(r.Attempts[0].Signed.Raw).Fee, "the least that is mined")
	x.w.price = 1_000 // nothing that the budget allows
	market := func() { x.w.price = 10 }
	for x.w.now.Sub(begun) < 2*time.Hour {
		market()
		x.step() // drafted at the old market, and mined at none
		x.w.price = 1_000
		x.block()
	}
	var fees []uint64
	for i, a := range r.Attempts {
		fees = append(fees, parse(a.Signed.Raw).Fee)
		if i > 0 {
			require.GreaterOrEqual(t, fees[i]*8, fees[i-1]*9, "an eighth more at least")
		}
	}
	require.Len(t, fees, 5, "the first, and four replacements")
	require.Equal(t, uint64(budget), fees[4])
	require.Less(t, fees[2], uint64(budget/4), "half of the time is over, and little of the budget")
	require.InDelta(t, time.Hour, r.Attempts[4].SignedAt.Sub(begun), float64(5*blockTime))
	x.w.price = 100
	x.rounds(4)
	require.Equal(t, uint64(1000-budget), x.balance(treasury, nativeID))
}

// TestBid_AfterAnOutageNoStepIsLeftOut: a gateway that was down for a week does not
// begin with the whole budget.
func TestBid_AfterAnOutageNoStepIsLeftOut(t *testing.T) {
	p := Policy{MaxFee: units(1000), Deadline: time.Hour, MaxBumps: 4}.withDefaults(blockTime)
	week := t0.Add(7 * 24 * time.Hour)
	b := p.bid(signedJob(t0), week)
	require.Equal(t, b.Of/64, b.Part, "a quarter of the way in time")
	b = p.bid(signedJob(t0, week, week), week)
	require.Equal(t, b.Of*27/64, b.Part)
}
