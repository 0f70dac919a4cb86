package scanner

import (
	"time"

	"github.com/bursar-go/bursar/chain"
)

// watchdog remembers which conditions hold and which of them the sink knows.
// Its durations are measured by our own clock, never by block timestamps.
type watchdog struct {
	// height and final are the highest ever seen; rose and finalRose are when.
	height, final   uint64
	rose, finalRose time.Time
	// states has one entry per kind, in the order of kinds.
	states [len(kinds)]state
}

// kinds is the order in which conditions are reported.
var kinds = [...]ConditionKind{Halted, Failing, Lagging, Stalled, FinalityStalled}

// state is what is known and what was told of a condition.
type state struct{ known, active, told, toldActive bool }

// saw notes the head a node told.
func (w *watchdog) saw(head chain.Head, now time.Time) {
	if w.rose.IsZero() || head.Latest.Height > w.height {
		w.height, w.rose = head.Latest.Height, now
	}
	if f := head.Finalized; f != nil && (w.finalRose.IsZero() || f.Height > w.final) {
		w.final, w.finalRose = f.Height, now
	}
}

// judge sets a condition where it can be told.
func (w *watchdog) judge(kind ConditionKind, active, known bool) {
	if known {
		s := w.of(kind)
		s.known, s.active = true, active
	}
}

// active reports whether a condition holds.
func (w *watchdog) active(kind ConditionKind) bool { return w.of(kind).active }

// changed returns the conditions that the sink does not know as they are.
func (w *watchdog) changed() []ConditionKind {
	var out []ConditionKind
	for i, s := range w.states {
		if s.known && (!s.told || s.toldActive != s.active) {
			out = append(out, kinds[i])
		}
	}
	return out
}

// reported notes that the sink took a condition as it is.
func (w *watchdog) reported(kind ConditionKind) {
	s := w.of(kind)
	s.told, s.toldActive = true, s.active
}

func (w *watchdog) of(kind ConditionKind) *state {
	for i := range kinds {
		if kinds[i] == kind {
			return &w.states[i]
		}
	}
	panic("scanner: unknown condition " + string(kind))
}
