package main

import (
	"context"
	"flag"
	"strings"

	"github.com/bursar-go/bursar"
)

func sweepsCommand() *command {
	return &command{
		name: "sweeps", short: "tells what waits to be swept, and what each way to do it costs",
		long: `Tells for each chain what is final and not swept yet, by asset: in which way it goes
to the treasury and why, what that costs for each payment in gas and in coin, what the
other ways that are possible would cost, and what all of it would cost under the rules
that are known to be coming, which is a projection. It asks a node for the price of
gas, writes nothing, and may run beside the gateway. What is not known is shown as ?.

The figures are for ordinary tokens; one that does more in a transfer costs more. What
chains ask for the data on a layer below is not in them.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			name := fs.String("chain", "", "a chain's short `NAME`, or its id; default: all")
			noChain := fs.Bool("no-chain", false, "leave the nodes alone, and tell the gas without its price")
			return func(ctx context.Context, c *call) error { return c.sweeps(ctx, *name, *noChain) }
		},
	}
}

func (c *call) sweeps(ctx context.Context, name string, noChain bool) error {
	return c.withGateway(ctx, noChain, func(gw *bursar.Gateway) error {
		names := []bursar.ChainID{bursar.ChainID(name)}
		if name == "" {
			names = nil
			for _, it := range gw.Health(ctx).Chains {
				names = append(names, it.ID)
			}
		}
		var (
			all  []bursar.SweepCosts
			text strings.Builder
		)
		for _, id := range names {
			costs, err := gw.SweepCosts(ctx, id)
			if err != nil {
				return err
			}
			all = append(all, costs)
			text.WriteString(costs.String())
		}
		return c.print(all, text.String())
	})
}
