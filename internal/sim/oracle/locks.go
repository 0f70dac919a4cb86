package oracle

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// intent is what a lock is spent for: one attempt group of one payout.
type intent struct {
	payout string
	group  int
}

// takeFences is S6 for writers: a lease that somebody took over is never
// written under again by the one before.
func (o *Oracle) takeFences(b *bursar.Batch) error {
	for _, f := range b.Fences {
		if f.Epoch < o.m.epochs[f.Name] {
			return broken("S6", "a batch under epoch %d of the lease %s came after one under epoch %d", f.Epoch, f.Name, o.m.epochs[f.Name])
		}
		o.m.epochs[f.Name] = f.Epoch
	}
	for _, a := range b.Attempts {
		// An operator may close what a stranger's transaction made void.
		if old := o.m.attempts[a.ID]; len(b.Fences) == 0 && !o.replaying && (a.Open || old == nil || !old.Open) {
			return broken("S6", "attempt %s was written without a lease", a.ID)
		}
	}
	return nil
}

// Leased is S6 for the leases themselves: it tells that a store gave a lease to
// somebody under an epoch. Nobody else ever has it under the same one, or else who
// lost it could go on writing.
func (o *Oracle) Leased(holder string, f bursar.Fence) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := bursar.Fence{Name: f.Name, Epoch: f.Epoch}
	if was, ok := o.m.holders[at]; ok && was != holder {
		return broken("S6", "the lease %s was given to %s under epoch %d, as to %s before", f.Name, holder, f.Epoch, was)
	}
	o.m.holders[at] = holder
	return nil
}

// takeAttempt is S6 for what is signed: it is never changed, and each of its
// locks serves one attempt group for ever, but for those by which sources were to
// delegate in one that is dead: these are their nonces, for whatever they send next.
// What a lost commit held is not known to the gateway any more and does not bind it,
// and what is replayed was judged before, by the chain of that time.
func (o *Oracle) takeAttempt(a *bursar.Attempt) error {
	m := o.m
	old := m.attempts[a.ID]
	m.attempts[a.ID] = a
	o.past.attempts[a.TxID] = a
	if old == nil {
		m.signed[a.PayoutID] = append(m.signed[a.PayoutID], a.ID)
	}
	mine := intent{a.PayoutID, a.Group}
	taken := intent{}
	for i, l := range a.Locks {
		if old != nil && !a.Open && i > 0 {
			break // written once more, after another one delegates with it
		}
		if was, ok := m.locks[l]; ok && was != mine && !o.replaying && !o.unspent(was, l) {
			taken = was
			continue
		}
		m.locks[l] = mine
	}
	if o.replaying {
		if _, ok := m.groups[mine]; !ok {
			m.groups[mine] = a.Locks
		}
		return nil
	}
	if taken.payout != "" {
		return broken("S6", "attempt %s of payout %s group %d spends a lock of payout %s group %d", a.ID, a.PayoutID, a.Group, taken.payout, taken.group)
	}
	if old == nil {
		return o.signed(a)
	}
	if !bytes.Equal(old.Raw, a.Raw) || !slices.Equal(old.Locks, a.Locks) || old.PayoutID != a.PayoutID || old.Group != a.Group || old.TxID != a.TxID {
		return broken("S6", "attempt %s was changed", a.ID)
	}
	return follows("S6", "attempt", a.ID, old.Version, a.Version)
}

// unspent reports whether a group is dead that a source only delegates in by a lock, and
// the lock was not spent with it, or by anybody.
func (o *Oracle) unspent(by intent, l lock) bool {
	for _, id := range o.m.signed[by.payout] {
		if a := o.m.attempts[id]; a.Group == by.group && (a.Open || a.Locks[0] == l) {
			return false
		}
	}
	owner, nonce, ok := strings.Cut(strings.TrimPrefix(string(l), "nonce:"), ":")
	n, err := strconv.ParseUint(nonce, 10, 64)
	return ok && err == nil && o.cfg.Chain.Nonce(chain.Address(owner)) <= n
}

// signed checks a new attempt against its payout and its group.
func (o *Oracle) signed(a *bursar.Attempt) error {
	p := o.m.payouts[a.PayoutID]
	switch {
	case a.Version != 1:
		return follows("S6", "attempt", a.ID, 0, a.Version)
	case p == nil:
		return broken("S6", "attempt %s is of payout %q, which is not there", a.ID, a.PayoutID)
	case a.Group != p.Group:
		return broken("S6", "attempt %s is of group %d, payout %s is in group %d", a.ID, a.Group, p.ID, p.Group)
	case len(a.Locks) == 0:
		return broken("S6", "attempt %s spends no lock", a.ID)
	}
	// All of a group can be mined at most once together.
	mine := intent{a.PayoutID, a.Group}
	if was, ok := o.m.groups[mine]; ok && !slices.ContainsFunc(was, func(l lock) bool { return slices.Contains(a.Locks, l) }) {
		return broken("S6", "attempt %s of payout %s shares no lock with the others of group %d", a.ID, p.ID, a.Group)
	} else if !ok {
		o.m.groups[mine] = a.Locks
	}
	if most := o.mostFee(a, p); !most.IsZero() && most.Less(a.MaxFee) {
		return broken("S9", "attempt %s may cost %s, payout %s at most %s", a.ID, a.MaxFee, p.ID, most)
	}
	if a.Cancels != p.Canceling {
		return broken("S6", "attempt %s of payout %s cancels it: %t, an operator wanted that: %t", a.ID, p.ID, a.Cancels, p.Canceling)
	}
	tx, err := o.decode(a.Raw)
	if err != nil {
		return broken("S6", "attempt %s: %v", a.ID, err)
	}
	if tx.id != a.TxID {
		return broken("S6", "attempt %s has the bytes of %s", a.ID, tx.id)
	}
	return o.replaces(a, p, tx)
}
