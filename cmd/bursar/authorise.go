package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"

	"github.com/bursar-go/bursar/hdwallet"
)

func authoriseCommand() *command {
	return &command{
		name: "authorise", short: "signs ahead for deposit addresses, where their mnemonic is",
		long: `Signs for deposit addresses that they delegate to the contract of the chain's sweeper
section, so that a gateway sweeps them together without their keys. It is for a machine
that is offline, whose file has the mnemonic under wallet.deposits, and under wallet the
xpubs that the gateway's own accounts are made of: no store and no node is asked.

The file that it writes has no secrets: an index, a contract and signatures, 88 bytes
for each address. Take it to the gateway, and name it under
wallet.deposits.authorisations there. It is for one chain, for one contract, and for the
first sweep of each address; a later one needs none. Begin the next range where the last
one ended: what is there twice is refused.

docs/operations.md has the steps.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var a authorise
			fs.StringVar(&a.chain, "chain", "", "a chain's `NAME` in the configuration, or its id; default: the only one")
			fs.Uint64Var(&a.from, "from", 0, "the first `INDEX`")
			fs.Uint64Var(&a.count, "count", 0, "how many addresses, `N`; required")
			fs.StringVar(&a.out, "out", "", "the `FILE` to write, which must not be there; required")
			return func(ctx context.Context, c *call) error {
				switch {
				case a.out == "":
					return misuse("-out is required")
				case a.count == 0 || a.count > hdwallet.MaxAuthorisations:
					return misuse("-count is required: 1 to %d", hdwallet.MaxAuthorisations)
				case a.from > math.MaxInt32 || a.from+a.count-1 > math.MaxInt32:
					return misuse("-from %d -count %d: indexes are below 2^31", a.from, a.count)
				}
				return c.authorise(ctx, a)
			}
		},
	}
}

// authorise is which addresses are signed for.
type authorise struct {
	chain, out  string
	from, count uint64
}

// authorised is what was done as JSON.
type authorised struct {
	Chain string `json:"chain"` // as it was named
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
	File  string `json:"file"`
}

func (c *call) authorise(ctx context.Context, a authorise) (err error) {
	f, err := c.load()
	if err != nil {
		return err
	}
	if a.chain == "" {
		if len(f.Chains) != 1 {
			return misuse("-chain is required where several are configured")
		}
		for a.chain = range f.Chains {
			break
		}
	}
	cfg, err := c.build(f, noStore{})
	if err != nil {
		return err
	}
	// Not to the standard output, which is searched for secrets: a short one may be a part
	// of a signature.
	file, err := os.OpenFile(a.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = f.Authorise(ctx, file, cfg, a.chain, uint32(a.from), int(a.count))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(a.out))
	}
	done := authorised{Chain: a.chain, From: a.from, To: a.from + a.count - 1, File: a.out}
	return c.print(done, fmt.Sprintf("%s: %d authorisations on %s, of the indexes %d to %d\n", done.File, a.count, done.Chain, done.From, done.To))
}
