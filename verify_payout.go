package bursar

import (
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// payouts checks all payouts with their attempts, entries and events.
func (a *auditor) payouts() error {
	for after := (Cursor{}); ; {
		rows, err := a.r.Payouts(a.ctx, PayoutQuery{After: after, Limit: auditPage})
		if err != nil {
			return err
		}
		if err := a.payoutPage(rows); err != nil || len(rows) < auditPage {
			return err
		}
		last := rows[len(rows)-1]
		after = Cursor{last.CreatedAt, last.ID}
	}
}

func (a *auditor) payoutPage(rows []Payout) error {
	if len(rows) == 0 {
		return nil
	}
	a.count("payouts", len(rows))
	var ids, parents []string
	for _, p := range rows {
		ids, parents = append(ids, p.ID), append(parents, only(p.Parent)...)
	}
	attempts, err := a.r.Attempts(a.ctx, AttemptQuery{PayoutIDs: ids})
	if err != nil {
		return err
	}
	a.count("attempts", len(attempts))
	of := map[string][]Attempt{}
	for _, at := range attempts {
		of[at.PayoutID] = append(of[at.PayoutID], at)
	}
	served := map[string]bool{"": true}
	if len(parents) > 0 {
		found, err := a.r.Payouts(a.ctx, PayoutQuery{IDs: parents})
		if err != nil {
			return err
		}
		for _, p := range found {
			served[p.ID] = true
		}
		back, err := a.paymentsByID(parents)
		if err != nil {
			return err
		}
		for id := range back {
			served[id] = true
		}
		at, err := a.r.Addresses(a.ctx, AddressQuery{IDs: parents})
		if err != nil {
			return err
		}
		for _, row := range at {
			served[row.ID] = true
		}
	}
	for _, p := range rows {
		row := a.row("payouts", p.ID)
		row.holds(rulePayoutParent, "Parent", served[p.Parent], "there is no %q", p.Parent)
		a.payoutItems(row, p)
		a.payoutState(row, p, of[p.ID])
		a.payoutAccounts(row, p)
		if err := a.payoutStory(row, p); err != nil {
			return err
		}
	}
	return a.ctx.Err()
}

// payoutItems sums what a payout covers.
func (a *auditor) payoutItems(row auditRow, p Payout) {
	total, fees := chain.Amount{}, chain.Amount{}
	parts := p.discharges()
	for i, it := range p.Items {
		total, fees = sum(total, it.Amount), sum(fees, it.FeeShare)
		c := a.covers[it.TransactionID]
		c.by = p.ID
		switch p.Status {
		case PayoutCanceled: // freed what it covered
		case PayoutConfirmed:
			c.discharged, c.fee = sum(c.discharged, parts[i]), sum(c.fee, it.FeeShare)
			if it.missed(parts[i]) {
				c.missed++
			}
		default:
			c.reserved = sum(c.reserved, it.Amount)
		}
		a.covers[it.TransactionID] = c
	}
	if len(p.Items) == 0 {
		row.holds(rulePayoutItems, "Items", p.Kind != PayoutSweep, "a sweep of nothing")
		return
	}
	row.same(rulePayoutItems, "Amount", total, p.Amount)
	a.payoutSources(row, p)
	if p.Block > 0 {
		row.same(rulePayoutFee, "Fee", fees, p.Fee)
	}
}

// payoutSources checks that the sources of a batch are what its items are of, and that
// they sum to what it is.
func (a *auditor) payoutSources(row auditRow, p Payout) {
	if len(p.Sources) == 0 {
		return
	}
	of := map[chain.Address]chain.Amount{}
	for _, it := range p.Items {
		of[it.From] = sum(of[it.From], it.Amount)
	}
	total, moved := chain.Amount{}, chain.Amount{}
	for _, s := range p.Sources {
		total, moved = sum(total, s.Amount), sum(moved, s.Moved)
		row.same(rulePayoutItems, "Sources", of[s.Account.Address], s.Amount, "from", string(s.Account.Address))
		delete(of, s.Account.Address)
	}
	row.holds(rulePayoutItems, "Sources", len(of) == 0, "items of %d accounts that are no sources, or are there twice", len(of))
	row.same(rulePayoutItems, "Sources", total, p.Amount, "in all")
	row.same(rulePayoutItems, "Moved", moved, p.Moved, "is what the sources moved")
}

// payoutState checks that block, attempts and counters go with the status.
func (a *auditor) payoutState(row auditRow, p Payout, attempts []Attempt) {
	var group []Attempt
	included := false
	for _, at := range attempts {
		a.attempt(p, at)
		if at.Group == p.Group {
			group = append(group, at)
			included = included || at.TxID == p.TxID
		}
	}
	row.holds(rulePayoutStatus, "Status", p.Status.valid(), "%q is no status", p.Status)
	row.holds(rulePayoutStatus, "Tries", p.Tries <= maxTries && p.Tries < p.Group+1, "%d tries in %d groups", p.Tries, p.Group)
	row.holds(rulePayoutStatus, "Urged", p.Urged >= 0 && p.Urged <= len(group), "%d, and %d attempts in group %d", p.Urged, len(group), p.Group)
	row.holds(rulePayoutStatus, "Canceling", !p.Canceling || len(group) > 0 && p.Status.Open(), "%s with %d attempts in group %d, and to be canceled", p.Status, len(group), p.Group)
	inBlock := p.Status == PayoutConfirming || p.Status == PayoutConfirmed || p.Status == PayoutConfirmingFailed
	placed, bare := p.Block > 0 && p.BlockHash != "", p.Block == 0 && p.BlockHash == ""
	row.holds(rulePayoutStatus, "Block", inBlock && placed || !inBlock && bare, "%s and in block %d %s", p.Status, p.Block, p.BlockHash)
	row.holds(rulePayoutStatus, "Moved", p.Moved.IsZero() != (p.Status == PayoutConfirming || p.Status == PayoutConfirmed), "%s and moved %s", p.Status, p.Moved)
	row.holds(rulePayoutStatus, "ConfirmedAt", (p.Status == PayoutConfirmed) != p.ConfirmedAt.IsZero(), "%s and confirmed at %q", p.Status, auditText(p.ConfirmedAt))
	switch p.Status {
	case PayoutConfirming, PayoutConfirmed, PayoutConfirmingFailed:
		row.holds(rulePayoutStatus, "TxID", included, "no attempt of group %d is %s", p.Group, p.TxID)
	case PayoutSigned, PayoutBroadcast:
		row.holds(rulePayoutStatus, "Group", len(group) > 0, "%s without an attempt in group %d", p.Status, p.Group)
	case PayoutPlanned, PayoutAwaitingApproval:
		row.holds(rulePayoutStatus, "Group", len(group) == 0, "%s with %d attempts in group %d", p.Status, len(group), p.Group)
	}
	switch p.Status {
	case PayoutSigned, PayoutBroadcast, PayoutConfirming, PayoutConfirmingFailed, PayoutConfirmed:
		open := p.Status != PayoutConfirmed // its lock is spent for good
		for _, at := range group {
			a.row("attempts", at.ID).same(ruleAttemptForm, "Open", open, at.Open, "of payout", p.ID, "which is", string(p.Status))
		}
	}
	if st, ok := a.states[p.Chain]; ok && inBlock {
		row.holds(rulePayoutStatus, "Block", p.Block <= st.Tip().Height, "block %d lies above the tip, %d", p.Block, st.Tip().Height)
		if hash, kept := a.blocks[p.Chain][p.Block]; kept {
			row.same(rulePayoutStatus, "BlockHash", hash, p.BlockHash)
		}
	}
}

// attempt checks one attempt of a payout.
func (a *auditor) attempt(p Payout, at Attempt) {
	row := a.row("attempts", at.ID)
	row.same(ruleAttemptForm, "ID", string(at.Chain)+":"+string(at.TxID), at.ID)
	row.same(ruleAttemptForm, "Chain", p.Chain, at.Chain)
	row.holds(ruleAttemptForm, "Group", at.Group >= 1 && at.Group <= p.Group, "group %d of %d", at.Group, p.Group)
	row.holds(ruleAttemptForm, "Raw", len(at.Raw) > 0, "no bytes")
	row.holds(ruleAttemptForm, "Locks", len(at.Locks) > 0, "no locks")
}

// attempts checks the locks of all open attempts.
func (a *auditor) attempts() error {
	rows, err := a.r.Attempts(a.ctx, AttemptQuery{Open: true})
	if err != nil || len(rows) == 0 {
		return err
	}
	known := map[string]bool{}
	for part := range slices.Chunk(rows, auditPage) {
		ids := make([]string, 0, len(part))
		for _, at := range part {
			ids = append(ids, at.PayoutID)
		}
		found, err := a.r.Payouts(a.ctx, PayoutQuery{IDs: ids})
		if err != nil {
			return err
		}
		for _, p := range found {
			known[p.ID] = true
		}
	}
	for _, at := range rows {
		row := a.row("attempts", at.ID)
		row.holds(ruleAttemptPayout, "PayoutID", known[at.PayoutID], "there is no payout %q", at.PayoutID)
		for _, l := range at.Locks {
			lock, holder := string(at.Chain)+" "+string(l), auditText([]any{at.PayoutID, at.Group})
			other, taken := a.locks[lock]
			row.holds(ruleAttemptLock, "Locks", !taken || other == holder, "%s is held by %s too", l, other)
			a.locks[lock] = holder
		}
	}
	return nil
}

// payoutAccounts derives the accounts of a payout again.
func (a *auditor) payoutAccounts(row auditRow, p Payout) {
	net := a.gw.nets[p.Chain]
	if net == nil {
		a.skip("payouts on "+string(p.Chain), "the chain is not configured")
		return
	}
	row.same(rulePayoutAccount, "From", a.derivedBy(net.book, p.From.Key), p.From.Address)
	for _, s := range p.Sources {
		row.same(rulePayoutAccount, "Sources", a.derivedBy(net.book, s.Account.Key), s.Account.Address)
	}
	if p.Own != nil {
		row.same(rulePayoutAccount, "To", a.derivedBy(net.book, *p.Own), p.To)
	}
}

// payoutStory compares a payout with its entries and events.
func (a *auditor) payoutStory(row auditRow, p Payout) error {
	standing, err := a.entries(p.ID)
	if err != nil {
		return err
	}
	if net := a.gw.nets[p.Chain]; net != nil {
		a.payoutLedger(row, p, net, standing)
	}
	var first Event
	err = a.events("payouts", p.ID, p.Seq, func(e Event) {
		if e.Kind == PayoutCreatedEvent {
			first = e
		}
	})
	told := first.Data.Payout
	if err != nil || told == nil {
		row.holds(rulePayoutCreated, "", err != nil, "no event tells of it")
		return err
	}
	for _, f := range []auditField{
		{"Kind", told.Kind, p.Kind}, {"Asset", told.Asset, p.Asset.ID}, {"Amount", told.Amount, p.Asset.Format(p.Amount)},
		{"From", told.From, p.From.Address}, {"Sources", told.Sources, len(p.Sources)}, {"To", told.To, p.To},
	} {
		row.same(rulePayoutCreated, f.name, f.want, f.got)
	}
	return nil
}

// payoutLedger compares the standing entries of a payout with what its state
// calls for. What else stands must be the gas of attempts that failed for good.
func (a *auditor) payoutLedger(row auditRow, p Payout, net *network, standing []Entry) {
	pf := &payoutFile{Payout: p}
	var want []Entry
	if p.Block > 0 {
		want = pf.postIncluded(net)
		if p.Status == PayoutConfirmed {
			want = append(want, pf.postFinal(net)...)
		}
	}
	for _, w := range want {
		at := slices.IndexFunc(standing, func(e Entry) bool { return samePosting(w, e) })
		row.holds(rulePayoutPosting, "", at >= 0, "no entry stands of rule %s, %s %s from %s to %s", w.Rule, w.Amount, w.Asset, w.Credit, w.Debit)
		if at >= 0 {
			standing = slices.Delete(standing, at, at+1)
		}
	}
	failed := auditSums{}
	for _, e := range standing {
		failed.post(e)
		ok := e.Rule == "L8" && e.Asset == net.info.Native.ID && e.Chain == p.Chain
		a.row("entries", e.ID).holds(ruleEntryExtra, "", ok, "payout %s does not call for %s %s from %s to %s", p.ID, e.Amount, e.Asset, e.Credit, e.Debit)
	}
	for _, account := range []Account{AccountGasU, accountU(p.From.Address)} {
		row.same(rulePayoutPosting, "", 0, failed.of(net.info.Native.ID, account), "is what attempts that failed for good leave on", string(account))
	}
}

// samePosting compares two entries but for their ids and times.
func samePosting(x, y Entry) bool {
	x.ID, x.At = y.ID, y.At
	return x == y
}
