package bursar

import (
	"cmp"
	"errors"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// offlineKeys is what a signer says of its keys; nil where it says nothing.
func offlineKeys(s chain.Signer) func(chain.KeyRef) bool {
	if offline, ok := s.(chain.OfflineSigner); ok {
		return offline.Offline
	}
	return nil
}

// sweepPolicy is what a chain's sweeper goes by.
func (c *Chain) sweepPolicy(sponsor chain.Account, floats []chain.Account, signer chain.Signer) sweeper.Policy {
	p := sweeper.Policy{
		Offline:  offlineKeys(signer),
		Treasury: c.Treasury, Sponsor: sponsor, Floats: floats, MaxFee: c.MaxFee, MaxTopUp: c.MaxTopUp,
		Deadline: c.SweepDeadline, LowFee: c.LowFee, LowFeePercent: c.LowFeePercent, MaxWait: c.SweepWait,
	}
	room := c.batchRoom()
	if c.MaxBatch < 0 || c.Sweep == SweepOff || c.MaxBatch == 0 && room == 0 {
		return p
	}
	p.MaxBatch, p.Gather = cmp.Or(c.MaxBatch, room), c.Gather
	return p
}

// batchRoom is how many addresses the client sweeps by one transaction; 0 where it does
// no such thing.
func (c *Chain) batchRoom() int { return c.batching().MaxMoves }

func (c *Chain) batching() chain.Batching {
	if batcher, ok := chain.As[chain.Batcher](c.Client); ok {
		return batcher.Batching()
	}
	return chain.Batching{}
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
	case c.Gather > sweeper.MaxDeadline:
		return fieldErr(path+".Gather", CodeOutOfRange, "%s is above %s", c.Gather, sweeper.MaxDeadline)
	case c.Gather > 0 && (c.MaxBatch < 0 || c.batchRoom() == 0):
		return fieldErr(path+".Gather", CodeMismatch, "needs batches: the client makes none, or MaxBatch is negative")
	case c.Treasury != "" && c.batchRoom() > 0 && c.batching().Treasury != c.Treasury:
		return fieldErr(path+".Treasury", CodeMismatch, "the client's contract pays %s: make it for the new treasury", c.batching().Treasury)
	case c.MaxBatch > c.batchRoom():
		return fieldErr(path+".MaxBatch", CodeOutOfRange, "%d is above %d, what the client has room for", c.MaxBatch, c.batchRoom())
	case c.SweepWait > 0 && !waits:
		return fieldErr(path+".SweepWait", CodeMismatch, "needs LowFee or LowFeePercent, for there is nothing to wait for")
	}
	return nil
}

// sweepErr tells a refusal of the sweeper in the words of a Chain.
func sweepErr(path string, err error) error {
	var config *sweeper.ConfigError
	names := map[string]string{
		"Policy.MaxBatch": ".MaxBatch", "Policy.Gather": ".Gather", "Policy.Treasury": ".Treasury", "Policy.Sponsor": ".Client",
		"Policy.Deadline": ".SweepDeadline", "Policy.LowFee": ".LowFee", "Policy.LowFeePercent": ".LowFeePercent", "Policy.MaxWait": ".SweepWait",
	}
	if errors.As(err, &config) && names[config.Field] != "" {
		return &FieldError{Field: path + names[config.Field], Code: CodeInvalid, Reason: config.Reason, Err: err}
	}
	return &FieldError{Field: path, Code: CodeInvalid, Reason: "sweeper", Err: err}
}
