package sim

import (
	"fmt"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// mine makes the next block and arranges for the one after it.
func (w *world) mine() {
	w.mined++
	pause := w.params.blockTime
	fault := None
	if !w.healing {
		fault = w.faults.draw(w.faults.block, "block", fmt.Sprint("block ", w.mined), w.canHappen)
	}
	w.misfortune(fault, &pause)
	w.vex()
	if !w.healing {
		w.trade()
		if s := w.o.Scenario; s != nil && s.Acts[w.mined] != nil {
			s.Acts[w.mined](&Stage{w})
		}
	}
	w.block(time.Now())
	w.settleFees()
	w.after(pause, w.mine)
}

// block makes one block.
func (w *world) block(at time.Time) {
	w.chain.MineAt(at)
	w.note("block %d %s", w.chain.Head().Height, w.chain.Head().Hash[:10])
}

// canHappen reports whether a fault of the world makes sense now.
func (w *world) canHappen(f Fault) bool {
	height := w.chain.Head().Height
	switch f {
	case ChainReorg, ChainDrop:
		return w.params.confirm > 1 && height > 2*w.params.confirm
	case ChainDeep:
		return height > 30
	case ChainReturn:
		return len(w.abandoned) > 0 && height < w.lastReturnHeight+5
	case ChainStall:
		return w.params.tagged && height > w.params.finality
	}
	return true
}

// misfortune is what a fault of the world does.
func (w *world) misfortune(f Fault, pause *time.Duration) {
	if f != None {
		w.note("world %s", f)
	}
	switch f {
	case ChainReorg:
		w.reorg(1+w.dice.IntN(int(w.params.confirm)-1), false)
	case ChainDrop:
		w.reorg(1+w.dice.IntN(int(w.params.confirm)-1), true)
	case ChainDeep:
		w.reorg(int(w.params.confirm)+w.dice.IntN(8), false)
	case ChainReturn:
		w.goBack()
	case ChainHalt:
		*pause = time.Duration(1+w.dice.IntN(20)) * time.Minute
	case ChainStall:
		if w.stalledUntil.IsZero() {
			w.chain.SetFinalized(w.chain.Head().Height - w.params.finality + 1)
			w.stalledUntil = time.Now().Add(time.Duration(1+w.dice.IntN(15)) * time.Minute)
			w.after(time.Until(w.stalledUntil), w.unstall)
		}
	case ChainEvict:
		if ids := w.chain.Mempool(); len(ids) > 0 {
			w.chain.Drop(ids[w.dice.IntN(len(ids))])
		}
	case ChainSpike:
		w.spikeUntil = time.Now().Add(time.Duration(1+w.dice.IntN(10)) * w.params.blockTime)
	default:
		w.operate(f)
	}
}

func (w *world) unstall() {
	w.stalledUntil = time.Time{}
	w.chain.FollowFinalized()
}

// settleFees lets the price of gas walk, and spike.
func (w *world) settleFees() {
	base := w.fees.BaseFee
	step := 875 + uint64(w.dice.IntN(251)) // an eighth down or up
	switch {
	case w.healing:
		base = chain.NewAmount(1e9)
	case time.Now().Before(w.spikeUntil):
		base = chain.NewAmount(uint64(20+w.dice.IntN(80)) * 1e9)
	default:
		next, err := base.MulDiv(chain.NewAmount(step), chain.NewAmount(1000))
		if err == nil && next.Less(chain.NewAmount(2e9)) && chain.NewAmount(5e8).Less(next) {
			base = next
		} else {
			base = chain.NewAmount(1e9)
		}
	}
	if w.o.Calm {
		return
	}
	w.fees.BaseFee = base
	w.chain.SetFees(w.fees)
}

// reorg replaces the newest blocks by a branch that is one block longer.
func (w *world) reorg(depth int, drop bool) {
	head := w.chain.Head()
	depth = min(depth, int(head.Height)-1)
	first, _ := w.chain.Block(head.Height - uint64(depth))
	waited := map[chain.TxID]bool{}
	for _, id := range w.chain.Mempool() {
		waited[id] = true
	}
	w.chain.Rewind(depth)
	w.abandoned, w.lastReturnHeight = append(w.abandoned, head.Hash), head.Height
	w.note("reorg of %d drop=%v", depth, drop)
	for _, id := range w.chain.Mempool() {
		if drop && !waited[id] && w.dice.IntN(2) == 0 {
			w.chain.Drop(id)
		}
	}
	// The blocks of the new branch lie in time where the old ones did.
	span := time.Since(first.Time) / time.Duration(depth+1)
	for i := range depth {
		w.block(first.Time.Add(span * time.Duration(i+1)))
	}
}

// goBack makes the branch that was left last win again.
func (w *world) goBack() {
	to := w.abandoned[len(w.abandoned)-1]
	w.abandoned = w.abandoned[:0]
	here := w.chain.Head()
	w.chain.Return(to)
	w.abandoned, w.lastReturnHeight = append(w.abandoned, here.Hash), here.Height
	w.note("back to %s", to[:10])
	for w.chain.Head().Height < here.Height {
		w.block(time.Now())
	}
}
