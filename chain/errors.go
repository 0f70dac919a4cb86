package chain

import (
	"errors"
	"fmt"
	"strconv"
)

// Sentinels. Callers branch on them with errors.Is.
var (
	// ErrOverflow and ErrUnderflow report arithmetic outside 0 … 2^256-1.
	ErrOverflow  = errors.New("chain: amount overflow")
	ErrUnderflow = errors.New("chain: amount underflow")
	// ErrNotFound: the node does not have it (yet): a height above the head, an
	// unknown block hash, a contract that is not there.
	ErrNotFound = errors.New("chain: not found")
	// ErrNoContract: the node has the block, and in it there is no contract at that
	// address. It is an ErrNotFound too.
	ErrNoContract = fmt.Errorf("%w: no contract there", ErrNotFound)
	// ErrPruned: the node had that block's state and does not keep it any more. It is
	// an ErrNotFound too.
	ErrPruned = fmt.Errorf("%w: state no longer kept", ErrNotFound)
	// ErrReorg: the branch changed while it was read. Ask again.
	ErrReorg = errors.New("chain: the branch changed while reading")
	// ErrTransient: the node failed or answered incoherently. Ask again later.
	ErrTransient = errors.New("chain: transient failure")
	// ErrIncoherent: the node answered, and what it said contradicts itself or is not
	// what was asked for. It is an ErrTransient too.
	ErrIncoherent = fmt.Errorf("%w: incoherent answer", ErrTransient)
	// ErrForged: what the node said is proven to be something else than the hashes in
	// it promise, so that it was made up or damaged. It is an ErrIncoherent too.
	ErrForged = fmt.Errorf("%w: it does not fit its hash", ErrIncoherent)
	// ErrRateLimited: the node wants fewer calls. An error with a method
	// RetryDelay() time.Duration tells for how long. It is an ErrTransient too.
	ErrRateLimited = fmt.Errorf("%w: too many calls", ErrTransient)
	// ErrUnsupported: the chain or this client cannot do that.
	ErrUnsupported = errors.New("chain: unsupported")
	// ErrLockSpent: another transaction spent a lock of this one.
	ErrLockSpent = errors.New("chain: lock already spent")
	// ErrUnderpriced: the node wants a higher fee.
	ErrUnderpriced = errors.New("chain: fee too low")
	// ErrWrongChain: the node serves another chain than the configured one.
	ErrWrongChain = errors.New("chain: wrong chain")
	// ErrSignerUnavailable: the signer cannot be reached or does not work. It has
	// refused nothing, and the same may be asked again later. No node is to blame.
	ErrSignerUnavailable = errors.New("chain: signer unavailable")
	// ErrInvalidSignature: a signer returned something that is no signature of
	// the account.
	ErrInvalidSignature = errors.New("chain: invalid signature")
)

// FormatError reports text that is not what it should be.
type FormatError struct {
	// What is what the text should be: "amount", "address", "chain id".
	What string
	// Text is what was given, Reason what is wrong with it.
	Text, Reason string
}

// Error tells what went wrong, without secrets.
func (e *FormatError) Error() string {
	text := e.Text
	if len(text) > 80 {
		text = text[:80] + "…"
	}
	return fmt.Sprintf("chain: %s %s: %s", e.What, strconv.Quote(text), e.Reason)
}

// InsufficientFundsError reports an account that cannot pay.
type InsufficientFundsError struct {
	// Account cannot pay Required of Asset: it has Available.
	Account Address
	Asset   Asset // Asset is the CAIP-19 id.
	// Required is what it needs, Available what it has.
	Required, Available Amount
}

// Error tells what went wrong, without secrets.
func (e *InsufficientFundsError) Error() string {
	return fmt.Sprintf("chain: %s has %s %s, needs %s", e.Account, e.Asset.Format(e.Available), e.Asset.Symbol, e.Asset.Format(e.Required))
}

// SourceError is one source that cannot be part of a transaction of many.
type SourceError struct {
	// Account is the source.
	Account Address
	// Reason says why: "delegates to 0x…", "has code".
	Reason string
	// Err is the cause where it has a type: *InsufficientFundsError, *RevertError where
	// the movement would fail; nil otherwise.
	Err error
}

// Error tells what went wrong, without secrets.
func (e *SourceError) Error() string { return "chain: source " + string(e.Account) + ": " + e.Reason }

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// SourcesError reports the sources of an intent that keep the others from being
// moved: without them the intent may do.
type SourcesError struct {
	// Sources are all that were found, at least one, in the order of the moves.
	Sources []*SourceError
}

// Error tells of the first one and how many there are.
func (e *SourcesError) Error() string {
	if len(e.Sources) == 0 {
		return "chain: a source is in the way"
	}
	if more := len(e.Sources) - 1; more > 0 {
		return fmt.Sprintf("%s, and %d more", e.Sources[0].Error(), more)
	}
	return e.Sources[0].Error()
}

// Unwrap returns each of them.
func (e *SourcesError) Unwrap() []error {
	out := make([]error, len(e.Sources))
	for i, s := range e.Sources {
		out[i] = s
	}
	return out
}

// TooManyMovesError reports an intent that does not fit one transaction.
type TooManyMovesError struct {
	// Moves is how many it has, Fit how many of their kind would fit.
	Moves, Fit int
}

// Error tells what went wrong, without secrets.
func (e *TooManyMovesError) Error() string {
	return fmt.Sprintf("chain: %d moves, one transaction has room for %d", e.Moves, e.Fit)
}

// FeeTooHighError reports a fee above the cap.
type FeeTooHighError struct {
	// Fee is what it would cost, Cap what it may cost, in base units.
	Fee, Cap Amount
}

// Error tells what went wrong, without secrets.
func (e *FeeTooHighError) Error() string {
	return fmt.Sprintf("chain: fee %s over the cap %s", e.Fee, e.Cap)
}

// RevertError reports a transaction that would fail or failed on the chain.
type RevertError struct {
	// Reason is what the contract or the node says; Data the raw return data.
	Reason string
	Data   []byte // Data is the raw return data.
}

// Error tells what went wrong, without secrets.
func (e *RevertError) Error() string { return "chain: reverted: " + e.Reason }

// PolicyError reports that a signer refused to sign.
type PolicyError struct {
	// Rule is the rule that was broken, in short: "treasury", "approval".
	Rule string
	// Detail is what was wrong.
	Detail string
	// Key is the key of the request that was refused. Zero where it was not for one of
	// them, or the signer does not say: then a batch waits with all of its sources.
	Key KeyRef
}

// Error tells what went wrong, without secrets.
func (e *PolicyError) Error() string { return "chain: signer refused (" + e.Rule + "): " + e.Detail }
