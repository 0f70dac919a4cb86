package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// model is the contract once more, as simply as it can be said: lists without
// indexes, one batch after another, and queries that look at every row. It is
// what stores are compared with.
type model struct {
	payments     []bursar.Payment
	transactions []bursar.Transaction
	addresses    []bursar.Address
	payouts      []bursar.Payout
	attempts     []bursar.Attempt
	deliveries   []bursar.Delivery
	chains       map[chain.ID]bursar.ChainState
	entries      []bursar.Entry
	events       []bursar.Event
	pools        map[string]uint32
	endpoints    []bursar.EndpointRow
}

var _ bursar.Reader = (*model)(nil)

func newModel() *model {
	return &model{chains: map[chain.ID]bursar.ChainState{}, pools: map[string]uint32{}}
}

// state reads all there is.
func (m *model) state() state { return view{panics{}, context.Background(), m}.state() }

// panics is a test to which the model cannot fail.
type panics struct{}

func (panics) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (panics) FailNow()                          { panic("storetest: the model failed") }

// apply does a batch or returns ErrConflict or ErrInvariant and does nothing.
func (m *model) apply(b bursar.Batch) error {
	n := m.copy()
	if err := n.do(b); err != nil {
		return err
	}
	*m = *n
	return nil
}

// copy copies the lists; rows in them are never changed in place.
func (m *model) copy() *model {
	return &model{
		payments: slices.Clone(m.payments), transactions: slices.Clone(m.transactions), addresses: slices.Clone(m.addresses),
		payouts: slices.Clone(m.payouts), attempts: slices.Clone(m.attempts), deliveries: slices.Clone(m.deliveries),
		chains: maps.Clone(m.chains), entries: slices.Clone(m.entries), events: slices.Clone(m.events), pools: maps.Clone(m.pools),
		endpoints: slices.Clone(m.endpoints),
	}
}

func (m *model) do(b bursar.Batch) error {
	for _, r := range b.Payments {
		if err := put(&m.payments, r, func(r *bursar.Payment) (string, *int64) { return r.ID, &r.Version }, func(r, o *bursar.Payment) bool {
			return r.IdempotencyKey != "" && r.IdempotencyKey == o.IdempotencyKey || r.Address != "" && r.Address == o.Address
		}); err != nil {
			return err
		}
	}
	for _, r := range b.Transactions {
		if err := put(&m.transactions, r, func(r *bursar.Transaction) (string, *int64) { return r.ID, &r.Version }, func(r, o *bursar.Transaction) bool {
			return r.Chain == o.Chain && r.Transfer == o.Transfer
		}); err != nil {
			return err
		}
	}
	for _, r := range b.Addresses {
		if err := put(&m.addresses, r, func(r *bursar.Address) (string, *int64) { return r.ID, &r.Version }, func(r, o *bursar.Address) bool {
			return r.Address != "" && r.Address == o.Address || r.IdempotencyKey != "" && r.IdempotencyKey == o.IdempotencyKey
		}); err != nil {
			return err
		}
	}
	for _, r := range b.Payouts {
		if err := put(&m.payouts, r, func(r *bursar.Payout) (string, *int64) { return r.ID, &r.Version }, func(r, o *bursar.Payout) bool {
			return r.Key != "" && r.Key == o.Key
		}); err != nil {
			return err
		}
	}
	for _, r := range b.Attempts {
		if err := put(&m.attempts, r, func(r *bursar.Attempt) (string, *int64) { return r.ID, &r.Version }, lockedOut); err != nil {
			return err
		}
	}
	for _, r := range b.Deliveries {
		if err := put(&m.deliveries, r, func(r *bursar.Delivery) (string, *int64) { return r.EventID + "\x00" + r.Endpoint, &r.Version },
			func(r, o *bursar.Delivery) bool { return false }); err != nil {
			return err
		}
	}
	for _, r := range b.Chains {
		if r.Version != m.chains[r.Chain].Version {
			return bursar.ErrConflict
		}
		r.Version++
		m.chains[r.Chain] = r
	}
	for _, r := range b.Endpoints {
		if err := put(&m.endpoints, r, func(r *bursar.EndpointRow) (string, *int64) { return r.ID, &r.Version }, func(r, o *bursar.EndpointRow) bool {
			return r.Revision == o.Revision
		}); err != nil {
			return err
		}
	}
	for _, e := range b.Entries {
		if err := m.post(e); err != nil {
			return err
		}
	}
	for _, e := range b.Events {
		if err := m.tell(e); err != nil {
			return err
		}
	}
	return nil
}

// put replaces or appends a row.
func put[T any](rows *[]T, row T, key func(*T) (string, *int64), clash func(row, other *T) bool) error {
	id, version := key(&row)
	at := -1
	for i := range *rows {
		o := &(*rows)[i]
		if other, stored := key(o); other == id {
			if at = i; *stored != *version {
				return bursar.ErrConflict
			}
		} else if clash(&row, o) {
			return bursar.ErrConflict
		}
	}
	switch *version++; {
	case at >= 0:
		(*rows)[at] = row
	case *version == 1:
		*rows = append(*rows, row)
	default:
		return bursar.ErrConflict
	}
	return nil
}

func lockedOut(r, o *bursar.Attempt) bool {
	return r.Open && o.Open && r.Chain == o.Chain && (r.PayoutID != o.PayoutID || r.Group != o.Group) &&
		slices.ContainsFunc(r.Locks, func(l chain.Lock) bool { return slices.Contains(o.Locks, l) })
}

// live reports whether an entry counts: no reversal and not reversed.
func (m *model) live(e bursar.Entry) bool {
	return e.Reverses == "" && !slices.ContainsFunc(m.entries, func(o bursar.Entry) bool { return o.Reverses == e.ID })
}

func (m *model) post(e bursar.Entry) error {
	for _, o := range m.entries {
		if o.ID == e.ID || e.Reverses == "" && e.Live != "" && o.Live == e.Live && m.live(o) {
			return bursar.ErrConflict
		}
	}
	if e.Amount.IsZero() || e.Debit == e.Credit {
		return bursar.ErrInvariant
	}
	if e.Reverses != "" && !slices.ContainsFunc(m.entries, func(o bursar.Entry) bool { return o.ID == e.Reverses && m.live(o) }) {
		return bursar.ErrInvariant
	}
	m.entries = append(m.entries, e)
	return nil
}

func (m *model) tell(e bursar.Event) error {
	last := int64(0)
	for _, o := range m.events {
		if o.ID == e.ID || o.Subject == e.Subject && o.Seq == e.Seq {
			return bursar.ErrConflict
		}
		if o.Subject == e.Subject {
			last = o.Seq
		}
	}
	if e.Seq != last+1 {
		return bursar.ErrInvariant
	}
	m.events = append(m.events, e)
	return nil
}

// Now implements bursar.Reader.
func (m *model) Now() time.Time { return t0 }

// list filters, sorts and cuts.
func list[T any](rows []T, match func(T) bool, order func(a, b T) int, limit int) ([]T, error) {
	var found []T
	for _, r := range rows {
		if match(r) {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, order)
	if limit > 0 && len(found) > limit {
		found = found[:limit]
	}
	return found, nil
}

func in[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

func set[T comparable](q, v T) bool {
	var zero T
	return q == zero || q == v
}

func byTime(a time.Time, idA string, b time.Time, idB string) int {
	return cmp.Or(a.Compare(b), strings.Compare(idA, idB))
}

func between(t, since, until time.Time) bool {
	return (since.IsZero() || !t.Before(since)) && (until.IsZero() || t.Before(until))
}

// behind reports whether a row follows the cursor; sign is -1 newest first.
func behind(c bursar.Cursor, at time.Time, id string, sign int) bool {
	return c == bursar.Cursor{} || sign*byTime(at, id, c.At, c.ID) > 0
}

// Payments implements bursar.Reader.
func (m *model) Payments(_ context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
	due := !q.DueBy.IsZero()
	match := func(p bursar.Payment) bool {
		for k, v := range q.Metadata {
			if got, ok := p.Metadata[k]; !ok || got != v {
				return false
			}
		}
		if due && (p.Deadline.IsZero() || p.Deadline.After(q.DueBy) || !set(q.DueChain, p.Asset.ID.Chain()) ||
			!behind(q.After, p.Deadline, p.ID, 1)) || !due && !behind(q.After, p.CreatedAt, p.ID, -1) {
			return false
		}
		return in(q.IDs, p.ID) && in(q.IdempotencyKeys, p.IdempotencyKey) && in(q.Addresses, p.Address) &&
			in(q.Statuses, p.Status) && in(q.Assets, p.Asset.ID) && set(q.Customer, p.Customer) &&
			between(p.CreatedAt, q.Since, q.Until)
	}
	return list(m.payments, match, func(a, b bursar.Payment) int {
		if due {
			return byTime(a.Deadline, a.ID, b.Deadline, b.ID)
		}
		return -byTime(a.CreatedAt, a.ID, b.CreatedAt, b.ID)
	}, q.Limit)
}

// Transactions implements bursar.Reader.
func (m *model) Transactions(_ context.Context, q bursar.TransactionQuery) ([]bursar.Transaction, error) {
	match := func(x bursar.Transaction) bool {
		taken := new(big.Int).Add(x.Discharged.Big(), x.Reserved.Big())
		switch {
		case len(q.Blocks) > 0 && !(x.Live() && slices.Contains(q.Blocks, x.BlockHash)),
			q.ConfirmBy > 0 && !(x.Status == bursar.TxConfirming && x.ConfirmAt <= q.ConfirmBy),
			q.FinalBy > 0 && !(x.Status == bursar.TxConfirmed && !x.Final && x.Block <= q.FinalBy),
			q.Sweepable && !(x.Type == bursar.TypeIncoming && x.Final && taken.Cmp(x.Amount.Big()) < 0):
			return false
		}
		return in(q.IDs, x.ID) && in(q.PaymentIDs, x.PaymentID) && in(q.AddressIDs, x.AddressID) && in(q.PayoutIDs, x.PayoutID) &&
			set(q.Chain, x.Chain) && in(q.Hashes, x.Transfer.Tx) && in(q.Assets, x.Asset) && in(q.Types, x.Type) &&
			in(q.Statuses, x.Status) && set(q.From, x.From) && set(q.To, x.To) &&
			between(x.CreatedAt, q.Since, q.Until) && behind(q.After, x.CreatedAt, x.ID, -1)
	}
	return list(m.transactions, match, func(a, b bursar.Transaction) int {
		return -byTime(a.CreatedAt, a.ID, b.CreatedAt, b.ID)
	}, q.Limit)
}

// Addresses implements bursar.Reader.
func (m *model) Addresses(_ context.Context, q bursar.AddressQuery) ([]bursar.Address, error) {
	return list(m.addresses, func(a bursar.Address) bool {
		return in(q.IDs, a.ID) && in(q.Addresses, a.Address) && set(q.Pool, a.Pool) && in(q.Roles, a.Role) &&
			set(q.Customer, a.Customer) && in(q.IdempotencyKeys, a.IdempotencyKey) && a.Index >= q.FromIndex
	}, func(a, b bursar.Address) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), cmp.Compare(a.Index, b.Index))
	}, q.Limit)
}

// Payouts implements bursar.Reader.
func (m *model) Payouts(_ context.Context, q bursar.PayoutQuery) ([]bursar.Payout, error) {
	return list(m.payouts, func(p bursar.Payout) bool {
		return in(q.IDs, p.ID) && in(q.Keys, p.Key) && set(q.Chain, p.Chain) && in(q.Kinds, p.Kind) && in(q.Statuses, p.Status) &&
			(!q.Open || p.Status.Open()) && in(q.TxIDs, p.TxID) && in(q.Blocks, p.BlockHash) && in(q.Parents, p.Parent) &&
			behind(q.After, p.CreatedAt, p.ID, 1)
	}, func(a, b bursar.Payout) int { return byTime(a.CreatedAt, a.ID, b.CreatedAt, b.ID) }, q.Limit)
}

// Attempts implements bursar.Reader.
func (m *model) Attempts(_ context.Context, q bursar.AttemptQuery) ([]bursar.Attempt, error) {
	return list(m.attempts, func(a bursar.Attempt) bool {
		locked := len(q.Locks) == 0 || slices.ContainsFunc(a.Locks, func(l chain.Lock) bool { return slices.Contains(q.Locks, l) })
		return in(q.PayoutIDs, a.PayoutID) && set(q.Chain, a.Chain) && in(q.TxIDs, a.TxID) && locked && (!q.Open || a.Open)
	}, func(a, b bursar.Attempt) int { return byTime(a.CreatedAt, a.ID, b.CreatedAt, b.ID) }, 0)
}

// Entries implements bursar.Reader.
func (m *model) Entries(_ context.Context, q bursar.EntryQuery) ([]bursar.Entry, error) {
	return list(m.entries, func(e bursar.Entry) bool {
		return set(q.Subject, e.Subject) && in(q.Transactions, e.Transaction) && set(q.Asset, e.Asset) && (!q.Unreversed || m.live(e))
	}, func(a, b bursar.Entry) int { return 0 }, 0)
}

// Balances implements bursar.Reader: sums of entries.
func (m *model) Balances(_ context.Context, q bursar.BalanceQuery) ([]bursar.Balance, error) {
	var sums []bursar.Balance
	add := func(asset chain.AssetID, account bursar.Account, n *big.Int) {
		for _, b := range sums {
			if b.Asset == asset && b.Account == account {
				b.Sum.Add(b.Sum, n)
				return
			}
		}
		sums = append(sums, bursar.Balance{Asset: asset, Account: account, Sum: new(big.Int).Set(n)})
	}
	for _, e := range m.entries {
		if set(q.Asset, e.Asset) {
			add(e.Asset, e.Debit, e.Amount.Big())
			add(e.Asset, e.Credit, new(big.Int).Neg(e.Amount.Big()))
		}
	}
	return list(sums, func(b bursar.Balance) bool {
		return b.Sum.Sign() != 0 && in(q.Accounts, b.Account) && strings.HasPrefix(string(b.Account), q.Prefix)
	}, func(a, b bursar.Balance) int {
		return cmp.Or(strings.Compare(string(a.Asset), string(b.Asset)), strings.Compare(string(a.Account), string(b.Account)))
	}, 0)
}

// Events implements bursar.Reader.
func (m *model) Events(_ context.Context, q bursar.EventQuery) ([]bursar.Event, error) {
	return list(m.events, func(e bursar.Event) bool {
		return in(q.IDs, e.ID) && set(q.Subject, e.Subject) && (q.Subject == "" || e.Seq > q.AfterSeq) && in(q.Kinds, e.Kind)
	}, func(a, b bursar.Event) int { return 0 }, q.Limit)
}

// Deliveries implements bursar.Reader.
func (m *model) Deliveries(_ context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	if q.Due {
		q.DueBy = m.Now()
	}
	blocked := func(d bursar.Delivery) bool {
		return slices.ContainsFunc(m.deliveries, func(o bursar.Delivery) bool {
			return o.Endpoint == d.Endpoint && o.Subject == d.Subject && o.Status == bursar.DeliveryPending && o.Seq < d.Seq
		})
	}
	return list(m.deliveries, func(d bursar.Delivery) bool {
		if !q.DueBy.IsZero() {
			may := d.Status == bursar.DeliveryParked || d.Status == bursar.DeliveryPending && !blocked(d)
			if !may || d.NextAt.After(q.DueBy) || d.LeasedUntil.After(q.DueBy) {
				return false
			}
		}
		told := q.Subject == "" || slices.ContainsFunc(m.events, func(e bursar.Event) bool { return e.ID == d.EventID && e.Subject == q.Subject })
		return told && set(q.Subject, d.Subject) && in(q.EventIDs, d.EventID) && set(q.Endpoint, d.Endpoint) && in(q.Kinds, d.Kind) &&
			in(q.Statuses, d.Status) && between(d.CreatedAt, q.Since, q.Until) && comesAfter(d, q)
	}, func(a, b bursar.Delivery) int {
		lane := cmp.Or(strings.Compare(a.Endpoint, b.Endpoint), strings.Compare(a.Subject, b.Subject), cmp.Compare(a.Seq, b.Seq), strings.Compare(a.EventID, b.EventID))
		switch q.Order {
		case bursar.DeliveriesOldest:
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), lane)
		case bursar.DeliveriesNewest:
			return -cmp.Or(a.CreatedAt.Compare(b.CreatedAt), lane)
		}
		return cmp.Or(a.NextAt.Compare(b.NextAt), lane)
	}, q.Limit)
}

// comesAfter reports whether a delivery follows the cursor.
func comesAfter(d bursar.Delivery, q bursar.DeliveryQuery) bool {
	c := q.After
	if c == (bursar.DeliveryCursor{}) || q.Order == bursar.DeliveriesByTurn {
		return true
	}
	n := cmp.Or(d.CreatedAt.Compare(c.At), strings.Compare(d.Endpoint, c.Endpoint), strings.Compare(d.Subject, c.Subject),
		cmp.Compare(d.Seq, c.Seq), strings.Compare(d.EventID, c.EventID))
	return q.Order == bursar.DeliveriesOldest && n > 0 || q.Order == bursar.DeliveriesNewest && n < 0
}

// Chain implements bursar.Reader.
func (m *model) Chain(_ context.Context, id chain.ID) (bursar.ChainState, error) {
	c := m.chains[id]
	c.Chain = id
	return c, nil
}

// Pools implements bursar.Reader.
func (m *model) Pools(context.Context) ([]bursar.Pool, error) {
	var pools []bursar.Pool
	for _, name := range slices.Sorted(maps.Keys(m.pools)) {
		pools = append(pools, bursar.Pool{Name: name, Next: m.pools[name]})
	}
	return pools, nil
}

func (m *model) Endpoints(_ context.Context, q bursar.EndpointQuery) (out []bursar.EndpointRow, _ error) {
	for _, r := range m.endpoints {
		if r.Revision > q.After && (len(q.IDs) == 0 || slices.Contains(q.IDs, r.ID)) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b bursar.EndpointRow) int { return cmp.Compare(a.Revision, b.Revision) })
	return out, nil
}
