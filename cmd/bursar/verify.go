package main

import (
	"context"
	"flag"
	"time"

	"github.com/bursar-go/bursar"
)

func verifyCommand() *command {
	return &command{
		name: "verify", short: "audits the store: ledger, rows, events, addresses, and the chains",
		long: `Recomputes every balance from the ledger, every amount and status from the
transactions and every address from the wallets, and compares what must agree;
then it compares the ledger with the chains. It names each row that is off, with
the rule that does not hold. It writes nothing, and may run beside the gateway. A
node that cannot be asked is told as skipped, and is no finding.

Exits with 1 where something was found.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			noChain := fs.Bool("no-chain", false, "leave the nodes alone, and compare the store with itself only")
			return func(ctx context.Context, c *call) error { return c.verify(ctx, *noChain) }
		},
	}
}

func (c *call) verify(ctx context.Context, noChain bool) error {
	return c.withGateway(ctx, noChain, func(gw *bursar.Gateway) error {
		report, err := gw.Verify(ctx)
		if err != nil {
			return err
		}
		if err := c.print(reportJSON(report), report.String()); err != nil {
			return err
		}
		if !report.Clean() {
			return errFound
		}
		return nil
	})
}

// auditReport is a bursar.Report as JSON.
type auditReport struct {
	Clean    bool                      `json:"clean"`
	At       time.Time                 `json:"at"`
	Findings []auditFinding            `json:"findings"`
	More     int                       `json:"more"` // findings beyond those listed
	Checked  map[string]int            `json:"checked"`
	Heights  map[bursar.ChainID]uint64 `json:"heights"`
	Skipped  []auditSkipped            `json:"skipped"`
}

type auditFinding struct {
	Rule   string `json:"rule"`
	Table  string `json:"table"`
	ID     string `json:"id"`
	Field  string `json:"field,omitempty"`
	Want   string `json:"want,omitempty"`
	Got    string `json:"got,omitempty"`
	Detail string `json:"detail,omitempty"`
}

type auditSkipped struct {
	What   string `json:"what"`
	Reason string `json:"reason"`
}

func reportJSON(r bursar.Report) auditReport {
	out := auditReport{
		Clean: r.Clean(), At: r.At, Findings: []auditFinding{}, More: r.More, Checked: r.Checked, Heights: r.Heights, Skipped: []auditSkipped{},
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, auditFinding(f))
	}
	for _, s := range r.Skipped {
		out.Skipped = append(out.Skipped, auditSkipped(s))
	}
	return out
}
