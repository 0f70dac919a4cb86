//go:build unix

package crash

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// order is one purchase as the world remembers it.
type order struct {
	job
	asset  chain.Asset
	amount chain.Amount
	way    string
	given  time.Time // when a host was last asked
	delay  int       // of the customer, in milliseconds
	// What the first host said that confirmed it; all others must say the same.
	said    done
	expires time.Time
	// owed is what the customer has yet to pay, in its order.
	owed []debt
	// withdraw has the host cancel the payment; withdrawn is what it said.
	withdraw  bool
	asked     time.Time
	withdrawn *done
}

// debt is one transfer that a customer makes.
type debt struct {
	at     time.Time
	late   bool // it does not matter whether it comes in time
	amount chain.Amount
}

// ways are what customers do, and how often.
func ways() map[string]int {
	return map[string]int{"exact": 8, "over": 2, "half": 2, "halves": 2, "late": 2, "never": 1, "cancel": 2, "race": 3}
}

const (
	// blockPause is the time between two blocks.
	blockPause = 300 * time.Millisecond
	// askAgain is how long a host may take for a job before another one gets it.
	askAgain = 3 * time.Second
	// margin is how far from a deadline a customer stays who is not late, and how
	// far one who is.
	margin = 8 * time.Second
)

// turn makes the world go round until the test ends.
func (w *world) turn() {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	w.t.Cleanup(func() {
		cancel()
		<-stopped
	})
	go func() {
		defer close(stopped)
		clock := time.NewTicker(50 * time.Millisecond)
		defer clock.Stop()
		var block, buy time.Time
		for ctx.Err() == nil {
			now := time.Now()
			if !now.Before(buy) {
				buy = now.Add(time.Second / time.Duration(w.rate))
				w.order()
			}
			w.hand(now)
			w.pay(now)
			if !now.Before(block) {
				block = now.Add(blockPause)
				w.mine(now)
			}
			select {
			case <-ctx.Done():
			case <-clock.C:
			}
		}
	}()
}

// mine makes a block, or replaces the newest ones. It never takes back as many
// as a confirmation needs.
func (w *world) mine(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock() // who stops the making of blocks sees none afterwards
	switch {
	case w.still:
	case !w.calm && w.rnd.IntN(15) == 0:
		w.sim.Reorg(1+w.rnd.IntN(2), chaintest.ReorgOptions{Reverse: w.rnd.IntN(2) == 0})
	default:
		w.sim.MineAt(now)
	}
}

// order has a customer decide to buy something.
func (w *world) order() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	o := &order{asset: w.usdc, way: w.way(), delay: w.rnd.IntN(2000), job: job{Key: fmt.Sprintf("order-%04d", len(w.orders)+1), Kind: "create"}}
	o.Amount = fmt.Sprintf("%d.%02d", 1+w.rnd.IntN(400), w.rnd.IntN(100))
	if w.rnd.IntN(3) == 0 {
		o.asset, o.Amount = w.eth, fmt.Sprintf("0.%02d", 5+w.rnd.IntN(90))
	}
	if w.rnd.IntN(2) == 0 {
		o.Kind = "create tx"
	}
	amount, err := o.asset.Parse(o.Amount)
	if err != nil {
		w.trouble = append(w.trouble, err.Error())
		return
	}
	o.job.Asset, o.amount = string(o.asset.ID), amount
	w.orders = append(w.orders, o)
}

// way picks what the customer is going to do.
func (w *world) way() string {
	weights := w.plans
	if weights == nil {
		weights = ways()
	}
	names, sum := slices.Sorted(maps.Keys(weights)), 0
	for _, name := range names {
		sum += weights[name]
	}
	n := w.rnd.IntN(sum)
	for _, name := range names {
		if n -= weights[name]; n < 0 {
			return name
		}
	}
	return names[0]
}

// hand gives hosts what is to be done, as far as any of them waits for work.
func (w *world) hand(now time.Time) {
	for {
		w.mu.Lock()
		j, at := w.next(now)
		w.mu.Unlock()
		if at == nil {
			return
		}
		select {
		case w.jobs <- j:
		default:
			return // all are busy, or dead
		}
		w.mu.Lock()
		*at = now
		w.mu.Unlock()
		if w.rnd.IntN(6) == 0 { // two hosts at a time with the same order
			select {
			case w.jobs <- j:
			default:
			}
		}
	}
}

// next returns the next job, and where to note that it was given.
func (w *world) next(now time.Time) (job, *time.Time) {
	for _, o := range w.orders {
		switch {
		case o.said.Payment == "" && now.Sub(o.given) > askAgain:
			return o.job, &o.given
		case o.withdraw && o.withdrawn == nil && now.Sub(o.asked) > askAgain:
			return job{Kind: "cancel", Key: o.Key, Payment: o.said.Payment}, &o.asked
		}
	}
	return job{}, nil
}

// confirm hears what a host says that is done.
func (w *world) confirm(d done) {
	w.mu.Lock()
	defer w.mu.Unlock()
	broken := func(what string) {
		w.trouble = append(w.trouble, fmt.Sprintf("%s: %s: %+v", d.Job.Key, what, d))
	}
	i := slices.IndexFunc(w.orders, func(o *order) bool { return o.Key == d.Job.Key })
	switch {
	case d.Trouble != "":
		broken("trouble")
	case i < 0:
		broken("nobody ordered it")
	case d.Job.Kind == "cancel":
		// A reorg may let a second host do what it kept the first one from. Answers
		// cross: an older one takes nothing back.
		o := w.orders[i]
		if o.way == "race" && o.withdrawn == nil {
			w.closeIn(d.Canceled)
		}
		if o.withdrawn == nil || d.Canceled {
			o.withdrawn = &d
		}
	case w.orders[i].said.Payment == "":
		w.orders[i].begin(d, w.lead)
	default:
		if said := w.orders[i].said; said.Payment != d.Payment || said.Address != d.Address || said.Created != d.Created {
			broken("a host said otherwise before")
		}
	}
}

// closeIn keeps races close, however fast the machine is: a cancellation that won
// has the next ones come later, one that lost has them come earlier.
func (w *world) closeIn(canceled bool) {
	if canceled {
		w.lead = min(w.lead*3/2, 20*time.Second)
	} else {
		w.lead = max(w.lead*2/3, 100*time.Millisecond)
	}
}

// begin has the customer plan what to do, now that there is an address. In a race
// the customer is ahead of the host by about lead.
func (o *order) begin(d done, lead time.Duration) {
	o.said, o.expires = d, time.UnixMicro(d.Expires)
	soon := time.Now().Add(time.Duration(o.delay) * time.Millisecond)
	half, err := o.amount.MulDiv(chain.NewAmount(1), chain.NewAmount(2))
	double, over := o.amount.Mul(2)
	if err != nil || over != nil {
		panic(fmt.Sprint(err, over)) // amounts are small
	}
	switch o.way {
	case "exact":
		o.owed = []debt{{soon, false, o.amount}}
	case "over":
		o.owed = []debt{{soon, false, double}}
	case "half":
		o.owed = []debt{{soon, false, half}}
	case "halves":
		o.owed = []debt{{soon, false, half}, {soon.Add(2 * time.Second), false, o.amount.SubFloor(half)}}
	case "late":
		o.owed = []debt{{o.expires.Add(2 * time.Second), true, o.amount}}
	case "edge":
		// Around the deadline, within the time of a few blocks.
		o.owed = []debt{{o.expires.Add(time.Duration(o.delay-1500) * time.Millisecond), true, o.amount}}
	case "cancel":
		o.withdraw = true
	case "race":
		// The host is asked around the moment at which the money is seen.
		o.withdraw, o.owed = true, []debt{{soon, false, o.amount}}
		o.asked = soon.Add(lead*time.Duration(500+o.delay*7%1000)/1000 - askAgain)
	}
}

// pay has customers pay what is due. Who is too near to the deadline to be sure
// of being in time forgets about it.
func (w *world) pay(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.orders {
		for len(o.owed) > 0 && !now.Before(o.owed[0].at) {
			d := o.owed[0]
			o.owed = o.owed[1:]
			if d.late || now.Add(margin).Before(o.expires) {
				w.sim.Pay("customer of "+o.Key, chain.Address(o.said.Address), o.asset, d.amount)
			}
		}
	}
}

// pending is the first order that something is still to happen with.
func (w *world) pending() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.orders {
		if o.said.Payment == "" || len(o.owed) > 0 || o.withdraw && o.withdrawn == nil {
			return o.Key
		}
	}
	return ""
}
