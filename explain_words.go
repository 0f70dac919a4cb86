package bursar

import (
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// judge finds the words: a verdict for each transaction, the reasons, the summary.
func (x *explainer) judge() {
	for i := range x.out.Transactions {
		t := &x.out.Transactions[i]
		tip := x.states[t.Chain].Tip().Height
		t.Depth = t.Confirmations(tip)
		if t.Status == TxConfirming && t.Depth < t.Required {
			t.Left = t.Required - t.Depth
		}
		t.Verdict = x.verdict(t.Transaction)
		x.reasons(*t)
	}
	for _, id := range x.concerned() {
		x.follow(id)
	}
	switch x.out.Kind {
	case ExplainedPayment:
		x.payment()
	case ExplainedAddress:
		x.plainAddress()
	case ExplainedTransaction:
		x.transaction()
	case ExplainedPayout:
		x.payout()
	default:
		x.nothing()
	}
	x.out.Reasons = append(x.out.Reasons, x.loose...)
}

func (x *explainer) reason(code ReasonCode, t ExplainedTx, format string, args ...any) {
	text := fmt.Sprintf("%s (%s): ", t.Units, t.seenAs()) + fmt.Sprintf(format, args...)
	x.out.Reasons = append(x.out.Reasons, Reason{Code: code, Text: text, Transaction: t.ID})
}

// follow tells how far a chain was scanned, and that this is why, where it is.
func (x *explainer) follow(id chain.ID) {
	st := x.states[id]
	c := ExplainedChain{
		ID: id, Name: x.name(id), Tip: st.Tip().Height, Head: max(st.Head.Height, x.heads[id]), Final: st.Final, Halted: st.Halted, Scanned: st.UpdatedAt,
	}
	if st.StartedAt.IsZero() {
		c.Scanned = time.Time{} // its row holds no more than the first block's hash
	}
	for _, a := range x.alarms[id] {
		text := fmt.Sprintf("%s since %s: %s", a.Kind, when(a.Since), shorten(a.Reason))
		if a.Provider != "" {
			text = fmt.Sprintf("%s (%s) %s", a.Provider, a.Operator, text)
		}
		c.Conditions = append(c.Conditions, text)
	}
	x.out.Chains = append(x.out.Chains, c)
	if !x.done() {
		x.troubles(c)
	}
	switch {
	case x.done():
	case st.StartedAt.IsZero():
		x.because(ReasonNeverScanned, "no block of %s was ever scanned: start the gateway, and look at its health", c.Name)
	case st.Halted != "":
		x.because(ReasonHalted, "%s is halted since %s (%s): nothing is confirmed, expired or swept until it resumes", c.Name, when(st.HaltedAt), st.Halted)
	case c.Head >= c.Tip+x.gw.nets[id].depth():
		x.because(ReasonBehind, "%s was scanned to block %d, the newest is %d: what came in between is not seen yet", c.Name, c.Tip, c.Head)
	}
}

// troubles tells which conditions of a chain hold crediting up. That some providers
// are put aside does not, as long as enough are left.
func (x *explainer) troubles(c ExplainedChain) {
	for _, a := range x.alarms[c.ID] {
		switch a.Kind {
		case chain.ConditionDiverged:
			x.because(ReasonDiverged, "the providers of %s contradict each other since %s, and what they dispute is not credited until enough of them agree: %s", c.Name, when(a.Since), shorten(a.Reason))
		case chain.ConditionFailing:
			x.because(ReasonFailing, "%s cannot be read since %s: %s", c.Name, when(a.Since), shorten(a.Reason))
		case chain.ConditionStalled, chain.ConditionFinalityStalled:
			x.because(ReasonStalled, "%s has stood still since %s: %s", c.Name, when(a.Since), shorten(a.Reason))
		}
	}
}

// done reports whether there is nothing that could still be credited, so that the
// chain's state is a reason for nothing.
func (x *explainer) done() bool {
	if p := x.out.Payment; p != nil {
		return p.Status == StatusSettled
	}
	return len(x.out.Transactions) > 0 && !slices.ContainsFunc(x.out.Transactions, func(t ExplainedTx) bool { return t.Status != TxConfirmed })
}

// verdict is what a transaction's money is to its payment.
func (x *explainer) verdict(t Transaction) string {
	switch {
	case t.Type != TypeIncoming:
		return "own"
	case t.Status == TxFailed && t.FailureReason == ReasonOrphaned:
		return string(ReasonReorged)
	case t.Status == TxFailed || t.Status == TxReplaced:
		return string(ReasonGone)
	case t.Status == TxPending:
		return string(ReasonMempool)
	case t.Suspense:
		return string(ReasonSuspense)
	case t.Accepted:
		return "accepted"
	case t.PaymentID == "":
		return x.depositVerdict()
	}
	return x.paymentVerdict(t)
}

func (x *explainer) depositVerdict() string {
	if x.out.Address == nil {
		return "deposit"
	}
	switch x.out.Address.Role {
	case RoleUnissued:
		return string(ReasonUnissued)
	case RoleSponsor, RoleFloat:
		return "capital"
	}
	return "deposit"
}

func (x *explainer) paymentVerdict(t Transaction) string {
	p := x.out.Payment
	switch {
	case p != nil && t.PaymentID == p.ID && t.Chain != p.Asset.Chain():
		return string(ReasonOtherChain)
	case p != nil && t.PaymentID == p.ID && t.Asset != p.Asset.ID:
		return string(ReasonWrongAsset)
	case t.Counting:
		return "counting"
	case t.Late:
		return string(ReasonLate)
	}
	return string(ReasonAfterCancel)
}

// reasons tells why a transaction's money is not credited, where it is not.
func (x *explainer) reasons(t ExplainedTx) {
	code := ReasonCode(t.Verdict)
	switch code {
	case ReasonReorged:
		x.reason(code, t, "its block left the chain in a reorg; it counts again once another block has it")
	case ReasonGone:
		x.reason(code, t, "it %s: %s", t.Status, either(t.FailureReason, "another transaction took its place"))
	case ReasonMempool:
		x.reason(code, t, "it was seen in the mempool only: it is in no block yet, whoever sent it can still replace it and a node may drop it, so that nothing is credited before a block has it")
	case ReasonSuspense:
		x.reason(code, t, "%s; it is in suspense, and nobody is credited", doubted(t.Transaction))
	case ReasonUnissued:
		x.reason(code, t, "the address is reserved and was given to nobody: it is booked, and belongs to no payment")
	case ReasonOtherChain:
		x.reason(code, t, "it arrived on %s, asked for was %s; it lies at the address and belongs to no amount", x.name(t.Chain), x.assetName(x.out.Payment.Asset))
	case ReasonWrongAsset:
		x.reason(code, t, "asked for was %s; it lies at the address and belongs to no amount", x.assetName(x.out.Payment.Asset))
	case ReasonLate:
		x.reason(code, t, "its block is of %s, after the deadline and its grace: it is held; AcceptPayment books it", when(t.BlockTime))
	case ReasonAfterCancel:
		x.reason(code, t, "it came after the payment had been canceled: it is held; AcceptPayment books it")
	}
	switch {
	case t.Type != TypeIncoming || t.Status != TxConfirming || t.Suspense:
	case t.Left == 0 && x.states[t.Chain].Halted == "":
		x.notFinal(t)
	case t.Left > 0:
		x.reason(ReasonBelowDepth, t, "%d of %d confirmations; block %d confirms it", t.Depth, t.Required, t.ConfirmAt)
	}
}

// notFinal says what a transfer waits for that is deep enough.
func (x *explainer) notFinal(t ExplainedTx) {
	net := x.gw.nets[t.Chain]
	waits := net != nil && net.demand(t.Asset, t.Amount).final
	if p := x.out.Payment; p != nil && p.ID == t.PaymentID && p.Asset.ID == t.Asset {
		waits = p.Policy.Final
	}
	if net == nil || t.Block <= x.states[t.Chain].Final {
		return
	}
	if waits {
		x.reason(ReasonNotFinal, t, "it is %d deep; so much money waits until block %d is final as well", t.Depth, t.Block)
	} else if most, capped := net.exposure(t.Asset); capped {
		a := x.gw.asset(t.Asset)
		x.reason(ReasonNotFinal, t, "it is %d deep; with it more than %s %s would be confirmed and not final, so that it waits until block %d, or enough before it, is final", t.Depth, a.Format(most), a.Symbol, t.Block)
	}
}

// doubted tells why money is in suspense.
func doubted(t Transaction) string {
	switch t.Via {
	case chain.ViaProtocol:
		return "the protocol credited it (a withdrawal, or a block's fees), which pays for nothing"
	case chain.ViaContract, chain.ViaDelta:
		return "it was at the address before that was given out, or may have been"
	}
	return "the token did not do what its events say, or its code changed; only what arrived is booked"
}

func (x *explainer) assetName(a chain.Asset) string { return a.Symbol + " on " + x.name(a.Chain()) }

func (x *explainer) missing(format string, args ...any) {
	x.out.Missing = append(x.out.Missing, fmt.Sprintf(format, args...))
}

func (x *explainer) say(format string, args ...any) { x.out.Summary = fmt.Sprintf(format, args...) }

// payment tells the state of the payment in words.
func (x *explainer) payment() {
	p := *x.out.Payment
	of := func(n chain.Amount) string { return x.coins(p, n) }
	switch p.Status {
	case StatusPending:
		x.say("pending: %s was asked for, and none of it is in a block yet", of(p.Amount))
	case StatusDetected:
		x.say("detected: %s of %s is in blocks, %s is confirmed", of(p.Received), of(p.Required), of(p.Confirmed))
	case StatusConfirmed:
		x.say("confirmed on %s: %s of %s", when(p.ConfirmedAt), of(p.Confirmed), of(p.Required))
		x.unsettled(p)
	case StatusSettled:
		x.say("settled on %s: %s is in the treasury, final", when(p.SettledAt), of(p.Amount.Min(p.Confirmed)))
	case StatusUnderpaid:
		x.say("underpaid: by the deadline, %s, %s of %s was confirmed; AcceptPayment takes it as it is", when(p.ExpiresAt), of(p.Confirmed), of(p.Required))
	case StatusExpired:
		x.say("expired: by the deadline, %s, nothing that counts was confirmed", when(p.ExpiresAt))
	case StatusCanceled:
		x.say("canceled by the host on %s", when(p.CanceledAt))
	}
	if p.Status == StatusPending || p.Status == StatusDetected {
		x.open(p)
	}
	x.shortOf(p)
	if !p.Held.IsZero() {
		x.missing("%s is held and counts for nothing; AcceptPayment books it", of(p.Held))
	}
	if !p.Refunded.IsZero() {
		x.missing("%s were given back, final", of(p.Refunded))
	}
	if waits := p.Refunding.SubFloor(p.Refunded); !waits.IsZero() {
		x.missing("%s are to be given back; Payouts with this payment as Parents shows how far that is", of(waits))
	}
	if !p.Excess.IsZero() {
		x.missing("%s came on top of the amount; nothing is due, Refund gives it back", of(p.Excess))
	}
}

// shortOf gives the reasons that are about what is not there.
func (x *explainer) shortOf(p Payment) {
	paid := p.Status == StatusConfirmed || p.Status == StatusSettled
	switch {
	case paid:
	case !slices.ContainsFunc(x.out.Transactions, func(t ExplainedTx) bool { return t.Type == TypeIncoming }):
		x.because(ReasonNothingSeen, "no scanned block has a transfer of a configured asset to %s", p.Address)
	case p.Received.Less(p.Required) && !p.Received.IsZero():
		x.because(ReasonTooLittle, "%s counts, %s is required", x.coins(p, p.Received), x.coins(p, p.Required))
	}
}

// open tells what an open payment waits for.
func (x *explainer) open(p Payment) {
	if p.Received.Less(p.Required) {
		x.missing("%s must still arrive at %s", x.coins(p, p.Required.SubFloor(p.Received)), p.Address)
	}
	for _, t := range x.out.Transactions {
		if t.Left > 0 && t.Counting {
			x.missing("%s needs %d more blocks on %s", t.Units, t.Left, x.name(t.Chain))
		}
	}
	switch at := x.out.At; {
	case !p.HoldUntil.IsZero():
		x.missing("the verdict at the deadline waits until %s, because a reorg took a transfer out of the chain", when(p.HoldUntil))
	case at.Before(p.ExpiresAt):
		x.missing("the deadline is %s, in %s", when(p.ExpiresAt), p.ExpiresAt.Sub(at).Round(time.Second))
	default:
		x.missing("the deadline, %s, has passed; the verdict falls once %s is scanned past it, and what is in blocks is confirmed", when(p.ExpiresAt), x.name(p.Asset.Chain()))
	}
}

// unsettled tells why a confirmed payment is not settled.
func (x *explainer) unsettled(p Payment) {
	net := x.gw.nets[p.Asset.Chain()]
	switch {
	case net == nil:
		x.missing("its chain is not configured here: nothing is swept")
	case !p.Final:
		x.missing("its blocks are not final yet, final on %s is block %d; the newest is %d", x.name(p.Asset.Chain()), x.states[p.Asset.Chain()].Final, p.Block)
	case net.cfg.Sweep == SweepOff:
		x.missing("sweeping is off on %s: it stays confirmed", net.info.Name)
	case p.Confirmed.Less(p.Asset.SweepMinimum):
		x.missing("it is below the smallest holding that is swept, %s", x.coins(p, p.Asset.SweepMinimum))
	default:
		x.missing("its money must reach the treasury")
	}
	for _, m := range x.out.Payouts {
		if m.Status != PayoutConfirmed {
			x.missing("%s %s is %s%s", m.Kind, m.ID, m.Status, because(m.Payout))
		}
	}
}

// because is why a payout is where it is.
func because(p Payout) string {
	text := ""
	if p.Canceling {
		text = "; an operator wants it canceled, by a transaction with its nonce that moves nothing"
	}
	if p.FailureReason == "" {
		return text
	}
	text += ": " + p.FailureReason
	if !p.NotBefore.IsZero() && p.Status.Open() {
		text += "; next try " + when(p.NotBefore)
	}
	return text
}

func (x *explainer) coins(p Payment, n chain.Amount) string {
	return p.Asset.Format(n) + " " + p.Asset.Symbol
}

func (x *explainer) plainAddress() {
	a := *x.out.Address
	switch a.Role {
	case RolePermanent:
		x.say("the permanent address of customer %q: %d transfers", a.Customer, len(x.out.Transactions))
	case RoleUnissued:
		x.say("ours, at %s, and issued to nobody: %d transfers", a.Key.Path, len(x.out.Transactions))
	case RoleSponsor:
		x.say("the account that pays for gas, at %s", a.Key.Path)
	case RoleFloat:
		x.say("the account that pays refunds, at %s", a.Key.Path)
	default:
		x.say("an address of ours, at %s", a.Key.Path)
	}
	if len(x.out.Transactions) == 0 {
		x.because(ReasonNothingSeen, "no scanned block has a transfer of a configured asset to %s", a.Address)
	}
}

func (x *explainer) transaction() {
	t := x.out.Transactions[0]
	x.say("%s, %s, in block %d of %s: %s", t.Units, t.Status, t.Block, x.name(t.Chain), t.Verdict)
	if n := len(x.out.Transactions); n > 1 {
		x.say("%d transfers of one transaction on %s", n, x.name(t.Chain))
	}
	if p := x.out.Payment; p != nil {
		x.out.Summary += fmt.Sprintf("; payment %s is %s", p.ID, p.Status)
	}
}

func (x *explainer) payout() {
	m := x.out.Payouts[0]
	x.say("%s of %s to %s: %s%s", m.Kind, m.Units, m.To, m.Status, because(m.Payout))
	if m.Status.Open() && m.FailureReason == "" && !m.NotBefore.IsZero() {
		x.missing("the next step is due on %s", when(m.NotBefore))
	}
}

// nothing tells what a name that is in no row may be.
func (x *explainer) nothing() {
	x.say("nothing here has the name %q", x.what)
	for _, net := range x.gw.order {
		if parsed, err := net.codec.Parse(x.what); err == nil {
			x.say("%s is no address of this gateway", parsed)
			x.loose = append([]Reason{{Code: ReasonNotOurs, Text: "no configured wallet made it for a reserved index: money for it went elsewhere, or the wallet or the database is another one"}}, x.loose...)
			return
		}
	}
	if x.likeHash() {
		x.say("no transaction %s is in the store", x.what)
		return
	}
	x.because(ReasonUnknown, "it is no id, address, transaction hash or idempotency key of this store")
}

func either(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// when writes a time as people read it.
func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }
