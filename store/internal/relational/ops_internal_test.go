package relational

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// whole is a batch with something of everything.
func whole() *bursar.Batch {
	one := chain.NewAmount(1)
	return &bursar.Batch{
		Events: []bursar.Event{{ID: "e", Subject: "s", Seq: 2}}, Entries: []bursar.Entry{{ID: "n", Asset: "a", Debit: "D", Credit: "C", Amount: one, Reverses: "m"}},
		Chains: []bursar.ChainState{{Chain: "c"}}, Deliveries: []bursar.Delivery{{EventID: "e", Endpoint: "x", Version: 4}},
		Attempts: []bursar.Attempt{{ID: "t", Version: 1, Locks: []chain.Lock{"l2", "l1", "l2"}, Open: true}}, Payouts: []bursar.Payout{{ID: "o"}},
		Addresses: []bursar.Address{{ID: "a"}}, Transactions: []bursar.Transaction{{ID: "x"}}, Payments: []bursar.Payment{{ID: "p", Version: 3}},
		Fences: []bursar.Fence{{Name: "lease", Epoch: 5}},
	}
}

// Fences come first, then rows in the order of the batch, then what is appended.
func TestOrderOfStatements(t *testing.T) {
	ops, err := New(plain()).Ops(whole())
	require.NoError(t, err)
	var order []string
	for _, op := range ops {
		if len(order) == 0 || order[len(order)-1] != op.Table {
			order = append(order, op.Table)
		}
	}
	require.Equal(t, []string{
		"leases", "payments", "transactions", "addresses", "payouts", "attempts", "deliveries", "chains", "entries", "balances", "events",
	}, order)
}

// Every statement is told how many rows it must touch, and numbers its arguments
// from one.
func TestStatementsAreGuarded(t *testing.T) {
	ops, err := New(plain()).Ops(whole())
	require.NoError(t, err)
	guards := map[string]int{}
	for _, op := range ops {
		for n := range op.Args {
			require.Contains(t, op.SQL, fmt.Sprint("$", n+1))
		}
		require.NotContains(t, op.SQL, fmt.Sprint("$", len(op.Args)+1))
		if op.Want < 0 {
			require.Equal(t, "attempts", op.Table, "locks alone are free to touch any number")
			continue
		}
		require.EqualValues(t, 1, op.Want)
		guards[op.Fail.Error()]++
		require.ErrorIs(t, op.Err(), op.Fail)
		require.ErrorContains(t, op.Err(), op.Table)
		require.ErrorContains(t, op.Err(), strings.Join(op.Row, "/"))
	}
	require.Equal(t, map[string]int{bursar.ErrFenced.Error(): 1, bursar.ErrConflict.Error(): 8 + 2 + 3, bursar.ErrInvariant.Error(): 2}, guards)
}

// An insert is at version 0 alone; an update names the version that was read and
// writes one more.
func TestVersions(t *testing.T) {
	s := New(plain())
	for version, want := range map[int64]string{0: "INSERT INTO t_payments", 7: "UPDATE t_payments SET"} {
		op, err := s.payments.write(&bursar.Payment{ID: "p", Version: version})
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(op.SQL, want), op.SQL)
		require.Equal(t, version+1, op.Args[s.payments.version])
		if version > 0 {
			require.Contains(t, op.SQL, fmt.Sprintf(`WHERE "id" = $%d AND version = $%d`, len(op.Args)-1, len(op.Args)))
			require.Equal(t, []any{"p", version}, op.Args[len(op.Args)-2:])
		} else {
			require.Contains(t, op.SQL, "ON CONFLICT DO NOTHING")
		}
		probe := op.Probe()
		text, args := probe.SQL, probe.Args
		require.NotContains(t, text, fmt.Sprint("$", len(args)+1))
		require.Contains(t, text, fmt.Sprint("$", len(args)))
	}
	// Rows that never change have no version.
	op, err := s.entries.write(&bursar.Entry{ID: "e"})
	require.NoError(t, err)
	require.Empty(t, s.entries.update)
	require.True(t, strings.HasPrefix(op.SQL, "INSERT"))
}

// Sums of one account are one statement, in one order whatever the batch's; an
// account that gains and gives as much is left alone.
func TestSums(t *testing.T) {
	post := func(id string, debit, credit bursar.Account, n uint64) bursar.Entry {
		return bursar.Entry{ID: id, Asset: "a", Debit: debit, Credit: credit, Amount: chain.NewAmount(n)}
	}
	ops, err := New(plain()).Ops(&bursar.Batch{Entries: []bursar.Entry{post("1", "Z", "B", 5), post("2", "B", "A", 5), post("3", "Z", "A", 2)}})
	require.NoError(t, err)
	got := map[string]string{}
	var order []string
	for _, op := range ops {
		if op.Sum != nil {
			got[string(op.Sum.Account)] = op.Sum.By.String()
			order = append(order, string(op.Sum.Account))
			require.Equal(t, op.Sum.By.String(), op.Args[2])
		}
	}
	require.Equal(t, []string{"A", "Z"}, order)
	require.Equal(t, map[string]string{"A": "-7", "Z": "7"}, got)
}

// What breaks a rule in itself ends the batch, but for a writer that was too slow:
// that one hears of the conflict.
func TestBrokenRules(t *testing.T) {
	one := chain.NewAmount(1)
	for name, b := range map[string]bursar.Batch{
		"no id":     {Entries: []bursar.Entry{{Debit: "D", Credit: "C", Amount: one, Live: "l"}}},
		"no amount": {Entries: []bursar.Entry{{ID: "e", Debit: "D", Credit: "C", Live: "l"}}},
		"one side":  {Entries: []bursar.Entry{{ID: "e", Debit: "D", Credit: "D", Amount: one}}},
		"no number": {Events: []bursar.Event{{ID: "e", Subject: "s"}}},
		"negative":  {Events: []bursar.Event{{ID: "e", Subject: "s", Seq: -1}}},
		"nameless":  {Events: []bursar.Event{{Subject: "s", Seq: 1}}},
	} {
		ops, err := New(plain()).Ops(&b)
		require.NoError(t, err)
		last := ops[len(ops)-1]
		require.ErrorIs(t, last.Broken, bursar.ErrInvariant, name)
		for _, op := range ops[:len(ops)-1] {
			require.True(t, op.Select, "%s: nothing is written before it", name)
			require.Zero(t, op.Want)
			require.ErrorIs(t, op.Fail, bursar.ErrConflict)
		}
	}
}

// Conditions are arguments, every one of them, and lists are asked for at once.
func TestThreat_G12_ConditionsAreArguments(t *testing.T) {
	evil := `' OR "a" = 'a' --`
	c := &asked{}
	r := &Reader{S: New(plain()), C: c}
	ctx := context.Background()
	id := []string{evil, evil + "2"}
	ask := []error{}
	note := func(_ any, err error) { ask = append(ask, err) }
	note(r.Payments(ctx, bursar.PaymentQuery{IDs: id, IdempotencyKeys: id[:1], Customer: evil, Metadata: map[string]string{evil: evil}, After: bursar.Cursor{ID: evil}}))
	note(r.Transactions(ctx, bursar.TransactionQuery{PaymentIDs: id, Chain: chain.ID(evil), From: chain.Address(evil)}))
	note(r.Addresses(ctx, bursar.AddressQuery{Pool: evil, Roles: []bursar.Role{bursar.Role(evil)}}))
	note(r.Payouts(ctx, bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutKind(evil)}, Parents: id}))
	note(r.Attempts(ctx, bursar.AttemptQuery{Locks: []chain.Lock{chain.Lock(evil)}, PayoutIDs: id, TxIDs: []chain.TxID{"t"}}))
	note(r.Entries(ctx, bursar.EntryQuery{Subject: evil, Transactions: id}))
	note(r.Balances(ctx, bursar.BalanceQuery{Asset: chain.AssetID(evil), Prefix: evil}))
	note(r.Events(ctx, bursar.EventQuery{Subject: evil, Kinds: []bursar.Kind{bursar.Kind(evil)}}))
	note(r.Deliveries(ctx, bursar.DeliveryQuery{Endpoint: evil, EventIDs: id}))
	note(r.Chain(ctx, chain.ID(evil)))
	require.NoError(t, errors.Join(ask...))
	for i, text := range c.sql {
		require.NotContains(t, text, "OR \"a\"")
		for n := range c.args[i] {
			require.Contains(t, text, fmt.Sprint("$", n+1), text)
		}
		require.NotContains(t, text, fmt.Sprint("$", len(c.args[i])+1))
	}
}

// A text that no database can hold is refused before one is asked.
func TestThreat_G12_UnstorableTexts(t *testing.T) {
	for _, bad := range []string{"\x00", "a\x00b", "\xff", "a\xc3"} {
		c := &asked{}
		r := &Reader{S: New(plain()), C: c}
		ctx := context.Background()
		_, err1 := r.Payments(ctx, bursar.PaymentQuery{Customer: bad})
		_, err2 := r.Payments(ctx, bursar.PaymentQuery{IDs: []string{"a", bad}})
		_, err3 := r.Payments(ctx, bursar.PaymentQuery{Metadata: map[string]string{"k": bad}})
		_, err4 := r.Attempts(ctx, bursar.AttemptQuery{Locks: []chain.Lock{chain.Lock(bad)}})
		_, err5 := r.Balances(ctx, bursar.BalanceQuery{Prefix: bad})
		_, err6 := r.S.Ops(&bursar.Batch{Payments: []bursar.Payment{{ID: bad}}})
		_, err7 := r.S.Ops(&bursar.Batch{Payments: []bursar.Payment{{Metadata: map[string]string{bad: ""}}}})
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
			var wrong *bursar.FieldError
			require.ErrorAs(t, err, &wrong, "%d %q", i, bad)
		}
		require.Empty(t, c.sql)
	}
}

// A bound between two microseconds bounds the rows as it stands.
func TestBoundsBetweenMicroseconds(t *testing.T) {
	c := &asked{}
	r := &Reader{S: New(plain()), C: c}
	at := time.UnixMicro(5).UTC()
	for shift, want := range map[time.Duration]int64{0: 5, 1: 6, 999: 6, -1: 5, -999: 5, -1000: 4} {
		_, err := r.Payments(t.Context(), bursar.PaymentQuery{Since: at.Add(shift), Until: at.Add(shift)})
		require.NoError(t, err)
		require.Equal(t, []any{want, want}, c.args[len(c.args)-1], "%s", shift)
	}
}

// Errors of the database pass through every query, and a result that ends early is
// an error.
func TestErrorsOfTheDatabase(t *testing.T) {
	errGone := errors.New("gone")
	for _, c := range []*asked{{err: errGone}, {rows: rowsOf{err: errGone}}} {
		r := &Reader{S: New(plain()), C: c}
		ctx := t.Context()
		_, err1 := r.Payments(ctx, bursar.PaymentQuery{})
		_, err2 := r.Balances(ctx, bursar.BalanceQuery{})
		_, err3 := r.Chain(ctx, "c")
		_, err4 := r.Pools(ctx)
		for _, err := range []error{err1, err2, err3, err4} {
			require.ErrorIs(t, err, errGone)
		}
	}
	r := &Reader{S: New(plain()), C: &asked{}}
	_, err := r.Transactions(t.Context(), bursar.TransactionQuery{Sweepable: true})
	var wrong *bursar.FieldError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, "TransactionQuery.Chain", wrong.Field)
}

// sweepable agrees with what the query promises, also at the ends of the range.
func TestSweepable(t *testing.T) {
	top, err := chain.ParseUnits("115792089237316195423570985008687907853269984665640564039457584007913129639935")
	require.NoError(t, err)
	one, two := chain.NewAmount(1), chain.NewAmount(2)
	row := func(amount, discharged, reserved chain.Amount) *bursar.Transaction {
		return &bursar.Transaction{Type: bursar.TypeIncoming, Final: true, Amount: amount, Discharged: discharged, Reserved: reserved}
	}
	require.True(t, sweepable(row(two, one, chain.Amount{})))
	require.False(t, sweepable(row(two, one, one)))
	require.False(t, sweepable(row(top, top, one)), "the sum is above every amount")
	require.False(t, sweepable(row(chain.Amount{}, chain.Amount{}, chain.Amount{})))
	open, out := row(two, one, chain.Amount{}), row(two, one, chain.Amount{})
	open.Final, out.Type = false, bursar.TypeInternal
	require.False(t, sweepable(open) || sweepable(out))
}

// D11: which steps are missing, and which databases are not ours.
func TestThreat_D11_Pending(t *testing.T) {
	known := []Migration{{1, "a", "A", "sum a"}, {2, "b", "B", "sum b"}, {3, "c", "C", "sum c"}}
	have := func(n int) (out []Applied) {
		for _, m := range known[:n] {
			out = append(out, Applied{m.Version, m.Name, m.Checksum()})
		}
		return out
	}
	for n := range 4 {
		todo, err := Pending(known, have(n))
		require.NoError(t, err)
		require.Equal(t, known[n:], todo)
	}
	newer := append(have(3), Applied{4, "d", "x"})
	changed := have(2)
	changed[0].Checksum = "x"
	for want, have := range map[string][]Applied{
		"newer than this release": newer, "another one when it was applied": changed,
		"migration 1 is missing": have(2)[1:], "migration 2 is missing": {have(1)[0], {3, "c", known[2].Checksum()}},
	} {
		_, err := Pending(known, have)
		var wrong *bursar.SchemaError
		require.ErrorAs(t, err, &wrong)
		require.ErrorContains(t, err, want)
		require.Equal(t, 3, wrong.Want)
		require.Equal(t, have[len(have)-1].Version, wrong.Have)
	}
}

func TestLoad(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	got, err := Load(fstest.MapFS{"migrations/0002_b_c.sql": file("B"), "migrations/0001_a.sql": file("A"), "other.sql": file("")})
	require.NoError(t, err)
	require.Equal(t, []Migration{{1, "a", "A", checksum([]byte("A"))}, {2, "b_c", "B", checksum([]byte("B"))}}, got)
	require.NotEqual(t, got[0].Checksum(), got[1].Checksum())
	for _, name := range []string{"0002_gap", "0001", "x_a", "-1_a", "_a"} {
		_, err := Load(fstest.MapFS{"migrations/" + name + ".sql": file("")})
		require.ErrorContains(t, err, name)
	}
	_, err = Load(fstest.MapFS{"migrations/0001_a.sql": file(""), "migrations/0001_b.sql": file("")})
	require.Error(t, err, "one number twice")
}

// Retry ends with success, with an error that another run cannot mend, after
// MaxTries, or with its context.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := func(n int64) int64 { return n - 1 }
		errNo := errors.New("no")
		run := func(ctx context.Context, good int) (runs int, err error) {
			err = Retry(ctx, random, func() (bool, error) {
				if runs++; runs == good {
					return false, nil
				}
				return true, errNo
			})
			return runs, err
		}
		for _, good := range []int{1, 2, MaxTries} {
			runs, err := run(t.Context(), good)
			require.NoError(t, err)
			require.Equal(t, good, runs)
		}
		runs, err := run(t.Context(), 0)
		require.ErrorIs(t, err, errNo)
		require.Equal(t, MaxTries, runs)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		runs, err = run(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, runs, MaxTries)
		start := time.Now()
		_, _ = run(t.Context(), 0)
		require.Less(t, time.Since(start), time.Second, "the pauses have a bound")
		n := 0
		require.ErrorIs(t, Retry(t.Context(), random, func() (bool, error) { n++; return false, errNo }), errNo)
		require.Equal(t, 1, n)
	})
}

// The lease's statement asks for its arguments in their order.
func TestAcquire(t *testing.T) {
	text, args := New(plain()).Acquire("n", "h", "now() + ?", "later(?, ?)", []any{"N"}, []any{"U1", "U2"})
	require.Equal(t, []any{"n", "h", "U1", "U2", "N", "N"}, args)
	require.Contains(t, text, "VALUES ($1, $2, 1, later($3, $4))")
	require.Contains(t, text, "l.until > now() + $5")
	require.Contains(t, text, "l.until <= now() + $6")
}

func TestReserve(t *testing.T) {
	s := New(plain())
	_, _, err := s.Reserve("p", 0)
	require.ErrorIs(t, err, bursar.ErrInvariant)
	text, args, err := s.Reserve("p", 1<<32-1)
	require.NoError(t, err)
	require.Equal(t, []any{"p", int64(1<<32 - 1)}, args)
	require.Contains(t, text, "t_pools")
}
