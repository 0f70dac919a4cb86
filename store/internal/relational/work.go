package relational

import (
	"context"
	"fmt"
	"time"

	"github.com/bursar-go/bursar"
)

// MaxIndex is one more than the last index of a derivation path that is not
// hardened.
const MaxIndex = 1 << 31

// Reserve returns the statement that hands out indexes; its one row is the first
// index after them.
func (s *Schema) Reserve(pool string, n uint32) (sql string, args []any, err error) {
	if n == 0 {
		// Its answer would be an index that the next caller gets too.
		return "", nil, fmt.Errorf("%w: pool %q: a reservation of no index", bursar.ErrInvariant, pool)
	}
	if err := Storable("name", pool); err != nil {
		return "", nil, err
	}
	d := s.d
	return `INSERT INTO ` + d.Table("pools") + ` AS p (name, "next") VALUES (` + d.Placeholder(1) + `, ` + d.Placeholder(2) +
		`) ON CONFLICT (name) DO UPDATE SET "next" = p."next" + excluded."next" RETURNING "next"`, []any{pool, int64(n)}, nil
}

// Acquire returns the statement that takes or renews a lease; its one row is
// epoch and end, and it has none where somebody else holds the lease. now and
// until are expressions of SQL, in which ? stands for an argument: the clock is
// the database's where it has one.
func (s *Schema) Acquire(name, holder, now, until string, nows, untils []any) (sql string, args []any) {
	q := newQuery(s.d)
	fill := func(expression string, values []any) string {
		out, n := "", 0
		for _, r := range expression {
			if r == '?' {
				out += q.Arg(values[n])
				n++
				continue
			}
			out += string(r)
		}
		return out
	}
	at := func() string { return fill(now, nows) }
	sql = `INSERT INTO ` + s.d.Table("leases") + ` AS l (name, holder, epoch, until) VALUES (` + q.Arg(name) + `, ` + q.Arg(holder) + `, 1, ` + fill(until, untils) + `)
 ON CONFLICT (name) DO UPDATE SET epoch = CASE WHEN l.until > ` + at() + ` THEN l.epoch ELSE l.epoch + 1 END, holder = excluded.holder, until = excluded.until
 WHERE l.holder = excluded.holder OR l.until <= ` + at() + ` RETURNING epoch, until`
	return sql, q.args
}

// Fence makes the answer of Acquire.
func Fence(name string, epoch int64, until time.Time) bursar.Fence {
	return bursar.Fence{Name: name, Epoch: epoch, Until: until.UTC()}
}

// MaxTries is how often a Write runs its closure before it gives up.
const MaxTries = 32

// Retry runs try until it succeeds, says that another run cannot help, or was
// run MaxTries times. Pauses begin at nothing and grow to 20 ms, at random, so
// that equals do not meet again.
func Retry(ctx context.Context, random func(int64) int64, try func() (again bool, err error)) error {
	for n := 1; ; n++ {
		again, err := try()
		if !again || n == MaxTries {
			return err
		}
		if n <= 2 {
			continue
		}
		timer := time.NewTimer(time.Duration(random(int64(min(200*time.Microsecond<<min(n, 10), 20*time.Millisecond)))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// Tx collects what a Write's closure applies.
type Tx struct {
	*Reader
	Ops []Op
	// Over is true once the closure has returned.
	Over bool
}

// Now implements bursar.Reader.
func (t *Tx) Now() time.Time { return t.Time }

// Apply implements bursar.Tx: the statements run at the commit, in one go.
func (t *Tx) Apply(ctx context.Context, b bursar.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ops, err := t.S.Ops(&b)
	if err != nil {
		return err
	}
	t.Ops = append(t.Ops, ops...)
	return nil
}
