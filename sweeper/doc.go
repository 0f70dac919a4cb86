// Package sweeper moves what has become final at our deposit addresses to the
// treasury of one chain. It knows holdings, jobs and transactions; whose money
// it is, and how it is booked, is the business of the Journal it works for.
//
// # The way of a job
//
//	holding ──Decide──▶ planned ──Prepare──▶ draft ──Sign──▶ signed
//	                      ▲  │                                 │
//	        backoff, told │  │ Needs: gas                      ▼
//	                      └──┴──▶ top-up job          Journal.Signed: durable
//	                                                           │
//	        the same bytes, again and again  ┌──Broadcast◀─────┤
//	                                         └─────────────────┘
//	                 until the scanner, elsewhere, sees one of them in a block
//
// Native coin is moved by a plain transfer out of which the fee is paid. A
// token at an address without gas first gets a top-up from the sponsor, which
// is a job like any other: planned under a key of its own, recorded, sent, and
// never repeated while one for the same job is open.
//
// Where the client can move what many accounts hold in one transaction (chain.Batcher)
// and Policy.MaxBatch says so, tokens are gathered and collected together, and the
// sponsor pays for it at once: no top-up, and a fraction of the gas.
//
//	holdings of one token ──gather──▶ batch ──Prepare──▶ draft, as above
//	                                   │
//	   sources that are in the way ◀───┴───▶ too many, or too dear for long
//	   go by themselves, as above            two batches, see Journal.Divide
//
// A source that a batch was to move and did not goes by itself the next time.
//
// Forecasts tells, for holdings and a policy, which way each would go and why, and what
// the ways that are possible cost: Decide and it ask the same function.
//
// # Why nothing is ever paid twice
//
//	job ── group 1 ── attempt a   locks {nonce:h:7}   ┐ share a lock:
//	    │          └─ attempt b   locks {nonce:h:7}   ┘ at most one is mined
//	    └─ group 2 ── attempt c   locks {nonce:h:8}     opened by the journal alone,
//	                                                    when a and b are finally dead
//
// Five rules make it so:
//
//   - A transaction exists for the world only after its bytes and locks were
//     made durable. A crash between the two costs nothing: what was not
//     recorded was never sent.
//   - While a group has an attempt, nothing else is prepared for that job. An
//     unknown outcome is answered by the same bytes; a stuck transaction by a
//     replacement that provably shares a lock with all before it.
//   - A lock is held by one group only. The journal refuses a second one, so
//     two workers with the same key and the same idea cannot both sign.
//   - A lock spent by a stranger is reported and nothing new is made of it.
//   - One holding is covered by one job: plans have keys, and the journal
//     reserves what a plan covers.
//
// # When the work goes to another worker
//
// Right before each signature and each broadcast Config.Holds is asked whether the
// work is still this worker's, because a process does not notice that it was
// asleep. The first ErrLost, from there or from the journal, ends the round on the
// spot. What was recorded the other worker goes on with; what was signed and not
// recorded is forgotten. A process that falls asleep between the question and the
// broadcast sends bytes that the other one sends too, which does no harm.
//
// # What is told through Journal.Defer
//
// *chain.InsufficientFundsError (Account says who cannot pay: the sponsor, or
// an address whose holding was used up as gas), *chain.FeeTooHighError (above
// its cap), *FeeWaitError (dear at the moment, and it has time; no failure),
// ErrUnknownPast (Config.Known waits; no failure), *chain.RevertError (the dry run failed: quarantine of
// this job alone), *chain.PolicyError and chain.ErrInvalidSignature (signer),
// chain.ErrUnsupported, *RefusedError (something is not what was decided),
// ErrNoSponsor, ErrTopUpLimit, ErrTopUpObsolete, *PanicError, and failures of
// the node (chain.ErrTransient).
//
// # What it costs
//
//	planned ──waits while work is dear, at most Policy.MaxWait──▶ first signature
//	   offer: the least that is mined ──▶ dearer with each replacement ──▶ the budget
//	          at the first signature                                      at Policy.Deadline
//
// Both are off by default: then a sweep is made at once, at the market's price.
// Whatever the time, no attempt costs more than the lowest of Policy.MaxFee, the
// asset's MaxSweepFee and MaxFeeShare, and each replacement offers an eighth more.
// Top-ups, and whatever is not a sweep, never wait and never haggle.
//
// # Order and fairness
//
// Everything goes one after the other, the oldest first. At one address only
// one transaction is under way at a time: with two, the first could use up the
// gas of the second, which then could neither be mined nor be given up. A job
// that keeps failing rests ever longer and holds up nobody: neither the other
// jobs of the chain nor the other assets at its address.
package sweeper
