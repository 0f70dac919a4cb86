package bursar

import (
	"context"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// Why coin at the address of a payment or a customer is booked without a claim;
// the reasons of AlertUnclaimedCredit.
const (
	// UnclaimedProtocol: the protocol credited it (a withdrawal of a validator, a
	// block's fees). Nobody pays an order in that way.
	UnclaimedProtocol = "protocol_credit"
	// UnclaimedBefore: it was there before the address was given out, or may have
	// been: whoever was told the address did not send it.
	UnclaimedBefore = "before_issue"
)

// unclaimed says why a transfer that no transaction to the address shows is
// nobody's claim; empty where it counts like any other.
func (d *desk) unclaimed(f *file, t chain.Transfer, block chain.BlockRef) string {
	if t.Via == chain.ViaDirect || f.address.Role != RolePayment && f.address.Role != RolePermanent {
		return ""
	}
	born := f.address.CreatedAt
	switch {
	case t.Via == chain.ViaProtocol:
		return UnclaimedProtocol
	// Clocks of nodes and stores differ, by much less than this.
	case block.Time.Add(d.net.info.InclusionSlack).Before(born):
		return UnclaimedBefore
	case sinceEver(t.ID, t.To) && born.Before(d.state.StartedAt):
		return UnclaimedBefore
	}
	return ""
}

// lookAtTip compares balances between pages.
func (g *Gateway) lookAtTip(ctx context.Context, net *network) (probe, error) {
	var tip chain.BlockRef
	err := g.store.Read(ctx, func(r Reader) error {
		st, err := r.Chain(ctx, net.info.ID)
		tip = st.Tip()
		return err
	})
	if err != nil {
		return probe{}, err
	}
	return g.probe(ctx, net, tip, chain.Page{})
}

// receive takes what balances told between pages.
func (d *desk) receive(told probe) error {
	d.probe = told
	if len(told.found) == 0 {
		return nil
	}
	return d.connect(chain.Page{})
}

// judged are the assets whose payments can get a verdict; empty: all. Payments
// that wait for a look at their balance must not keep others waiting.
func (d *desk) judged() []chain.AssetID {
	if !d.probe.required || !d.probe.failed {
		return nil
	}
	known := slices.Clone(d.net.known().order)
	return slices.DeleteFunc(known, func(id chain.AssetID) bool { return id == d.net.info.Native.ID })
}

// unseen reports whether coin may be at a payment's address that no transaction
// shows. Only a look at its balance, at or after the deadline, says that there is
// none.
func (d *desk) unseen(p Payment) bool {
	return d.probe.required && p.Asset.ID == d.net.info.Native.ID && !d.probe.compared[p.Address]
}
