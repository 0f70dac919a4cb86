package quorum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Fault is what a provider did wrong.
type Fault string

// The faults. Those marked ¹ put a provider aside at once, those marked ² when
// Config.FailAfter calls of a kind failed in a row; the others only have the
// next provider asked.
const (
	// FaultWrongChain ¹: another chain id, genesis or checkpoint.
	FaultWrongChain Fault = "wrong_chain"
	// FaultContradicted ¹: outvoted about what a block, which all have, holds.
	FaultContradicted Fault = "contradicted"
	// FaultForged ¹: a header that does not have its hash, or contents that do not
	// fit their header.
	FaultForged Fault = "forged"
	// FaultFork ¹: outvoted about a block that it has built upon.
	FaultFork Fault = "fork"
	// FaultFinality ¹: it took back, or exchanged, a block it had called final.
	FaultFinality Fault = "finality_back"
	// FaultPrice ¹: its price of gas is far from what the others ask.
	FaultPrice Fault = "price"
	// FaultLimited ¹: it wants fewer calls, and is left alone as long as it says.
	FaultLimited Fault = "rate_limited"
	// FaultBehind: it does not have yet what others have; ¹ where it is more than
	// Config.MaxBehind behind.
	FaultBehind Fault = "behind"
	// FaultIncoherent ²: an answer that contradicts itself or the question.
	FaultIncoherent Fault = "incoherent"
	// FaultTransport ²: no complete answer, or none in time.
	FaultTransport Fault = "transport"
	// FaultRefused ²: it does not want to answer: a wrong key, an ended plan.
	FaultRefused Fault = "refused"
	// FaultPruned: it does not keep that state any more.
	FaultPruned Fault = "pruned"
	// FaultReorg: its branch changed while it was read.
	FaultReorg Fault = "reorg"
	// FaultUnsupported: it cannot do that.
	FaultUnsupported Fault = "unsupported"
	// FaultAside: it was not asked, being put aside.
	FaultAside Fault = "aside"
)

// atOnce reports whether one such fault puts a provider aside.
func (f Fault) atOnce() bool {
	switch f {
	case FaultWrongChain, FaultContradicted, FaultForged, FaultFork, FaultFinality, FaultPrice, FaultLimited:
		return true
	}
	return false
}

// counted reports whether several in a row do.
func (f Fault) counted() bool {
	return f == FaultIncoherent || f == FaultTransport || f == FaultRefused
}

// mild reports whether a provider with such a fault may be tried again before
// its cool-down is over where nobody else is left: it was away, not wrong.
func (f Fault) mild() bool { return f == FaultTransport || f == FaultBehind || f == FaultRefused }

// sentinel is what a fault means to a caller of the port.
func (f Fault) sentinel() error {
	switch f {
	case FaultWrongChain:
		return chain.ErrWrongChain
	case FaultBehind:
		return chain.ErrNotFound
	case FaultPruned:
		return chain.ErrPruned
	case FaultReorg:
		return chain.ErrReorg
	case FaultUnsupported:
		return chain.ErrUnsupported
	case FaultForged:
		return chain.ErrForged
	}
	return chain.ErrTransient
}

// faultError is a fault that this package found.
type faultError struct {
	fault  Fault
	reason string
}

func (e *faultError) Error() string { return "quorum: " + e.reason }

func (e *faultError) Unwrap() error { return e.fault.sentinel() }

func faulty(f Fault, format string, args ...any) error {
	return &faultError{f, fmt.Sprintf(format, args...)}
}

// errLost is the cause for which a provider's call is cancelled when the answer
// of others was enough.
var errLost = errors.New("quorum: others answered first")

// definite reports whether an error is an answer: it follows from the question
// and the chain's state, and another provider would say the same.
func definite(err error) bool {
	return err == nil || verdict(err) != ""
}

// verdict names a definite error, so that two providers' refusals compare equal
// although their texts differ.
func verdict(err error) string {
	var (
		funds  *chain.InsufficientFundsError
		fee    *chain.FeeTooHighError
		revert *chain.RevertError
		format *chain.FormatError
		policy *chain.PolicyError
	)
	switch {
	case errors.Is(err, chain.ErrNoContract):
		return "no contract"
	case errors.Is(err, chain.ErrLockSpent):
		return "lock spent"
	case errors.Is(err, chain.ErrUnderpriced):
		return "fee too low"
	case errors.Is(err, chain.ErrInvalidSignature):
		return "invalid signature"
	case errors.As(err, &funds):
		return "insufficient funds"
	case errors.As(err, &fee):
		return "fee too high"
	case errors.As(err, &revert):
		return "reverts"
	case errors.As(err, &format):
		return "malformed"
	case errors.As(err, &policy):
		return "signer refuses"
	}
	return ""
}

// classify names the fault behind an error that is no answer.
func classify(err error) Fault {
	var own *faultError
	switch {
	case errors.As(err, &own):
		return own.fault
	case errors.Is(err, chain.ErrWrongChain):
		return FaultWrongChain
	case errors.Is(err, chain.ErrPruned):
		return FaultPruned
	case errors.Is(err, chain.ErrNotFound):
		return FaultBehind
	case errors.Is(err, chain.ErrUnsupported):
		return FaultUnsupported
	case errors.Is(err, chain.ErrReorg):
		return FaultReorg
	case errors.Is(err, chain.ErrRateLimited):
		return FaultLimited
	case errors.Is(err, chain.ErrForged):
		return FaultForged
	case errors.Is(err, chain.ErrIncoherent):
		return FaultIncoherent
	case errors.Is(err, chain.ErrTransient), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return FaultTransport
	}
	return FaultRefused
}

// retryDelay is how long a provider asked to be left alone; zero where it did
// not say.
func retryDelay(err error) time.Duration {
	var says interface{ RetryDelay() time.Duration }
	if errors.As(err, &says) {
		return max(0, says.RetryDelay())
	}
	return 0
}
