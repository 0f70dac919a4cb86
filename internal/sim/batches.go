package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// batching is what a world is like in which tokens of many addresses are swept by one
// transaction. Zero: no such world.
type batching struct {
	on bool
	// gather is Chain.Gather, room what the client says that fits, gas what does fit.
	gather time.Duration
	room   int
	gas    uint64
	// maxFee is Chain.MaxFee: at times so low that a transaction of few fits alone.
	maxFee chain.Amount
	// most is MaxSweepFee of USDC: what its sweep alone costs at the usual price, and a batch
	// of few does not.
	most chain.Amount
	// token is what the owner of USDC can do to it.
	token chaintest.TokenKind
	// poor: the sponsor is given little, again and again.
	poor bool
}

// hasBatches is for about a third of the worlds, and none of those in which bugs of
// other things are known to be found.
func hasBatches(o Options) bool {
	return o.Scenario == nil && o.Load.Open == 0 && slices.Contains([]uint64{0, 8, 11, 12}, o.Seed%13)
}

func drawBatching(o Options, blockTime time.Duration) batching {
	if s := o.Scenario; s != nil && s.Batches {
		return batching{on: true, gather: 4 * blockTime, room: 100, gas: s.BatchGas, token: chaintest.TokenBlacklist}
	}
	if !hasBatches(o) {
		return batching{}
	}
	rnd := stream(o.Seed, "batches")
	return batching{
		on: true, gather: []time.Duration{-1, blockTime, 10 * blockTime, 30 * blockTime, 30 * blockTime}[rnd.IntN(5)],
		room: []int{2, 3, 100, 100}[rnd.IntN(4)], gas: []uint64{0, 0, 250_000, 330_000}[rnd.IntN(4)],
		maxFee: []chain.Amount{{}, {}, chain.NewAmount(58e13)}[rnd.IntN(3)],
		most:   []chain.Amount{{}, {}, chain.NewAmount(25e13)}[rnd.IntN(3)],
		token:  []chaintest.TokenKind{chaintest.TokenBlacklist, chaintest.TokenBlacklist, chaintest.TokenPausable}[rnd.IntN(3)],
		poor:   rnd.IntN(4) == 0,
	}
}

var _ chain.Batcher = client{}

// Batching asks no node, and so does not stop at the gate.
func (c client) Batching() chain.Batching { return c.w.views[0].Batching() }

// frozen is what the owner of a token does to an address, or to all.
type frozen struct {
	at    chain.Address // empty: all
	until int           // the number of a block
}

// vex is what happens to batches before a block.
func (w *world) vex() {
	if !w.params.batches.on || w.o.Scenario != nil || w.healing || w.o.Calm {
		return
	}
	rnd := stream(w.o.Seed, fmt.Sprint("vex ", w.mined))
	w.thaw(func(f frozen) bool { return f.until <= w.mined })
	if w.params.batches.poor && rnd.IntN(12) == 0 {
		w.chain.Fund(w.sponsor, chain.NewAmount(2e15))
	}
	switch rnd.IntN(40) {
	case 0:
		if to, ok := w.anyAddress(); ok {
			w.freezeToken(to, 1+rnd.IntN(40))
		}
	case 1:
		w.freezeToken("", 1+rnd.IntN(20))
	}
	if open := w.openBatches(); len(open) > 0 {
		w.vexBatch(open[rnd.IntN(len(open))], rnd)
	}
}

// vexBatch is what happens to one batch under way.
func (w *world) vexBatch(p bursar.Payout, rnd *rand.Rand) {
	some := p.Sources[rnd.IntN(len(p.Sources))].Account.Address
	switch luck := rnd.IntN(60); {
	case luck < 5:
		w.freezeToken(some, 1+rnd.IntN(40))
	case luck == 5:
		for _, s := range p.Sources {
			w.freezeToken(s.Account.Address, 1+rnd.IntN(20))
		}
	case luck == 6:
		w.freezeToken("", 1+rnd.IntN(20))
	case luck < 15:
		w.frontRun(p.TxID)
	}
}

// frontRun has a stranger use what the sources of a batch have signed.
func (w *world) frontRun(id chain.TxID) {
	w.calls++
	if by, ok := w.chain.FrontRun(fmt.Sprintf("thief %d", w.calls), id); ok {
		w.note("%s takes the authorisations of %s", by[:10], id[:10])
	}
}

// openBatches are the batches that are not in a block yet.
func (w *world) openBatches() (out []bursar.Payout) {
	err := w.db.store.Read(context.Background(), func(r bursar.Reader) error {
		rows, err := r.Payouts(context.Background(), bursar.PayoutQuery{Statuses: []bursar.PayoutStatus{
			bursar.PayoutPlanned, bursar.PayoutSigned, bursar.PayoutBroadcast, bursar.PayoutConfirming,
		}})
		out = slices.DeleteFunc(rows, func(p bursar.Payout) bool { return len(p.Sources) == 0 })
		return err
	})
	w.judge(err)
	return out
}

// freezeToken has the owner of USDC refuse an address, or all where it is empty and the
// token can do that, for some blocks.
func (w *world) freezeToken(at chain.Address, blocks int) {
	all := w.params.batches.token == chaintest.TokenPausable
	if all != (at == "") || slices.ContainsFunc(w.frozen, func(f frozen) bool { return f.at == at }) {
		return
	}
	w.note("USDC freezes %q for %d blocks", at, blocks)
	w.frozen = append(w.frozen, frozen{at, w.mined + blocks})
	w.setFrozen(at, true)
}

func (w *world) setFrozen(at chain.Address, on bool) {
	if at == "" {
		w.chain.Pause(w.usdc, on)
		return
	}
	w.chain.Blacklist(w.usdc, at, on)
}

// thaw takes back what the token's owner did, where it is over.
func (w *world) thaw(over func(frozen) bool) {
	w.frozen = slices.DeleteFunc(w.frozen, func(f frozen) bool {
		if over(f) {
			w.setFrozen(f.at, false)
		}
		return over(f)
	})
}

// soothe ends all that vexes batches, and has an operator look after those that wait for
// one, again and again.
func (w *world) soothe() {
	if !w.params.batches.on {
		return
	}
	w.thaw(func(frozen) bool { return true })
	if w.params.batches.poor {
		w.chain.Fund(w.sponsor, chain.NewAmount(1e18))
	}
	w.rescue()
}

func (w *world) rescue() {
	defer w.after(10*time.Minute, w.rescue)
	p := w.any()
	if p == nil {
		return
	}
	w.call("rescue", func(ctx context.Context) func() {
		var rows []bursar.Payout
		err := w.db.store.Read(ctx, func(r bursar.Reader) (err error) {
			rows, err = r.Payouts(ctx, bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutSweep}, Statuses: []bursar.PayoutStatus{bursar.PayoutFailed}})
			return err
		})
		for _, row := range rows {
			_, again := p.gw.RetryPayout(ctx, row.ID)
			err = errors.Join(err, again)
		}
		return func() {
			w.note("%s retries %d sweeps: %v", p.name, len(rows), err)
			if err != nil {
				w.mayFail(err)
			}
		}
	})
}
