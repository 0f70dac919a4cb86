package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
)

// selection are the flags by which deliveries are named.
type selection struct {
	events, kinds, statuses string
	notifier, subject       string
	since, until            string
}

func (s *selection) define(fs *flag.FlagSet, several string) {
	fs.StringVar(&s.events, "event", "", "the `ID` of an event"+several)
	fs.StringVar(&s.kinds, "kind", "", "the `KIND` of the event, as payment.confirmed"+several)
	fs.StringVar(&s.statuses, "status", "", "a `STATUS`: pending, parked, delivered or dead"+several)
	fs.StringVar(&s.notifier, "notifier", "", "the `NAME` of a notifier, such as a webhook's in the configuration")
	fs.StringVar(&s.subject, "subject", "", "the `ID` of a payment, an address or a payout, or a chain")
	fs.StringVar(&s.since, "since", "", "told at `TIME` or later, as 2026-03-01T12:00:00Z, or as 36h for that long ago")
	fs.StringVar(&s.until, "until", "", "told before `TIME`, written as that of -since")
}

// moment reads a time; empty is the zero one.
func moment(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, misuse("-%s %q: want a time as 2026-03-01T12:00:00Z, or how long ago as 36h", name, text)
	}
	return at, nil
}

// span reads both times.
func (s *selection) span() (since, until time.Time, err error) {
	now := time.Now()
	if since, err = moment("since", s.since, now); err == nil {
		until, err = moment("until", s.until, now)
	}
	return since, until, err
}

// split reads a list that is separated by commas.
func split[T ~string](text string) (out []T) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, T(part))
		}
	}
	return out
}

// listing is what the deliveries command was asked for.
type listing struct {
	filter bursar.DeliveryFilter
	most   int
	tries  bool
}

func deliveriesCommand() *command {
	return &command{
		name: "deliveries", short: "lists what was told to whom, is on its way or was given up",
		long: `Lists deliveries, newest first: when the event was given to the outbox, who is told,
what, the number of the event among those of its subject, how far it is, how often it
was tried and what the last failure said. With -tries each try follows, with its
time, latency, HTTP status and answer. It writes nothing, and may run beside the
gateway. Deliveries that ended longer ago than the gateway's retention are gone.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var s selection
			s.define(fs, "")
			oldest := fs.Bool("oldest", false, "list the oldest first")
			tries := fs.Bool("tries", false, "tell each try")
			most := fs.Int("limit", 100, "list at most `N`")
			return func(ctx context.Context, c *call) error {
				since, until, err := s.span()
				if err != nil {
					return err
				}
				if *most < 1 {
					return misuse("-limit %d: want at least 1", *most)
				}
				return c.deliveries(ctx, listing{most: *most, tries: *tries, filter: bursar.DeliveryFilter{
					EventID: s.events, Notifier: s.notifier, Subject: s.subject, Kind: bursar.Kind(s.kinds), Status: bursar.DeliveryStatus(s.statuses),
					Since: since, Until: until, OldestFirst: *oldest,
				}})
			}
		},
	}
}

// deliveryRow is a delivery as the tool tells it.
type deliveryRow struct {
	Event     string                   `json:"event"`
	Kind      bursar.Kind              `json:"kind"`
	Subject   string                   `json:"subject"`
	Seq       int64                    `json:"seq"`
	Notifier  string                   `json:"notifier"`
	Status    bursar.DeliveryStatus    `json:"status"`
	Attempts  int                      `json:"attempts"`
	CreatedAt time.Time                `json:"created_at"`
	FirstAt   time.Time                `json:"first_at,omitzero"`
	LastAt    time.Time                `json:"last_at,omitzero"`
	NextAt    time.Time                `json:"next_at,omitzero"`
	DoneAt    time.Time                `json:"done_at,omitzero"`
	LastError string                   `json:"last_error,omitempty"`
	Tries     []bursar.DeliveryAttempt `json:"tries,omitempty"`
}

func (c *call) deliveries(ctx context.Context, l listing) error {
	return c.withGateway(ctx, true, func(gw *bursar.Gateway) error {
		all := []deliveryRow{}
		var text strings.Builder
		for d, err := range gw.AllDeliveries(ctx, l.filter) {
			if err != nil {
				return err
			}
			row := deliveryRow{
				Event: d.EventID, Kind: d.Kind, Subject: d.Subject, Seq: d.Seq, Notifier: d.Endpoint, Status: d.Status, Attempts: d.Attempts,
				CreatedAt: d.CreatedAt, FirstAt: d.FirstAt, LastAt: d.LastAt, DoneAt: d.DoneAt, LastError: d.LastError,
			}
			if d.DoneAt.IsZero() {
				row.NextAt = d.NextAt
			}
			if l.tries {
				if row.Tries, err = gw.DeliveryAttempts(ctx, d.EventID, d.Endpoint); err != nil {
					return err
				}
			}
			row.tell(&text)
			if all = append(all, row); len(all) == l.most {
				break
			}
		}
		if len(all) == 0 {
			text.WriteString("no delivery is like that\n")
		}
		return c.print(all, text.String())
	})
}

// tell writes a delivery for people.
func (r *deliveryRow) tell(b *strings.Builder) {
	fmt.Fprintf(b, "%s  %s  %s  %s of %s %d  %s", stamp(r.CreatedAt), r.Event, r.Notifier, r.Kind, r.Subject, r.Seq, r.Status)
	if r.Attempts > 0 {
		fmt.Fprintf(b, ", tried %d times", r.Attempts)
	}
	if !r.NextAt.IsZero() {
		fmt.Fprintf(b, ", next at %s", stamp(r.NextAt))
	}
	if r.LastError != "" {
		fmt.Fprintf(b, ": %q", r.LastError)
	}
	b.WriteString("\n")
	for _, t := range r.Tries {
		fmt.Fprintf(b, "  %s  %s", stamp(t.At), t.Outcome)
		if t.Latency > 0 {
			fmt.Fprintf(b, " after %s", t.Latency.Round(time.Microsecond))
		}
		if t.Status > 0 {
			fmt.Fprintf(b, ", status %d", t.Status)
		}
		if t.Error != "" {
			fmt.Fprintf(b, ": %q", t.Error)
		}
		if t.Response != "" {
			fmt.Fprintf(b, ", answered %q", t.Response)
		}
		b.WriteString("\n")
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func resendCommand() *command {
	return &command{
		name: "resend", short: "has events told once more",
		long: `Has the events that the flags select told once more, with the same ids and bytes:
those of an event, a payment, a kind, a status, a notifier or a time, or with -dead
all that were given up. At least one of the flags that select must be given, and all
that are given must hold. What is on its way is left alone. What goes out again is
parked: the running gateway takes it up within 5 s, by the whole schedule, and it
holds up no other event; the receiver may hear of the past in any order.

It only tells how many that are, unless -yes is given. It may run beside the gateway.
With -yes, what has been delivered meanwhile goes out once more when it is called again.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var s selection
			s.define(fs, ", or several with commas")
			dead := fs.Bool("dead", false, "all dead letters; the same as -status dead")
			yes := fs.Bool("yes", false, "do it")
			return func(ctx context.Context, c *call) error {
				since, until, err := s.span()
				if err != nil {
					return err
				}
				if *dead {
					if s.statuses != "" {
						return misuse("-dead and -status exclude each other")
					}
					s.statuses = string(bursar.DeliveryDead)
				}
				return c.resend(ctx, bursar.ResendRequest{
					Events: split[string](s.events), Notifier: s.notifier, Subject: s.subject, Kinds: split[bursar.Kind](s.kinds),
					Statuses: split[bursar.DeliveryStatus](s.statuses), Since: since, Until: until, DryRun: !*yes,
				})
			}
		},
	}
}

// resendReport is what a run of resend came to, of all its calls.
type resendReport struct {
	Selected int  `json:"selected"`
	Resent   int  `json:"resent"`
	Waiting  int  `json:"waiting"`
	Written  bool `json:"written"`
}

func (c *call) resend(ctx context.Context, req bursar.ResendRequest) error {
	return c.withGateway(ctx, true, func(gw *bursar.Gateway) error {
		sum := resendReport{Written: !req.DryRun}
		for more := true; more; more = req.After != "" {
			part, err := gw.Resend(ctx, req)
			if err != nil {
				if sum.Resent > 0 && sum.Written {
					return fmt.Errorf("after %d were sent again: %w", sum.Resent, err)
				}
				return err
			}
			sum.Selected, sum.Resent, sum.Waiting = sum.Selected+part.Selected, sum.Resent+part.Resent, sum.Waiting+part.Waiting
			req.After = part.Next
		}
		return c.print(sum, sum.text())
	})
}

func (r resendReport) text() string {
	verb, end := "go out again", ""
	if !r.Written {
		verb, end = "would go out again", "nothing was written; give -yes to do it\n"
	}
	return fmt.Sprintf("%d of %d selected deliveries %s, %d are on their way already\n%s", r.Resent, r.Selected, verb, r.Waiting, end)
}
