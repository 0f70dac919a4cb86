package sweeper

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// storm is one random history of crashes, lost answers, reorgs, fee spikes,
// forgetful nodes and second workers.
type storm struct {
	*bench
	rnd   *rand.Rand
	names []chain.Account
}

func (s *storm) chance(percent int) bool { return s.rnd.IntN(100) < percent }

// stepWithFault does a step that breaks at one random call in one of the ways
// in which a process, a node or a store can break.
func (s *storm) stepWithFault() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	at, how, crashed := s.rnd.IntN(40), s.rnd.IntN(4), false
	s.w.fault = func(call string, after bool) error {
		if crashed && how >= 2 {
			// A dead process does nothing more.
			return context.Canceled
		}
		if at--; at != 0 {
			return nil
		}
		crashed = true
		switch how {
		case 0:
			return errLost
		case 1:
			panic("a panic in " + call)
		case 2:
			cancel()
			return context.Canceled
		}
		return errors.Join(errLost, chain.ErrTransient)
	}
	if s.chance(10) {
		old := s.b.last
		s.b.stale = &old
	}
	_, _ = s.s.Step(ctx) // whatever it says, the journal decides what is true
	s.w.fault, s.b.stale = never, nil
	if crashed && s.chance(50) {
		s.restart()
	}
}

func (s *storm) weather() {
	if s.chance(15) {
		a := s.names[s.rnd.IntN(len(s.names))]
		asset := []chain.Asset{native, usdc, usdt}[s.rnd.IntN(3)]
		s.b.deposit(a, asset, 1000+s.rnd.Uint64N(1000), s.chance(70))
	}
	if s.chance(20) {
		for i := range s.b.deposits {
			s.b.deposits[i].final = true
		}
	}
	if s.chance(10) {
		s.w.price = 5 + s.rnd.Uint64N(40)
	}
	if s.chance(5) {
		s.w.pool = map[chain.TxID]testTx{}
	}
	if s.chance(5) {
		s.w.frozen[usdtID] = !s.w.frozen[usdtID]
	}
	if s.chance(5) {
		s.b.halted = !s.b.halted
	}
	if s.w.room > 0 && s.chance(10) {
		a := s.names[s.rnd.IntN(len(s.names))].Address
		in := []map[chain.Address]bool{s.w.barred, s.w.odd, s.w.hidden}[s.rnd.IntN(3)]
		in[a] = !in[a]
		s.w.room = 1 + s.rnd.IntN(4)
	}
	s.w.now = s.w.now.Add(time.Duration(s.rnd.IntN(120)) * time.Second)
	switch n := s.rnd.IntN(10); {
	case n < 5:
		s.w.mine()
		s.b.scan()
	case n < 6 && s.w.height > s.b.top-finalDepth:
		s.w.reorg(s.chance(50))
		s.b.scan()
	}
	s.b.audit()
}

// newStorm is the storm of a seed; odd ones have batches.
func newStorm(t *testing.T, seed uint64) *storm {
	s := &storm{bench: newBench(t, func(p *Policy) { p.MaxTopUps = 50 }), rnd: rand.New(rand.NewPCG(seed, 1))}
	if seed%2 == 1 {
		s.w.room, s.p.MaxBatch, s.p.Gather = 4, 4, time.Duration(s.rnd.IntN(3)-1)*10*time.Minute
		s.restart()
	}
	for _, n := range []string{"a", "b", "c", "d"} {
		s.names = append(s.names, account(n))
	}
	return s
}

// TestStorm: whatever breaks and whenever, no holding is paid twice, money goes
// to the treasury and as gas to our own addresses alone, and when the weather
// clears everything that is final arrives.
func TestStorm(t *testing.T) {
	seeds := uint64(600)
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		s := newStorm(t, seed)
		for range 60 {
			s.stepWithFault()
			s.weather()
		}
		s.calm()
		if t.Failed() {
			t.Fatalf("seed %d\n%s", seed, s.b.dump())
		}
		s.books()
	}
}

// calm lets the world be kind until all is swept.
func (s *storm) calm() {
	s.Helper()
	s.w.frozen, s.w.price, s.b.halted = map[chain.AssetID]bool{}, 5, false
	clear(s.w.barred)
	clear(s.w.odd)
	clear(s.w.hidden)
	for i := range s.b.deposits {
		s.b.deposits[i].final = true
	}
	for i := 0; i < 400 && s.b.unswept() > 0; i++ {
		s.step()
		s.block()
		s.w.now = s.w.now.Add(2 * time.Minute)
	}
	if s.b.unswept() > 0 {
		s.Errorf("%d deposits never swept\n%s", s.b.unswept(), s.b.dump())
	}
}

// books checks that tokens arrived to the unit, and that no token stayed.
func (s *storm) books() {
	s.Helper()
	want := map[chain.AssetID]uint64{}
	for _, d := range s.b.deposits {
		want[d.asset.ID] += d.amount
	}
	for _, asset := range []chain.AssetID{usdcID, usdtID} {
		require.Equal(s, want[asset], s.balance(treasury, asset))
	}
	require.LessOrEqual(s, s.balance(treasury, nativeID), want[nativeID], "gas was swept as if it were a deposit")
}
