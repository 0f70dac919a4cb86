package sweeper

import (
	"context"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Journal is where a Sweeper reads what there is to do and records what it
// does. It is the authority for both: a Sweeper remembers nothing between two
// steps, so that any instance can go on where another one died.
//
// Every write is refused (an error, nothing written) when the caller may no
// longer write. Where it has lost its lease the error wraps ErrLost, which ends
// the round: whoever has the lease now goes on from what is recorded. A write that returns an
// error may have happened all the same; repeating it does no harm.
type Journal interface {
	// Work returns one consistent snapshot of all that a step decides on.
	Work(ctx context.Context) (Work, error)

	// Plan records new jobs as planned, group 1, without attempts, and reserves
	// what they cover. A plan is passed over silently where its Key was ever
	// used, or where a Ref in Covers no longer names exactly the transfers that
	// it named in Work. All of a call happens or nothing; while the journal is
	// halted nothing does.
	Plan(ctx context.Context, plans []Plan) error

	// Divide gives a planned job up and records parts in its place, which have its
	// moves, each one once, and cover what it covers. Their Covers are empty. It is
	// refused where something is signed in the job's group or an attempt of it is
	// open, where the parts do not have exactly its moves, and while the journal is
	// halted. cause is why the job could not go on.
	Divide(ctx context.Context, jobID string, parts []Plan, cause error) error

	// CallOff has what is signed for a job overtaken by a transaction that moves nothing:
	// it sets Job.Cancel, also where that is set, and does nothing where the job is in a
	// block by now. cause is why. What it covers is planned anew once that is final.
	CallOff(ctx context.Context, jobID string, cause error) error

	// Signed makes a planned job signed, or adds a replacement to the group of
	// a job that has attempts already. Bytes and locks are durable when it
	// returns nil. It MUST refuse
	//   - a lock that an open attempt of another group holds,
	//   - a lock that a transaction in a block has used up, with chain.ErrLockSpent: the
	//     job is deferred,
	//   - a job that has attempts where d.Intent.Reuse is empty, so that two
	//     workers with the same snapshot cannot both sign it,
	//   - a replacement without a lock common to all attempts of the group,
	//   - a transaction id that is recorded already,
	//   - anything at all while it is halted.
	// After an error the bytes are not sent.
	Signed(ctx context.Context, jobID string, d chain.Draft, s chain.Signed) error

	// Sent records the outcome of one broadcast: nil means that the network has
	// the transaction; any error leaves that open. A signed job becomes
	// broadcast either way, and the time is noted as the attempt's SentAt. It
	// never closes anything: what became of a transaction only the chain says.
	Sent(ctx context.Context, jobID string, id chain.TxID, outcome error) error

	// Defer records why a job could not go on and when to try again. The cause
	// is typed, see doc.go; it counts as one of the job's Failures unless it is a
	// *FeeWaitError or wraps ErrUnknownPast. The job's state does not change; where it has attempts they are sent on.
	Defer(ctx context.Context, jobID string, cause error, until time.Time) error
}

// Work is a snapshot of a journal. A Sweeper changes nothing in it.
type Work struct {
	// Now is the time of the snapshot by the journal's clock. All decisions of
	// a step use it.
	Now time.Time
	// Holdings are what can be collected.
	Holdings []Holding
	// Jobs are the open ones, oldest first: a job leaves the list when its
	// outcome is final, or when it was given up before anything was signed.
	Jobs []Job
	// Taken are the locks of all open attempts on this chain, of whatever job.
	Taken []chain.Lock
	// Halted is true while nothing may be decided: no plans and no signatures.
	// What was persisted is still sent, because it was decided before and
	// holding it back could only leave it stuck.
	Halted bool
}

// Holding is an amount of one asset at one of our deposit addresses that is
// final on the chain and neither collected nor covered by a job.
type Holding struct {
	// Ref names the set of transfers that the holding consists of. It is opaque
	// here; the same set has the same Ref, another set another one, and so has
	// the same set after a job that covered it was given up.
	Ref string
	// Account is the address with its key.
	Account chain.Account
	// Asset is what is held, with the limits that hold today.
	Asset chain.Asset
	// Amount is how much, in base units: the sum of final transfers, never a
	// balance, because a balance contains what a reorg can still take away.
	Amount chain.Amount
	// Since is when the oldest of the transfers became final.
	Since time.Time
	// Plain says that the address must stay an account without code, because coin is
	// paid to it: it is in no batch. A payment that offers 21,000 gas fails where there
	// is code.
	Plain bool
	// Missed is how many batches that are final were to move some of it and did not.
	Missed int
}

// JobState is how far a job has come.
type JobState string

// The states of an open job.
const (
	// Planned: nothing is signed in the present attempt group.
	Planned JobState = "planned"
	// Signed: bytes are persisted, perhaps never sent.
	Signed JobState = "signed"
	// Broadcast: sent at least once, outcome open.
	Broadcast JobState = "broadcast"
	// Included: in a block, not final yet. A reorg makes it Broadcast again.
	Included JobState = "included"
)

// Job is one outgoing transaction that was decided on.
type Job struct {
	// ID is the journal's own id.
	ID string
	// Key is the Key of its Plan.
	Key string
	// State is how far it came.
	State JobState
	// Intent is that of its Plan. Its Purpose says what kind of job it is.
	Intent chain.Intent
	// Parent is the ID of the job that a top-up serves, else empty.
	Parent string
	// Planned is when it was planned. Zero: not known, then it waits for no price.
	Planned time.Time
	// Group counts the attempt groups, from 1. The journal opens a new one only
	// when every attempt of the old one is finally dead.
	Group int
	// Attempts are those of the present group, oldest first.
	Attempts []Attempt
	// TopUps is how many top-ups of this job are no longer open, whatever
	// became of them.
	TopUps int
	// ToppedUp is when the newest of them was planned.
	ToppedUp time.Time
	// Failures counts the Defer calls since it last moved.
	Failures int
	// NotBefore is when it may be prepared (or bumped) again.
	NotBefore time.Time
	// Urgent is true where an operator wants a dearer attempt at once, whatever
	// Policy.BumpAfter and MaxBumps say. Only for a job with attempts.
	Urgent bool
	// Cancel is true where an operator, or CallOff, wants what is signed overtaken by a
	// transaction that moves nothing: every further attempt of the group is one.
	Cancel bool
	// Gone is true where something that it covers is not on the chain: what it moves
	// must stay what it is until that is settled.
	Gone bool
}

// Attempt is one signed transaction of a job.
type Attempt struct {
	// Signed has the bytes, the id and the locks.
	Signed chain.Signed
	// SignedAt is when it was persisted.
	SignedAt time.Time
	// SentAt is when it was last sent; zero where never, or where a reorg took
	// it out of its block since: then it is sent at once.
	SentAt time.Time
	// Error is what the last broadcast said; empty where the network took it.
	Error string
	// Cancels is true for one that moves nothing.
	Cancels bool
}

// Plan is a job to be recorded.
type Plan struct {
	// Key makes planning idempotent; see Journal.Plan.
	Key string
	// Intent is what shall happen. Its limits were fixed by the policy.
	Intent chain.Intent
	// Parent is the ID of the job that a top-up serves, else empty.
	Parent string
	// Covers are the Refs of the holdings that it collects; none for a top-up, and for
	// a part of another job.
	Covers []string
}

// started reports whether something of the present group may be on its way.
func (j Job) started() bool { return len(j.Attempts) > 0 }

// inFlight reports whether a transaction of the job may be mined at any moment:
// what its sources own is then not what the chain says they own.
func (j Job) inFlight() bool { return j.started() && j.State != Included }

// cancelDue reports whether the job is to be canceled and nothing was signed for that.
func (j Job) cancelDue() bool {
	return j.Cancel && !slices.ContainsFunc(j.Attempts, func(a Attempt) bool { return a.Cancels })
}

// signer is the account that signs and sends the job's transactions.
func (j Job) signer() chain.Account {
	if j.batch() {
		return j.Intent.FeePayer
	}
	return j.Intent.Moves[0].From
}

// sources are the accounts that the job draws on.
func (j Job) sources() []chain.Address {
	out := make([]chain.Address, 0, len(j.Intent.Moves))
	for _, m := range j.Intent.Moves {
		out = append(out, m.From.Address)
	}
	return out
}

// newest is the attempt that offers the most. Only for started jobs.
func (j Job) newest() Attempt { return j.Attempts[len(j.Attempts)-1] }
