package sweeper

import (
	"cmp"
	"errors"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Defaults of a Policy.
const (
	DefaultMaxFeeShare     = 50               // DefaultMaxFeeShare is in percent.
	DefaultMaxTopUps       = 3                // DefaultMaxTopUps is per job.
	DefaultTopUpPause      = time.Hour        // DefaultTopUpPause is between those beyond it.
	DefaultMaxOpen         = 64               // DefaultMaxOpen is per chain.
	DefaultQuarantineAfter = 3                // DefaultQuarantineAfter is in failures.
	DefaultResendCap       = 10 * time.Minute // DefaultResendCap is the longest pause between sends.
	DefaultRetryCap        = 10 * time.Minute // DefaultRetryCap is the longest pause between tries.
	DefaultQuarantineCap   = time.Hour        // DefaultQuarantineCap is that after a failed dry run.
	DefaultMaxBumps        = 5                // DefaultMaxBumps is per attempt group.
	DefaultMaxWait         = 24 * time.Hour   // DefaultMaxWait is for a cheaper hour.
	DefaultGather          = 10 * time.Minute // DefaultGather is for company.
)

// Bounds of a Policy.
const (
	MinDeadline      = time.Minute         // MinDeadline bounds Policy.Deadline.
	MaxDeadline      = 30 * 24 * time.Hour // MaxDeadline bounds it, and Policy.MaxWait.
	MaxLowFeePercent = 10_000              // MaxLowFeePercent bounds Policy.LowFeePercent.
)

// Policy says where money goes, what that may cost and how patient a Sweeper
// is. It comes from configuration alone, never from a store.
type Policy struct {
	// Treasury receives all collections. Required where there is a signer.
	Treasury chain.Address
	// Sponsor pays the top-ups. Its zero value means that nobody does: tokens
	// at an address without gas of its own then stay, and their jobs are
	// deferred with ErrNoSponsor.
	Sponsor chain.Account
	// Floats pay refunds and withdrawals: that of the active wallet, and those of
	// retired ones, from which only what was asked for before goes out. None means
	// that nobody does.
	Floats []chain.Account
	// MaxFee caps the fee of every transaction, in base units of the native
	// coin. An asset's MaxSweepFee can only lower it. Zero: the client's own cap
	// alone counts.
	MaxFee chain.Amount
	// MaxFeeShare is the largest part of a native holding that its own sweep
	// may cost, in percent, 1 to 100. Default: DefaultMaxFeeShare. What a
	// token is worth in native coin is not known here; its MaxSweepFee and
	// SweepMinimum say what is economic.
	MaxFeeShare uint64
	// MaxTopUp caps one top-up, in base units of the native coin. Zero: the
	// fee cap of the job that needs it.
	MaxTopUp chain.Amount
	// MaxTopUps is how many top-ups one job may have in a row, while the price of
	// gas outruns them; after that it gets one each TopUpPause, so that it is not
	// stuck for ever. Defaults: DefaultMaxTopUps, DefaultTopUpPause.
	MaxTopUps  int
	TopUpPause time.Duration // TopUpPause is at least that long.
	// MaxBatch is how many addresses' holdings of a token go in one transaction, which
	// the sponsor pays for; the client must be a chain.Batcher for the treasury and the
	// sponsor. Zero, the default: each address pays for its own, after a top-up.
	MaxBatch int
	// Gather is how long the oldest holding of a batch that is not full waits for
	// others, from when it became final. Default: DefaultGather. Negative: not at all.
	Gather time.Duration
	// Offline reports whether a key signs nothing when it is asked, see
	// chain.OfflineSigner. Its account is swept in batches alone, for which somebody else
	// signs, and gets no gas. What no batch moves is planned all the same, and deferred
	// with a *chain.PolicyError before the client is asked. Pure. Nil: no key is.
	Offline func(chain.KeyRef) bool
	// MaxOpen is how many jobs may be under way; refunds and withdrawals, jobs in
	// quarantine and included ones do not count. Default: DefaultMaxOpen.
	MaxOpen int
	// QuarantineAfter is after how many failures in a row a planned job stops
	// holding others up. It goes on being tried. Default: DefaultQuarantineAfter.
	QuarantineAfter int
	// Resend is the first pause before the same bytes are sent again; each
	// further one is as long as all before it, up to ResendCap. Defaults: four
	// block times, between 5 seconds and a minute; DefaultResendCap.
	Resend, ResendCap time.Duration
	// Retry is the first pause after a job could not be prepared or signed; it
	// doubles with each failure up to RetryCap, after a failed dry run up to
	// QuarantineCap, after a failing node up to a minute. Defaults: as Resend;
	// DefaultRetryCap; DefaultQuarantineCap.
	Retry, RetryCap, QuarantineCap time.Duration
	// BumpAfter is how long after its signature an attempt counts as stuck and
	// is replaced by a dearer one with the same locks, where the client can do
	// that. Default: 25 block times, at least 5 minutes. Negative: never.
	BumpAfter time.Duration
	// MaxBumps is how many replacements one attempt group may have. Default:
	// DefaultMaxBumps.
	MaxBumps int
	// Deadline is how long a sweep may take from its first signature until all of
	// its budget is offered: the lowest of MaxFee, the asset's MaxSweepFee and
	// MaxFeeShare of a native holding. It then begins at the lowest price that is
	// still mined and rises, slowly at first, with each replacement. There are
	// MaxBumps of them or fewer, evenly spread over the time, at least BumpAfter
	// apart. The bid depends on the time and on nothing else but the number of
	// attempts, so that after an outage no step is left out. At least BumpAfter and
	// MinDeadline, at most MaxDeadline; it needs a MaxFee and a client that can
	// replace. Top-ups pay the market's price at once, and so does a replacement that
	// an operator wants. Zero, the default: sweeps do too.
	Deadline time.Duration
	// LowFee and LowFeePercent say when work is cheap: at most LowFee for a unit of
	// it (gas), in base units of the native coin, or at most LowFeePercent percent
	// of what it cost in the middle of the last day. While it is neither, a planned
	// sweep waits, deferred with a *FeeWaitError, which is no failure; its top-up is
	// planned with it, and once it has had one it waits no more. Nothing else ever
	// waits. 1 to MaxLowFeePercent; they need a client that is a chain.FeeEstimator.
	// What it cannot tell, nobody waits for. Zero, the default: sweeps do not wait.
	LowFee        chain.Amount
	LowFeePercent uint64 // LowFeePercent is of the usual price; 100 is as usual.
	// MaxWait is how long a sweep waits at most from when it was planned, then it is
	// made at any price within its caps. Up to MaxDeadline. Default: DefaultMaxWait
	// where one of the two is set.
	MaxWait time.Duration
}

// withDefaults fills what is zero. It is idempotent.
func (p Policy) withDefaults(blockTime time.Duration) Policy {
	orDefault(&p.MaxFeeShare, DefaultMaxFeeShare)
	orDefault(&p.MaxTopUps, DefaultMaxTopUps)
	orDefault(&p.TopUpPause, DefaultTopUpPause)
	orDefault(&p.MaxOpen, DefaultMaxOpen)
	orDefault(&p.QuarantineAfter, DefaultQuarantineAfter)
	orDefault(&p.Resend, min(max(4*blockTime, 5*time.Second), time.Minute))
	orDefault(&p.ResendCap, max(DefaultResendCap, p.Resend))
	orDefault(&p.Retry, p.Resend)
	orDefault(&p.RetryCap, max(DefaultRetryCap, p.Retry))
	orDefault(&p.QuarantineCap, max(DefaultQuarantineCap, p.RetryCap))
	orDefault(&p.BumpAfter, max(25*blockTime, 5*time.Minute))
	orDefault(&p.MaxBumps, DefaultMaxBumps)
	if p.waits() {
		orDefault(&p.MaxWait, DefaultMaxWait)
	}
	if p.MaxBatch > 0 {
		orDefault(&p.Gather, DefaultGather)
	}
	return p
}

func (p Policy) validate(signs bool) error {
	switch {
	case signs && p.Treasury == "":
		return &ConfigError{"Policy.Treasury", "required"}
	case p.Sponsor.Address != "" && p.Sponsor.Address == p.Treasury:
		return &ConfigError{"Policy.Sponsor", "is the treasury"}
	case p.Sponsor.Address == "" && p.Sponsor.Key != (chain.KeyRef{}):
		return &ConfigError{"Policy.Sponsor", "has a key but no address"}
	case p.MaxBatch < 0:
		return &ConfigError{"Policy.MaxBatch", "negative"}
	case p.MaxBatch > 0 && p.Sponsor.Address == "":
		return &ConfigError{"Policy.MaxBatch", "needs a sponsor, who pays for it"}
	case p.Gather > MaxDeadline:
		return &ConfigError{"Policy.Gather", "want up to " + MaxDeadline.String()}
	case p.Gather != 0 && p.MaxBatch == 0:
		return &ConfigError{"Policy.Gather", "needs a MaxBatch: there is nothing to wait for"}
	case p.MaxFeeShare > 100:
		return &ConfigError{"Policy.MaxFeeShare", "want 1 to 100 percent"}
	case p.MaxTopUps < 0:
		return &ConfigError{"Policy.MaxTopUps", "negative"}
	case p.TopUpPause < 0:
		return &ConfigError{"Policy.TopUpPause", "negative"}
	case p.MaxOpen < 0:
		return &ConfigError{"Policy.MaxOpen", "negative"}
	case p.QuarantineAfter < 0:
		return &ConfigError{"Policy.QuarantineAfter", "negative"}
	case p.MaxBumps < 0:
		return &ConfigError{"Policy.MaxBumps", "negative"}
	case p.Resend < 0 || p.ResendCap < p.Resend:
		return &ConfigError{"Policy.ResendCap", "want 0 < Resend <= ResendCap"}
	case p.Retry < 0 || p.RetryCap < p.Retry:
		return &ConfigError{"Policy.RetryCap", "want 0 < Retry <= RetryCap"}
	case p.QuarantineCap < p.RetryCap:
		return &ConfigError{"Policy.QuarantineCap", "below RetryCap"}
	}
	return cmp.Or(p.validateDeadline(), p.validateWindow())
}

// offline reports whether an account's key signs nothing.
func (p Policy) offline(a chain.Account) bool { return p.Offline != nil && p.Offline(a.Key) }

// checkKey refuses a job that needs a signature by a key that is offline.
func (p Policy) checkKey(j Job) error {
	who := j.signer() // checkIntent has seen that there is one
	if !p.offline(who) {
		return nil
	}
	return &chain.PolicyError{Rule: ruleOffline, Detail: "only the key of " + string(who.Address) + " could sign for this, and it is offline", Key: who.Key}
}

// ruleOffline is the rule of a refusal that lasts until somebody brings a key.
const ruleOffline = "offline"

// isOffline reports whether something waits for a key, or for what it signs.
func isOffline(err error) bool {
	var refused *chain.PolicyError
	return errors.As(err, &refused) && refused.Rule == ruleOffline
}

// feeCap is the cap that holds for a job: the lower of what was planned and
// what the policy says today. Zero: none.
func (p Policy) feeCap(planned chain.Amount) chain.Amount { return lowerCap(p.MaxFee, planned) }

// topUpCap is the most that one top-up for the job may bring. Zero: no cap.
func (p Policy) topUpCap(j Job) chain.Amount {
	if !p.MaxTopUp.IsZero() {
		return p.MaxTopUp
	}
	return p.feeCap(j.Intent.MaxFee)
}

// quarantined reports whether a job fails so persistently that others no longer
// wait for it. A job with a signature out there is never in quarantine.
func (p Policy) quarantined(j Job) bool {
	return j.State == Planned && !j.started() && j.Failures >= p.QuarantineAfter
}

// resendAt is when the attempt is due. Pauses double, counted from what the
// journal knows alone: the next one is as long as the age at the last send. For
// an attempt that was never sent it lies in the first year.
func (p Policy) resendAt(a Attempt) time.Time {
	pause := min(max(a.SentAt.Sub(a.SignedAt), p.Resend), p.ResendCap)
	return a.SentAt.Add(pause)
}

// retryPause is how long a job rests after its next failure.
func (p Policy) retryPause(failures int, cause error) time.Duration {
	limit := p.RetryCap
	switch {
	case isRevert(cause), isOffline(cause):
		limit = p.QuarantineCap
	case isTransient(cause):
		limit = max(min(time.Minute, p.RetryCap), p.Retry)
	}
	pause := p.Retry
	for i := 0; i < failures && pause < limit; i++ {
		pause *= 2
	}
	return min(pause, limit)
}

// lowerCap is the lower of two caps, where zero is none.
func lowerCap(a, b chain.Amount) chain.Amount {
	switch {
	case a.IsZero():
		return b
	case b.IsZero():
		return a
	}
	return a.Min(b)
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
