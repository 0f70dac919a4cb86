package oracle

import (
	"github.com/bursar-go/bursar"
)

// view is one instance's sight of one payment.
type view struct{ instance, payment string }

type sight struct {
	version, seq int64
	status       bursar.Status
}

// Seen is S11: what the API of one instance answers never goes backwards, and is
// what was committed under that version.
func (o *Oracle) Seen(instance string, p bursar.Payment) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, now := view{instance, p.ID}, sight{p.Version, p.Seq, p.Status}
	was, ok := o.past.seen[at]
	if ok && (now.version < was.version || now.seq < was.seq) {
		return broken("S11", "%s answered payment %s at version %d, event %d, and before at %d, %d", instance, p.ID, now.version, now.seq, was.version, was.seq)
	}
	o.past.seen[at] = now
	if n := int64(len(o.m.statuses[p.ID])); now.version >= 1 && now.version <= n {
		if s := o.m.statuses[p.ID][now.version-1]; s != p.Status {
			return broken("S11", "%s answered payment %s as %s at version %d, committed was %s", instance, p.ID, p.Status, p.Version, s)
		}
	}
	return nil
}

// answered checks at the end that no answer was of a version never committed.
func (o *Oracle) answered() error {
	for _, at := range sortedViews(o.past.seen) {
		if s := o.past.seen[at]; s.version > int64(len(o.m.statuses[at.payment])) {
			return broken("S11", "%s answered payment %s at version %d, which was never committed", at.instance, at.payment, s.version)
		}
	}
	return nil
}
