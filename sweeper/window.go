package sweeper

import (
	"context"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// feeLook is how often waiting sweeps compare prices.
const feeLook = 5 * time.Minute

// waits reports whether the policy has sweeps wait for low fees.
func (p Policy) waits() bool { return !p.LowFee.IsZero() || p.LowFeePercent > 0 }

func (p Policy) validateWindow() error {
	switch {
	case p.LowFeePercent > MaxLowFeePercent:
		return &ConfigError{"Policy.LowFeePercent", "want 1 to 10000 percent"}
	case p.MaxWait < 0 || p.MaxWait > MaxDeadline:
		return &ConfigError{"Policy.MaxWait", "want up to " + MaxDeadline.String()}
	case p.MaxWait > 0 && !p.waits():
		return &ConfigError{"Policy.MaxWait", "needs LowFee or LowFeePercent: there is nothing to wait for"}
	}
	return nil
}

// cheap is the highest price at which sweeps are made at once. Zero: not known.
func (p Policy) cheap(m chain.FeeMarket) chain.Amount {
	limit := p.LowFee
	// A price so high that a percentage of it overflows is no price.
	if share, err := m.Usual.MulDiv(chain.NewAmount(p.LowFeePercent), chain.NewAmount(100)); err == nil && limit.Less(share) {
		limit = share
	}
	return limit
}

// window is nil where a sweep that was planned then is to be made now.
func (p Policy) window(m chain.FeeMarket, planned, now time.Time) *FeeWaitError {
	limit, until := p.cheap(m), planned.Add(p.MaxWait)
	if limit.IsZero() || !limit.Less(m.Now) || !now.Before(until) {
		return nil
	}
	return &FeeWaitError{Price: m.Now, Limit: limit, Until: until}
}

// dear is why a planned job does not begin yet, nil where it does. Only sweeps
// wait, and those not once gas was bought for them: it would lie there idle.
//
// To wait is an economy and never a condition: a node that does not tell the price
// holds nothing up, and the caps hold without it.
func (r *round) dear(ctx context.Context, j Job) error {
	p := r.policy
	if !p.waits() || j.Intent.Purpose != chain.PurposeCollection || !r.work.Now.Before(j.Planned.Add(p.MaxWait)) {
		return nil
	}
	if j.TopUps > 0 || r.topUp(j, func(Job) bool { return true }) {
		return nil
	}
	if r.market == nil {
		r.market = new(chain.FeeMarket)
		err := r.call(ctx, "FeeEstimator.EstimateFees", func(ctx context.Context) (err error) {
			*r.market, err = r.fees.EstimateFees(ctx)
			return err
		})
		if err != nil {
			*r.market = chain.FeeMarket{}
			r.log.InfoContext(ctx, "the price is not known; nobody waits for a lower one", "err", err)
		}
	}
	// Not returned as it is: a nil pointer in an error is no nil.
	if wait := p.window(*r.market, j.Planned, r.work.Now); wait != nil {
		return wait
	}
	return nil
}
