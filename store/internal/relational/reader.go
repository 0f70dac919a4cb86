package relational

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// Reader reads the snapshot of a transaction. It implements bursar.Reader but
// for Now.
type Reader struct {
	S *Schema
	C Conn
	// Writes is true inside a Write: what is read to be claimed is locked then.
	Writes bool
	// Time is the transaction's, for a database that does not keep it.
	Time time.Time
}

// page adds the order of a list, its start behind a cursor and its end.
func (q *Query) page(time, dir string, after bursar.Cursor, limit int) {
	if after != (bursar.Cursor{}) {
		than := " > "
		if dir == "DESC" {
			than = " < "
		}
		q.And("(" + time + ", id)" + than + "(" + q.Arg(q.d.Time(after.At)) + ", " + q.Text("id", after.ID) + ")")
	}
	q.tail = " ORDER BY " + time + " " + dir + ", id " + dir
	q.limit(limit)
}

// between bounds a time from below, inclusive, and above, exclusive.
func (q *Query) between(column string, since, until time.Time) {
	if !since.IsZero() {
		q.And(column + " >= " + q.Arg(q.d.Time(upper(since))))
	}
	if !until.IsZero() {
		q.And(column + " < " + q.Arg(q.d.Time(upper(until))))
	}
}

// upper is the first whole microsecond that is not before t: rows have no others,
// so that it bounds them as t does.
func upper(t time.Time) time.Time {
	if whole := t.Truncate(time.Microsecond); !whole.Equal(t) {
		return whole.Add(time.Microsecond)
	}
	return t
}

// upTo bounds a height from above.
func (q *Query) upTo(column string, height uint64) {
	q.And(column + " <= " + q.Arg(int64(min(height, math.MaxInt64))))
}

// Payments implements bursar.Reader.
func (r *Reader) Payments(ctx context.Context, p bursar.PaymentQuery) ([]bursar.Payment, error) {
	q := newQuery(r.S.d)
	oneOf(q, "id", p.IDs)
	oneOf(q, "idempotency_key", p.IdempotencyKeys)
	oneOf(q, "address", p.Addresses)
	oneOf(q, "status", p.Statuses)
	oneOf(q, "asset_id", p.Assets)
	q.is("customer", p.Customer)
	q.between("created_at", p.Since, p.Until)
	if len(p.Metadata) > 0 {
		for _, name := range slices.Sorted(maps.Keys(p.Metadata)) {
			if err := storablePair("metadata", name, p.Metadata[name]); err != nil {
				return nil, err
			}
		}
		if err := r.S.d.Pairs(q, p.Metadata); err != nil {
			return nil, err
		}
	}
	if p.DueBy.IsZero() {
		q.page("created_at", "DESC", p.After, p.Limit)
		return r.S.payments.read(ctx, r.C, q)
	}
	q.And("deadline <= " + q.Arg(r.S.d.Time(p.DueBy)))
	q.is("chain", string(p.DueChain))
	q.page("deadline", "ASC", p.After, p.Limit)
	return r.S.payments.read(ctx, r.C, q)
}

// Transactions implements bursar.Reader.
func (r *Reader) Transactions(ctx context.Context, t bursar.TransactionQuery) ([]bursar.Transaction, error) {
	if t.Chain == "" && (t.ConfirmBy > 0 || t.FinalBy > 0 || t.Sweepable) {
		return nil, &bursar.FieldError{
			Field: "TransactionQuery.Chain", Code: bursar.CodeRequired,
			Reason: "ConfirmBy, FinalBy and Sweepable need a chain",
		}
	}
	q := newQuery(r.S.d)
	oneOf(q, "id", t.IDs)
	oneOf(q, "payment_id", t.PaymentIDs)
	oneOf(q, "address_id", t.AddressIDs)
	oneOf(q, "payout_id", t.PayoutIDs)
	q.is("chain", string(t.Chain))
	oneOf(q, "tx_hash", t.Hashes)
	oneOf(q, "asset", t.Assets)
	oneOf(q, "type", t.Types)
	oneOf(q, "status", t.Statuses)
	q.is("from_address", string(t.From))
	q.is("to_address", string(t.To))
	if len(t.Blocks) > 0 {
		q.And("status IN ('confirming', 'confirmed')")
		oneOf(q, "block_hash", t.Blocks)
	}
	if t.ConfirmBy > 0 {
		q.And("status = 'confirming'")
		q.upTo("confirm_at", t.ConfirmBy)
	}
	if t.FinalBy > 0 {
		q.And("status = 'confirmed' AND NOT is_final")
		q.upTo("block", t.FinalBy)
	}
	if t.Sweepable {
		q.And("sweepable")
	}
	q.between("created_at", t.Since, t.Until)
	q.page("created_at", "DESC", t.After, t.Limit)
	return r.S.transactions.read(ctx, r.C, q)
}

// Addresses implements bursar.Reader.
func (r *Reader) Addresses(ctx context.Context, a bursar.AddressQuery) ([]bursar.Address, error) {
	q := newQuery(r.S.d)
	oneOf(q, "id", a.IDs)
	oneOf(q, "address", a.Addresses)
	q.is("pool", a.Pool)
	if len(a.Roles) > 0 && !slices.Contains(a.Roles, bursar.RolePayment) {
		q.And("role <> '" + string(bursar.RolePayment) + "'") // what its index leaves out
	}
	oneOf(q, "role", a.Roles)
	q.is("customer", a.Customer)
	oneOf(q, "idempotency_key", a.IdempotencyKeys)
	if a.FromIndex > 0 {
		q.And("address_index >= " + q.Arg(int64(a.FromIndex)))
	}
	q.tail = " ORDER BY pool, address_index, id"
	q.limit(a.Limit)
	return r.S.addresses.read(ctx, r.C, q)
}

// Payouts implements bursar.Reader.
func (r *Reader) Payouts(ctx context.Context, p bursar.PayoutQuery) ([]bursar.Payout, error) {
	q := newQuery(r.S.d)
	oneOf(q, "id", p.IDs)
	oneOf(q, "key", p.Keys)
	q.is("chain", string(p.Chain))
	oneOf(q, "kind", p.Kinds)
	oneOf(q, "status", p.Statuses)
	if p.Open {
		q.And("is_open")
	}
	oneOf(q, "tx_id", p.TxIDs)
	oneOf(q, "block_hash", p.Blocks)
	oneOf(q, "parent", p.Parents)
	q.page("created_at", "ASC", p.After, p.Limit)
	return r.S.payouts.read(ctx, r.C, q)
}

// Attempts implements bursar.Reader.
func (r *Reader) Attempts(ctx context.Context, a bursar.AttemptQuery) ([]bursar.Attempt, error) {
	q := newQuery(r.S.d)
	oneOf(q, "payout_id", a.PayoutIDs)
	q.is("chain", string(a.Chain))
	oneOf(q, "tx_id", a.TxIDs)
	if a.Open {
		q.And("is_open")
	}
	if len(a.Locks) > 0 {
		locks := newQuery(r.S.d)
		locks.args = q.args
		oneOf(locks, "lock", a.Locks)
		q.args, q.err = locks.args, errors.Join(q.err, locks.err)
		q.And("id IN (SELECT attempt_id FROM " + r.S.d.Table("attempt_locks") + locks.String() + ")")
	}
	q.tail = " ORDER BY created_at, id"
	return r.S.attempts.read(ctx, r.C, q)
}

// Entries implements bursar.Reader.
func (r *Reader) Entries(ctx context.Context, e bursar.EntryQuery) ([]bursar.Entry, error) {
	q := newQuery(r.S.d)
	q.is("subject", e.Subject)
	oneOf(q, "transaction_id", e.Transactions)
	q.is("asset", string(e.Asset))
	if e.Unreversed {
		q.And("reverses = '' AND reversed_by = ''")
	}
	q.tail = " ORDER BY pos"
	return r.S.entries.read(ctx, r.C, q)
}

// Events implements bursar.Reader.
func (r *Reader) Events(ctx context.Context, e bursar.EventQuery) ([]bursar.Event, error) {
	q := newQuery(r.S.d)
	oneOf(q, "id", e.IDs)
	oneOf(q, "kind", e.Kinds)
	q.tail = " ORDER BY pos"
	if e.Subject != "" {
		q.is("subject", e.Subject)
		q.tail = " ORDER BY seq"
		if e.AfterSeq > 0 {
			q.And("seq > " + q.Arg(e.AfterSeq))
		}
	}
	q.limit(e.Limit)
	return r.S.events.read(ctx, r.C, q)
}

// Deliveries implements bursar.Reader.
func (r *Reader) Deliveries(ctx context.Context, d bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	q := newQuery(r.S.d)
	oneOf(q, "event_id", d.EventIDs)
	q.is("endpoint", d.Endpoint)
	if d.Subject != "" {
		q.And("event_id IN (SELECT id FROM " + r.S.d.Table("events") + " WHERE subject = " + q.Text("subject", d.Subject) + ")")
		q.is("subject", d.Subject)
	}
	oneOf(q, "kind", d.Kinds)
	if len(d.Statuses) > 0 && (len(d.EventIDs) > 0 || d.Subject != "") {
		// The rows of some events are few. A planner without statistics would go
		// through all of a status instead, which an expression has no index for.
		list := make([]string, len(d.Statuses))
		for i, s := range d.Statuses {
			list[i] = string(s)
		}
		q.And(q.d.OneOf(`("status" || '')`, q.Arg(q.d.List(list))))
	} else {
		oneOf(q, "status", d.Statuses)
	}
	q.between("created_at", d.Since, d.Until)
	if d.Due && r.S.d.Now == "" {
		d.Due, d.DueBy = false, r.Time
	}
	due := d.Due || !d.DueBy.IsZero()
	if due {
		by := func() string { return q.Arg(r.S.d.Time(d.DueBy)) }
		if d.Due {
			by = func() string { return r.S.d.Now }
		}
		r.S.due(q, by)
	}
	q.inOrder(d.Order, d.After)
	q.limit(d.Limit)
	if d.Claim && r.Writes && due {
		q.tail += r.S.d.Skip
	}
	return r.S.deliveries.read(ctx, r.C, q)
}

// Chain implements bursar.Reader.
func (r *Reader) Chain(ctx context.Context, id chain.ID) (bursar.ChainState, error) {
	q := newQuery(r.S.d)
	q.And("chain = " + q.Text("chain", string(id)))
	found, err := r.S.chains.read(ctx, r.C, q)
	if err != nil || len(found) == 0 {
		return bursar.ChainState{Chain: id}, err
	}
	return found[0], nil
}

// Pools implements bursar.Reader.
func (r *Reader) Pools(ctx context.Context) ([]bursar.Pool, error) {
	q := newQuery(r.S.d)
	q.tail = " ORDER BY name"
	return r.S.pools.read(ctx, r.C, q)
}

// Endpoints implements bursar.Reader.
func (r *Reader) Endpoints(ctx context.Context, e bursar.EndpointQuery) ([]bursar.EndpointRow, error) {
	q := newQuery(r.S.d)
	oneOf(q, "id", e.IDs)
	if e.After > 0 {
		q.And("revision > " + q.Arg(e.After))
	}
	q.tail = " ORDER BY revision"
	return r.S.endpoints.read(ctx, r.C, q)
}

// Balances implements bursar.Reader.
func (r *Reader) Balances(ctx context.Context, b bursar.BalanceQuery) ([]bursar.Balance, error) {
	q := newQuery(r.S.d)
	q.is("asset", string(b.Asset))
	oneOf(q, "account", b.Accounts)
	if b.Prefix != "" {
		q.And("account >= " + q.Text("account", b.Prefix) + " AND account < " + q.Arg(b.Prefix+"\U0010FFFF"))
	}
	q.tail = " ORDER BY asset, account"
	if q.err != nil {
		return nil, q.err
	}
	rows, err := r.C.Query(ctx, "SELECT asset, account, "+r.S.d.Read(`"sum"`, true)+" FROM "+r.S.d.Table("balances")+q.String(), q.args)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err below tells what there is to tell.
	out := []bursar.Balance{}
	for rows.Next() {
		var asset, account, sum string
		if err := rows.Scan(&asset, &account, &sum); err != nil {
			return nil, fmt.Errorf("balances: %w", err)
		}
		n, ok := new(big.Int).SetString(strings.TrimSpace(sum), 10)
		if !ok {
			return nil, fmt.Errorf("%w: balance of %s in %s is %q", bursar.ErrInvariant, account, asset, sum)
		}
		if n.Sign() != 0 {
			out = append(out, bursar.Balance{Asset: chain.AssetID(asset), Account: bursar.Account(account), Sum: n})
		}
	}
	return out, rows.Err()
}

// Issued implements bursar.IssuedReader.
func (r *Reader) Issued(ctx context.Context, pool string, from uint32, fn func(uint32, chain.Address) error) error {
	q := newQuery(r.S.d)
	q.is("pool", pool)
	q.And("address_index >= " + q.Arg(int64(from)))
	q.tail = " ORDER BY pool, address_index, id"
	rows, err := r.C.Query(ctx, "SELECT address_index, address FROM "+r.S.d.Table("addresses")+q.String(), q.args)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err below tells what there is to tell.
	var index int64
	var address string
	for rows.Next() {
		if err := rows.Scan(&index, &address); err != nil {
			return fmt.Errorf("addresses: %w", err)
		}
		if index < 0 || index >= MaxIndex {
			return fmt.Errorf("%w: address %s has index %d", bursar.ErrInvariant, address, index)
		}
		if err := fn(uint32(index), chain.Address(address)); err != nil {
			return err
		}
	}
	return rows.Err()
}
