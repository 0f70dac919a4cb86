package evm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

var _ chain.Tracer = (*Client)(nil)

// How a node is asked what contracts did in a block. The client tries one after the
// other, and keeps to the first that the node has.
const (
	traceUnknown   = iota
	traceByParity  // trace_block: anvil, Erigon, Nethermind, Reth
	traceByCalls   // debug_traceBlockByHash with callTracer: geth and its like
	traceByNothing // neither
)

// gweiAmount is the unit of withdrawals (EIP-4895).
const gweiAmount = 1_000_000_000

// Internal returns what contracts and withdrawals sent to the receivers in one
// block, and who got its fees. Withdrawals and beneficiary come from the block
// itself; calls from trace_block or from debug_traceBlockByHash with callTracer,
// whichever the node has. A node that has neither still tells the first two.
//
// A trace must be one of the block's own transactions, all of them; of a call that
// failed, and of all that it made, nothing counts. What a call's input says is never
// read. Movements of the transactions' own values are not among them.
func (c *Client) Internal(ctx context.Context, block chain.BlockRef, to []chain.Address) (chain.Internals, error) {
	if _, err := parseHash("block hash", string(block.Hash)); err != nil {
		return chain.Internals{}, err
	}
	x := &tracedBlock{client: c, ref: block, to: make(map[[addressLength]byte]bool, len(to))}
	for _, a := range to {
		raw, err := parseAddress(string(a))
		if err != nil {
			return chain.Internals{}, err
		}
		x.to[raw] = true
	}
	if err := x.readBlock(ctx); err != nil {
		return chain.Internals{}, blockTraceError(err)
	}
	if err := x.readCalls(ctx); err != nil {
		return chain.Internals{}, blockTraceError(err)
	}
	slices.SortStableFunc(x.out.Transfers, inOrder)
	return x.out, nil
}

// blockTraceError says what an error means to a caller who asked for one block.
func blockTraceError(err error) error {
	switch {
	case isPruned(err):
		return fmt.Errorf("%w: %w", chain.ErrPruned, err)
	case isUnknownBlock(err):
		return fmt.Errorf("%w: %w", chain.ErrNotFound, err)
	case errors.Is(err, chain.ErrNotFound):
		return err
	}
	return readError(err)
}

// tracedBlock puts the answer for one block together.
type tracedBlock struct {
	client *Client
	ref    chain.BlockRef
	to     map[[addressLength]byte]bool
	txs    map[[32]byte]uint32 // the block's transactions and their places
	out    chain.Internals
}

// readBlock reads the block without its transactions.
func (x *tracedBlock) readBlock(ctx context.Context) error {
	var b creditedBlock
	if err := x.client.one(ctx, newCall("eth_getBlockByHash", b.read, string(x.ref.Hash), false)); err != nil {
		return err
	}
	switch {
	case b.missing:
		return fmt.Errorf("evm: block %s: %w", x.ref.Hash, chain.ErrNotFound)
	case chain.BlockHash(hexHash(&b.hash)) != x.ref.Hash || b.height != x.ref.Height:
		return x.incoherent("another block than was asked for")
	}
	x.txs = make(map[[32]byte]uint32, len(b.txs))
	for i, hash := range b.txs {
		x.txs[hash] = uint32(i)
	}
	if len(x.txs) != len(b.txs) {
		return x.incoherent("a transaction twice")
	}
	if b.miner != [addressLength]byte{} {
		x.out.Beneficiary = checksummed(b.miner)
	}
	for _, w := range b.withdrawals {
		if !x.to[w.address] || w.gwei == 0 {
			continue
		}
		amount, err := chain.NewAmount(w.gwei).Mul(gweiAmount)
		if err != nil {
			return x.incoherent("a withdrawal of more than there can be")
		}
		x.out.Transfers = append(x.out.Transfers, chain.Transfer{
			ID: chain.TransferID{Ordinal: "w:" + strconv.FormatUint(w.index, 10)}, Asset: x.client.Info().Native.ID,
			To: checksummed(w.address), Amount: amount, Block: x.ref.Height, Hash: x.ref.Hash, Via: chain.ViaProtocol,
		})
	}
	return nil
}

// readCalls asks in the way that the node has, and finds that out first.
func (x *tracedBlock) readCalls(ctx context.Context) error {
	if len(x.txs) == 0 {
		return nil
	}
	mode := x.client.tracing.Load()
	if mode == traceUnknown {
		mode = traceByParity
	}
	for ; mode < traceByNothing; mode++ {
		t, err := x.ask(ctx, mode)
		if err == nil {
			x.client.tracing.Store(mode)
			x.keep(t)
			return nil
		}
		if isPruned(err) || !isGone(err) {
			return err
		}
	}
	x.client.tracing.Store(mode)
	return nil
}

func (x *tracedBlock) ask(ctx context.Context, mode uint32) (*trace, error) {
	t := newTrace(x)
	r := newCall("trace_block", t.parity, hexQuantity(x.ref.Height))
	if mode == traceByCalls {
		r = newCall("debug_traceBlockByHash", t.calls, string(x.ref.Hash), map[string]string{"tracer": "callTracer"})
	}
	if err := x.client.one(ctx, r); err != nil {
		return nil, err
	}
	return t, t.check(x.ref.Height)
}

// keep takes the calls that moved coin to the receivers.
func (x *tracedBlock) keep(t *trace) {
	for hash, index := range x.txs {
		for _, f := range t.txs[hash].effective() {
			x.out.Transfers = append(x.out.Transfers, chain.Transfer{
				ID:    chain.TransferID{Tx: chain.TxID(hexHash(&hash)), Ordinal: "i:" + f.path},
				Asset: x.client.Info().Native.ID, From: checksummed(f.from), To: checksummed(f.to), Amount: amountOfWord(&f.value),
				Block: x.ref.Height, Hash: x.ref.Hash, TxIndex: index, Via: chain.ViaContract,
			})
		}
	}
}

func (x *tracedBlock) incoherent(reason string) error {
	return &IncoherentError{Height: x.ref.Height, Reason: reason}
}

// inOrder sorts transfers of one block as the chain does.
func inOrder(a, b chain.Transfer) int {
	return cmp.Or(cmp.Compare(a.TxIndex, b.TxIndex), strings.Compare(a.ID.Ordinal, b.ID.Ordinal))
}
