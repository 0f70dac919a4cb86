package bursar

import (
	"github.com/bursar-go/bursar/chain"
)

// facts are all that a payment's status depends on.
type facts struct {
	// required is what is enough; confirmed and unconfirmed are the counting
	// money in blocks, accepted the confirmed money that the host bound.
	required, confirmed, unconfirmed, accepted chain.Amount
	// canceled: the host withdrew it. discharged: all applied money reached its
	// end. covered: the chain was scanned past the deadline. hold: a counting
	// transfer is out of the chain after a reorg and may come back.
	canceled, discharged, covered, hold bool
}

// status is the one rule from facts to a status. The transition table is
// checked against it at every step.
func (f facts) status() Status {
	switch {
	case !f.confirmed.Less(f.required), !f.accepted.IsZero():
		if f.discharged {
			return StatusSettled
		}
		return StatusConfirmed
	case f.canceled:
		return StatusCanceled
	case !f.unconfirmed.IsZero():
		return StatusDetected
	case f.covered && !f.hold && !f.confirmed.IsZero():
		return StatusUnderpaid
	case f.covered && !f.hold:
		return StatusExpired
	case !f.confirmed.IsZero():
		return StatusDetected
	}
	return StatusPending
}
