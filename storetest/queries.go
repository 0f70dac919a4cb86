package storetest

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/stretchr/testify/require"
)

// query is a question and the ids of the rows that answer it, in order.
type query[Q any] struct {
	what string
	q    Q
	want string
}

// ask runs the queries of a table and holds them to use every field of the
// query, so that a field added later needs a question here.
func ask[Q any](k *kit, queries []query[Q], list func(v view, q Q) []string) {
	used := map[string]bool{}
	for _, c := range queries {
		k.read(func(v view) {
			require.Equal(k, c.want, strings.Join(list(v, c.q), " "), "%s: %+v", c.what, c.q)
		})
		q := reflect.ValueOf(c.q)
		for i := range q.NumField() {
			if !q.Field(i).IsZero() {
				used[q.Type().Field(i).Name] = true
			}
		}
	}
	for i := range reflect.TypeFor[Q]().NumField() {
		name := reflect.TypeFor[Q]().Field(i).Name
		require.True(k, used[name], "no query of the suite sets %T.%s", *new(Q), name)
	}
}

func ids[T any](rows []T, id func(T) string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = id(r)
	}
	return out
}

// queryChecks hold each query to what its fields say.
func queryChecks() []check {
	return []check{
		{"payments", paymentQueries},
		{"transactions", transactionQueries},
		{"addresses", addressQueries},
		{"payouts", payoutQueries},
		{"attempts", attemptQueries},
		{"entries", entryQueries},
		{"balances", balanceQueries},
		{"events", eventQueries},
		{"deliveries", deliveryQueries},
		{"endpoints", endpointQueries},
		{"a chain that was never written is its id alone", unknownChain},
		{"an empty store answers every query with nothing", emptyStore},
	}
}

func paymentQueries(k *kit) {
	at := func(seconds int) func(*bursar.Payment) {
		return func(p *bursar.Payment) { p.CreatedAt = later(seconds) }
	}
	due := func(seconds int) func(*bursar.Payment) {
		return func(p *bursar.Payment) { p.Deadline = later(seconds) }
	}
	of := func(a chain.AssetID) func(*bursar.Payment) { return func(p *bursar.Payment) { p.Asset.ID = a } }
	status := func(s bursar.Status) func(*bursar.Payment) { return func(p *bursar.Payment) { p.Status = s } }
	who := func(c string, m ...string) func(*bursar.Payment) {
		return func(p *bursar.Payment) {
			p.Customer, p.Metadata = c, map[string]string{}
			for i := 0; i < len(m); i += 2 {
				p.Metadata[m[i]] = m[i+1]
			}
		}
	}
	k.write(bursar.Batch{Payments: []bursar.Payment{
		payment("c", at(3), due(30), who("bob", "x", "1")),
		payment("a", at(1), due(50), who("ann", "x", "1", "y", "2"), status(bursar.StatusDetected)),
		payment("e", at(5), of(baseETH), due(20), status(bursar.StatusConfirmed)),
		payment("b", at(2), who("ann", "x", "2", "y", "2"), status(bursar.StatusExpired)),
		payment("d", at(3), of(ether), due(30), who("ann", "y", "1")),
	}})
	type Q = bursar.PaymentQuery
	ask(k, []query[Q]{
		{"all, newest first, ties by id", Q{}, "e d c b a"},
		{"ids in any order, unknown and twice", Q{IDs: []string{"a", "no", "e", "a"}}, "e a"},
		{"idempotency keys", Q{IdempotencyKeys: []string{"key_b", "key_d", "key_"}}, "d b"},
		{"addresses", Q{Addresses: []chain.Address{"0xc", "0xa", "0xC"}}, "c a"},
		{"one status", Q{Statuses: []bursar.Status{bursar.StatusPending}}, "d c"},
		{"statuses", Q{Statuses: []bursar.Status{bursar.StatusExpired, bursar.StatusPending}}, "d c b"},
		{"statuses, limited across them", Q{Statuses: []bursar.Status{bursar.StatusExpired, bursar.StatusPending}, Limit: 2}, "d c"},
		{"assets", Q{Assets: []chain.AssetID{ether, baseETH}}, "e d"},
		{"a customer", Q{Customer: "ann"}, "d b a"},
		{"metadata", Q{Metadata: map[string]string{"x": "1"}}, "c a"},
		{"metadata, all of them", Q{Metadata: map[string]string{"x": "1", "y": "2"}}, "a"},
		{"metadata that nobody has", Q{Metadata: map[string]string{"x": ""}}, ""},
		{"since is included", Q{Since: later(3)}, "e d c"},
		{"until is not", Q{Until: later(3)}, "b a"},
		{"since and until", Q{Since: later(2), Until: later(5)}, "d c b"},
		{"due, earliest first, ties by id", Q{DueBy: later(50)}, "e c d a"},
		{"due is included", Q{DueBy: later(30)}, "e c d"},
		{"due later than all", Q{DueBy: later(9999), Limit: 3}, "e c d"},
		{"due on a chain", Q{DueBy: later(50), DueChain: mainnet}, "c d a"},
		{"due on a chain, limited", Q{DueBy: later(50), DueChain: mainnet, Limit: 1}, "c"},
		{"due and status", Q{DueBy: later(50), Statuses: []bursar.Status{bursar.StatusPending}}, "c d"},
		{"due, behind a cursor", Q{DueBy: later(50), DueChain: mainnet, After: bursar.Cursor{At: later(30), ID: "c"}}, "d a"},
		{"due on every chain, behind a cursor", Q{DueBy: later(50), After: bursar.Cursor{At: later(20), ID: "e"}}, "c d a"},
		{"limit", Q{Limit: 2}, "e d"},
		{"behind a cursor", Q{After: bursar.Cursor{At: later(3), ID: "d"}}, "c b a"},
		{"behind a cursor that is no row", Q{After: bursar.Cursor{At: later(4), ID: "x"}, Limit: 2}, "d c"},
		{"a cursor within bounds", Q{Since: later(2), Until: later(4), After: bursar.Cursor{At: later(3), ID: "d"}}, "c b"},
		{"a cursor above the bounds", Q{Until: later(3), After: bursar.Cursor{At: later(9), ID: "z"}}, "b a"},
		{"a customer behind a cursor", Q{Customer: "ann", After: bursar.Cursor{At: later(3), ID: "d"}, Limit: 1}, "b"},
		{"conditions all hold", Q{Customer: "ann", Statuses: []bursar.Status{bursar.StatusPending}, Metadata: map[string]string{"y": "1"}}, "d"},
		{"ids and a status", Q{IDs: []string{"a", "d"}, Statuses: []bursar.Status{bursar.StatusPending}}, "d"},
	}, func(v view, q Q) []string {
		return ids(v.payments(q), func(p bursar.Payment) string { return p.ID })
	})
}

func transactionQueries(k *kit) {
	type T = bursar.Transaction
	in := func(status bursar.TransactionStatus, block, confirmAt uint64, hash chain.BlockHash, final bool) func(*T) {
		return func(t *T) {
			t.Status, t.Block, t.ConfirmAt, t.BlockHash, t.Final = status, block, confirmAt, hash, final
		}
	}
	of := func(payment, address, payout string) func(*T) {
		return func(t *T) { t.PaymentID, t.AddressID, t.PayoutID = payment, address, payout }
	}
	at := func(seconds int) func(*T) { return func(t *T) { t.CreatedAt = later(seconds) } }
	on := func(c chain.ID, a chain.AssetID) func(*T) { return func(t *T) { t.Chain, t.Asset = c, a } }
	taken := func(discharged, reserved chain.Amount) func(*T) {
		return func(t *T) { t.Discharged, t.Reserved = discharged, reserved }
	}
	n := chain.NewAmount
	confirming, confirmed := bursar.TxConfirming, bursar.TxConfirmed
	k.write(bursar.Batch{Transactions: []T{
		transaction("a", at(1), of("p1", "a1", ""), in(confirmed, 10, 12, "0xaa", true), taken(n(40), n(59))),
		transaction("b", at(2), of("p1", "a1", ""), in(confirmed, 11, 13, "0xbb", true), taken(n(40), n(60))),
		transaction("c", at(3), of("p2", "a2", ""), in(confirmed, 11, 13, "0xbb", false)),
		transaction("d", at(4), of("p2", "a2", ""), in(confirming, 12, 14, "0xcc", false), func(t *T) { t.Transfer = chain.TransferID{Tx: "0xc", Ordinal: "i:1"} }),
		transaction("e", at(5), of("", "a3", "po"), in(confirming, 13, 15, "0xdd", false), func(t *T) { t.Type = bursar.TypeOutgoing }),
		transaction("f", at(5), of("p3", "a4", ""), in(bursar.TxFailed, 13, 15, "0xdd", false)),
		transaction("g", at(6), on(base, baseETH), in(confirming, 5, 6, "0xdd", false), func(t *T) { t.From, t.To = "0xother", "0xmine" }),
		transaction("h", at(7), on(base, baseETH), in(confirmed, 5, 6, "0xee", true), taken(huge(0), huge(0))),
		transaction("i", at(8), in(confirmed, 9, 9, "0xff", true), func(t *T) { t.Type = bursar.TypeInternal }),
	}})
	type Q = bursar.TransactionQuery
	ask(k, []query[Q]{
		{"all, newest first, ties by id", Q{}, "i h g f e d c b a"},
		{"ids", Q{IDs: []string{"a", "no", "d"}}, "d a"},
		{"payments", Q{PaymentIDs: []string{"p1", "p3"}}, "f b a"},
		{"payments, limited across them", Q{PaymentIDs: []string{"p1", "p3"}, Limit: 2}, "f b"},
		{"addresses", Q{AddressIDs: []string{"a2", "a3"}}, "e d c"},
		{"payouts", Q{PayoutIDs: []string{"po"}}, "e"},
		{"a chain", Q{Chain: base}, "h g"},
		{"hashes", Q{Hashes: []chain.TxID{"0xc", "0xa"}}, "d c a"},
		{"assets", Q{Assets: []chain.AssetID{baseETH}}, "h g"},
		{"types", Q{Types: []bursar.TransactionType{bursar.TypeOutgoing, bursar.TypeInternal}}, "i e"},
		{"statuses", Q{Statuses: []bursar.TransactionStatus{confirming, bursar.TxFailed}}, "g f e d"},
		{"from", Q{From: "0xother"}, "g"},
		{"to", Q{To: "0xto", Limit: 3}, "i h f"},
		{"to and from", Q{To: "0xmine", From: "0xfrom"}, ""},
		{"live ones in blocks", Q{Blocks: []chain.BlockHash{"0xdd", "0xbb"}}, "g e c b"},
		{"live ones in blocks of a chain", Q{Blocks: []chain.BlockHash{"0xdd"}, Chain: mainnet}, "e"},
		{"to be confirmed by a height", Q{Chain: mainnet, ConfirmBy: 14}, "d"},
		{"to be confirmed by a higher one", Q{Chain: mainnet, ConfirmBy: 15}, "e d"},
		{"to be confirmed by any", Q{Chain: mainnet, ConfirmBy: 1<<63 - 1}, "e d"},
		{"to be confirmed by a low one", Q{Chain: mainnet, ConfirmBy: 1}, ""},
		{"to be final by a height", Q{Chain: mainnet, FinalBy: 11}, "c"},
		{"to be final by a lower one", Q{Chain: mainnet, FinalBy: 10}, ""},
		{"sweepable", Q{Chain: mainnet, Sweepable: true}, "a"},
		{"sweepable where sums are huge", Q{Chain: base, Sweepable: true}, ""},
		{"since and until", Q{Since: later(2), Until: later(5)}, "d c b"},
		{"behind a cursor", Q{After: bursar.Cursor{At: later(5), ID: "f"}, Limit: 2}, "e d"},
		{"an address behind a cursor", Q{AddressIDs: []string{"a2"}, After: bursar.Cursor{At: later(4), ID: "d"}}, "c"},
		{"conditions all hold", Q{PaymentIDs: []string{"p2"}, Statuses: []bursar.TransactionStatus{confirming}, Hashes: []chain.TxID{"0xc"}}, "d"},
	}, func(v view, q Q) []string {
		return ids(v.transactions(q), func(t T) string { return t.ID })
	})
}

func addressQueries(k *kit) {
	type A = bursar.Address
	pool := func(name string) func(*A) { return func(a *A) { a.Pool = name } }
	who := func(role bursar.Role, customer, key string) func(*A) {
		return func(a *A) { a.Role, a.Customer, a.IdempotencyKey = role, customer, key }
	}
	k.write(bursar.Batch{Addresses: []A{
		address("c", 10, pool("x")), address("a", 2, pool("x"), who(bursar.RolePermanent, "ann", "k1")),
		address("b", 9, pool("x"), who(bursar.RoleSponsor, "", "")), address("d", 0, pool("y"), who(bursar.RolePermanent, "bob", "k2")),
		address("e", 1<<31-1, pool("x/"), who(bursar.RolePermanent, "ann", "k3")),
	}})
	type Q = bursar.AddressQuery
	ask(k, []query[Q]{
		{"all, by pool and number", Q{}, "a b c e d"},
		{"limit", Q{Limit: 2}, "a b"},
		{"ids", Q{IDs: []string{"d", "a", "no"}}, "a d"},
		{"addresses", Q{Addresses: []chain.Address{"0xb", "0xe"}}, "b e"},
		{"a pool", Q{Pool: "x"}, "a b c"},
		{"a pool from an index on", Q{Pool: "x", FromIndex: 9}, "b c"},
		{"a pool from between", Q{Pool: "x", FromIndex: 3, Limit: 1}, "b"},
		{"a pool to its end", Q{Pool: "x/", FromIndex: 1<<31 - 1}, "e"},
		{"roles", Q{Roles: []bursar.Role{bursar.RolePermanent, bursar.RoleSponsor}}, "a b e d"},
		{"a customer", Q{Customer: "ann"}, "a e"},
		{"a customer, limited", Q{Customer: "ann", Limit: 1}, "a"},
		{"idempotency keys", Q{IdempotencyKeys: []string{"k2", "k3", "k"}}, "e d"},
		{"conditions all hold", Q{Customer: "ann", Pool: "x/"}, "e"},
	}, func(v view, q Q) []string { return ids(v.addresses(q), func(a A) string { return a.ID }) })
}

func payoutQueries(k *kit) {
	type P = bursar.Payout
	at := func(seconds int, kind bursar.PayoutKind, s bursar.PayoutStatus) func(*P) {
		return func(p *P) { p.CreatedAt, p.Kind, p.Status = later(seconds), kind, s }
	}
	mined := func(tx chain.TxID, block chain.BlockHash) func(*P) {
		return func(p *P) { p.TxID, p.BlockHash = tx, block }
	}
	k.write(bursar.Batch{Payouts: []P{
		payout("d", at(4, bursar.PayoutRefund, bursar.PayoutConfirmed), mined("0x1", "0xaa")),
		payout("a", at(1, bursar.PayoutSweep, bursar.PayoutPlanned)),
		payout("c", at(1, bursar.PayoutTopUp, bursar.PayoutConfirming), mined("0x2", "0xbb"), func(p *P) { p.Parent = "a" }),
		payout("b", at(2, bursar.PayoutSweep, bursar.PayoutHalted), func(p *P) { p.Chain = base }),
		payout("e", at(5, bursar.PayoutCancel, bursar.PayoutBroadcast), mined("0x3", "0xaa"), func(p *P) { p.Parent = "b" }),
	}})
	type Q = bursar.PayoutQuery
	ask(k, []query[Q]{
		{"all, oldest first, ties by id", Q{}, "a c b d e"},
		{"limit", Q{Limit: 3}, "a c b"},
		{"ids", Q{IDs: []string{"e", "a", "no"}}, "a e"},
		{"keys", Q{Keys: []string{"key_b", "key_c"}}, "c b"},
		{"a chain", Q{Chain: base}, "b"},
		{"kinds", Q{Kinds: []bursar.PayoutKind{bursar.PayoutSweep, bursar.PayoutRefund}}, "a b d"},
		{"statuses", Q{Statuses: []bursar.PayoutStatus{bursar.PayoutBroadcast, bursar.PayoutPlanned}}, "a e"},
		{"open", Q{Open: true}, "a c e"},
		{"open, on a chain", Q{Open: true, Chain: base}, ""},
		{"transactions", Q{TxIDs: []chain.TxID{"0x3", "0x2"}}, "c e"},
		{"blocks", Q{Blocks: []chain.BlockHash{"0xaa"}}, "d e"},
		{"parents", Q{Parents: []string{"b", "a"}}, "c e"},
		{"behind a cursor", Q{After: bursar.Cursor{At: later(1), ID: "a"}}, "c b d e"},
		{"open behind a cursor", Q{Open: true, After: bursar.Cursor{At: later(1), ID: "c"}, Limit: 1}, "e"},
		{"conditions all hold", Q{Blocks: []chain.BlockHash{"0xaa"}, Open: true}, "e"},
	}, func(v view, q Q) []string { return ids(v.payouts(q), func(p P) string { return p.ID }) })
}

func attemptQueries(k *kit) {
	type A = bursar.Attempt
	at := func(seconds int, open bool) func(*A) {
		return func(a *A) { a.CreatedAt, a.Open = later(seconds), open }
	}
	k.write(bursar.Batch{Attempts: []A{
		attempt("c", "po2", at(3, true), lock("x", "y")),
		attempt("a", "po1", at(1, false), lock("x")),
		attempt("d", "po2", at(3, true), lock("y", "z")),
		attempt("b", "po1", at(2, true), lock("w"), func(a *A) { a.Chain = base }),
	}})
	type Q = bursar.AttemptQuery
	ask(k, []query[Q]{
		{"all, oldest first, ties by id", Q{}, "a b c d"},
		{"payouts", Q{PayoutIDs: []string{"po2", "po1"}}, "a b c d"},
		{"one payout", Q{PayoutIDs: []string{"po2"}}, "c d"},
		{"a chain", Q{Chain: mainnet}, "a c d"},
		{"transactions", Q{TxIDs: []chain.TxID{"0xd", "0xa"}}, "a d"},
		{"a lock", Q{Locks: []chain.Lock{"x"}}, "a c"},
		{"locks, each attempt once", Q{Locks: []chain.Lock{"x", "y", "q"}}, "a c d"},
		{"open", Q{Open: true}, "b c d"},
		{"open on a chain", Q{Open: true, Chain: mainnet}, "c d"},
		{"an open holder of a lock", Q{Open: true, Chain: mainnet, Locks: []chain.Lock{"x"}}, "c"},
	}, func(v view, q Q) []string { return ids(v.attempts(q), func(a A) string { return a.ID }) })
}

func entryQueries(k *kit) {
	of := func(subject, transaction string, asset chain.AssetID) func(*bursar.Entry) {
		return func(e *bursar.Entry) { e.Subject, e.Transaction, e.Asset = subject, transaction, asset }
	}
	b := entry("b", of("p", "t1", ether))
	k.write(bursar.Batch{Entries: []bursar.Entry{
		entry("d", of("p", "t1", ether)), b, entry("c", of("q", "t2", usdcID)), reversal("a", b), entry("e", of("p", "", usdcID)),
	}})
	type Q = bursar.EntryQuery
	ask(k, []query[Q]{
		{"all", Q{}, "d b c a e"},
		{"a subject", Q{Subject: "p"}, "d b a e"},
		{"transactions", Q{Transactions: []string{"t2", "t1"}}, "d b c a"},
		{"an asset", Q{Asset: usdcID}, "c e"},
		{"unreversed", Q{Unreversed: true}, "d c e"},
		{"unreversed of a subject", Q{Subject: "p", Unreversed: true}, "d e"},
		{"unreversed of a transaction", Q{Transactions: []string{"t1"}, Unreversed: true}, "d"},
		{"conditions all hold", Q{Subject: "p", Asset: ether, Transactions: []string{"t1"}}, "d b a"},
	}, func(v view, q Q) []string { return ids(v.entries(q), func(e bursar.Entry) string { return e.ID }) })
}

func balanceQueries(k *kit) {
	post := func(id string, asset chain.AssetID, debit, credit bursar.Account, n uint64) bursar.Entry {
		return entry(id, func(e *bursar.Entry) { e.Asset, e.Debit, e.Credit, e.Amount = asset, debit, credit, chain.NewAmount(n) })
	}
	k.write(bursar.Batch{Entries: []bursar.Entry{
		post("1", ether, "U:a", "pending:p", 5), post("2", ether, "U:ab", "pending:p", 6), post("3", ether, "F:a", "U:a", 2),
		post("4", baseETH, "U:a", "owner", 9), post("5", ether, "U:zero", "owner", 1), post("6", ether, "owner", "U:zero", 1),
	}})
	type Q = bursar.BalanceQuery
	e, b := string(ether), string(baseETH)
	ask(k, []query[Q]{
		{"all, by asset and account", Q{}, strings.Join([]string{e + "=F:a=2", e + "=U:a=3", e + "=U:ab=6", e + "=pending:p=-11", b + "=U:a=9", b + "=owner=-9"}, " ")},
		{"an asset", Q{Asset: baseETH}, b + "=U:a=9 " + b + "=owner=-9"},
		{"accounts", Q{Accounts: []bursar.Account{"pending:p", "U:a", "U:zero", "U:"}}, e + "=U:a=3 " + e + "=pending:p=-11 " + b + "=U:a=9"},
		{"accounts of an asset", Q{Asset: ether, Accounts: []bursar.Account{"U:a", "F:a"}}, e + "=F:a=2 " + e + "=U:a=3"},
		{"a prefix", Q{Prefix: "U:"}, e + "=U:a=3 " + e + "=U:ab=6 " + b + "=U:a=9"},
		{"a prefix of an asset, the account itself included", Q{Asset: ether, Prefix: "U:a"}, e + "=U:a=3 " + e + "=U:ab=6"},
		{"a prefix is no pattern", Q{Prefix: "%"}, ""},
		{"a prefix has case", Q{Prefix: "u:"}, ""},
	}, func(v view, q Q) []string {
		return ids(v.balances(q), func(b bursar.Balance) string { return fmt.Sprintf("%s=%s=%v", b.Asset, b.Account, b.Sum) })
	})
}

func eventQueries(k *kit) {
	kind := func(n bursar.Kind) func(*bursar.Event) { return func(e *bursar.Event) { e.Kind = n } }
	k.write(bursar.Batch{Events: []bursar.Event{
		event("e", "p", 1, kind(bursar.PaymentCreated)), event("d", "q", 1), event("c", "p", 2), event("b", "p", 3, kind(bursar.PaymentExpired)),
		event("a", "q", 2, kind(bursar.PaymentExpired)),
	}})
	type Q = bursar.EventQuery
	ask(k, []query[Q]{
		{"all, as written", Q{}, "e d c b a"},
		{"limit", Q{Limit: 2}, "e d"},
		{"ids", Q{IDs: []string{"b", "e", "no", "b"}}, "e b"},
		{"a subject", Q{Subject: "p"}, "e c b"},
		{"a subject behind a number", Q{Subject: "p", AfterSeq: 1}, "c b"},
		{"a subject behind a number, limited", Q{Subject: "p", AfterSeq: 1, Limit: 1}, "c"},
		{"a subject behind its last", Q{Subject: "p", AfterSeq: 3}, ""},
		{"kinds", Q{Kinds: []bursar.Kind{bursar.PaymentExpired, bursar.PaymentCreated}}, "e b a"},
		{"kinds of a subject, limited", Q{Subject: "p", Kinds: []bursar.Kind{bursar.PaymentExpired, bursar.PaymentDetected}, Limit: 1}, "c"},
	}, func(v view, q Q) []string { return ids(v.events(q), func(e bursar.Event) string { return e.ID }) })
}

func endpointQueries(k *kit) {
	k.write(bursar.Batch{Endpoints: []bursar.EndpointRow{endpointRow("c", 1), endpointRow("a", 3), endpointRow("b", 2)}})
	k.write(bursar.Batch{Endpoints: []bursar.EndpointRow{endpointRow("c", 4, func(e *bursar.EndpointRow) { e.Version = 1 })}})
	type Q = bursar.EndpointQuery
	ask(k, []query[Q]{
		{"all, by revision", Q{}, "b a c"},
		{"after a revision", Q{After: 2}, "a c"},
		{"after the last", Q{After: 4}, ""},
		{"ids", Q{IDs: []string{"c", "b", "no", "b"}}, "b c"},
		{"ids after a revision", Q{IDs: []string{"c", "b"}, After: 2}, "c"},
	}, func(v view, q Q) []string {
		return ids(v.endpoints(q), func(e bursar.EndpointRow) string { return e.ID })
	})
}

func unknownChain(k *kit) {
	k.read(func(v view) { require.Equal(k, bursar.ChainState{Chain: base}, v.chain(base)) })
	k.write(bursar.Batch{Chains: []bursar.ChainState{chainState(mainnet)}})
	k.read(func(v view) {
		require.Equal(k, bursar.ChainState{Chain: base}, v.chain(base))
		require.EqualValues(k, 10, v.chain(mainnet).Head.Height)
	})
}

func emptyStore(k *kit) { require.Empty(k, differ(newModel().state(), k.state())) }
