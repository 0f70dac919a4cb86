package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"strings"

	"github.com/bursar-go/bursar"
)

func recoverCommand() *command {
	return &command{
		name: "recover", short: "rebuilds the addresses of a lost database in an empty one",
		long: `Rebuilds the addresses of a lost database in an empty one, from the wallets of the
configuration alone: the indexes 0 to -to-index, of the active and the retired
wallets, are reserved, so that they are watched for ever and never issued again.
Whose they were is lost with the database; money that comes to them, or that is
found by scanning from -from-block on, is booked and swept as that of an unissued
address, and told as alert.unissued_address.

Name an index that is rather too high than too low: what lies above it is issued
again. With -gap it goes on above it until that many addresses in a row hold
nothing; addresses that were swept hold nothing too.

It only tells what it would do, unless -yes is given. The tables must be there
(bursar migrate) and empty, and no gateway may run on them. It can be repeated,
also for another chain, until the first transfer was found.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var req bursar.RecoverRequest
			fs.StringVar(&req.Chain, "chain", "", "the chain's `NAME` in the configuration, or its id; required")
			to := fs.Int64("to-index", -1, "the highest `INDEX` that may have been issued; required")
			gap := fs.Uint("gap", 0, "go on until `N` addresses in a row hold nothing; 0: do not")
			fs.Uint64Var(&req.From, "from-block", 0, "the first `BLOCK` to scan; 0: as the chain's start says")
			yes := fs.Bool("yes", false, "write it")
			return func(ctx context.Context, c *call) error {
				switch {
				case req.Chain == "":
					return misuse("-chain is required")
				case *to < 0 || *to >= bursar.MaxRecover:
					return misuse("-to-index is required: 0 to %d", bursar.MaxRecover-1)
				case *gap > bursar.MaxGap:
					return misuse("-gap is at most %d", bursar.MaxGap)
				}
				req.To, req.Gap, req.DryRun = uint32(*to), uint32(*gap), !*yes
				return c.recover(ctx, req)
			}
		},
	}
}

func (c *call) recover(ctx context.Context, req bursar.RecoverRequest) error {
	return c.withGateway(ctx, false, func(gw *bursar.Gateway) error {
		r, err := gw.Recover(ctx, req)
		if err != nil {
			return err
		}
		return c.print(r, recoveryText(r))
	})
}

func recoveryText(r bursar.Recovery) string {
	var b strings.Builder
	verb := "would be"
	if r.Written {
		verb = "were"
	}
	for _, p := range r.Pools {
		fmt.Fprintf(&b, "pool %s: %d indexes %s reserved, the next one to be issued is %d\n  %s to %s\n", p.Pool, p.Reserved, verb, p.Next, p.First, p.Last)
	}
	for _, d := range r.Holding {
		fmt.Fprintf(&b, "holds something: %s, index %d\n", d.Address, d.Index)
	}
	if r.Cursor.Hash != "" {
		fmt.Fprintf(&b, "the next start scans %s from block %d\n", r.Chain, r.Cursor.Height+1)
	}
	if !r.Written {
		b.WriteString("nothing was written; give -yes to do it\n")
	}
	return b.String()
}

// maxListed is how many addresses are printed at once.
const maxListed = 100_000

func addressesCommand() *command {
	return &command{
		name: "addresses", short: "prints derived addresses with their paths, offline",
		long: `Prints the deposit addresses of a wallet with index, path and the account that the
path belongs to, from the configuration alone: no store and no node is asked. It is
for finding money that was sent on a chain, or in a token, that is not configured.
It prints public addresses; a private key is never printed.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			chain := fs.String("chain", "", "a chain's `NAME` in the configuration, or its id; default: the only one")
			wallet := fs.String("wallet", "", "the account or pool of a retired `WALLET`; default: the active one")
			from := fs.Uint64("from", 0, "the first `INDEX`")
			to := fs.Uint64("to", 0, "the last `INDEX`")
			return func(_ context.Context, c *call) error {
				if *from > *to || *to > math.MaxInt32 || *to-*from >= maxListed {
					return misuse("-from %d -to %d: want at most %d indexes in order, below 2^31", *from, *to, maxListed)
				}
				return c.addresses(*chain, *wallet, uint32(*from), uint32(*to))
			}
		},
	}
}

func (c *call) addresses(chain, wallet string, from, to uint32) error {
	f, err := c.load()
	if err != nil {
		return err
	}
	if chain == "" {
		if len(f.Chains) != 1 {
			return misuse("-chain is required where several are configured")
		}
		for chain = range f.Chains {
			break
		}
	}
	gw, err := c.gateway(f, unopened{}, true)
	if err != nil {
		return err
	}
	list, err := gw.Derive(chain, wallet, from, to)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%d %s %s %s\n", d.Index, d.Address, d.Key.Path, d.Key.Wallet)
	}
	return c.print(list, b.String())
}

// unopened stands in for the store where none is asked.
type unopened struct{ bursar.Store }
