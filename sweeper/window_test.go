package sweeper

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

func TestWindow_NamesWhatIsWrong(t *testing.T) {
	for field, change := range map[string]func(*Policy){
		"Policy.LowFeePercent": func(p *Policy) { p.LowFeePercent = MaxLowFeePercent + 1 },
		"Policy.MaxWait":       func(p *Policy) { p.LowFee, p.MaxWait = units(1), MaxDeadline+1 },
	} {
		p := Policy{Treasury: treasury}
		change(&p)
		var config *ConfigError
		require.ErrorAs(t, p.withDefaults(0).validate(true), &config)
		require.Equal(t, field, config.Field)
	}
	for _, wait := range []time.Duration{-1, time.Hour} {
		err := Policy{Treasury: treasury, MaxWait: wait}.withDefaults(0).validate(true)
		require.ErrorContains(t, err, "Policy.MaxWait", "nothing to wait for")
	}
	require.Zero(t, Policy{}.withDefaults(0).MaxWait)
	require.Equal(t, DefaultMaxWait, Policy{LowFeePercent: 1}.withDefaults(0).MaxWait)
	require.Equal(t, DefaultMaxWait, Policy{LowFee: units(1)}.withDefaults(0).MaxWait)

	w := newWorld(t)
	blind := struct{ chain.Client }{w}
	p := Policy{Treasury: treasury, LowFee: units(1)}
	_, err := New(Config{Client: blind, Journal: newBook(t, w), Signer: &keys{}, Policy: p})
	require.ErrorContains(t, err, "Policy.LowFee: the client tells no prices")
	_, err = New(Config{Client: blind, Journal: newBook(t, w), Policy: p})
	require.NoError(t, err, "who only watches waits for nothing")
}

// TestWindow: a sweep waits where, and only where, the price is above both limits,
// one of them is known, and its time is not over.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		small := func(name string) uint64 { return rapid.Uint64Range(0, 200).Draw(r, name) }
		p := Policy{LowFee: units(small("low")), LowFeePercent: small("percent"), MaxWait: time.Duration(small("wait")) * time.Hour}
		m := chain.FeeMarket{Now: units(small("now")), Usual: units(small("usual"))}
		age := time.Duration(small("age")) * time.Hour
		now := t0.Add(age)
		wait := p.window(m, t0, now)
		share := m.Usual.Big().Uint64() * p.LowFeePercent / 100
		limit := max(p.LowFee.Big().Uint64(), share)
		dear := m.Now.Big().Uint64() > limit && limit > 0
		require.Equal(r, dear && age < p.MaxWait, wait != nil)
		if wait != nil {
			require.Equal(r, &FeeWaitError{Price: m.Now, Limit: units(limit), Until: t0.Add(p.MaxWait)}, wait)
			next := wait.nextLook(now)
			require.True(r, next.After(now))
			require.False(r, next.After(wait.Until))
			require.LessOrEqual(r, next.Sub(now), feeLook)
		}
	})
	huge, err := chain.ParseAmount("115792089237316195423570985008687907853269984665640564039457584007913129639935", 0)
	require.NoError(t, err)
	require.Equal(t, units(7), Policy{LowFee: units(7), LowFeePercent: 200}.cheap(chain.FeeMarket{Usual: huge}))
}

// spike is a bench with a sweep that was planned in a spike.
func spike(t *testing.T, asset chain.Asset, change ...func(*Policy)) *bench {
	x := newBench(t, append([]func(*Policy){func(p *Policy) { p.LowFeePercent = 120 }}, change...)...)
	x.w.usual, x.w.price = 10, 30
	x.b.deposit(account("a"), asset, 1000, true)
	x.step()
	return x
}

func TestThreat_F8_SpikeDefersAndResumes(t *testing.T) {
	x := spike(t, native)
	r := x.b.jobs[0]
	require.Equal(t, Planned, r.State)
	var wait *FeeWaitError
	require.ErrorAs(t, r.cause[0], &wait)
	require.Equal(t, &FeeWaitError{Price: units(30), Limit: units(12), Until: r.Planned.Add(DefaultMaxWait)}, wait)
	require.Contains(t, wait.Error(), "fees of 30 are above 12: waits for less until 2024-01-02T00:00:00Z")
	require.Zero(t, r.Failures, "to wait is no failure, and ends in no quarantine")
	require.Zero(t, x.w.calls["Prepare"])

	for range 20 {
		x.w.now = x.w.now.Add(feeLook)
		x.step()
	}
	require.Greater(t, len(r.cause), 10)
	require.Zero(t, r.Failures)
	x.restart() // nothing of it is in the process
	x.w.price = 12
	x.w.now = x.w.now.Add(feeLook)
	x.step()
	require.Equal(t, Broadcast, r.State, "by itself")
	x.rounds(4)
}

// TestWindow_EndsAtAnyPrice: money does not wait for ever.
func TestWindow_EndsAtAnyPrice(t *testing.T) {
	x := spike(t, native, func(p *Policy) { p.MaxWait = time.Hour })
	r := x.b.jobs[0]
	x.w.now = r.Planned.Add(time.Hour - 1)
	x.step()
	require.Equal(t, Planned, r.State)
	x.w.now = r.Planned.Add(time.Hour)
	x.step()
	require.Equal(t, Broadcast, r.State)
	require.Equal(t, uint64(30), parse(r.Attempts[0].Signed.Raw).Fee)
}

// TestWindow_AsksOnceForAll: the node is not asked for each sweep that waits, nor
// at each step.
func TestWindow_AsksOnceForAll(t *testing.T) {
	x := newBench(t, func(p *Policy) { p.LowFee = units(12) })
	x.w.price = 30
	for _, a := range []string{"a", "b", "c", "d"} {
		x.b.deposit(account(a), native, 1000, true)
		x.w.now = x.w.now.Add(7 * time.Second)
	}
	x.step()
	require.Equal(t, 1, x.w.calls["EstimateFees"])
	for range 10 {
		x.w.now = x.w.now.Add(blockTime)
		x.step()
	}
	require.Equal(t, 1, x.w.calls["EstimateFees"])
	x.w.now = x.w.now.Add(feeLook)
	x.step()
	require.Equal(t, 2, x.w.calls["EstimateFees"])
}

// TestWindow_TopUpsDoNotWait: gas that was bought is used at once, and nothing but
// a sweep is ever held back.
func TestWindow_TopUpsDoNotWait(t *testing.T) {
	x := spike(t, usdc)
	require.Len(t, x.b.jobs, 1, "while its sweep waits no gas is bought")
	x.w.price = 10
	x.w.now = x.w.now.Add(feeLook)
	x.step()
	topUp := x.b.jobKey("topup:")
	require.Equal(t, Broadcast, topUp.State)
	x.w.price, x.w.now = 10, x.w.now.Add(blockTime)
	x.block()
	x.w.price = 13 // above the window again, and the gas still is enough for less
	x.w.balances[place{"a", nativeID}] = 26
	x.step()
	require.Equal(t, Broadcast, x.b.jobs[0].State)

	for _, purpose := range []chain.Purpose{chain.PurposeTopUp, chain.PurposeRefund, chain.PurposeWithdrawal, chain.PurposeCancel} {
		x := spike(t, native)
		j := x.b.jobs[0].Job
		r := &round{Sweeper: x.s, work: Work{Now: x.w.now}}
		require.Error(t, r.dear(t.Context(), j))
		j.Intent.Purpose = purpose
		require.NoError(t, r.dear(t.Context(), j), purpose)
	}
}

// TestWindow_UnknownPriceHoldsNothingUp: a node without the answer, or away for it.
func TestWindow_UnknownPriceHoldsNothingUp(t *testing.T) {
	for name, fault := range map[string]func(string, bool) error{
		"away": failing("EstimateFees", 1, false, errLost), "unsupported": failing("EstimateFees", 1, true, chain.ErrUnsupported),
		"panic": func(call string, _ bool) error {
			if call == "EstimateFees" {
				panic("boom")
			}
			return nil
		},
	} {
		x := newBench(t, func(p *Policy) { p.LowFee = units(12) })
		x.w.price, x.w.fault = 30, fault
		x.b.deposit(account("a"), native, 1000, true)
		x.step()
		require.Equal(t, Broadcast, x.b.jobs[0].State, name)
	}
	x := newBench(t, func(p *Policy) { p.LowFeePercent = 120 })
	x.w.price = 30 // and nobody knows what is usual
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	require.Equal(t, Broadcast, x.b.jobs[0].State)

	x = newBench(t)
	x.w.price, x.w.usual = 30, 1
	x.b.deposit(account("a"), native, 1000, true)
	x.step()
	require.Equal(t, Broadcast, x.b.jobs[0].State, "off by default")
	require.Zero(t, x.w.calls["EstimateFees"])
}
