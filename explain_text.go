package bursar

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// String is the explanation as an operator reads it.
func (x Explanation) String() string {
	w := &textWriter{}
	w.line("%s: %s", x.Asked, x.Summary)
	for _, m := range x.Missing {
		w.line("  next: %s", m)
	}
	for _, r := range x.Reasons {
		w.line("  why: %s [%s]", r.Text, r.Code)
	}
	x.payment(w)
	x.address(w)
	for _, id := range x.Payments {
		if len(x.Payments) > 1 {
			w.line("pays %s", id)
		}
	}
	w.head(len(x.Transactions), "transactions")
	for _, t := range x.Transactions {
		t.write(w)
	}
	w.head(len(x.Payouts), "payouts")
	for _, p := range x.Payouts {
		p.write(w)
	}
	w.head(len(x.Entries), "ledger entries")
	for _, e := range x.Entries {
		w.line("  %s %-5s %s base units, %s <- %s%s", when(e.At), e.Rule, e.Amount, e.Debit, e.Credit, prefixed(" reverses ", e.Reverses))
	}
	w.head(len(x.Events), "events")
	for _, e := range x.Events {
		e.write(w)
	}
	w.head(len(x.Chains), "chains")
	for _, c := range x.Chains {
		w.line("  %s (%s): scanned to %d of %d, final %d, last written %s%s", c.Name, c.ID, c.Tip, c.Head, c.Final, moment(c.Scanned), prefixed(", halted: ", c.Halted))
		for _, condition := range c.Conditions {
			w.line("    %s", condition)
		}
	}
	for _, n := range x.Notes {
		w.line("not known: %s", n)
	}
	return w.String()
}

// textWriter writes lines. What receivers of webhooks, payers and nodes wrote must
// not move an operator's cursor or begin a line of its own.
type textWriter struct{ strings.Builder }

func (w *textWriter) line(format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, fmt.Sprintf(format, args...))
	_, _ = fmt.Fprintln(w, text) // a Builder takes all
}

func (w *textWriter) head(n int, name string) {
	if n > 0 {
		w.line("%s", name)
	}
}

func (x Explanation) payment(w *textWriter) {
	p := x.Payment
	if p == nil {
		return
	}
	w.line("payment %s", p.ID)
	w.line("  status %s, asked for %s %s (%s), attempt %d", p.Status, p.Asset.Format(p.Amount), p.Asset.Symbol, p.Asset.ID, p.Attempt)
	w.line("  received %s, confirmed %s, held %s, missing %s, on top %s", p.Asset.Format(p.Received), p.Asset.Format(p.Confirmed), p.Asset.Format(p.Held), p.Asset.Format(p.Shortfall), p.Asset.Format(p.Excess))
	w.line("  address %s (%s)", p.Address, p.AddressID)
	w.line("  created %s, expires %s, next verdict %s", when(p.CreatedAt), when(p.ExpiresAt), moment(p.Deadline))
	for _, more := range []struct{ name, value string }{
		{"idempotency key", p.IdempotencyKey}, {"customer", p.Customer}, {"previous attempt", p.Previous}, {"next attempt", p.Next},
	} {
		if more.value != "" {
			w.line("  %s %s", more.name, more.value)
		}
	}
}

func (x Explanation) address(w *textWriter) {
	if a := x.Address; a != nil {
		w.line("address %s: %s, %s, index %d of pool %s%s", a.Address, a.Role, a.Key.Path, a.Index, a.Pool, prefixed(", customer ", a.Customer))
	}
}

func (t ExplainedTx) write(w *textWriter) {
	w.line("  %s %s %s, %s, %d of %d confirmations, %s", t.ID, t.Type, t.Units, t.Status, min(t.Depth, t.Required), t.Required, t.Verdict)
	place := "in no block"
	if t.Live() {
		place = fmt.Sprintf("block %d of %s, %s", t.Block, t.Chain, moment(t.BlockTime))
	}
	w.line("    %s, from %s to %s, %s", t.seenAs(), either(string(t.From), "nobody that is known"), t.To, place)
}

// seenAs names the transaction on the chain or, where a balance alone told of it, in
// which blocks that came.
func (t ExplainedTx) seenAs() string {
	if t.Transfer.Tx != "" {
		return string(t.Transfer.Tx)
	}
	if from, to, ok := deltaSpan(t.Transfer, t.To); ok {
		switch from {
		case 0:
			return fmt.Sprintf("no transaction known, by the balance in block %d or before", to)
		case to:
			return fmt.Sprintf("no transaction known, by the balance in block %d", to)
		}
		return fmt.Sprintf("no transaction known, by the balance in blocks %d to %d", from, to)
	}
	return "no transaction, credited by the protocol (" + t.Transfer.Ordinal + ")"
}

func (m ExplainedMove) write(w *textWriter) {
	from := string(m.From.Address)
	if n := len(m.Sources); n > 0 {
		from = fmt.Sprintf("%d addresses, by %s,", n, from)
	}
	w.line("  %s %s of %s from %s to %s: %s%s", m.ID, m.Kind, m.Units, from, m.To, m.Status, because(m.Payout))
	for _, a := range m.Attempts {
		state := "closed"
		if a.Open {
			state = "open"
		}
		w.line("    attempt %s, group %d, %s%s", a.TxID, a.Group, state, prefixed(": ", a.Error))
	}
}

func (e ExplainedEvent) write(w *textWriter) {
	w.line("  %d %s %s (%s)", e.Seq, when(e.Time), e.Kind, e.ID)
	for _, d := range e.Deliveries {
		next := ""
		if !d.NextAt.IsZero() {
			next = ", next " + when(d.NextAt)
		}
		w.line("    to %s: %s, %d attempts%s%s", d.Endpoint, d.Status, d.Attempts, next, prefixed(", last error: ", d.LastError))
	}
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// moment is when, of a time that may not have come.
func moment(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return when(t)
}
