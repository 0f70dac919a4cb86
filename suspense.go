package bursar

import (
	"cmp"
	"context"
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// suspect is one token at one of our addresses.
type suspect struct {
	to    chain.Address
	asset chain.AssetID
}

// doubt is why a token's transfers to an address are not credited.
type doubt struct {
	kind   Kind // of the alert; empty: AlertTokenAnomaly
	reason string
	// arrived is what really came in the page and is not yet given to a
	// transfer.
	arrived chain.Amount
}

func copyDoubts(m map[suspect]doubt) map[suspect]*doubt {
	out := make(map[suspect]*doubt, len(m))
	for k, v := range m {
		out[k] = &v
	}
	return out
}

// doubts looks behind the events of tokens that are configured to be watched
// closely: at the balances that they made, and at the code that made them. It
// asks the node, hence before the transaction. What cannot be asked is an
// error: the page is read again, and nothing of it is credited unseen.
func (s *sink) doubts(ctx context.Context, page chain.Page) (map[suspect]doubt, error) {
	said := map[suspect]chain.Amount{}
	var order []suspect
	for _, t := range page.Transfers {
		a := s.net.known().all[t.Asset]
		if _, ours := s.net.book.own(t.From); ours || !a.VerifyBalance && a.CodeHash == "" {
			continue
		}
		at := suspect{t.To, t.Asset}
		if _, seen := said[at]; !seen {
			order = append(order, at)
		}
		said[at] = sum(said[at], t.Amount)
	}
	if len(order) == 0 {
		return nil, nil
	}
	out := map[suspect]doubt{}
	changed, err := s.changedCode(ctx, order)
	if err != nil {
		return nil, err
	}
	arrived, err := s.arrivals(ctx, page, order, said)
	if err != nil {
		return nil, err
	}
	for _, at := range order {
		if reason := changed[at.asset]; reason != "" {
			out[at] = doubt{reason: reason, arrived: arrived[at]}
		} else if arrived[at].Less(said[at]) {
			a := s.net.known().all[at.asset]
			out[at] = doubt{arrived: arrived[at], reason: fmt.Sprintf("the events say %s %s, the balance grew by %s", a.Format(said[at]), a.Symbol, a.Format(arrived[at]))}
		}
	}
	return out, nil
}

// changedCode compares the pinned tokens among the suspects with their code.
func (s *sink) changedCode(ctx context.Context, order []suspect) (map[chain.AssetID]string, error) {
	out, asked := map[chain.AssetID]string{}, map[chain.AssetID]bool{}
	for _, at := range order {
		a := s.net.known().all[at.asset]
		if a.CodeHash == "" || asked[a.ID] {
			continue
		}
		asked[a.ID] = true
		tokens, ok := chain.As[chain.TokenInspector](s.net.client)
		if !ok {
			return nil, fmt.Errorf("%w: %s cannot tell a token's code", chain.ErrUnsupported, s.net.info.ID)
		}
		got, err := tokens.Inspect(ctx, a)
		if err != nil {
			return nil, err
		}
		if got.CodeHash != a.CodeHash {
			out[a.ID] = fmt.Sprintf("the code of %s is %q, pinned is %q", a.Symbol, got.CodeHash, a.CodeHash)
		}
	}
	return out, nil
}

// arrivals works out what really came in a page: the growth of the balance,
// plus what we ourselves moved away and less what we moved there.
func (s *sink) arrivals(ctx context.Context, page chain.Page, order []suspect, said map[suspect]chain.Amount) (map[suspect]chain.Amount, error) {
	out := map[suspect]chain.Amount{}
	var of []chain.Holding
	var places []suspect
	for _, at := range order {
		out[at] = said[at]
		if a := s.net.known().all[at.asset]; a.VerifyBalance {
			of, places = append(of, chain.Holding{Address: at.to, Asset: a}), append(places, at)
		}
	}
	if len(of) == 0 {
		return out, nil
	}
	reader, ok := chain.As[chain.BalanceReader](s.net.client)
	if !ok {
		return nil, fmt.Errorf("%w: %s cannot tell balances", chain.ErrUnsupported, s.net.info.ID)
	}
	before, err := reader.Balances(ctx, page.Blocks[0].Parent, of)
	if err != nil {
		return nil, err
	}
	after, err := reader.Balances(ctx, page.Last().Hash, of)
	if err != nil {
		return nil, err
	}
	if len(before) != len(of) || len(after) != len(of) {
		return nil, fmt.Errorf("%w: %d balances for %d questions", chain.ErrTransient, len(after), len(of))
	}
	for i, at := range places {
		grown, shrunk := after[i], before[i]
		for _, spend := range page.Spends {
			for _, t := range spend.Transfers {
				switch {
				case t.Asset == at.asset && t.From == at.to:
					grown = sum(grown, t.Amount)
				case t.Asset == at.asset && t.To == at.to:
					shrunk = sum(shrunk, t.Amount)
				}
			}
		}
		out[at] = grown.SubFloor(shrunk)
	}
	return out, nil
}

// suspend books a transfer that is not believed: on-chain it is there, and no
// claim follows from it.
func (d *desk) suspend(f *file, t *Transaction, apply func(*Transaction), why *doubt) {
	apply(t)
	said := t.Amount
	t.Suspense, t.Counting = true, false
	t.Amount = said.Min(why.arrived)
	why.arrived = why.arrived.SubFloor(t.Amount)
	f.dirty[t.ID] = true
	subject := f.subject()
	if !t.Amount.IsZero() {
		e := incomingEntry("L1", subject, *t, accountU(t.To), accountSuspense(t.To))
		e.Live = "credit:" + t.ID
		d.post([]Entry{e})
	}
	n := d.transferNotice(cmp.Or(why.kind, AlertTokenAnomaly), f, *t)
	n.data.PaymentID, n.data.Reason = t.PaymentID, why.reason
	if f.payment {
		n.data.Status = f.kase.payment.Status // who keeps the newest snapshot keeps this
	}
	n.data.Amount, n.data.Received = d.gw.asset(t.Asset).Format(said), d.gw.asset(t.Asset).Format(t.Amount)
	f.notices = append(f.notices, n)
}

// confirmSuspense moves a suspended transfer to the confirmed layer.
func (d *desk) confirmSuspense(f *file, t *Transaction, apply func(*Transaction)) {
	apply(t)
	f.dirty[t.ID] = true
	if !t.Amount.IsZero() {
		d.post([]Entry{incomingEntry("L2a", f.subject(), *t, accountF(t.To), accountU(t.To))})
	}
}

// subject is whose events and entries a transfer to the address belongs to.
func (f *file) subject() string {
	if f.payment {
		return f.kase.payment.ID
	}
	return f.address.ID
}
