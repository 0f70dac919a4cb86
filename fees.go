package bursar

import (
	"errors"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// sweepPolicy is what a chain's sweeper goes by.
func (c *Chain) sweepPolicy(sponsor chain.Account, floats []chain.Account) sweeper.Policy {
	return sweeper.Policy{
		Treasury: c.Treasury, Sponsor: sponsor, Floats: floats, MaxFee: c.MaxFee, MaxTopUp: c.MaxTopUp,
		Deadline: c.SweepDeadline, LowFee: c.LowFee, LowFeePercent: c.LowFeePercent, MaxWait: c.SweepWait,
	}
}

// checkFees checks what a sweep may cost and how long it may take.
func (c *Chain) checkFees(path string) error {
	waits := !c.LowFee.IsZero() || c.LowFeePercent > 0
	switch {
	case c.SweepDeadline != 0 && (c.SweepDeadline < sweeper.MinDeadline || c.SweepDeadline > sweeper.MaxDeadline):
		return fieldErr(path+".SweepDeadline", CodeOutOfRange, "%s is not within %s and %s", c.SweepDeadline, sweeper.MinDeadline, sweeper.MaxDeadline)
	case c.SweepDeadline != 0 && c.MaxFee.IsZero():
		return fieldErr(path+".SweepDeadline", CodeMismatch, "needs MaxFee, for all of it is offered in the end")
	case c.LowFeePercent > sweeper.MaxLowFeePercent:
		return fieldErr(path+".LowFeePercent", CodeOutOfRange, "%d is above %d", c.LowFeePercent, sweeper.MaxLowFeePercent)
	case c.SweepWait < 0 || c.SweepWait > sweeper.MaxDeadline:
		return fieldErr(path+".SweepWait", CodeOutOfRange, "%s is not within 0 and %s", c.SweepWait, sweeper.MaxDeadline)
	case c.SweepWait > 0 && !waits:
		return fieldErr(path+".SweepWait", CodeMismatch, "needs LowFee or LowFeePercent, for there is nothing to wait for")
	}
	return nil
}

// sweepErr tells a refusal of the sweeper in the words of a Chain.
func sweepErr(path string, err error) error {
	var config *sweeper.ConfigError
	names := map[string]string{
		"Policy.Deadline": ".SweepDeadline", "Policy.LowFee": ".LowFee", "Policy.LowFeePercent": ".LowFeePercent", "Policy.MaxWait": ".SweepWait",
	}
	if errors.As(err, &config) && names[config.Field] != "" {
		return &FieldError{Field: path + names[config.Field], Code: CodeInvalid, Reason: config.Reason, Err: err}
	}
	return &FieldError{Field: path, Code: CodeInvalid, Reason: "sweeper", Err: err}
}
