package memory

import (
	"maps"
	"slices"

	"github.com/bursar-go/bursar"
)

// The copies below leave out what is immutable: strings, amounts and times.
// They serve both ways, so that neither the caller nor the store can change
// what the other holds.

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

func copyPayment(p *bursar.Payment) bursar.Payment {
	c := *p
	c.Metadata = maps.Clone(p.Metadata)
	c.AcceptKeys = slices.Clone(p.AcceptKeys)
	return c
}

func copyTransaction(t *bursar.Transaction) bursar.Transaction { return *t }

func copyAddress(a *bursar.Address) bursar.Address {
	c := *a
	c.Metadata = maps.Clone(a.Metadata)
	return c
}

func copyPayout(p *bursar.Payout) bursar.Payout {
	c := *p
	c.Own = clone(p.Own)
	c.Items, c.Sources = slices.Clone(p.Items), slices.Clone(p.Sources)
	if c.Approval = clone(p.Approval); c.Approval != nil {
		c.Approval.Signature = slices.Clone(p.Approval.Signature)
	}
	return c
}

func copyAttempt(a *bursar.Attempt) bursar.Attempt {
	c := *a
	c.Raw, c.Locks = slices.Clone(a.Raw), slices.Clone(a.Locks)
	return c
}

func copyChain(s *bursar.ChainState) bursar.ChainState {
	c := *s
	c.Recent, c.Assets = slices.Clone(s.Recent), slices.Clone(s.Assets)
	return c
}

func copyEvent(e *bursar.Event) bursar.Event {
	c := *e
	c.Data.Metadata = maps.Clone(e.Data.Metadata)
	c.Data.Transaction = clone(e.Data.Transaction)
	c.Data.Payout = clone(e.Data.Payout)
	c.Data.Condition = clone(e.Data.Condition)
	if c.Data.Restore = clone(e.Data.Restore); c.Data.Restore != nil {
		c.Data.Restore.Pools = slices.Clone(c.Data.Restore.Pools)
	}
	return c
}

// copies returns copies of rows, in order.
func copies[In, Out any](rows []*In, one func(*In) Out) []Out {
	out := make([]Out, len(rows))
	for i, row := range rows {
		out[i] = one(row)
	}
	return out
}
