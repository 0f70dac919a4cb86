package bursar

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// codeFeeWait is the FailureCode of a sweep that waits for a cheaper hour. It is
// told as one and is no failure.
const codeFeeWait = "WAITING_FOR_LOWER_FEES"

// codeUnknownPast is that of a refund whose float has done something that the store
// does not know, or not yet. It is told as one and is no failure either.
const codeUnknownPast = "WAITING_FOR_THE_SCANNER"

// codeNetwork is that of what a node did not answer.
const codeNetwork = "NETWORK"

// codeInDoubt is that of a payout to a stranger that may have been paid by what this
// gateway does not know; codeUncovered where the money for it has left the chain.
const (
	codeInDoubt   = "IN_DOUBT"
	codeUncovered = "UNCOVERED"
)

// failing tells the operator, once in a row of failures, that a payout does not get
// on. A node that is away is told of as such, for all payouts at once.
func (d *desk) failing(p *payoutFile) {
	if p.Failures == sweeper.DefaultQuarantineAfter && p.FailureCode != codeNetwork {
		p.notices = append(p.notices, notice{kind: AlertSweepFailing, cause: fmt.Sprintf("failing %d", p.Seq), data: d.payoutData(p.Payout)})
	}
}

// failure names a typed error as payout records and REST answers do.
func failure(err error) (code, reason string) {
	var (
		funds  *chain.InsufficientFundsError
		fee    *chain.FeeTooHighError
		revert *chain.RevertError
		policy *chain.PolicyError
		wait   *sweeper.FeeWaitError
	)
	switch {
	case err == nil:
		return "", ""
	case errors.As(err, &funds):
		return "INSUFFICIENT_FUNDS", funds.Error()
	case errors.As(err, &fee):
		return "FEE_TOO_HIGH", fee.Error()
	case errors.As(err, &wait):
		return codeFeeWait, wait.Error()
	case errors.Is(err, sweeper.ErrUnknownPast):
		return codeUnknownPast, err.Error()
	case errors.As(err, &revert):
		return "REVERTED", revert.Error()
	case errors.As(err, &policy):
		return "SIGNER_REFUSED", policy.Error()
	case errors.Is(err, chain.ErrSignerUnavailable):
		return "SIGNER_UNAVAILABLE", err.Error()
	case errors.Is(err, chain.ErrInvalidSignature):
		return "INVALID_SIGNATURE", err.Error()
	case errors.Is(err, chain.ErrLockSpent):
		return "NONCE_TOO_LOW", err.Error()
	case errors.Is(err, chain.ErrUnderpriced):
		return "UNDERPRICED", err.Error()
	case errors.Is(err, sweeper.ErrNoSponsor):
		return "NO_SPONSOR", err.Error()
	case errors.Is(err, chain.ErrTransient), errors.Is(err, context.DeadlineExceeded):
		return codeNetwork, err.Error()
	}
	return "FAILED", err.Error()
}

// shorten bounds a message that is kept for people.
func shorten(s string) string {
	const most = 500
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	// Nodes and receivers write what they like; databases refuse some of it.
	s = strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
	if cut {
		s += "…"
	}
	return s
}
