package notifytest

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// mailbox is a notifier that is as it should be, with hooks to spoil it.
type mailbox struct {
	mu   sync.Mutex
	got  []Message
	away bool
	wrong
}

// wrong is what a mailbox does otherwise; nil: as it should.
type wrong struct {
	before func(b *mailbox, ctx context.Context, e bursar.Event) (error, bool)
	put    func(b *mailbox, m Message)
	failed func(err error) error
}

var errAway = errors.New("nobody is there")

func (*mailbox) Name() string { return "mailbox" }

func (b *mailbox) Notify(ctx context.Context, e bursar.Event) error {
	if b.before != nil {
		if err, done := b.before(b, ctx, e); done {
			return err
		}
	}
	err := b.deliver(ctx, e)
	if err != nil && b.failed != nil {
		return b.failed(err)
	}
	return err
}

func (b *mailbox) deliver(ctx context.Context, e bursar.Event) error {
	body, err := bursar.MarshalEvent(e)
	if err != nil {
		return &bursar.PermanentError{Err: err}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	m := Message{ID: e.ID, Body: body}
	if b.put != nil {
		b.put(b, m)
	} else {
		b.got = append(b.got, m)
	}
	return nil
}

func (b *mailbox) set(away bool) func() {
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.away = away
	}
}

func (b *mailbox) receiver() Receiver {
	return Receiver{
		Notifier: b,
		Got: func(testing.TB) []Message {
			b.mu.Lock()
			defer b.mu.Unlock()
			return slices.Clone(b.got)
		},
		Away: b.set(true), Back: b.set(false),
	}
}

func TestARightNotifier(t *testing.T) {
	Run(t, func(*testing.T) Receiver { return new(mailbox).receiver() })
}

// recorder stands in for a subtest's *testing.T, so that a check may fail without
// failing the test that watches it.
type recorder struct {
	*testing.T
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Fatal(...any)          { r.FailNow() }
func (r *recorder) Fatalf(string, ...any) { r.FailNow() }
func (r *recorder) FailNow()              { r.failed = true; runtime.Goexit() }

// notices reports whether a check fails on a notifier that is spoilt.
func notices(t *testing.T, c check, w wrong) bool {
	r := &recorder{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(&kit{r, (&mailbox{wrong: w}).receiver(), 100 * time.Millisecond})
	}()
	<-done
	return r.failed
}

// TestWrongNotifiers: each is caught by the checks that it names, and there is one
// for each check.
func TestWrongNotifiers(t *testing.T) {
	all := map[string]check{}
	for _, c := range checks() {
		all[c.rule] = c
	}
	undetected := maps.Clone(all)
	for name, tc := range map[string]struct {
		wrong
		caught []string
	}{
		"says so too early": {wrong{put: func(*mailbox, Message) {}}, []string{"nil means that the receiver has it", "the outbox tells each subject in order"}},
		"its own body": {wrong{put: func(b *mailbox, m Message) {
			b.got = append(b.got, Message{m.ID, append(m.Body, '\n')})
		}}, []string{"nil means that the receiver has it", "the outbox loses nothing while the receiver is away"}},
		"another id each time": {wrong{put: func(b *mailbox, m Message) {
			for slices.ContainsFunc(b.got, func(o Message) bool { return o.ID == m.ID }) {
				m.ID += "x"
			}
			b.got = append(b.got, m)
		}}, []string{"the same event is the same message"}},
		"counts the tries": {wrong{put: func(b *mailbox, m Message) {
			b.got = append(b.got, Message{m.ID, append(m.Body, strings.Repeat(" ", len(b.got))...)})
		}}, []string{"the same event is the same message"}},
		"no odd subjects": {wrong{before: func(_ *mailbox, _ context.Context, e bursar.Event) (error, bool) {
			return errors.New("bad subject"), strings.ContainsAny(e.Subject, " .*>")
		}}, []string{"odd subjects arrive"}},
		"full after five": {wrong{put: func(b *mailbox, m Message) {
			if len(b.got) < 5 {
				b.got = append(b.got, m)
			}
		}}, []string{"many subjects at once"}},
		"deaf to its context": {wrong{before: func(b *mailbox, ctx context.Context, e bursar.Event) (error, bool) {
			return b.deliver(context.WithoutCancel(ctx), e), true
		}}, []string{"a context that has ended is an error"}},
		"gives up for good": {wrong{failed: func(err error) error { return &bursar.PermanentError{Err: err} }},
			[]string{"a context that has ended is an error", "a receiver that is away is no permanent error", "the outbox loses nothing while the receiver is away"}},
		"never gives up": {wrong{failed: func(err error) error { return errors.New(err.Error()) }}, []string{"what has no body is refused for good"}},
		"drops what it cannot send": {wrong{failed: func(error) error { return nil }},
			[]string{"a receiver that is away is no permanent error", "the outbox loses nothing while the receiver is away", "what has no body is refused for good"}},
		"the newest first": {wrong{put: func(b *mailbox, m Message) { b.got = slices.Insert(b.got, 0, m) }},
			[]string{"the outbox tells each subject in order", "many subjects at once"}},
	} {
		for _, rule := range tc.caught {
			c, ok := all[rule]
			require.True(t, ok, "no check %q", rule)
			require.True(t, notices(t, c, tc.wrong), "%q does not notice one that %q", rule, name)
			delete(undetected, rule)
		}
	}
	require.Empty(t, slices.Sorted(maps.Keys(undetected)), "checks that nothing fails")
}
