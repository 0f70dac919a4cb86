package memory

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar"
)

// errOver is what a Reader or Tx says that outlived its closure.
var errOver = errors.New("memory: the transaction is over")

// snapshot is a place in the list of snapshots in use. The list is ordered by
// number because later ones never begin at an earlier commit.
type snapshot struct {
	number     uint64
	prev, next *snapshot
}

// snapshots knows the newest commit and the oldest snapshot in use.
type snapshots struct {
	mu             sync.Mutex
	closed         bool
	last           uint64 // the number of the newest commit
	oldest, newest *snapshot
}

// add begins a snapshot of the newest commit.
func (l *snapshots) add(n *snapshot) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return bursar.ErrStoreClosed
	}
	n.number, n.prev, n.next = l.last, l.newest, nil
	if l.newest == nil {
		l.oldest = n
	} else {
		l.newest.next = n
	}
	l.newest = n
	return nil
}

// remove ends a snapshot. It reports whether that was the oldest one, so that
// versions may have become invisible.
func (l *snapshots) remove(n *snapshot) (oldest bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest = n.prev == nil
	if oldest {
		l.oldest = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.newest = n.prev
	} else {
		n.next.prev = n.prev
	}
	return oldest
}

// commit makes the next commit the newest one.
func (l *snapshots) commit() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return l.last
}

// state returns the number of the newest commit.
func (l *snapshots) state() (last uint64, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.closed
}

func (l *snapshots) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// horizon is the oldest commit that somebody sees or will see.
func (l *snapshots) horizon() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.oldest != nil {
		return l.oldest.number
	}
	return l.last
}

// reader reads one snapshot.
type reader struct {
	s    *Store
	time time.Time
	snapshot
	over atomic.Bool
}

// begin takes a snapshot.
func (s *Store) begin(ctx context.Context) (*reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &reader{s: s, time: s.clock()}
	if err := s.snaps.add(&r.snapshot); err != nil {
		return nil, err
	}
	return r, nil
}

// end releases the snapshot and the versions that only it could see. It may
// be called twice.
func (r *reader) end() {
	if r.over.Load() {
		return // by its commit
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.release()
}

// release is end under the lock.
func (r *reader) release() {
	if r.over.Swap(true) {
		return
	}
	if r.s.snaps.remove(&r.snapshot) {
		r.s.sweep()
	}
}

// sweep drops what no snapshot sees any more.
func (s *Store) sweep() {
	horizon := s.snaps.horizon()
	for _, t := range s.tables {
		t.sweep(horizon)
	}
}

// Now implements bursar.Reader.
func (r *reader) Now() time.Time { return r.time }

// locked runs look with the lock held, where the transaction may still read.
func (r *reader) locked(ctx context.Context, look func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	switch _, closed := r.s.snaps.state(); {
	case closed:
		return bursar.ErrStoreClosed
	case r.over.Load():
		return errOver
	}
	look()
	return nil
}

func always[T any](*T) bool { return true }

// byID returns the rows with these ids that match.
func byID[T any, S ~string](ctx context.Context, r *reader, t *table[T], ids []S, match func(*T) bool) ([]*T, error) {
	found := make([]*T, 0, len(ids))
	err := r.locked(ctx, func() {
		for _, id := range ids {
			if rec := t.rows[string(id)]; rec != nil {
				found = keep(found, rec, r.number, match)
			}
		}
	})
	return found, err
}

// byKey returns the rows with these unique keys that match.
func byKey[T any, S ~string](ctx context.Context, r *reader, u *unique[T], keys []S, match func(*T) bool) ([]*T, error) {
	found := make([]*T, 0, len(keys))
	err := r.locked(ctx, func() {
		for _, k := range keys {
			for rec := range u.rows[string(k)].all {
				found = keep(found, rec, r.number, match)
			}
		}
	})
	return found, err
}

func keep[T any](found []*T, rec *record[T], number uint64, match func(*T) bool) []*T {
	if row := rec.seen(number); row != nil && match(row) {
		return append(found, row)
	}
	return found
}

// span is a part of an ordered index: the positions of one part (or of all
// parts) between two bounds, in one direction.
type span struct {
	// parts restricts the span to these parts, each in order; nil means the
	// whole index.
	parts []string
	// from is where each part begins in scanning direction, that place included;
	// nil means at its end.
	from *edge
	// prefix restricts an index whose positions differ in the tie alone to ties
	// that begin with it.
	prefix string
	// done reports that no later position of the part can match; nil: never.
	done func(key) bool
	// descending scans from high to low; it needs parts.
	descending bool
	// limit ends each part after so many rows; 0: none.
	limit int
}

// edge is a place in an index, of a row that need not exist.
type edge struct {
	hi, lo int64
	tie    string
}

// slice is how many index positions are read before others get the lock.
const slice = 2048

// scan returns the matching rows of a span in scanning order, part by part.
func scan[T any](ctx context.Context, r *reader, x *index[T], sp span, match func(*T) bool) ([]*T, error) {
	if sp.parts == nil {
		return scanPart(ctx, r, x, sp, nil, match)
	}
	var all []*T
	for _, part := range sp.parts {
		found, err := scanPart(ctx, r, x, sp, &part, match)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = found
		} else {
			all = append(all, found...)
		}
	}
	return all, nil
}

func scanPart[T any](ctx context.Context, r *reader, x *index[T], sp span, part *string, match func(*T) bool) ([]*T, error) {
	var found []*T
	var keys []key
	place, visited := start[T](sp, part), false
	for {
		seen, more := 0, false
		err := r.locked(ctx, func() {
			walk(x, place, visited, sp.descending, func(e entry[T]) bool {
				if part != nil && e.part != *part || sp.done != nil && sp.done(e.key) || !strings.HasPrefix(e.rec.tie, sp.prefix) {
					return false
				}
				if seen++; seen > slice {
					more = true
					return false
				}
				place, visited = &e, true
				row := e.rec.seen(r.number)
				if row == nil || !match(row) {
					return true
				}
				// The row may be here because another version of it belongs here.
				if keys = x.keys(row, keys[:0]); slices.Contains(keys, e.key) {
					found = append(found, row)
				}
				return sp.limit <= 0 || len(found) < sp.limit
			})
		})
		if err != nil || !more {
			return found, err
		}
	}
}

// start returns the place where a part's scan begins; nil: at the end.
func start[T any](sp span, part *string) *entry[T] {
	if part == nil {
		return nil
	}
	place := &entry[T]{key{part: *part}, &record[T]{}}
	switch {
	case sp.from != nil:
		place.hi, place.lo, place.rec.tie = sp.from.hi, sp.from.lo, sp.from.tie
	case sp.prefix != "":
		place.rec.tie = sp.prefix
	case sp.descending:
		place.hi, place.lo = math.MaxInt64, math.MaxInt64
	default:
		place.hi, place.lo = math.MinInt64, math.MinInt64
	}
	return place
}

// walk visits the entries from a place on. A place that was visited is stepped
// over by its order, because its entry may be gone by now.
func walk[T any](x *index[T], place *entry[T], visited, descending bool, visit func(entry[T]) bool) {
	step := visit
	if visited {
		from := *place
		step = func(e entry[T]) bool { return !before(from, e) && !before(e, from) || visit(e) }
	}
	switch {
	case place == nil:
		x.tree.Scan(step)
	case descending:
		x.tree.Descend(*place, step)
	default:
		x.tree.Ascend(*place, step)
	}
}
