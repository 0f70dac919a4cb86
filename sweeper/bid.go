package sweeper

import (
	"time"

	"github.com/bursar-go/bursar/chain"
)

// bidSteps is how finely the time until the deadline is divided.
const bidSteps = 1000

func (p Policy) validateDeadline() error {
	switch {
	case p.Deadline == 0:
		return nil
	case p.Deadline < MinDeadline || p.Deadline > MaxDeadline:
		return &ConfigError{"Policy.Deadline", "want " + MinDeadline.String() + " to " + MaxDeadline.String()}
	case p.MaxFee.IsZero():
		return &ConfigError{"Policy.Deadline", "needs a MaxFee: what is offered in the end is the whole budget"}
	case p.BumpAfter < 0:
		return &ConfigError{"Policy.Deadline", "needs replacements: BumpAfter is negative"}
	case p.Deadline < p.BumpAfter:
		return &ConfigError{"Policy.Deadline", "is before the first replacement: want at least BumpAfter, " + p.BumpAfter.String()}
	}
	return nil
}

// bids reports whether a job's price rises with time. What others wait for does
// not dally, and neither does what an operator wants at once.
func (p Policy) bids(j Job) bool {
	return p.Deadline > 0 && j.Intent.Purpose == chain.PurposeCollection && !j.Urgent && !p.feeCap(j.Intent.MaxFee).IsZero()
}

// bid is what a job's next attempt offers, nil for the market's usual price.
func (p Policy) bid(j Job, now time.Time) *chain.Bid {
	if !p.bids(j) {
		return nil
	}
	if !j.started() {
		return rising(0)
	}
	steps := p.elapsed(now.Sub(j.Attempts[0].SignedAt))
	// Where nobody was there to replace anything for days, the offer still goes
	// up one attempt at a time.
	return rising(min(steps, uint64(len(j.Attempts)*bidSteps/p.raises())))
}

// elapsed is the part of the time until the deadline that is over, in bidSteps.
func (p Policy) elapsed(age time.Duration) uint64 {
	return uint64(min(max(age, 0)/(p.Deadline/bidSteps), bidSteps))
}

// rising is the bid after so many of bidSteps: the cube of the time. A market
// that is quiet for half of it is had for an eighth of the way; what is still
// open towards the end goes up steeply, and the last step is the whole budget.
func rising(step uint64) *chain.Bid {
	step = min(step, bidSteps)
	return &chain.Bid{Part: step * step * step, Of: bidSteps * bidSteps * bidSteps}
}

// bumpAfter is how long an attempt of the job has to be mined before it counts
// as stuck. With a deadline the replacements are spread over the time until it, so
// that the last of them is made there.
func (p Policy) bumpAfter(j Job) time.Duration {
	if !p.bids(j) {
		return p.BumpAfter
	}
	n := time.Duration(p.raises())
	return (p.Deadline + n - 1) / n // rounded up: the last one is not too early for all of it
}

// raises is how many replacements a deadline has room for.
func (p Policy) raises() int {
	return int(max(min(time.Duration(p.MaxBumps), p.Deadline/max(p.BumpAfter, 1)), 1))
}
