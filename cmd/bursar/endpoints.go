package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/bursar-go/bursar"
)

func endpointsCommand() *command {
	return &command{
		name: "endpoints", short: "lists the receivers of events that were added at run time, and changes one's status",
		long: `Lists the endpoints that the host added while the gateway ran (AddEndpoint), each with
its host, its status and why it is disabled. With one of the flags it does that first; it
may run beside the gateway, which takes up a change within 5 s. Paths and queries of URLs,
headers and secrets are not shown; to add an endpoint or to change its secret is the
host's own matter, because the receiver must be told the secret.

A disabled endpoint keeps what waits for it and is told nothing of what happens meanwhile.
Removing one is for good: what waits for it is dead.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			ping := fs.String("ping", "", "send a signed test event to the endpoint of that `ID`")
			enable := fs.String("enable", "", "enable the endpoint of that `ID`")
			disable := fs.String("disable", "", "disable the endpoint of that `ID`")
			reason := fs.String("reason", "", "with -disable: `WHY`, for whoever lists it")
			remove := fs.String("remove", "", "remove the endpoint of that `ID` for good")
			return func(ctx context.Context, c *call) error {
				given := 0
				for _, id := range []string{*ping, *enable, *disable, *remove} {
					if id != "" {
						given++
					}
				}
				if given > 1 || *reason != "" && *disable == "" {
					return misuse("one of -ping, -enable, -disable and -remove, and -reason with -disable alone")
				}
				return c.withGateway(ctx, true, func(gw *bursar.Gateway) error {
					if *ping != "" {
						return c.ping(ctx, gw, *ping)
					}
					var err error
					switch {
					case *enable != "":
						_, err = gw.EnableEndpoint(ctx, *enable)
					case *disable != "":
						_, err = gw.DisableEndpoint(ctx, *disable, *reason)
					case *remove != "":
						err = gw.RemoveEndpoint(ctx, *remove)
					}
					if err != nil {
						return err
					}
					return c.listEndpoints(ctx, gw)
				})
			}
		},
	}
}

// endpointLine is an endpoint without what may be secret.
type endpointLine struct {
	ID          string                `json:"id"`
	Host        string                `json:"host"`
	Status      bursar.EndpointStatus `json:"status"`
	Reason      string                `json:"reason,omitempty"`
	Description string                `json:"description,omitempty"`
	Kinds       []bursar.Kind         `json:"kinds,omitempty"`
}

func (c *call) listEndpoints(ctx context.Context, gw *bursar.Gateway) error {
	all, err := gw.Endpoints(ctx)
	if err != nil {
		return err
	}
	var text strings.Builder
	if len(all) == 0 {
		text.WriteString("no endpoints\n")
	}
	lines := make([]endpointLine, 0, len(all))
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, e := range all {
		lines = append(lines, endpointLine{e.ID, e.Host(), e.Status, e.Reason, e.Description, e.Kinds})
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", e.ID, e.Status, e.Host(), e.Description, e.Reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return c.print(lines, text.String())
}

func (c *call) ping(ctx context.Context, gw *bursar.Gateway, id string) error {
	p, err := gw.PingEndpoint(ctx, id)
	if err != nil {
		return err
	}
	line := struct {
		EventID string `json:"event_id"`
		Code    int    `json:"code,omitempty"`
		Latency string `json:"latency,omitempty"`
		Error   string `json:"error,omitempty"`
	}{EventID: p.EventID, Code: p.Code, Latency: p.Latency.String()}
	text := fmt.Sprintf("%s took %s: %d after %s\n", id, p.EventID, p.Code, p.Latency)
	if p.Err != nil {
		line.Error = p.Err.Error()
		text = fmt.Sprintf("%s did not take %s: %v\n", id, p.EventID, p.Err)
	}
	return errors.Join(c.print(line, text), found(p.Err))
}

// found is the end of a command that found something.
func found(err error) error {
	if err == nil {
		return nil
	}
	return errFound
}
