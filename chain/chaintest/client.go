package chaintest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
)

// Client is a node's view of a simulated chain. It implements chain.Client and
// the capabilities BalanceReader, Tracer, Identifier, TokenInspector, DryRunner,
// FeeBumper, FeeEstimator, MempoolWatcher and Batcher. It is safe for concurrent use.
type Client struct {
	// Faults are those of this client alone.
	Faults

	chain  *Chain
	lies   Lies     // guarded by Faults.mu
	pinned []*block // the branch that it is stuck on, by height; guarded by chain.mu
	limits
}

var (
	_ chain.Client         = (*Client)(nil)
	_ chain.BalanceReader  = (*Client)(nil)
	_ chain.Tracer         = (*Client)(nil)
	_ chain.Identifier     = (*Client)(nil)
	_ chain.TokenInspector = (*Client)(nil)
	_ chain.DryRunner      = (*Client)(nil)
	_ chain.FeeBumper      = (*Client)(nil)
	_ chain.FeeEstimator   = (*Client)(nil)
)

// Client returns a new client of the chain. Clients differ in their faults, their
// lies, their Pin, and what they keep and trace, so that several of them make
// several providers.
func (c *Chain) Client() *Client { return &Client{chain: c} }

// Info describes the chain.
func (l *Client) Info() chain.Info { return l.chain.info }

// Codec returns evm.CodecWith of Options.Sweeper.
func (l *Client) Codec() chain.Codec { return evm.CodecWith(l.chain.sweeper) }

// Head returns the newest and the finalized block.
func (l *Client) Head(ctx context.Context) (chain.Head, error) {
	return guard(ctx, l, MethodHead, func() (head chain.Head, err error) {
		l.see(func(v view) {
			head = chain.Head{Latest: v.head().ref, Finalized: l.chain.finalized(v)}
		})
		return head, nil
	})
}

// maxHeaders bounds one answer of Headers.
const maxHeaders = 1024

// Headers returns blocks of the branch that the client sees, at most 1024 in one
// call.
func (l *Client) Headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	return guard(ctx, l, MethodHeaders, func() (refs []chain.BlockRef, err error) {
		l.see(func(v view) {
			for _, b := range v.run(from, to, maxHeaders) {
				refs = append(refs, b.ref)
			}
		})
		return refs, nil
	})
}

// Transfers returns a page of at most Info.PageBlocks blocks.
func (l *Client) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	return guard(ctx, l, MethodTransfers, func() (chain.Page, error) {
		if to < from {
			return chain.Page{}, &chain.FormatError{What: "block range", Text: fmt.Sprintf("%d to %d", from, to), Reason: "it is empty"}
		}
		var blocks []*block
		var known []chain.Asset
		l.see(func(v view) {
			blocks = v.run(from, to, l.chain.info.PageBlocks)
			known = slices.Clone(l.chain.listed)
		})
		if len(blocks) == 0 {
			return chain.Page{}, fmt.Errorf("block %d: %w", from, chain.ErrNotFound)
		}
		// Blocks never change, so the watched set, which is foreign code, is
		// asked without the lock and the page is still of one moment.
		listed := idsOf(w.Assets())
		page := chain.Page{Blocks: make([]chain.BlockRef, 0, len(blocks))}
		for _, b := range blocks {
			page.Blocks = append(page.Blocks, b.ref)
			for _, r := range b.txs {
				l.scan(&page, r, w, listed, known)
			}
		}
		return page, ctx.Err()
	})
}

// scan adds what concerns the watched set. A spend tells the movements of all
// tokens that the client knows, as Status does, also where w asks for fewer.
func (l *Client) scan(page *chain.Page, r *receipt, w chain.Watch, listed map[common.Address]chain.AssetID, known []chain.Asset) {
	found := l.movements(r, listed, func(to common.Address) (uint32, bool) { return w.Match(to[:]) })
	slices.SortFunc(found, func(a, b chain.Transfer) int { return strings.Compare(a.ID.Ordinal, b.ID.Ordinal) })
	page.Transfers = append(page.Transfers, found...)
	if _, ours := w.Match(r.tx.from[:]); ours {
		both := idsOf(known)
		maps.Copy(both, listed)
		page.Spends = append(page.Spends, l.status(r, both))
	}
}

// idsOf maps the contracts of a list to their asset ids. Native coin and
// what is no address are left out.
func idsOf(assets []chain.Asset) map[common.Address]chain.AssetID {
	out := make(map[common.Address]chain.AssetID, len(assets))
	for _, a := range assets {
		if raw, ok := rawAddress(a.Contract); ok && !a.Native() {
			out[raw] = a.ID
		}
	}
	return out
}

// movements reads the transfers of a receipt to the receivers that keep wants:
// the transaction's own value, and exact ERC-20 Transfer logs of listed
// contracts, in the order of the logs. Calldata is never read, nor is anything of
// a failed transaction.
func (l *Client) movements(r *receipt, listed map[common.Address]chain.AssetID, keep func(common.Address) (uint32, bool)) []chain.Transfer {
	if !r.ok {
		return nil
	}
	var out []chain.Transfer
	add := func(ordinal string, asset chain.AssetID, from, to common.Address, amount chain.Amount, key uint32) {
		out = append(out, chain.Transfer{
			ID: chain.TransferID{Tx: r.tx.id, Ordinal: ordinal}, Asset: asset, From: textAddress(from), To: textAddress(to),
			Amount: amount, Key: key, Block: r.block.ref.Height, Hash: r.block.ref.Hash, TxIndex: r.index, Via: chain.ViaDirect,
		})
	}
	if to := *r.tx.raw.To(); !r.tx.value.IsZero() {
		if key, ok := keep(to); ok {
			add("n", l.chain.info.Native.ID, r.tx.from, to, r.tx.value, key)
		}
	}
	type pair struct{ token, to common.Address }
	var seen map[pair]int
	for _, e := range r.logs {
		from, to, amount, ok := readTransferEvent(e)
		asset, known := listed[e.contract]
		if !ok || !known {
			continue
		}
		key, ok := keep(to)
		if !ok {
			continue
		}
		// Events of nothing are counted, though not reported: an ordinal must
		// not move because another transfer of the transaction became zero.
		if seen == nil {
			seen = map[pair]int{}
		}
		k := seen[pair{e.contract, to}]
		seen[pair{e.contract, to}]++
		if !amount.IsZero() {
			add(fmt.Sprintf("t:%s:%s:%d", textAddress(e.contract), textAddress(to), k), asset, from, to, amount, key)
		}
	}
	return out
}

// readTransferEvent reads an ERC-20 Transfer: exactly three topics, the last two
// of them clean addresses, and exactly one word of data.
func readTransferEvent(e event) (from, to common.Address, amount chain.Amount, ok bool) {
	if len(e.topics) != 3 || e.topics[0] != transferTopic || len(e.data) != 32 {
		return from, to, amount, false
	}
	from, to = common.BytesToAddress(e.topics[1][:]), common.BytesToAddress(e.topics[2][:])
	if common.BytesToHash(from[:]) != e.topics[1] || common.BytesToHash(to[:]) != e.topics[2] {
		return from, to, amount, false
	}
	amount, err := chain.AmountFromBytes(e.data)
	return from, to, amount, err == nil
}

// status describes a mined transaction completely.
func (l *Client) status(r *receipt, listed map[common.Address]chain.AssetID) chain.TxStatus {
	state := chain.TxIncluded
	if !r.ok {
		state = chain.TxFailed
	}
	return chain.TxStatus{
		ID: r.tx.id, State: state, Block: r.block.ref, TxIndex: r.index, From: textAddress(r.tx.from),
		Locks: append([]chain.Lock{nonceLock(r.tx.from, r.tx.raw.Nonce())}, r.tx.delegationLocks()...),
		Fee:   r.fee, GasUsed: r.gasUsed, GasPrice: r.gasPrice,
		Transfers: l.movements(r, listed, func(common.Address) (uint32, bool) { return 0, true }),
		Unswept:   l.chain.unswept(r),
	}
}

// Status looks transactions up. Listed tokens are those that were deployed
// without Unlisted.
func (l *Client) Status(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
	return guard(ctx, l, MethodStatus, func() ([]chain.TxStatus, error) {
		out := make([]chain.TxStatus, len(ids))
		l.see(func(v view) {
			listed := idsOf(l.chain.listed)
			for i, id := range ids {
				out[i] = chain.TxStatus{ID: id, State: chain.TxUnknown}
				if r := l.chain.included(id, v.seen()); r != nil {
					out[i] = l.status(r, listed)
				} else if l.chain.waits(id, v) {
					out[i].State = chain.TxPending
				}
			}
		})
		return out, nil
	})
}

// Balances answers at any block that ever was, those of abandoned branches
// included.
func (l *Client) Balances(ctx context.Context, at chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
	return guard(ctx, l, MethodBalances, func() (out []chain.Amount, err error) {
		l.see(func(v view) {
			b := v.head()
			if at != "" {
				b = l.chain.blocks[at]
			}
			if b == nil || b.ref.Height > v.top && holds(v.branch, b) {
				err = fmt.Errorf("block %s: %w", at, chain.ErrNotFound)
				return
			}
			if err = l.kept(b, v); err != nil {
				return
			}
			out, err = l.chain.balances(b.world, of)
		})
		return out, err
	})
}

func (c *Chain) balances(w world, of []chain.Holding) ([]chain.Amount, error) {
	out := make([]chain.Amount, len(of))
	for i, h := range of {
		owner, ok := rawAddress(h.Address)
		if !ok {
			return nil, &chain.FormatError{What: "address", Text: string(h.Address), Reason: "no EVM address"}
		}
		token, err := c.tokenOf(h.Asset)
		if err != nil {
			return nil, err
		}
		out[i] = w.balance(token, owner)
	}
	return out, nil
}

// tokenOf returns the contract of an asset, zero for the native coin, and
// ErrNotFound where no token stands.
func (c *Chain) tokenOf(a chain.Asset) (common.Address, error) {
	if a.Native() {
		return common.Address{}, nil
	}
	raw, ok := rawAddress(a.Contract)
	if !ok {
		return raw, &chain.FormatError{What: "contract", Text: string(a.Contract), Reason: "no EVM address"}
	}
	if _, ok := c.contracts[raw].(*token); !ok {
		return raw, fmt.Errorf("token %s: %w", a.Contract, chain.ErrNoContract)
	}
	return raw, nil
}

// Identify returns the chain's id and the hash of its first block.
func (l *Client) Identify(ctx context.Context) (chain.Identity, error) {
	return guard(ctx, l, MethodIdentify, func() (chain.Identity, error) {
		return chain.Identity{ID: l.chain.info.ID, Genesis: l.chain.genesis.ref.Hash}, nil
	})
}

// Inspect returns what DeployToken was told.
func (l *Client) Inspect(ctx context.Context, a chain.Asset) (chain.Token, error) {
	return guard(ctx, l, MethodInspect, func() (out chain.Token, err error) {
		l.see(func(view) {
			raw, ok := rawAddress(a.Contract)
			t, found := l.chain.contracts[raw].(*token)
			if !ok || !found {
				err = fmt.Errorf("token %q: %w", a.Contract, chain.ErrNoContract)
				return
			}
			out = chain.Token{Decimals: t.spec.Decimals, Symbol: t.spec.Symbol, CodeHash: t.codeHash()}
		})
		return out, err
	})
}
