package hdwallet

import (
	"context"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// limited is a desk whose signer lets 100 of the token and 50 of the coin out in
// an hour.
func limited(t testing.TB) *desk {
	d := newDesk(t)
	d.policy.Limits = []Limit{
		{Asset: tokenAsset, Window: time.Hour, Max: chain.NewAmount(100)}, {Asset: coinAsset, Window: time.Hour, Max: chain.NewAmount(50)},
	}
	d.renew()
	return d
}

// sweep is a transaction to the treasury; lock tells which others exclude it.
func (d *desk) sweep(lock string, asset chain.AssetID, amount, fee uint64) chain.SignRequest {
	e := chain.Effects{Effects: []chain.Effect{{To: d.treasury, Asset: asset, Amount: chain.NewAmount(amount)}}, MaxFee: chain.NewAmount(fee)}
	e.Once = lock
	return d.request(e)
}

// TestThreat_F20_WhatLeavesInATimeIsBounded although each movement is permitted.
func TestThreat_F20_WhatLeavesInATimeIsBounded(t *testing.T) {
	d := limited(t)
	d.accepted(d.sweep("1", tokenAsset, 60, 0))
	refusal := d.refused("limit", d.sweep("2", tokenAsset, 41, 0))
	require.Contains(t, refusal.Detail, "request 0: with it more than 100 base units of "+string(tokenAsset)+" would leave within 1h0m0s")
	d.accepted(d.sweep("2", tokenAsset, 40, 0))
	d.refused("limit", d.sweep("3", tokenAsset, 1, 0))
	d.accepted(d.sweep("3", coinAsset, 1, 0)) // another asset

	d.now = d.now.Add(time.Hour - 1)
	d.refused("limit", d.sweep("3", tokenAsset, 1, 0))
	d.now = d.now.Add(1)
	d.accepted(d.sweep("3", tokenAsset, 100, 0))
	d.now = d.now.Add(-30 * time.Minute) // a clock that is set back frees nothing
	d.refused("limit", d.sweep("4", tokenAsset, 1, 0))
}

// TestThreat_F20_ABatchIsCountedWhole: all of it is signed, or nothing counts.
func TestThreat_F20_ABatchIsCountedWhole(t *testing.T) {
	d := limited(t)
	refusal := d.refused("limit", d.sweep("1", tokenAsset, 60, 0), d.sweep("2", coinAsset, 10, 0), d.sweep("3", tokenAsset, 41, 0))
	require.Contains(t, refusal.Detail, "request 2:")
	d.refused("chain", d.sweep("1", tokenAsset, 60, 0), chain.SignRequest{})
	d.accepted(d.sweep("1", tokenAsset, 60, 0), d.sweep("2", coinAsset, 10, 0), d.sweep("3", tokenAsset, 40, 0))
}

// TestThreat_F20_OfTransactionsThatExcludeEachOtherOneCounts: signing again is free,
// a replacement costs what it moves more.
func TestThreat_F20_OfTransactionsThatExcludeEachOtherOneCounts(t *testing.T) {
	d := limited(t)
	for range 5 {
		d.accepted(d.sweep("1", tokenAsset, 60, 3))
		d.accepted(d.sweep("1", tokenAsset, 50, 7), d.sweep("1", tokenAsset, 60, 5))
		d.accepted(d.sweep("", coinAsset, 2, 1)) // without locks it is the same payload
	}
	d.accepted(d.sweep("1", tokenAsset, 70, 40)) // 10 and 33 more; 43 of the coin in all
	d.refused("limit", d.sweep("2", tokenAsset, 31, 0))
	d.refused("limit", d.sweep("2", tokenAsset, 30, 8))
	same := d.sweep("1", tokenAsset, 31, 0)
	same.Key = d.key(d.active, 60, 0, 1)
	d.refused("limit", same) // another account's is another one
	same = d.sweep("", tokenAsset, 16, 0)
	d.accepted(same)
	same.Key = d.key(d.active, 60, 0, 1)
	d.refused("limit", same) // although the payload is the same
	d.accepted(d.sweep("2", tokenAsset, 14, 7))
}

// TestThreat_F20_FeesAreBounded: burning the coin as gas is a way out too.
func TestThreat_F20_FeesAreBounded(t *testing.T) {
	d := limited(t)
	other := d.own(d.active, 0, 7)
	toOwn := func(lock string, fee uint64) chain.SignRequest {
		r := d.request(chain.Effects{
			Effects: []chain.Effect{{To: other.Address, Asset: tokenAsset, Amount: chain.NewAmount(1000)}}, MaxFee: chain.NewAmount(fee), Once: lock,
		})
		r.Own = []chain.OwnTarget{other}
		return r
	}
	d.accepted(toOwn("1", 30), toOwn("2", 20)) // what stays ours does not count, its fee does
	d.refused("limit", toOwn("3", 1))
}

func TestThreat_F20_ApprovedPayoutsCountToo(t *testing.T) {
	d := limited(t)
	d.accepted(d.sweep("1", tokenAsset, 80, 0))
	r, _ := d.approved() // 25
	d.refused("limit", r)
}

// TestThreat_F20_AHaltedSignerRefusesEverything until it is told to go on.
func TestThreat_F20_AHaltedSignerRefusesEverything(t *testing.T) {
	d := newDesk(t)
	_, halted := d.signer.Halted()
	require.False(t, halted)
	d.signer.Halt("the shop was broken into")
	refusal := d.refused("halted", d.sweep("1", tokenAsset, 1, 0))
	require.Equal(t, "the shop was broken into", refusal.Detail)
	d.refused("halted")
	reason, halted := d.signer.Halted()
	require.True(t, halted)
	require.Equal(t, "the shop was broken into", reason)
	d.signer.Resume()
	d.accepted(d.sweep("1", tokenAsset, 1, 0))
}

func TestLimitsAreChecked(t *testing.T) {
	one := chain.NewAmount(1)
	for field, limits := range map[string][]Limit{
		"Policy.Limits[0].Asset":  {{Asset: "token", Window: 1, Max: one}},
		"Policy.Limits[1].Asset":  {{Asset: coinAsset, Window: 1, Max: one}, {Asset: "fake:main/slip44:61", Window: 1, Max: one}},
		"Policy.Limits[0].Window": {{Asset: coinAsset, Max: one}},
		"Policy.Limits[0].Max":    {{Asset: coinAsset, Window: 1}},
	} {
		d := newDesk(t)
		d.policy.Limits = limits
		_, err := NewSigner(d.policy, d.active)
		var bad *ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
	d := newDesk(t)
	d.policy.Limits = []Limit{{Asset: "fake:none/slip44:60", Window: 1, Max: one}}
	_, err := NewSigner(d.policy, d.active)
	require.ErrorContains(t, err, "a chain that Policy.Codecs does not have")
}

// TestLimitsNeverLeak: whatever is asked for, in whatever order and at whatever
// times, no span of the window's length lets more through than the limit.
func TestLimitsNeverLeak(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := Limit{Asset: coinAsset, Window: 10, Max: chain.NewAmount(20)}
		l, err := newLimiter([]Limit{limit}, map[chain.ID]*chainPolicy{fakeMain: {}})
		require.NoError(t, err)
		type out struct {
			at     int64
			amount uint64
		}
		passed := map[string][]out{}
		clock := time.Unix(1000, 0)
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			clock = clock.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, "pause")))
			var batch []outflow
			for range rapid.IntRange(1, 3).Draw(t, "batch") {
				batch = append(batch, outflow{
					key:    fmt.Sprint(rapid.IntRange(0, 8).Draw(t, "key")),
					amount: map[chain.AssetID]chain.Amount{coinAsset: chain.NewAmount(uint64(rapid.IntRange(0, 12).Draw(t, "amount")))},
				})
			}
			if _, err := l.reserve(clock, batch); err != nil {
				continue
			}
			for _, o := range batch {
				n := o.amount[coinAsset]
				passed[o.key] = append(passed[o.key], out{clock.UnixNano(), n.Big().Uint64()})
			}
			// Of each key the largest within the last window counts, at least.
			total := new(big.Int)
			for _, list := range passed {
				most := uint64(0)
				for _, o := range list {
					if clock.UnixNano()-o.at < int64(limit.Window) {
						most = max(most, o.amount)
					}
				}
				total.Add(total, new(big.Int).SetUint64(most))
			}
			require.LessOrEqual(t, total.Cmp(limit.Max.Big()), 0, "%s let through", total)
		}
		l.reserve(clock.Add(100), nil)
		require.Empty(t, l.gauge[0].queue)
		require.Empty(t, l.gauge[0].by)
		require.True(t, l.gauge[0].sum.IsZero())
	})
}

func TestLimitsHoldForManyCallers(t *testing.T) {
	d := limited(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	signed := 0
	for i := range 30 {
		wg.Go(func() {
			_, err := d.signer.Sign(context.Background(), []chain.SignRequest{d.sweep(fmt.Sprint(i), tokenAsset, 10, 0)})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				signed++
			}
		})
	}
	wg.Wait()
	require.Equal(t, 10, signed)
}
