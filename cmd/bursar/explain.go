package main

import (
	"context"
	"flag"

	"github.com/bursar-go/bursar"
)

func explainCommand() *command {
	return &command{
		name: "explain", args: "ID|ADDRESS|TXHASH|KEY", operands: 1,
		short: "tells all that is known of a payment, and why money was not credited",
		long: `Tells the state of a payment, an address, a transaction or a payout in words: why
it is that, what is missing, its deadlines, its transactions with their
confirmations, the ledger, the events with each delivery, and the payouts that
moved the money. It takes an id, an address, a transaction hash or an idempotency
key, and asks the nodes about what the store does not know. It writes nothing, and
may run beside the gateway.

Exits with 1 where the store has nothing of that name; the reasons say what the
nodes know of it.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			noChain := fs.Bool("no-chain", false, "leave the nodes alone, and tell what the store knows")
			return func(ctx context.Context, c *call) error { return c.explain(ctx, *noChain) }
		},
	}
}

func (c *call) explain(ctx context.Context, noChain bool) error {
	return c.withGateway(ctx, noChain, func(gw *bursar.Gateway) error {
		x, err := gw.Explain(ctx, c.operands[0])
		if err != nil {
			return err
		}
		if err := c.print(x, x.String()); err != nil {
			return err
		}
		if x.Kind == bursar.ExplainedNothing {
			return errFound
		}
		return nil
	})
}
