package main

import (
	"context"
	"flag"
	"log/slog"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/config"
)

func preflightCommand() *command {
	return &command{
		name: "preflight", short: "looks at all that a gateway stands on, before it goes live",
		long: `Looks at the store, the wallet, the chains, the tokens, the treasury, the gas and the
webhooks of a configuration, and tells everything that it finds. It writes nothing
that lasts, sends nothing, and may run beside the gateway. Handlers that the host
adds in Go are not in the configuration, and not looked at.

Exits with 1 where a check failed; warnings are no failure.`,
		prepare: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error { return c.preflight(ctx) }
		},
	}
}

// preflightLine is one check as JSON.
type preflightLine struct {
	Name   string                `json:"name"`
	Chain  bursar.ChainID        `json:"chain,omitempty"`
	Level  bursar.PreflightLevel `json:"level"`
	Detail string                `json:"detail"`
}

func (c *call) preflight(ctx context.Context) error {
	c.presigned = true
	return c.withStore(ctx, func(f *config.File, store bursar.Store) error {
		cfg, err := c.build(f, store)
		if err != nil {
			return err
		}
		cfg.Logger, cfg.Instance = slog.New(slog.DiscardHandler), ""
		report, err := bursar.Preflight(ctx, cfg)
		if err != nil {
			return err
		}
		lines := make([]preflightLine, 0, len(report.Checks))
		for _, check := range report.Checks {
			lines = append(lines, preflightLine(check))
		}
		if err := c.print(lines, report.String()); err != nil {
			return err
		}
		if !report.Ready() {
			return errFound
		}
		return nil
	})
}
