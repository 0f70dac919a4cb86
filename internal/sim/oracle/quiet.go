package oracle

import (
	"context"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// dump is everything a store holds, read in one snapshot, with the canonical
// chain beside it.
type dump struct {
	addresses    []bursar.Address
	payments     []bursar.Payment
	transactions []bursar.Transaction
	payouts      []bursar.Payout
	attempts     []bursar.Attempt
	entries      []bursar.Entry
	balances     []bursar.Balance
	events       []bursar.Event
	deliveries   []bursar.Delivery
	state        bursar.ChainState

	event   map[string]*bursar.Event
	payment map[string]*bursar.Payment
	rows    map[chain.TransferID]*bursar.Transaction
	// homes are our own addresses; the sponsor's may have no row yet.
	homes map[chain.Address]bursar.Role
	// assets are those configured, and those that were added while it ran.
	assets map[chain.AssetID]chain.Asset
	since  map[chain.AssetID]uint64
	head   chain.BlockRef
	blocks []*content // the canonical chain by height
	hashes []chain.BlockHash
}

// Quiet is to be called when everything has come to rest: no faults any more,
// the chain grown far beyond what is under way, all deadlines and retries over.
// It compares what is stored with what the chain implies, and returns the first
// broken rule, of all that was left unsaid before too.
func (o *Oracle) Quiet(ctx context.Context) error {
	d, err := o.read(ctx)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.late != nil {
		return o.late
	}
	o.canonical(d)
	for _, rule := range []func(*dump) error{
		o.same, o.atHead, o.silent, o.bijection, o.conserved, o.nothingLeft, o.nothingUnderWay, o.everybodyTold, o.receivers, o.statuses, o.renewals,
	} {
		if err := rule(d); err != nil {
			return err
		}
	}
	return o.answered()
}

// read makes the dump.
func (o *Oracle) read(ctx context.Context) (*dump, error) {
	d := &dump{}
	id := o.cfg.Chain.Info().ID
	err := o.cfg.Read(ctx, func(r bursar.Reader) (err error) {
		steps := []func() error{
			func() (err error) { d.addresses, err = r.Addresses(ctx, bursar.AddressQuery{}); return },
			func() (err error) { d.payments, err = r.Payments(ctx, bursar.PaymentQuery{}); return },
			func() (err error) { d.transactions, err = r.Transactions(ctx, bursar.TransactionQuery{}); return },
			func() (err error) { d.payouts, err = r.Payouts(ctx, bursar.PayoutQuery{}); return },
			func() (err error) { d.attempts, err = r.Attempts(ctx, bursar.AttemptQuery{}); return },
			func() (err error) { d.entries, err = r.Entries(ctx, bursar.EntryQuery{}); return },
			func() (err error) { d.balances, err = r.Balances(ctx, bursar.BalanceQuery{}); return },
			func() (err error) { d.events, err = r.Events(ctx, bursar.EventQuery{}); return },
			func() (err error) { d.deliveries, err = r.Deliveries(ctx, bursar.DeliveryQuery{}); return },
			func() (err error) { d.state, err = r.Chain(ctx, id); return },
		}
		for _, s := range steps {
			if err := s(); err != nil {
				return err
			}
		}
		return nil
	})
	return d, err
}

// canonical adds the chain's side and the indexes.
func (o *Oracle) canonical(d *dump) {
	d.head = o.cfg.Chain.Head()
	for h := uint64(0); h <= d.head.Height; h++ {
		ref, ok := o.cfg.Chain.Block(h)
		if !ok {
			break
		}
		d.blocks, d.hashes = append(d.blocks, o.truth.in(ref.Hash)), append(d.hashes, ref.Hash)
	}
	d.event, d.payment, d.rows = map[string]*bursar.Event{}, map[string]*bursar.Payment{}, map[chain.TransferID]*bursar.Transaction{}
	for i := range d.events {
		d.event[d.events[i].ID] = &d.events[i]
	}
	for i := range d.payments {
		d.payment[d.payments[i].ID] = &d.payments[i]
	}
	for i := range d.transactions {
		if t := &d.transactions[i]; t.Type == bursar.TypeIncoming {
			d.rows[t.Transfer] = t
		}
	}
	d.homes = map[chain.Address]bursar.Role{o.cfg.Sponsor: bursar.RoleSponsor}
	if o.cfg.Float != "" {
		d.homes[o.cfg.Float] = bursar.RoleFloat
	}
	for i := range d.addresses {
		d.homes[d.addresses[i].Address] = d.addresses[i].Role
	}
	d.assets, d.since = map[chain.AssetID]chain.Asset{}, map[chain.AssetID]uint64{}
	for _, a := range d.state.Assets {
		d.assets[a.Asset.ID], d.since[a.Asset.ID] = a.Asset, a.Since
	}
	for id, a := range o.assets {
		d.assets[id] = a
		delete(d.since, id)
	}
}

// working reports whether a role's money stays where it is.
func working(r bursar.Role) bool { return r == bursar.RoleSponsor || r == bursar.RoleFloat }
