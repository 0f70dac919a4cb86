package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// modelChecks compare a store with the model, step by step.
func modelChecks() []check {
	return []check{{"D18 random batches and queries agree with the model", agrees}}
}

func agrees(k *kit) {
	rapid.Check(k, func(t *rapid.T) {
		s := k.open()
		defer s.Close()
		m := newModel()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			step(t, k.ctx, s, m)
		}
		v, want := view{t, k.ctx, nil}, m.state()
		require.NoError(t, s.Read(k.ctx, func(r bursar.Reader) error {
			v.reader = r
			require.Empty(t, differ(want, v.state()))
			for range 12 {
				compareQuery(t, v, view{t, k.ctx, m})
			}
			return nil
		}))
	})
}

// step applies a random batch to both; they must agree on the outcome. Most
// batches are drawn so that they can succeed.
func step(t *rapid.T, ctx context.Context, s bursar.Store, m *model) {
	if rapid.IntRange(0, 9).Draw(t, "reserve") == 0 {
		pool, n := pick(t, "pool", "a", "b"), uint32(rapid.IntRange(1, 9).Draw(t, "n"))
		first, err := s.Reserve(ctx, pool, n)
		require.NoError(t, err)
		require.Equal(t, m.pools[pool], first)
		m.pools[pool] += n
	}
	b := randomBatch(t, m)
	got := s.Write(ctx, func(tx bursar.Tx) error { return tx.Apply(ctx, b) })
	want := m.apply(b)
	for _, kind := range []error{nil, bursar.ErrConflict, bursar.ErrInvariant} {
		require.Equal(t, errors.Is(want, kind), errors.Is(got, kind), "want %v, got %v, of %+v", want, got, b)
	}
}

func pick[T any](t *rapid.T, what string, from ...T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, what)]
}

func instant(t *rapid.T, what string) time.Time { return later(rapid.IntRange(0, 5).Draw(t, what)) }

func maybe(t *rapid.T, what string) bool { return rapid.Bool().Draw(t, what) }

// sometimes is true one time in six.
func sometimes(t *rapid.T, what string) bool { return rapid.IntRange(0, 5).Draw(t, what) == 5 }

func number(t *rapid.T, what string) chain.Amount {
	return pick(t, what, chain.NewAmount(1), chain.NewAmount(2), chain.NewAmount(1<<63), huge(0))
}

// The values that random rows and queries choose from: few, so that they meet.
func anyStatus() []bursar.Status {
	return []bursar.Status{bursar.StatusPending, bursar.StatusDetected, bursar.StatusConfirmed}
}

func anyTx() []bursar.TransactionStatus {
	return []bursar.TransactionStatus{bursar.TxPending, bursar.TxConfirming, bursar.TxConfirmed, bursar.TxFailed}
}

func anyPayout() []bursar.PayoutStatus {
	return []bursar.PayoutStatus{bursar.PayoutPlanned, bursar.PayoutConfirming, bursar.PayoutFailed}
}

func anyJob() []bursar.DeliveryStatus {
	return []bursar.DeliveryStatus{bursar.DeliveryPending, bursar.DeliveryParked, bursar.DeliveryDone}
}

func anyAsset() []chain.AssetID { return []chain.AssetID{ether, usdcID, baseETH} }

func anyName() []string { return []string{"a", "b", "c", "d"} }

func anyAccount() []bursar.Account {
	return []bursar.Account{"U:a", "F:a", "pending:a", "owner"}
}

// version returns the version to write a row with: nearly always the stored.
func version[T any](t *rapid.T, rows []T, is func(T) bool, of func(T) int64) int64 {
	v := int64(0)
	for _, r := range rows {
		if is(r) {
			v = of(r)
		}
	}
	if rapid.IntRange(0, 19).Draw(t, "stale") == 0 {
		v++
	}
	return v
}

func randomBatch(t *rapid.T, m *model) (b bursar.Batch) {
	for range rapid.IntRange(1, 3).Draw(t, "rows") {
		switch rapid.IntRange(0, 9).Draw(t, "table") {
		case 0:
			b.Payments = append(b.Payments, randomPayment(t, m))
		case 1:
			b.Transactions = append(b.Transactions, randomTransaction(t, m))
		case 2:
			b.Addresses = append(b.Addresses, randomAddress(t, m))
		case 3:
			b.Payouts = append(b.Payouts, randomPayout(t, m))
		case 4:
			b.Attempts = append(b.Attempts, randomAttempt(t, m))
		case 5:
			b.Deliveries = append(b.Deliveries, randomDelivery(t, m))
		case 6:
			c := chainState(pick(t, "chain", mainnet, base))
			c.Final, c.Version = uint64(rapid.IntRange(0, 9).Draw(t, "final")), m.chains[c.Chain].Version
			b.Chains = append(b.Chains, c)
		case 9:
			w := endpointRow(pick(t, "id", anyName()...), int64(rapid.IntRange(1, 9).Draw(t, "revision")))
			w.Version = version(t, m.endpoints, func(o bursar.EndpointRow) bool { return o.ID == w.ID }, func(o bursar.EndpointRow) int64 { return o.Version })
			b.Endpoints = append(b.Endpoints, w)
		case 7:
			b.Entries = append(b.Entries, randomEntry(t, m, b.Entries))
		case 8:
			b.Events = append(b.Events, randomEvent(t, m, b.Events))
		}
	}
	return b
}

func randomPayment(t *rapid.T, m *model) bursar.Payment {
	return payment(pick(t, "id", anyName()...), func(p *bursar.Payment) {
		p.Version = version(t, m.payments, func(o bursar.Payment) bool { return o.ID == p.ID }, func(o bursar.Payment) int64 { return o.Version })
		p.Status, p.CreatedAt, p.Asset.ID = pick(t, "status", anyStatus()...), instant(t, "created"), pick(t, "asset", anyAsset()...)
		p.Customer = pick(t, "customer", "", "ann", "bob")
		if maybe(t, "deadline") {
			p.Deadline = instant(t, "deadline at")
		}
		if maybe(t, "metadata") {
			p.Metadata = map[string]string{pick(t, "key", "x", "y"): pick(t, "value", "1", "2")}
		}
		if sometimes(t, "other key") {
			p.IdempotencyKey = pick(t, "idempotency key", "", "key_a")
		}
	})
}

func randomTransaction(t *rapid.T, m *model) bursar.Transaction {
	return transaction(pick(t, "id", anyName()...), func(x *bursar.Transaction) {
		x.Version = version(t, m.transactions, func(o bursar.Transaction) bool { return o.ID == x.ID }, func(o bursar.Transaction) int64 { return o.Version })
		x.Status, x.CreatedAt = pick(t, "status", anyTx()...), instant(t, "created")
		x.Chain, x.PaymentID, x.AddressID = pick(t, "chain", mainnet, base), pick(t, "payment", anyName()...), pick(t, "address", anyName()...)
		x.Block, x.ConfirmAt = uint64(rapid.IntRange(0, 4).Draw(t, "block")), uint64(rapid.IntRange(0, 4).Draw(t, "confirm"))
		x.BlockHash, x.Final = chain.BlockHash(pick(t, "hash", anyName()...)), maybe(t, "final")
		x.Type = pick(t, "type", bursar.TypeIncoming, bursar.TypeInternal)
		x.Amount, x.Discharged, x.Reserved = number(t, "amount"), number(t, "discharged"), number(t, "reserved")
	})
}

func randomAddress(t *rapid.T, m *model) bursar.Address {
	i := rapid.IntRange(0, 3).Draw(t, "index")
	return address(anyName()[i], uint32(i), func(a *bursar.Address) {
		a.Version = version(t, m.addresses, func(o bursar.Address) bool { return o.ID == a.ID }, func(o bursar.Address) int64 { return o.Version })
		a.Role, a.Customer = pick(t, "role", bursar.RolePayment, bursar.RolePermanent), pick(t, "customer", "", "ann")
		a.Pool = pick(t, "pool", "x", "y")
	})
}

func randomPayout(t *rapid.T, m *model) bursar.Payout {
	return payout(pick(t, "id", anyName()...), func(p *bursar.Payout) {
		p.Version = version(t, m.payouts, func(o bursar.Payout) bool { return o.ID == p.ID }, func(o bursar.Payout) int64 { return o.Version })
		p.Status, p.CreatedAt, p.Chain = pick(t, "status", anyPayout()...), instant(t, "created"), pick(t, "chain", mainnet, base)
		p.BlockHash, p.Parent = chain.BlockHash(pick(t, "hash", anyName()...)), pick(t, "parent", "", "a")
	})
}

func randomAttempt(t *rapid.T, m *model) bursar.Attempt {
	return attempt(pick(t, "id", anyName()...), pick(t, "payout", "po1", "po2"), func(a *bursar.Attempt) {
		a.Version = version(t, m.attempts, func(o bursar.Attempt) bool { return o.ID == a.ID }, func(o bursar.Attempt) int64 { return o.Version })
		a.Group, a.Open, a.CreatedAt = rapid.IntRange(1, 2).Draw(t, "group"), maybe(t, "open"), instant(t, "created")
		a.Locks = []chain.Lock{chain.Lock(pick(t, "lock", anyName()...))}
		if maybe(t, "two locks") {
			a.Locks = append(a.Locks, "shared")
		}
	})
}

func randomDelivery(t *rapid.T, m *model) bursar.Delivery {
	seq := int64(rapid.IntRange(1, 4).Draw(t, "seq"))
	subject := pick(t, "subject", "p", "q")
	return delivery(fmt.Sprint(subject, seq), pick(t, "endpoint", "x", "y"), subject, seq, func(d *bursar.Delivery) {
		d.Version = version(t, m.deliveries, func(o bursar.Delivery) bool { return o.EventID == d.EventID && o.Endpoint == d.Endpoint },
			func(o bursar.Delivery) int64 { return o.Version })
		d.Status, d.NextAt, d.CreatedAt = pick(t, "status", anyJob()...), instant(t, "next"), instant(t, "created")
		d.Kind = pick(t, "kind", bursar.PaymentCreated, bursar.PaymentExpired)
		if sometimes(t, "leased") {
			d.LeasedUntil = instant(t, "leased until")
		}
	})
}

// randomEntry posts, or reverses one of the stored or of the batch.
func randomEntry(t *rapid.T, m *model, batch []bursar.Entry) bursar.Entry {
	id := fmt.Sprint("entry ", len(m.entries)+len(batch))
	if sometimes(t, "same id") {
		id = "entry 0"
	}
	known := append(append([]bursar.Entry{}, m.entries...), batch...)
	if len(known) > 0 && maybe(t, "reverse") {
		return reversal(id, pick(t, "of", known...))
	}
	return entry(id, func(e *bursar.Entry) {
		e.Debit, e.Credit = pick(t, "debit", anyAccount()...), pick(t, "credit", anyAccount()...)
		e.Amount, e.Asset = number(t, "amount"), pick(t, "asset", anyAsset()...)
		e.Subject, e.Transaction = pick(t, "subject", anyName()...), pick(t, "transaction", "", "t1", "t2")
		e.Live = pick(t, "live", "", "", "l1", "l2")
	})
}

func randomEvent(t *rapid.T, m *model, batch []bursar.Event) bursar.Event {
	subject, last := pick(t, "subject", "p", "q"), int64(0)
	for _, e := range append(append([]bursar.Event{}, m.events...), batch...) {
		if e.Subject == subject {
			last = e.Seq
		}
	}
	if sometimes(t, "wrong number") {
		last += int64(rapid.IntRange(-1, 1).Draw(t, "off"))
	}
	return event(fmt.Sprint(subject, last+1), subject, last+1, func(e *bursar.Event) {
		e.Kind = pick(t, "kind", bursar.PaymentCreated, bursar.PaymentExpired)
	})
}

// some draws a short list, mostly empty.
func some[T any](t *rapid.T, what string, from ...T) (list []T) {
	for range max(0, rapid.IntRange(-2, 3).Draw(t, what)) {
		list = append(list, pick(t, what, from...))
	}
	return list
}

func sometimesSet[T any](t *rapid.T, what string, from ...T) (v T) {
	if sometimes(t, what) {
		v = pick(t, what, from...)
	}
	return v
}

func cursor(t *rapid.T) (c bursar.Cursor) {
	if sometimes(t, "cursor") {
		c = bursar.Cursor{At: instant(t, "cursor at"), ID: pick(t, "cursor id", anyName()...)}
	}
	return c
}

// compareQuery asks both the same random question.
func compareQuery(t *rapid.T, got, want view) {
	limit := max(0, rapid.IntRange(-3, 3).Draw(t, "limit"))
	since, until := sometimesSet(t, "since", later(1), later(2)), sometimesSet(t, "until", later(3), later(4))
	switch rapid.IntRange(0, 8).Draw(t, "query") {
	case 0:
		q := bursar.PaymentQuery{
			IDs: some(t, "ids", anyName()...), Statuses: some(t, "statuses", anyStatus()...), Assets: some(t, "assets", anyAsset()...),
			Customer: sometimesSet(t, "customer", "ann"), Since: since, Until: until, After: cursor(t), Limit: limit,
			Metadata: sometimesSet(t, "metadata", map[string]string{"x": "1"}, map[string]string{"x": "1", "y": "2"}),
			DueBy:    sometimesSet(t, "due", later(2), later(4)), DueChain: sometimesSet(t, "due chain", mainnet),
		}
		same(t, q, want.payments(q), got.payments(q))
	case 1:
		q := bursar.TransactionQuery{
			Chain: pick(t, "chain", mainnet, base), PaymentIDs: some(t, "payments", anyName()...), AddressIDs: some(t, "addresses", anyName()...),
			Statuses: some(t, "statuses", anyTx()...), Blocks: sometimesSet(t, "blocks", []chain.BlockHash{"a"}, []chain.BlockHash{"b", "c"}),
			ConfirmBy: sometimesSet[uint64](t, "confirm", 1, 3), FinalBy: sometimesSet[uint64](t, "final", 1, 3), Sweepable: sometimes(t, "sweepable"),
			Since: since, Until: until, After: cursor(t), Limit: limit,
		}
		same(t, q, want.transactions(q), got.transactions(q))
	case 2:
		q := bursar.AddressQuery{
			Pool: sometimesSet(t, "pool", "x", "y"), Roles: some(t, "roles", bursar.RolePermanent), Customer: sometimesSet(t, "customer", "ann"),
			FromIndex: sometimesSet[uint32](t, "from", 1, 2), Limit: limit,
		}
		same(t, q, want.addresses(q), got.addresses(q))
	case 3:
		q := bursar.PayoutQuery{
			Statuses: some(t, "statuses", anyPayout()...), Chain: sometimesSet(t, "chain", mainnet), Open: maybe(t, "open"),
			Blocks: sometimesSet(t, "blocks", []chain.BlockHash{"a", "b"}), Parents: sometimesSet(t, "parents", []string{"a"}), After: cursor(t), Limit: limit,
		}
		same(t, q, want.payouts(q), got.payouts(q))
	case 4:
		q := bursar.AttemptQuery{
			PayoutIDs: some(t, "payouts", "po1", "po2"), Locks: some[chain.Lock](t, "locks", "a", "shared"), Open: maybe(t, "open"),
			Chain: sometimesSet(t, "chain", mainnet),
		}
		same(t, q, want.attempts(q), got.attempts(q))
	case 5:
		q := bursar.EntryQuery{
			Subject: sometimesSet(t, "subject", anyName()...), Transactions: some(t, "transactions", "t1", "t2"),
			Asset: sometimesSet(t, "asset", anyAsset()...), Unreversed: maybe(t, "unreversed"),
		}
		same(t, q, want.entries(q), got.entries(q))
	case 6:
		q := bursar.BalanceQuery{
			Asset: sometimesSet(t, "asset", anyAsset()...), Accounts: some(t, "accounts", anyAccount()...), Prefix: sometimesSet(t, "prefix", "U:", "o"),
		}
		same(t, q, want.balances(q), got.balances(q))
	case 7:
		q := bursar.EventQuery{
			Subject: sometimesSet(t, "subject", "p", "q"), AfterSeq: sometimesSet[int64](t, "after", 1, 2),
			Kinds: some(t, "kinds", bursar.PaymentCreated, bursar.PaymentExpired), Limit: limit,
		}
		same(t, q, want.events(q), got.events(q))
	case 8:
		q := bursar.DeliveryQuery{
			EventIDs: some(t, "events", "p1", "p2", "q1"), Endpoint: sometimesSet(t, "endpoint", "x"), Statuses: some(t, "statuses", anyJob()...),
			DueBy: sometimesSet(t, "due", later(1), later(3), later(9)), Limit: limit,
			Subject: sometimesSet(t, "subject", "p", "q"), Kinds: some(t, "kinds", bursar.PaymentCreated, bursar.PaymentExpired),
			Since: since, Until: until, Order: pick(t, "order", bursar.DeliveriesByTurn, bursar.DeliveriesOldest, bursar.DeliveriesNewest),
			After: sometimesSet(t, "after", bursar.DeliveryCursor{At: instant(t, "after at"), Endpoint: "x", Subject: "p", Seq: 2, EventID: "p2"}),
		}
		same(t, q, want.deliveries(q), got.deliveries(q))
	}
}

func same(t *rapid.T, query, want, got any) {
	require.Empty(t, differ(want, got), "%+v", query)
}
