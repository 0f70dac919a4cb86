package memory

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/tidwall/btree"
)

// version is a row as one commit left it. Rows are immutable once published.
type version[T any] struct {
	at   uint64
	row  T
	prev *version[T]
}

// record is a row's identity with its versions, newest first.
type record[T any] struct {
	id string
	// tie orders records that share an index position.
	tie string
	// newest is nil only inside a commit that is being undone.
	newest *version[T]
}

// seen returns the row as a snapshot sees it, nil where it does not exist yet.
func (r *record[T]) seen(at uint64) *T {
	for v := r.newest; v != nil; v = v.prev {
		if v.at <= at {
			return &v.row
		}
	}
	return nil
}

// key is a position in an ordered index: within a part by two numbers, then by
// the record's tie.
type key struct {
	part   string
	hi, lo int64
}

func (k key) compare(o key) int {
	if c := strings.Compare(k.part, o.part); c != 0 {
		return c
	}
	if c := cmp.Compare(k.hi, o.hi); c != 0 {
		return c
	}
	return cmp.Compare(k.lo, o.lo)
}

// at returns the position of a time. Seconds and nanoseconds are apart because
// one int64 of nanoseconds ends in 2262 and cannot hold the zero time.
func at(part string, t time.Time) key {
	return key{part, t.Unix(), int64(t.Nanosecond())}
}

// atHeight returns the position of a block height.
func atHeight(part string, height uint64) key {
	return key{part: part, hi: int64(min(height, 1<<63-1))}
}

type entry[T any] struct {
	key
	rec *record[T]
}

func before[T any](a, b entry[T]) bool {
	if c := a.compare(b.key); c != 0 {
		return c < 0
	}
	return a.rec.tie < b.rec.tie
}

// index is an ordered index. It also holds the positions of older versions
// until no snapshot sees them.
type index[T any] struct {
	// keys appends the positions of a row.
	keys func(row *T, to []key) []key
	tree *btree.BTreeG[entry[T]]
}

func newIndex[T any](keys func(*T, []key) []key) *index[T] {
	return &index[T]{keys: keys, tree: btree.NewBTreeGOptions(before[T], btree.Options{NoLocks: true})}
}

// unique is an index of exact keys.
type unique[T any] struct {
	// name is what conflicts call the key. Where it is empty, rows may share a
	// key; else only one present row may have each.
	name string
	// key returns a row's key; the empty one is none.
	key func(row *T) string
	// rows has the records with the key in some version.
	rows map[string]holders[T]
}

// holders are the records of one key. Nearly always there is one, which needs
// no list.
type holders[T any] struct {
	one  *record[T]
	more []*record[T]
}

func (h holders[T]) all(yield func(*record[T]) bool) {
	if h.one == nil || !yield(h.one) {
		return
	}
	for _, rec := range h.more {
		if !yield(rec) {
			return
		}
	}
}

func (h holders[T]) has(rec *record[T]) bool { return h.one == rec || slices.Contains(h.more, rec) }

func (h holders[T]) with(rec *record[T]) holders[T] {
	if h.one == nil {
		return holders[T]{one: rec}
	}
	return holders[T]{h.one, append(h.more, rec)}
}

func (h holders[T]) without(rec *record[T]) holders[T] {
	if h.one != rec {
		return holders[T]{h.one, slices.DeleteFunc(h.more, func(r *record[T]) bool { return r == rec })}
	}
	if len(h.more) == 0 {
		return holders[T]{}
	}
	return holders[T]{h.more[0], h.more[1:]}
}

// table is one kind of rows with its indexes.
type table[T any] struct {
	name    string
	id      func(*T) string
	tie     func(*T) string
	version func(*T) *int64
	rule    func(*T) error
	rows    map[string]*record[T]
	uniques []*unique[T]
	indexes []*index[T]
	// touched are the records of the commit under way, in order.
	touched []*record[T]
	// stale are records with versions that a snapshot may still see, by the
	// number of the commit that outdated them.
	stale []outdated[T]
	// a and b are scratch.
	a, b []key
}

type outdated[T any] struct {
	at  uint64
	rec *record[T]
}

func newTable[T any](name string, id func(*T) string, version func(*T) *int64) *table[T] {
	return &table[T]{name: name, id: id, tie: id, version: version, rows: map[string]*record[T]{}}
}

// ordered adds an ordered index and returns it.
func (t *table[T]) ordered(keys func(*T, []key) []key) *index[T] {
	x := newIndex(keys)
	t.indexes = append(t.indexes, x)
	return x
}

// alone adds a unique key and returns it.
func (t *table[T]) alone(name string, key func(*T) string) *unique[T] {
	u := &unique[T]{name: name, key: key, rows: map[string]holders[T]{}}
	t.uniques = append(t.uniques, u)
	return u
}

// shared adds a key that rows may share, a few at most.
func (t *table[T]) shared(key func(*T) string) *unique[T] { return t.alone("", key) }

// put checks a row against the present state, this commit's earlier rows
// included, and publishes it one version higher.
func (t *table[T]) put(number uint64, v *version[T]) error {
	id := t.id(&v.row)
	if id == "" {
		return broken("a %s has no id", t.name)
	}
	rec := t.rows[id]
	stored := int64(0)
	if rec != nil {
		stored = *t.version(&rec.newest.row)
	}
	if given := *t.version(&v.row); given != stored {
		return conflict("%s %q has version %d, not %d", t.name, id, stored, given)
	}
	for _, u := range t.uniques {
		if err := u.free(t.name, &v.row, rec); err != nil {
			return err
		}
	}
	if t.rule != nil {
		if err := t.rule(&v.row); err != nil {
			return err
		}
	}
	*t.version(&v.row)++
	if rec == nil {
		rec = &record[T]{id: id, tie: t.tie(&v.row)}
		t.rows[id] = rec
	}
	t.push(number, rec, v)
	return nil
}

// push makes v the newest version of its record and enters its new keys.
func (t *table[T]) push(number uint64, rec *record[T], v *version[T]) {
	v.at, v.prev = number, rec.newest
	rec.newest = v
	t.touched = append(t.touched, rec)
	for _, u := range t.uniques {
		k := u.key(&v.row)
		if k == "" || v.prev != nil && u.key(&v.prev.row) == k {
			continue
		}
		if held := u.rows[k]; !held.has(rec) {
			u.rows[k] = held.with(rec)
		}
	}
	for _, x := range t.indexes {
		t.a, t.b = x.keys(&v.row, t.a[:0]), t.b[:0]
		if v.prev != nil {
			t.b = x.keys(&v.prev.row, t.b)
		}
		for _, k := range t.a {
			if !slices.Contains(t.b, k) {
				x.tree.Set(entry[T]{k, rec})
			}
		}
	}
}

// free reports a conflict where another present row has the row's key.
func (u *unique[T]) free(table string, row *T, own *record[T]) error {
	k := u.key(row)
	if k == "" || u.name == "" {
		return nil
	}
	for rec := range u.rows[k].all {
		if rec != own && u.key(&rec.newest.row) == k {
			return conflict("%s %s %q is taken by %q", table, u.name, k, rec.id)
		}
	}
	return nil
}

// forget removes the keys of a version that is gone, but for those that a
// version still kept has too.
func (t *table[T]) forget(rec *record[T], gone *version[T]) {
	for _, u := range t.uniques {
		k := u.key(&gone.row)
		if k == "" || rec.has(func(row *T) bool { return u.key(row) == k }) {
			continue
		}
		if rest := u.rows[k].without(rec); rest.one == nil {
			delete(u.rows, k)
		} else {
			u.rows[k] = rest
		}
	}
	for _, x := range t.indexes {
		t.a = x.keys(&gone.row, t.a[:0])
		for _, k := range t.a {
			if !rec.has(func(row *T) bool { t.b = x.keys(row, t.b[:0]); return slices.Contains(t.b, k) }) {
				x.tree.Delete(entry[T]{k, rec})
			}
		}
	}
}

// has reports whether any version that is kept answers to is.
func (r *record[T]) has(is func(*T) bool) bool {
	for v := r.newest; v != nil; v = v.prev {
		if is(&v.row) {
			return true
		}
	}
	return false
}

// revert takes back what the commit under way published.
func (t *table[T]) revert() {
	for _, rec := range slices.Backward(t.touched) {
		gone := rec.newest
		rec.newest = gone.prev
		t.forget(rec, gone)
		if rec.newest == nil {
			delete(t.rows, rec.id)
		}
	}
	t.done()
}

// settle ends a commit that succeeded.
func (t *table[T]) settle(number uint64) {
	for _, rec := range t.touched {
		if rec.newest.prev != nil {
			t.stale = append(t.stale, outdated[T]{number, rec})
		}
	}
	t.done()
}

func (t *table[T]) done() {
	clear(t.touched)
	t.touched = t.touched[:0]
}

// sweep drops the versions that no snapshot at or after the horizon sees.
func (t *table[T]) sweep(horizon uint64) {
	for len(t.stale) > 0 && t.stale[0].at <= horizon {
		rec := t.stale[0].rec
		t.stale[0].rec = nil
		t.stale = t.stale[1:]
		t.drop(rec, horizon)
	}
}

func (t *table[T]) drop(rec *record[T], horizon uint64) {
	v := rec.newest
	for v != nil && v.at > horizon {
		v = v.prev
	}
	if v == nil {
		return
	}
	gone := v.prev
	v.prev = nil
	for ; gone != nil; gone = gone.prev {
		t.forget(rec, gone)
	}
}

// kept is what a commit needs of every table.
type kept interface {
	revert()
	settle(number uint64)
	sweep(horizon uint64)
}

var _ kept = (*table[bursar.Payment])(nil)
