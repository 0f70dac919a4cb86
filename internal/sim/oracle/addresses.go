package oracle

import (
	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// Issued is S1 for an answer that a host got: owner is the payment, or the
// customer of a permanent address, that the address was given to. Nobody else
// ever gets it, whatever the store has forgotten since. And it was committed before:
// what is handed out and not stored nobody watches.
func (o *Oracle) Issued(owner string, a chain.Address) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if was, ok := o.past.issued[a]; ok && was != owner {
		return broken("S1", "address %s of %s was issued to %s", a, was, owner)
	}
	o.past.issued[a] = owner
	if row := o.m.owners[a]; !o.lossy && (row == nil || whose(row) != owner) {
		return broken("S1", "address %s was handed out to %s, and no commit gives it to them", a, owner)
	}
	return nil
}

// whose is the owner of an address row; empty where there is none yet.
func whose(row *bursar.Address) string {
	if row.PaymentID != "" {
		return row.PaymentID
	}
	return row.Customer
}

func (o *Oracle) takeAddress(row *bursar.Address) error {
	m := o.m
	old, other := m.addresses[row.ID], m.owners[row.Address]
	m.addresses[row.ID], m.owners[row.Address] = row, row
	o.past.homes[row.Address] = true
	if o.replaying {
		return nil
	}
	if other != nil && other.ID != row.ID {
		return broken("S1", "address %s has the rows %s and %s", row.Address, other.ID, row.ID)
	}
	if err := o.unshared(row.Address, whose(row)); err != nil {
		return err
	}
	if old == nil {
		return follows("S7", "address", row.ID, 0, row.Version)
	}
	if was := whose(old); was != "" && was != whose(row) || old.Address != row.Address {
		return broken("S1", "row %s: address %s of %q became %s of %q", row.ID, old.Address, was, row.Address, whose(row))
	}
	return follows("S7", "address", row.ID, old.Version, row.Version)
}

// unshared checks a new owner of an address against all that were ever told.
func (o *Oracle) unshared(a chain.Address, owner string) error {
	if was, ok := o.past.issued[a]; ok && owner != "" && was != owner {
		return broken("S1", "address %s was issued to %s and belongs to %s", a, was, owner)
	}
	return nil
}

// addressed checks that a payment and its address row belong together.
func (o *Oracle) addressed(p *bursar.Payment) error {
	row := o.m.owners[p.Address]
	if row == nil {
		return broken("S1", "payment %s has the address %s, which has no row", p.ID, p.Address)
	}
	if row.PaymentID != p.ID {
		return broken("S1", "payment %s has the address %s of %q", p.ID, p.Address, whose(row))
	}
	return o.unshared(p.Address, p.ID)
}
