package sweeper

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/bursar-go/bursar/chain"
)

// What follows is checked although journal, client and signer are trusted with
// it: a mistake of one of them must not be enough to move money elsewhere.

func topUpKey(j Job, to chain.Address) string {
	return "topup:" + j.ID + ":" + strconv.Itoa(j.TopUps) + ":" + string(to)
}

// accountOf is the job's source with that address.
func accountOf(j Job, address chain.Address) chain.Account {
	for _, m := range j.Intent.Moves {
		if m.From.Address == address {
			return m.From
		}
	}
	return chain.Account{}
}

// checkIntent refuses jobs that pay anyone but the configured treasury, or gas
// to anyone but a source of the job that needs it. The journal's word is not
// enough: a store can be tampered with and a configuration can change.
func (p Policy) checkIntent(on chain.ID, j Job, jobs []Job) error {
	in := j.Intent
	if len(in.Moves) == 0 {
		return refuse("intent.moves", "", "moves nothing")
	}
	for _, m := range in.Moves {
		if m.Asset.Chain() != on {
			return refuse("move.asset", string(m.Asset.ID), "is not of chain "+string(on))
		}
		if m.Amount.IsZero() {
			return refuse("move.amount", "0", "moves nothing, or without a bound")
		}
	}
	switch in.Purpose {
	case chain.PurposeCollection:
		if len(in.Moves) > 1 && !j.batch() {
			return refuse("intent.moves", strconv.Itoa(len(in.Moves)), "many sources and nobody who pays for them")
		}
		if j.batch() && in.FeePayer != p.Sponsor {
			return refuse("intent.fee_payer", string(in.FeePayer.Address), "is not the configured sponsor")
		}
		for _, m := range in.Moves {
			if m.To != p.Treasury {
				return refuse("move.to", string(m.To), "is not the configured treasury "+string(p.Treasury))
			}
			if m.From.Address == p.Sponsor.Address || m.From.Address == p.Treasury {
				return refuse("move.from", string(m.From.Address), "is not a deposit address")
			}
		}
		return nil
	case chain.PurposeTopUp:
		return p.checkTopUp(j, jobs)
	case chain.PurposeRefund, chain.PurposeWithdrawal:
		return p.checkPayment(in)
	}
	return refuse("intent.purpose", string(in.Purpose), "is not something this sweeper does")
}

// paysStranger reports whether an intent moves money out of the gateway to somebody
// who is not the treasury: what was paid twice is gone.
func paysStranger(in chain.Intent) bool {
	return in.Purpose == chain.PurposeRefund || in.Purpose == chain.PurposeWithdrawal
}

// checkPayment refuses what pays a stranger from another account than the float. Who
// may be paid is the business of whoever signs: an approval is in the intent.
func (p Policy) checkPayment(in chain.Intent) error {
	m := in.Moves[0]
	switch {
	case len(in.Moves) != 1:
		return refuse("intent.moves", strconv.Itoa(len(in.Moves)), "a stranger is paid by one move")
	case m.From.Address == "" || !slices.Contains(p.Floats, m.From):
		return refuse("move.from", string(m.From.Address), "is no configured float")
	case m.All || m.Own != nil:
		return refuse("move.amount", m.Amount.String(), "a stranger is paid an exact amount")
	case m.To == p.Sponsor.Address || slices.ContainsFunc(p.Floats, func(a chain.Account) bool { return a.Address == m.To }):
		return refuse("move.to", string(m.To), "is an account of the gateway")
	}
	return nil
}

func (p Policy) checkTopUp(j Job, jobs []Job) error {
	i := slices.IndexFunc(jobs, func(other Job) bool { return other.ID == j.Parent })
	if i < 0 || jobs[i].State == Included {
		return ErrTopUpObsolete
	}
	limit := p.topUpCap(jobs[i])
	for _, m := range j.Intent.Moves {
		to := accountOf(jobs[i], m.To)
		switch {
		case m.From != p.Sponsor || p.Sponsor.Address == "":
			return refuse("move.from", string(m.From.Address), "is not the configured sponsor")
		case to.Address == "" || m.Own == nil || *m.Own != to.Key:
			return refuse("move.to", string(m.To), "is no source of the job that needs gas")
		case !m.Asset.Native() || m.All:
			return refuse("move.asset", string(m.Asset.ID), "a top-up is an exact amount of native coin")
		case !limit.IsZero() && limit.Less(m.Amount):
			return &chain.FeeTooHighError{Fee: m.Amount, Cap: limit}
		}
	}
	return nil
}

// checkDraft refuses a draft that is not what in asks for.
func checkDraft(on chain.ID, in chain.Intent, d chain.Draft, taken map[chain.Lock]bool) error {
	switch {
	case d.Chain != on:
		return refuse("draft.chain", string(d.Chain), "want "+string(on))
	case len(d.Needs) > 0:
		return refuse("draft.needs", strconv.Itoa(len(d.Needs)), "is not payable")
	case len(d.Locks) == 0:
		return refuse("draft.locks", "", "a transaction without a lock could be paid twice")
	case d.Intent.Purpose != in.Purpose || d.Intent.FeePayer != in.FeePayer || len(d.Intent.Moves) != len(in.Moves):
		return refuse("draft.intent", string(d.Intent.Purpose), "is another intent")
	case !in.MaxFee.IsZero() && in.MaxFee.Less(d.Fee):
		return &chain.FeeTooHighError{Fee: d.Fee, Cap: in.MaxFee}
	}
	for i, m := range d.Intent.Moves {
		want := in.Moves[i]
		switch {
		case m.From != want.From || m.To != want.To || m.Asset.ID != want.Asset.ID:
			return refuse("draft.intent", string(m.To), "is another movement")
		case want.All && want.Amount.Less(m.Amount), !want.All && m.Amount != want.Amount:
			return refuse("draft.intent", m.Amount.String(), "want "+want.Amount.String())
		}
	}
	for _, l := range d.Locks {
		if taken[l] {
			return refuse("draft.locks", string(l), "is held by another attempt")
		}
	}
	return nil
}

// checkSigned refuses a signature that does not belong to the draft.
func checkSigned(d chain.Draft, s chain.Signed) error {
	switch {
	case s.Chain != d.Chain:
		return refuse("signed.chain", string(s.Chain), "want "+string(d.Chain))
	case s.ID == "" || len(s.Raw) == 0:
		return refuse("signed.id", string(s.ID), "no bytes or no id")
	case !sameLocks(d.Locks, s.Locks):
		return refuse("signed.locks", fmt.Sprint(s.Locks), fmt.Sprintf("want %v", d.Locks))
	}
	return nil
}

func sameLocks(a, b []chain.Lock) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// commonLocks are the locks that all attempts of the group hold: at most one of
// the transactions that hold one of them can ever be mined.
func commonLocks(attempts []Attempt) []chain.Lock {
	var out []chain.Lock
	for _, l := range attempts[0].Signed.Locks {
		if !slices.ContainsFunc(attempts, func(a Attempt) bool { return !slices.Contains(a.Signed.Locks, l) }) {
			out = append(out, l)
		}
	}
	return out
}
