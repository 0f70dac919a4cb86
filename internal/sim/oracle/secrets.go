package oracle

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bursar-go/bursar"
)

// Log is S8 for a line of a log.
func (o *Oracle) Log(line string) error { return o.open("a line of the log", line) }

// open is S8 for texts.
func (o *Oracle) open(what string, texts ...string) error {
	for i, canary := range o.cfg.Secrets {
		for _, text := range texts {
			if canary != "" && strings.Contains(text, canary) {
				return broken("S8", "%s holds the secret number %d", what, i)
			}
		}
	}
	return nil
}

// clean is S8 for a batch: the texts that come from elsewhere, from errors above
// all. The end looks at everything else.
func (o *Oracle) clean(b *bursar.Batch) error {
	if len(o.cfg.Secrets) == 0 {
		return nil
	}
	var f first
	for i := range b.Payments {
		p := &b.Payments[i]
		f.note(o.open("payment "+p.ID, p.FailureReason, p.URI, p.Customer))
	}
	for i := range b.Transactions {
		f.note(o.open("transaction "+b.Transactions[i].ID, b.Transactions[i].FailureReason))
	}
	for i := range b.Payouts {
		f.note(o.open("payout "+b.Payouts[i].ID, b.Payouts[i].FailureReason, b.Payouts[i].FailureCode))
	}
	for i := range b.Attempts {
		f.note(o.open("attempt "+b.Attempts[i].ID, b.Attempts[i].Error))
	}
	for i := range b.Deliveries {
		f.note(o.open("a delivery to "+b.Deliveries[i].Endpoint, b.Deliveries[i].LastError, b.Deliveries[i].Tries))
	}
	for i := range b.Chains {
		f.note(o.open("a chain's row", b.Chains[i].Halted))
	}
	for i := range b.Events {
		f.note(o.quietEvent(&b.Events[i]))
	}
	return f.err
}

func (o *Oracle) quietEvent(e *bursar.Event) error {
	err := o.open("event "+e.ID, e.Data.Reason, e.Data.Customer)
	if t := e.Data.Transaction; err == nil && t != nil {
		err = o.open("event "+e.ID, t.Reason)
	}
	if p := e.Data.Payout; err == nil && p != nil {
		err = o.open("event "+e.ID, p.Reason, p.Code)
	}
	return err
}

// silent is S8 for all that is stored, to the last field.
func (o *Oracle) silent(d *dump) error {
	if len(o.cfg.Secrets) == 0 {
		return nil
	}
	for _, rows := range []any{d.payments, d.transactions, d.addresses, d.payouts, d.attempts, d.entries, d.events, d.deliveries, d.state} {
		text, err := json.Marshal(rows)
		if err != nil {
			return err
		}
		if err := o.open(fmt.Sprintf("one of the rows %T", rows), string(text)); err != nil {
			return err
		}
	}
	return nil
}
