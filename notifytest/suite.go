package notifytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/webhook"
)

// Receiver is a notifier under test, and the place that its events go to.
type Receiver struct {
	// Notifier is the one under test. A call of it gives up within a second while the
	// receiver is away, or where its context ends.
	Notifier bursar.Notifier
	// Got returns all that the receiver has, in order of arrival for each subject.
	// What came twice may be there twice.
	Got func(t testing.TB) []Message
	// Away makes the receiver one that cannot be reached, Back one that can, again.
	Away, Back func()
}

// Message is one event as it arrived.
type Message struct {
	ID   string // ID is the one that repetitions are dropped by.
	Body []byte // Body is what bursar.MarshalEvent made.
}

// Run checks a notifier. open returns a new one with an empty receiver; what it
// opens it also closes, with t.
func Run(t *testing.T, open func(t *testing.T) Receiver) {
	for _, c := range checks() {
		t.Run(c.rule, func(t *testing.T) { c.run(&kit{t, open(t), patience}) })
	}
}

// check is one rule of the contract.
type check struct {
	// rule says it in a few words; it is the subtest's name.
	rule string
	run  func(k *kit)
}

func checks() []check {
	return []check{
		{"nil means that the receiver has it", received},
		{"the same event is the same message", repeated},
		{"odd subjects arrive", odd},
		{"many subjects at once", crowd},
		{"a context that has ended is an error", ended},
		{"what has no body is refused for good", bodiless},
		{"a receiver that is away is no permanent error", away},
		{"the outbox tells each subject in order", ordered},
		{"the outbox loses nothing while the receiver is away", outage},
	}
}

// kit is what a check works with.
type kit struct {
	testing.TB
	Receiver
	// patience is for a receiver that is back.
	patience time.Duration
}

const patience = 30 * time.Second

// event is one with a body.
func event(subject string, seq int64) bursar.Event {
	return bursar.Event{
		ID: fmt.Sprintf("evt_%x_%d", subject, seq), Kind: bursar.PaymentDetected, Subject: subject, Seq: seq, Time: time.Unix(1_700_000_000, 0),
		Data: bursar.EventData{Subject: subject, PaymentID: subject, Metadata: map[string]string{"order": "<7>"}},
	}
}

// tell notifies in time.
func (k *kit) tell(e bursar.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return k.Notifier.Notify(ctx, e)
}

// has requires that the receiver has an event, whole, and nothing else under its id.
func (k *kit) has(e bursar.Event) {
	k.Helper()
	want, err := bursar.MarshalEvent(e)
	require.NoError(k, err)
	found := false
	for _, m := range k.Got(k) {
		if m.ID == e.ID {
			require.Equal(k, string(want), string(m.Body), "the body of %s", e.ID)
			found = true
		}
	}
	require.True(k, found, "%s was taken and did not arrive", e.ID)
}

func received(k *kit) {
	require.Empty(k, k.Got(k), "nothing was told")
	for seq := range int64(3) {
		e := event("pay_1", seq+1)
		require.NoError(k, k.tell(e))
		k.has(e)
	}
}

func repeated(k *kit) {
	e := event("pay_1", 1)
	for range 3 {
		require.NoError(k, k.tell(e))
		k.has(e)
	}
	for _, m := range k.Got(k) {
		require.Equal(k, e.ID, m.ID, "one event has one id")
	}
}

func odd(k *kit) {
	for _, subject := range []string{"", " ", ".", "..", "*", ">", "a.b", "a b", "eip155:1", "é\u2028", "x\r\nNats-Msg-Id: y", "\x00", "$JS.API.>", string(make([]byte, 5000))} {
		e := event("", 1)
		e.Subject, e.ID = subject, fmt.Sprintf("evt_%x", subject[:min(len(subject), 20)])
		require.NoError(k, k.tell(e), "%q", subject)
		k.has(e)
	}
}

func crowd(k *kit) {
	const subjects, events = 64, 3
	errs := make([]error, subjects)
	var all sync.WaitGroup
	for i := range subjects {
		all.Go(func() {
			for seq := range int64(events) {
				errs[i] = errors.Join(errs[i], k.tell(event(fmt.Sprintf("pay_%d", i), seq+1)))
			}
		})
	}
	all.Wait()
	require.NoError(k, errors.Join(errs...))
	by := k.seqs()
	for i := range subjects {
		require.Equal(k, []int64{1, 2, 3}, by[fmt.Sprintf("pay_%d", i)])
	}
}

func ended(k *kit) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := k.Notifier.Notify(ctx, event("pay_1", 1))
	require.Error(k, err)
	require.False(k, permanent(err), "the next call has another context")
	require.NoError(k, k.tell(event("pay_1", 1)), "and is not harmed by the one before")
}

func bodiless(k *kit) {
	e := event("pay_1", 1)
	e.Kind = "no such\r\nkind"
	require.True(k, permanent(k.tell(e)), "it will have none tomorrow")
	require.Empty(k, k.Got(k))
}

func away(k *kit) {
	first, second := event("pay_1", 1), event("pay_1", 2)
	require.NoError(k, k.tell(first))
	k.Away()
	err := k.tell(second)
	require.Error(k, err, "nobody has it")
	require.False(k, permanent(err), "it may be back tomorrow")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	require.Error(k, k.Notifier.Notify(ctx, second))
	k.Back()
	k.until(func() bool { return k.tell(second) == nil })
	k.has(second)
	require.Equal(k, []int64{1, 2}, k.seqs()["pay_1"])
}

// until tries again as the outbox would, whose pauses are a matter of its clock.
func (k *kit) until(done func() bool) {
	k.Helper()
	for end := time.Now().Add(k.patience); !done(); {
		require.True(k, time.Now().Before(end), "the receiver is back, and the notifier does not notice")
	}
}

func permanent(err error) bool {
	var p *bursar.PermanentError
	return errors.As(err, &p)
}

// seqs are the numbers of the events of each subject, in order of arrival and
// without repetitions.
func (k *kit) seqs() map[string][]int64 {
	k.Helper()
	out := map[string][]int64{}
	known := map[string]bool{}
	for _, m := range k.Got(k) {
		e, err := webhook.Parse(m.Body)
		require.NoError(k, err)
		if !known[m.ID] {
			subject := subjectOf(k, e)
			out[subject] = append(out[subject], int64(e.Seq))
		}
		known[m.ID] = true
	}
	return out
}

// ordered is a whole gateway: what its notifier is told arrives, in this order.
func ordered(k *kit) {
	g := bursartest.New(k, bursartest.Options{Notify: []bursar.Notifier{k.Notifier}})
	for i := range 5 {
		p := g.Create("USDC", "25")
		if i > 0 {
			g.PayLess(p, "1")
			g.PayAmount(p, "2")
		}
	}
	g.Settle()
	told, got := k.compare(g)
	require.Equal(k, told, got)
}

// outage is the same, with a receiver that is away for longer than an event that
// fails holds its place.
func outage(k *kit) {
	g := bursartest.New(k, bursartest.Options{Notify: []bursar.Notifier{k.Notifier}})
	first := g.Create("USDC", "25")
	g.Step()
	k.Away()
	g.Create("USDC", "25")
	g.Pay(first)
	g.Mine(1)
	g.Chain.AdvanceTime(time.Hour)
	g.Step()
	g.Chain.AdvanceTime(time.Hour)
	g.Step()
	_, err := g.Gateway.CancelPayment(context.Background(), g.Create("USDC", "1").ID)
	require.NoError(k, err)
	g.Step()
	k.Back()
	k.until(func() bool {
		g.AdvanceTime(10 * time.Minute)
		return !slices.ContainsFunc(deliveries(k, g), func(d bursar.Delivery) bool { return d.Status != bursar.DeliveryDone })
	})
	// In which order is another matter: some notifiers let an event hold its place for
	// as long as it takes, others for 15 minutes.
	told, got := k.compare(g)
	for subject := range told {
		require.ElementsMatch(k, told[subject], got[subject])
	}
}

// compare requires that all events have arrived, whole, and returns their numbers by
// subject, as they happened and as they arrived.
func (k *kit) compare(g *bursartest.Kit) (told, got map[string][]int64) {
	k.Helper()
	bodies := map[string]string{}
	for _, m := range k.Got(k) {
		if before, again := bodies[m.ID]; again {
			require.Equal(k, before, string(m.Body), "the body of %s", m.ID)
		}
		bodies[m.ID] = string(m.Body)
	}
	told = map[string][]int64{}
	for _, e := range g.Events("") {
		want, err := bursar.MarshalEvent(e)
		require.NoError(k, err)
		require.Equal(k, string(want), bodies[e.ID], "the body of %s", e.ID)
		told[e.Subject] = append(told[e.Subject], e.Seq)
		delete(bodies, e.ID)
	}
	require.Empty(k, bodies, "what nobody told")
	return told, k.seqs()
}

// deliveries are the rows of the notifier under test.
func deliveries(k *kit, g *bursartest.Kit) (rows []bursar.Delivery) {
	require.NoError(k, g.Store.Read(context.Background(), func(r bursar.Reader) (err error) {
		rows, err = r.Deliveries(context.Background(), bursar.DeliveryQuery{Endpoint: k.Notifier.Name()})
		return err
	}))
	require.NotEmpty(k, rows)
	return rows
}

func subjectOf(k *kit, e webhook.Event) string {
	var data struct {
		Subject string `json:"subject"`
	}
	require.NoError(k, json.Unmarshal(e.Data, &data))
	return data.Subject
}
