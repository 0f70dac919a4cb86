package hdwallet

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Journal is the durable memory of one Signer: what counts toward its limits, which
// approvals it has used, and whether it is halted. It belongs to that signer alone;
// package signer has one that is a file. Records are opaque to it, none is empty and
// none has a line break.
//
// Records and Replace are called by NewSigner, before all else and one after the
// other; Append is called concurrently.
type Journal interface {
	// Records calls fn with each record, the oldest first, and returns the first
	// error of fn. The bytes are valid during the call only.
	Records(fn func(record []byte) error) error
	// Replace makes records all that there is: both or nothing survives a crash.
	Replace(records [][]byte) error
	// Append returns once the record is durable. After an error it may be there or not.
	Append(record []byte) error
}

// JournalError reports a journal that a Signer cannot work with.
type JournalError struct {
	// Record is the position of the record at fault, counted from 1; 0 where it is none.
	Record int
	// Reason is what is wrong; Err what the Journal returned, if it did.
	Reason string
	Err    error // Err is what the Journal returned.
}

// Error tells what went wrong, without secrets.
func (e *JournalError) Error() string {
	text := "hdwallet: journal"
	if e.Record > 0 {
		text += fmt.Sprintf(": record %d", e.Record)
	}
	text += ": " + e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns what the Journal returned.
func (e *JournalError) Unwrap() error { return e.Err }

// journalVersion is that of the records' form.
const journalVersion = 1

const (
	// minKeep is how long what was signed is kept at least, so that a limit that is
	// made longer, or added, begins with something.
	minKeep = 7 * 24 * time.Hour
	// maxReason bounds the reason of a halt.
	maxReason = 500
)

// entry is one record. Sequence numbers put halts in order; appends that happen at the
// same time may stand in the journal in any.
type entry struct {
	Version int       `json:"v"`
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	// Out is a batch that was signed.
	Out []entryOut `json:"out,omitempty"`
	// Halt is the reason of a halt; Resumed ends it.
	Halt    *string `json:"halt,omitempty"`
	Resumed bool    `json:"resumed,omitempty"`
}

type entryOut struct {
	Key      string                         `json:"key"`
	Amount   map[chain.AssetID]chain.Amount `json:"amount,omitempty"`
	Approval *entryApproval                 `json:"approval,omitempty"`
}

// entryApproval is an approval that was used, as long as it can be used again.
type entryApproval struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"`
}

// approvalID is what two approvals share only where they permit the same until the
// same time.
func approvalID(a *chain.Approval) string {
	sum := sha256.Sum256(a.Message())
	return hex.EncodeToString(sum[:])
}

// memory is the state that a journal keeps. Without one it is nil and remembers nothing.
type memory struct {
	journal Journal

	mu  sync.Mutex // never held while the journal is called
	seq uint64
	// used is what each approval paid through, by approvalID.
	used map[string]string
}

// remember loads a journal into the signer, and shortens it to what still matters.
func (s *Signer) remember(journal Journal) error {
	if journal == nil {
		return nil
	}
	m := &memory{journal: journal, used: map[string]string{}}
	var all []entry
	err := guard("journal", func() error {
		return journal.Records(func(record []byte) error {
			e, reason := readEntry(record)
			if reason != "" {
				return &JournalError{Record: len(all) + 1, Reason: reason}
			}
			all = append(all, e)
			return nil
		})
	})
	if err != nil {
		return journalError("cannot be read", err)
	}
	var now time.Time
	if err := guard("clock", func() error { now = s.now(); return nil }); err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.Seq, b.Seq) })
	kept, halt, err := m.replay(all, s.limits, now)
	if err != nil {
		return err
	}
	s.memory = m
	if halt != nil {
		s.halted.Store(halt.Halt)
	}
	// Written anew only where half of it is dead: a start costs no more than what was
	// added since the last one.
	if len(all) == 0 || len(kept) > len(all)/2 {
		return nil
	}
	if err := m.replace(kept); err != nil {
		return journalError("cannot be shortened", err)
	}
	return nil
}

// replay counts what the journal has, and returns the records that still matter and
// the halt that stands, which is one of them.
func (m *memory) replay(all []entry, limits *limiter, now time.Time) (kept []entry, halt *entry, err error) {
	keep := limits.longest(minKeep)
	for i, e := range all {
		m.seq = max(m.seq, e.Seq)
		switch {
		case e.Halt != nil:
			halt = &all[i]
		case e.Resumed:
			halt = nil
		default:
			matters := now.Sub(e.At) < keep
			for _, o := range e.Out {
				if err := limits.replay(e.At, o); err != nil {
					return nil, nil, &JournalError{Reason: err.Error()}
				}
				if o.Approval != nil && !now.After(o.Approval.Until) {
					m.used[o.Approval.ID] = o.Key
					matters = true
				}
			}
			if matters {
				kept = append(kept, e)
			}
		}
	}
	if halt != nil {
		kept = append(kept, *halt)
	} else if len(all) > 0 {
		// The highest number stays, so that none is given twice.
		kept = append(kept, entry{Version: journalVersion, Seq: m.seq, At: now, Resumed: true})
	}
	return kept, halt, nil
}

func (m *memory) replace(kept []entry) error {
	records := make([][]byte, 0, len(kept))
	for _, e := range kept {
		record, err := json.Marshal(e)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	return guard("journal", func() error { return m.journal.Replace(records) })
}

// unused checks that no approval of a batch has paid through another payload.
func (m *memory) unused(batch []outflow) (at int, err error) {
	if m == nil {
		return 0, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.check(batch)
}

func (m *memory) check(batch []outflow) (at int, err error) {
	for i, o := range batch {
		if o.approval == nil {
			continue
		}
		if key, ok := m.used[approvalID(o.approval)]; ok && key != o.key {
			return i, refuse("approval", "of payout %q is used up by another transaction; it takes a new one", o.approval.Payout)
		}
	}
	return 0, nil
}

// record makes a batch durable before it is signed. Where that fails it stays counted:
// it may be there all the same.
func (m *memory) record(now time.Time, batch []outflow) (at int, err error) {
	if m == nil {
		return 0, nil
	}
	e := entry{Version: journalVersion, At: now}
	for _, o := range batch {
		out := entryOut{Key: o.key, Amount: o.amount}
		if o.approval != nil {
			// The approval's own time, to the second, is what it ends by.
			out.Approval = &entryApproval{ID: approvalID(o.approval), Until: o.approval.NotAfter.UTC().Truncate(time.Second)}
		}
		// One that takes nothing out is recorded too: it prolongs what others of the
		// same nonce count.
		e.Out = append(e.Out, out)
	}
	if len(e.Out) == 0 {
		return 0, nil
	}
	m.mu.Lock()
	if at, err := m.check(batch); err != nil { // another batch may have been faster
		m.mu.Unlock()
		return at, err
	}
	for _, o := range e.Out {
		if o.Approval != nil {
			m.used[o.Approval.ID] = o.Key
		}
	}
	m.seq++
	e.Seq = m.seq
	m.mu.Unlock()
	if err := m.append(e); err != nil {
		return 0, refuse("journal", "what is signed cannot be recorded: %v", err)
	}
	return 0, nil
}

func (m *memory) append(e entry) error {
	record, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return guard("journal", func() error { return m.journal.Append(record) })
}

// journalError keeps a *JournalError as it is.
func journalError(reason string, err error) error {
	var known *JournalError
	if errors.As(err, &known) {
		return err
	}
	return &JournalError{Reason: reason, Err: err}
}

// readEntry is strict: a record that is not understood could be one that bounds what
// may be signed.
func readEntry(record []byte) (e entry, reason string) {
	in := json.NewDecoder(bytes.NewReader(record))
	in.DisallowUnknownFields()
	if err := in.Decode(&e); err != nil {
		return e, "is not understood"
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return e, "has more than one value"
	}
	kinds := 0
	for _, is := range []bool{len(e.Out) > 0, e.Halt != nil, e.Resumed} {
		if is {
			kinds++
		}
	}
	switch {
	case e.Version != journalVersion:
		return e, fmt.Sprintf("has version %d, this program knows %d", e.Version, journalVersion)
	case kinds != 1:
		return e, "is not of one kind"
	case e.Seq == 0 || len(e.Out) > 0 && e.At.IsZero():
		return e, "has no number or no time"
	}
	for _, o := range e.Out {
		if o.Key == "" || o.Approval != nil && (o.Approval.ID == "" || o.Approval.Until.IsZero()) {
			return e, "lacks a key"
		}
	}
	return e, ""
}

// longest is the longest of the windows, at least so long.
func (l *limiter) longest(least time.Duration) time.Duration {
	for _, g := range l.gauge {
		least = max(least, g.Window)
	}
	return least
}

// replay counts what a record says was signed.
func (l *limiter) replay(at time.Time, o entryOut) error {
	for _, g := range l.gauge {
		g.forget(at) // as it was then: what had left the window was not prolonged
		if _, err := g.sum.Add(o.Amount[g.Asset]); err != nil {
			return refuse("limit", "more of %s than can be counted", g.Asset)
		}
		g.count(at, outflow{key: o.Key, amount: o.Amount})
	}
	return nil
}

// Halt has the signer refuse everything from now on, until Resume: the switch for
// an operator who does not trust the process, or what it is told, any more. reason
// is part of each refusal. It does not stop what is being signed just now.
//
// With Policy.Journal it outlives the process. An error says that it may not: the
// journal did not take it, and this process refuses all the same.
func (s *Signer) Halt(reason string) error {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	reason = strings.ToValidUTF8(reason, "")
	if s.memory == nil {
		s.halted.Store(&reason)
		return nil
	}
	seq := s.memory.next(func() { s.halted.Store(&reason) })
	if err := s.memory.append(entry{Version: journalVersion, Seq: seq, At: s.clock(), Halt: &reason}); err != nil {
		return journalError("the halt ends with the process", err)
	}
	return nil
}

// Resume ends Halt. Where the journal does not take it the halt goes on, which the
// error says; so it does where Halt was called meanwhile.
func (s *Signer) Resume() error {
	var halt *string
	if s.memory == nil {
		s.halted.Store(nil)
		return nil
	}
	seq := s.memory.next(func() { halt = s.halted.Load() })
	if halt == nil {
		return nil
	}
	if err := s.memory.append(entry{Version: journalVersion, Seq: seq, At: s.clock(), Resumed: true}); err != nil {
		return journalError("the halt goes on", err)
	}
	if !s.halted.CompareAndSwap(halt, nil) {
		return &JournalError{Reason: "halted again meanwhile"}
	}
	return nil
}

// clock is the time for a record that nothing depends on the time of.
func (s *Signer) clock() (now time.Time) {
	if guard("clock", func() error { now = s.now(); return nil }) != nil {
		return time.Time{}
	}
	return now
}

// next gives out a number, together with what else must happen in that order.
func (m *memory) next(with func()) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	with()
	return m.seq
}

// Halted returns the reason of a Halt, and whether there is one.
func (s *Signer) Halted() (reason string, halted bool) {
	if r := s.halted.Load(); r != nil {
		return *r, true
	}
	return "", false
}
