package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// planner asks the database how it would answer, and answers nothing.
type planner struct {
	c    *conn
	text string
	plan []string
}

func (p *planner) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	p.text, p.plan = text, nil
	rows, err := p.c.QueryContext(ctx, "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return nil, err
		}
		p.plan = append(p.plan, detail)
	}
	return none{}, errors.Join(rows.Err(), rows.Close())
}

func (p *planner) Exec(context.Context, string, []any) (int64, error) {
	return 0, errors.New("a planner writes nothing")
}

type none struct{}

func (none) Next() bool        { return false }
func (none) Scan(...any) error { return errors.New("there is nothing") }
func (none) Err() error        { return nil }
func (none) Close() error      { return nil }

// slow returns the step of a plan that looks at a whole table or index, or that
// puts rows in order where they are many; empty: none.
func (p *planner) slow(e excuse) string {
	for _, step := range p.plan {
		switch {
		case strings.HasPrefix(step, "SCAN bursar_"), strings.HasPrefix(step, "SCAN o"):
			if e < whole && !(e == listed && strings.Contains(step, "USING INDEX")) {
				return step
			}
		case strings.Contains(step, "TEMP B-TREE FOR ORDER BY"):
			if e < few {
				return step
			}
		}
	}
	return ""
}

// excuse is what may be slow about a query.
type excuse int

const (
	nothing excuse = iota
	// listed: no condition, so that the first rows in the order of an index are what
	// was asked for.
	listed
	// few: the rows that are found are few, and are put in order afterwards.
	few
	// whole: everything is what was asked for, or the condition comes with others.
	whole
)

// excuses are the conditions that need one when they stand alone. Many values are
// few rows each, but for statuses, assets and roles: those are read in the order of
// the list, or merged, whatever the planner takes to be less.
func excuses(many bool) map[string]excuse {
	e := map[string]excuse{
		"PaymentQuery.After": listed, "PaymentQuery.Limit": listed, "PaymentQuery.DueChain": listed,
		"PaymentQuery.Metadata": few, "BalanceQuery.Accounts": few, "BalanceQuery.Prefix": few,
		// What became due since the last block.
		"TransactionQuery.ConfirmBy": few, "TransactionQuery.FinalBy": few, "DeliveryQuery.DueBy": few, "DeliveryQuery.Due": few,
		"TransactionQuery.Hashes": few, "TransactionQuery.Blocks": few, "PayoutQuery.TxIDs": few, "PayoutQuery.Blocks": few,
		"PayoutQuery.Parents": few, "AttemptQuery.Locks": few, "AttemptQuery.TxIDs": few,
		"DeliveryQuery.EventIDs": few, "EventQuery.IDs": few,
		"AddressQuery.Limit": listed, "PayoutQuery.Limit": listed, "PayoutQuery.Chain": listed, "PayoutQuery.Kinds": listed,
		// Never alone; see used.
		"PaymentQuery.DueBy": whole, "AddressQuery.FromIndex": whole, "AttemptQuery.Chain": whole, "AttemptQuery.Open": whole,
		"EventQuery.AfterSeq": whole, "DeliveryQuery.Endpoint": whole, "DeliveryQuery.Claim": whole, "DeliveryQuery.Limit": whole,
		"DeliveryQuery.Statuses": whole, "DeliveryQuery.Since": whole, "DeliveryQuery.Until": whole, "DeliveryQuery.Kinds": whole,
		"DeliveryQuery.Order": whole, "DeliveryQuery.After": whole, "DeliveryQuery.Subject": few,
		// All there is, or the most part of it.
		"EntryQuery.Unreversed": whole, "EventQuery.Kinds": whole, "EventQuery.Limit": whole,
	}
	if many {
		for _, name := range []string{"PaymentQuery.Statuses", "PaymentQuery.Assets", "AddressQuery.Roles", "PayoutQuery.Kinds", "PayoutQuery.Statuses", "DeliveryQuery.Statuses"} {
			e[name] = whole
		}
	}
	return e
}

// used are the conditions that the gateway combines.
func used(ctx context.Context, r *relational.Reader) map[string]func() (excuse, error) {
	now := time.Unix(1_800_000_000, 0)
	payments := func(e excuse, q bursar.PaymentQuery) func() (excuse, error) {
		return func() (excuse, error) { _, err := r.Payments(ctx, q); return e, err }
	}
	addresses := func(e excuse, q bursar.AddressQuery) func() (excuse, error) {
		return func() (excuse, error) { _, err := r.Addresses(ctx, q); return e, err }
	}
	attempts := func(e excuse, q bursar.AttemptQuery) func() (excuse, error) {
		return func() (excuse, error) { _, err := r.Attempts(ctx, q); return e, err }
	}
	payouts := func(e excuse, q bursar.PayoutQuery) func() (excuse, error) {
		return func() (excuse, error) { _, err := r.Payouts(ctx, q); return e, err }
	}
	deliveries := func(e excuse, q bursar.DeliveryQuery) func() (excuse, error) {
		return func() (excuse, error) { _, err := r.Deliveries(ctx, q); return e, err }
	}
	dead := []bursar.DeliveryStatus{bursar.DeliveryDead}
	behind := bursar.DeliveryCursor{At: now, Endpoint: "e", Subject: "s", Seq: 1, EventID: "i"}
	return map[string]func() (excuse, error){
		"due payments":       payments(nothing, bursar.PaymentQuery{DueBy: now, DueChain: "c", Limit: 500}),
		"a page of payments": payments(nothing, bursar.PaymentQuery{Statuses: []bursar.Status{"s"}, After: bursar.Cursor{At: now, ID: "i"}, Limit: 50}),
		"a customer's":       payments(nothing, bursar.PaymentQuery{Customer: "c", Since: now, Limit: 50}),
		"a pool":             addresses(nothing, bursar.AddressQuery{Pool: "p", FromIndex: 5, Limit: 50}),
		"open attempts":      attempts(nothing, bursar.AttemptQuery{Chain: "c", Open: true}),
		"who has a lock":     attempts(few, bursar.AttemptQuery{Chain: "c", Open: true, Locks: []chain.Lock{"a", "b"}}),
		"open payouts":       payouts(nothing, bursar.PayoutQuery{Chain: "c", Open: true}),
		"planned payouts":    payouts(nothing, bursar.PayoutQuery{Chain: "c", Statuses: []bursar.PayoutStatus{"a"}}),
		"due deliveries":     deliveries(few, bursar.DeliveryQuery{Endpoint: "e", DueBy: now, Claim: true, Limit: 50}),
		"deliveries, newest": deliveries(nothing, bursar.DeliveryQuery{Statuses: dead, Order: bursar.DeliveriesNewest, Limit: 50}),
		"deliveries, a page": deliveries(nothing, bursar.DeliveryQuery{Statuses: dead, Order: bursar.DeliveriesOldest, After: behind, Limit: 50}),
		"deliveries, of kinds to one": deliveries(nothing, bursar.DeliveryQuery{
			Statuses: dead, Order: bursar.DeliveriesNewest, After: behind, Kinds: []bursar.Kind{"a", "b"}, Endpoint: "e", Since: now, Limit: 50,
		}),
		"deliveries of a subject": deliveries(few, bursar.DeliveryQuery{Statuses: dead, Order: bursar.DeliveriesNewest, Subject: "s", Limit: 50}),
		"deliveries of events":    deliveries(few, bursar.DeliveryQuery{Statuses: dead, Order: bursar.DeliveriesNewest, EventIDs: []string{"a"}, Limit: 50}),
		"a subject's events": func() (excuse, error) {
			_, err := r.Events(ctx, bursar.EventQuery{Subject: "s", AfterSeq: 5, Limit: 50})
			return nothing, err
		},
		"a transaction's entries": func() (excuse, error) {
			_, err := r.Entries(ctx, bursar.EntryQuery{Transactions: []string{"a"}, Unreversed: true})
			return nothing, err
		},
	}
}

// sample fills one field of a query; lists get one value, or two.
func sample(f reflect.Value, many bool) {
	switch f.Interface().(type) {
	case time.Time:
		f.Set(reflect.ValueOf(time.Unix(1_800_000_000, 0)))
		return
	case bursar.DeliveryCursor:
		f.Set(reflect.ValueOf(bursar.DeliveryCursor{At: time.Unix(1_800_000_000, 0), Endpoint: "x", Subject: "x", Seq: 1, EventID: "x"}))
		return
	case bursar.Cursor:
		f.Set(reflect.ValueOf(bursar.Cursor{At: time.Unix(1_800_000_000, 0), ID: "x"}))
		return
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString("x")
	case reflect.Bool:
		f.SetBool(true)
	case reflect.Int, reflect.Int64:
		f.SetInt(50)
	case reflect.Uint32, reflect.Uint64:
		f.SetUint(5)
	case reflect.Map:
		f.Set(reflect.ValueOf(map[string]string{"k": "v"}))
	case reflect.Slice:
		n := 1
		if many {
			n = 2
		}
		f.Set(reflect.MakeSlice(f.Type(), n, n))
		for i := range n {
			f.Index(i).SetString(fmt.Sprint("x", i))
		}
	}
}

// D16: every condition of every query finds its rows by an index, with the
// statistics that a host's ANALYZE leaves and without. What a plan costs follows
// from its steps and not from how many rows there are.
func TestThreat_D16_EveryQueryUsesAnIndex(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "plans.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	plans(t, s)
	// Statistics of 10^5 rows, as a host's ANALYZE would leave them.
	require.NoError(t, s.alone(t.Context(), func(ctx context.Context, c *conn) error {
		if err := c.run(ctx, "ANALYZE"); err != nil {
			return err
		}
		if err := c.run(ctx, "DELETE FROM sqlite_stat1"); err != nil {
			return err
		}
		return c.run(ctx, `INSERT INTO sqlite_stat1 SELECT m.tbl_name, m.name, '100000' || (SELECT group_concat(CASE
 WHEN i.seqno + 1 = (SELECT count(*) FROM pragma_index_info(m.name)) AND (m.sql IS NULL OR m.sql LIKE '%UNIQUE%') THEN ' 1'
 WHEN i.seqno = 0 AND i.name IN ('status', 'chain', 'pool', 'asset', 'asset_id', 'type', 'role', 'endpoint') THEN ' 10000' ELSE ' 10' END, '') FROM pragma_index_info(m.name) i)
 FROM sqlite_schema m WHERE m.type = 'index' AND m.tbl_name LIKE 'bursar_%'`)
	}))
	require.NoError(t, s.read.close())
	require.NoError(t, s.write.close())
	s.read, s.write = newPool(s.db, 2, s.read.setup...), newPool(s.db, 1, s.write.setup...)
	plans(t, s)
}

// plans checks the plan of every query with one condition.
func plans(t *testing.T, s *Store) {
	t.Helper()
	c, err := s.read.take(t.Context())
	require.NoError(t, err)
	defer s.read.give(c, false)
	p := &planner{c: c}
	r := &relational.Reader{S: s.schema, C: p, Time: s.clock()}
	checked := 0
	each := func(query any, run func(reflect.Value) error) {
		typ := reflect.TypeOf(query)
		for i := range typ.NumField() {
			for _, many := range []bool{false, true} {
				q := reflect.New(typ).Elem()
				sample(q.Field(i), many)
				if f := q.FieldByName("Chain"); f.IsValid() && typ != reflect.TypeFor[bursar.AttemptQuery]() {
					f.SetString("x") // some conditions need it
				}
				if f := q.FieldByName("Limit"); f.IsValid() {
					f.SetInt(50)
				}
				require.NoError(t, run(q))
				require.NotEmpty(t, p.plan)
				excused := excuses(many)[typ.Name()+"."+typ.Field(i).Name]
				if many && q.Field(i).Kind() == reflect.Slice {
					excused = max(excused, few)
				}
				slow := p.slow(excused)
				if slow != "" {
					t.Errorf("%s.%s (many: %v)\n%s\n%s", typ.Name(), typ.Field(i).Name, many, p.text[strings.Index(p.text, " FROM "):], strings.Join(p.plan, "\n"))
				}
				checked++
			}
		}
	}
	ctx := t.Context()
	each(bursar.PaymentQuery{}, func(q reflect.Value) error {
		_, err := r.Payments(ctx, q.Interface().(bursar.PaymentQuery))
		return err
	})
	each(bursar.TransactionQuery{}, func(q reflect.Value) error {
		_, err := r.Transactions(ctx, q.Interface().(bursar.TransactionQuery))
		return err
	})
	each(bursar.AddressQuery{}, func(q reflect.Value) error {
		_, err := r.Addresses(ctx, q.Interface().(bursar.AddressQuery))
		return err
	})
	each(bursar.PayoutQuery{}, func(q reflect.Value) error { _, err := r.Payouts(ctx, q.Interface().(bursar.PayoutQuery)); return err })
	each(bursar.AttemptQuery{}, func(q reflect.Value) error {
		_, err := r.Attempts(ctx, q.Interface().(bursar.AttemptQuery))
		return err
	})
	each(bursar.EntryQuery{}, func(q reflect.Value) error { _, err := r.Entries(ctx, q.Interface().(bursar.EntryQuery)); return err })
	each(bursar.BalanceQuery{}, func(q reflect.Value) error {
		_, err := r.Balances(ctx, q.Interface().(bursar.BalanceQuery))
		return err
	})
	each(bursar.EventQuery{}, func(q reflect.Value) error { _, err := r.Events(ctx, q.Interface().(bursar.EventQuery)); return err })
	each(bursar.DeliveryQuery{}, func(q reflect.Value) error {
		_, err := r.Deliveries(ctx, q.Interface().(bursar.DeliveryQuery))
		return err
	})
	require.Greater(t, checked, 100)
	for name, run := range used(ctx, r) {
		excused, err := run()
		require.NoError(t, err)
		require.Empty(t, p.slow(excused), "%s\n%s\n%s", name, p.text, strings.Join(p.plan, "\n"))
		if name == "due deliveries" {
			require.Contains(t, strings.Join(p.plan, "\n"), "bursar_deliveries_due (endpoint=? AND next_at<?)")
		}
		if excused == few && strings.HasPrefix(name, "deliveries of") {
			require.Contains(t, strings.Join(p.plan, "\n"), "(event_id=?", name)
		}
	}
	_, err = r.Chain(ctx, chain.ID("x"))
	require.NoError(t, err)
	require.Empty(t, p.slow(nothing))
}
