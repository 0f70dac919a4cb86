package config

import (
	"errors"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/sweeper"
)

// Installation is the contract that a chain's sweeper section makes, and the nodes
// that can tell whether it is deployed.
type Installation struct {
	// Name is the chain's in the file, Chain its id.
	Name  string
	Chain chain.ID // Chain is its id.
	// Contract is made of the chain's treasury, the wallet's sponsor and the owner.
	Contract *contracts.Sweeper
	// Nodes are all that the chain is read from, in the order in which they are asked.
	// Each has the contract in its configuration.
	Nodes []Node
}

// Node is one of those that a chain is read from.
type Node struct {
	// Name is the provider's; empty where the chain has one node.
	Name string
	// Client reaches it.
	Client *evm.Client
}

// Installations returns the contract of each chain with a sweeper section, in the
// order of the chains' names. Nothing is contacted and no store is needed, so that a
// contract can be deployed before there is a gateway. The error is as Build's.
func (f *File) Installations() ([]Installation, error) {
	r := newReport(f.name, f.places)
	_, installed := f.assemble(r, stub{})
	if err := r.err(); err != nil {
		return nil, err
	}
	return installed, nil
}

// sweeper makes the contract of the section, and sets how a chain uses it.
func (b *chainBuilder) sweeper(out *bursar.Chain) {
	from := b.from.Sweeper
	if from == nil {
		return
	}
	if out.Sweep == bursar.SweepOff {
		b.add(b.at("sweeper"), bursar.CodeMismatch, "is for sweeps, which are off")
		return
	}
	if from.MaxBatch < 0 {
		b.add(b.at("sweeper.max_batch"), bursar.CodeOutOfRange, "want at least 1; without the section there are no batches")
	}
	out.MaxBatch = from.MaxBatch
	if from.Gather != nil {
		checkSpan(b.report, b.at("sweeper.gather"), *from.Gather, 0, sweeper.MaxDeadline)
		if out.Gather = *from.Gather; out.Gather == 0 {
			out.Gather = -time.Nanosecond // the library's zero is the default
		}
	}
	if from.Owner == "" {
		b.add(b.at("sweeper.owner"), bursar.CodeRequired, "an address whose key is kept as well as the treasury's")
		return
	}
	owner := b.address("sweeper.owner", from.Owner)
	for _, a := range out.Assets {
		if a.Contract != "" && a.Contract == owner {
			b.add(b.at("sweeper.owner"), bursar.CodeInvalid, "is the contract of %s", a.Symbol)
		}
	}
	if b.wallet == nil {
		return // which is told
	}
	sponsor, err := bursar.SponsorOf(b.wallet, b.described.Info, evm.Codec())
	switch {
	case errors.Is(err, hdwallet.ErrNoAccount):
		b.add(b.at("sweeper"), bursar.CodeMismatch, "the wallet has no account of coin type %d, which its sponsor belongs to", b.described.Info.CoinType)
	case err != nil:
		b.wrap(b.at("sweeper"), bursar.CodeInvalid, err, "the wallet's sponsor cannot be derived")
	case sponsor == owner:
		b.add(b.at("sweeper.owner"), bursar.CodeMismatch, "is the wallet's sponsor, whose key is hot")
	case sponsor == out.Treasury:
		b.add(b.at("treasury"), bursar.CodeMismatch, "is the wallet's sponsor, whose key is hot")
	default:
		b.install(contracts.Params{Treasury: b.raw(out.Treasury), Owner: b.raw(owner), Sponsor: b.raw(sponsor)})
	}
}

// install makes the contract.
func (b *chainBuilder) install(p contracts.Params) {
	contract, err := contracts.New(p)
	var field *contracts.FieldError
	switch {
	case err == nil:
		b.contract = contract
	case errors.As(err, &field):
		at, known := map[string]string{"Params.Treasury": "treasury", "Params.Owner": "sweeper.owner"}[field.Field]
		if !known {
			at = "sweeper"
		}
		b.add(b.at(at), bursar.CodeInvalid, "%s", field.Reason)
	default:
		b.wrap(b.at("sweeper"), bursar.CodeInvalid, err, "refused")
	}
}

// raw is an address that was parsed before, as bytes; of any other one it is zero,
// which no contract is made of.
func (b *chainBuilder) raw(a chain.Address) (raw contracts.Address) {
	keys, err := evm.Codec().WatchKeys(a)
	if err == nil && len(keys) > 0 && len(keys[0]) == len(raw) {
		copy(raw[:], keys[0])
	}
	return raw
}
