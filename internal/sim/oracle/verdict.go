package oracle

import (
	"slices"
	"time"

	"github.com/bursar-go/bursar"
)

// due is S10: a payment ends without enough money only when a scanned block of
// its depth lies past its deadline, its chain gives verdicts, and nothing that
// may still count is missing or unconfirmed.
func (o *Oracle) due(p *bursar.Payment, path []step) error {
	for _, s := range path {
		if s.to != string(expired) && s.to != string(underpaid) {
			continue
		}
		if err := o.mayEnd(p, s); err != nil {
			return err
		}
	}
	return nil
}

func (o *Oracle) mayEnd(p *bursar.Payment, s step) error {
	st := o.m.chains[p.Asset.Chain()]
	open := s.from == string(pending) || s.from == string(detected)
	switch {
	case st == nil:
		return broken("S10", "payment %s ended %s before its chain was looked at", p.ID, s.to)
	case open && st.Halted != "":
		return broken("S10", "payment %s ended %s while %s was halted: %s", p.ID, s.to, st.Chain, st.Halted)
	case p.ExpiredAt.Before(p.ExpiresAt):
		return broken("S10", "payment %s ended %s at %s, before %s", p.ID, s.to, p.ExpiredAt, p.ExpiresAt)
	case !o.covered(st, p.ExpiresAt, p.RequiredConfirmations, p.ExpiredAt):
		return broken("S10", "payment %s ended %s at height %d: no block that is %d deep lies past %s", p.ID, s.to, height(st), p.RequiredConfirmations, p.ExpiresAt)
	case open && !o.holds(st, p).IsZero():
		return broken("S10", "payment %s ended %s while money may come back until %s", p.ID, s.to, o.holds(st, p))
	case p.Status == bursar.Status(s.to) && !p.HoldUntil.IsZero():
		return broken("S10", "payment %s ended %s while money may come back until %s", p.ID, s.to, p.HoldUntil)
	case open && !p.Accepted && p.Confirmed.Less(p.Received):
		return broken("S10", "payment %s ended %s with %s received and %s confirmed", p.ID, s.to, p.Received, p.Confirmed)
	case p.Status == bursar.Status(s.to) && (s.to == string(expired)) != p.Confirmed.IsZero():
		return broken("S10", "payment %s ended %s with %s confirmed", p.ID, s.to, p.Confirmed)
	}
	return nil
}

// holds returns until when the verdict on a payment must wait for counting money
// that a reorg took, and that may be mined again; the zero time where it need
// not.
func (o *Oracle) holds(st *bursar.ChainState, p *bursar.Payment) time.Time {
	lost, ok := o.m.orphaned[p.ID]
	if !ok || !slices.ContainsFunc(o.m.incoming[p.ID], func(id string) bool { return o.missing(p, o.m.txs[id]) }) {
		return time.Time{}
	}
	wait := max(time.Duration(2*p.RequiredConfirmations)*o.cfg.Chain.Info().BlockTime, time.Hour)
	if until := lost.Add(wait); !o.covered(st, until, p.RequiredConfirmations, p.ExpiredAt) {
		return until
	}
	return time.Time{}
}

// missing reports whether money that counted is out of the chain.
func (o *Oracle) missing(p *bursar.Payment, t *bursar.Transaction) bool {
	return t.Counting && (t.Status == bursar.TxFailed || t.Status == bursar.TxPending) && t.Asset == p.Asset.ID
}

func height(st *bursar.ChainState) uint64 {
	if len(st.Recent) == 0 {
		return 0
	}
	return st.Recent[len(st.Recent)-1].Height
}

// covered reports whether a block that is k deep lies at or past a time. Where a
// chain makes no block without a transaction, a scan up to its head and the
// clock do as well.
func (o *Oracle) covered(st *bursar.ChainState, t time.Time, k uint64, now time.Time) bool {
	top := height(st)
	for _, r := range st.Recent {
		if top+1 >= r.Height+k && !r.Time.Before(t) {
			return true
		}
	}
	info := o.cfg.Chain.Info()
	return info.OnDemandBlocks && st.Head.Height == top && !now.Add(-info.InclusionSlack).Before(t)
}
