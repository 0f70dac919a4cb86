package evm

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// lookup is what Status finds out about one transaction.
type lookup struct {
	hash    [32]byte
	tx      transactionObject
	hasTx   bool
	receipt receipt
	block   *header
}

// Status returns what the node knows of the transactions, in two requests: the
// transactions with their receipts, then the blocks of those that were mined.
// Token movements are reported for Config.Tokens and for the tokens of every
// Watch this client has seen. Of a transaction with authorisations (EIP-7702) Locks
// have the nonces of the authorities too, where the node shows who they are; of one
// whose nonce was wrong it was not used up. Unswept is what Config.Sweeper logged.
func (c *Client) Status(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
	listed := c.listed.Load()
	found := make([]lookup, len(ids))
	calls := make([]*call, 0, 2*len(ids))
	for i, id := range ids {
		l := &found[i]
		var err error
		if l.hash, err = parseHash("transaction id", string(id)); err != nil {
			return nil, err
		}
		calls = append(calls,
			newCall("eth_getTransactionByHash", func(s *scanner) {
				if l.hasTx = !s.isNull(); l.hasTx {
					s.transaction(&l.tx)
				}
			}, string(id)),
			newCall("eth_getTransactionReceipt", func(s *scanner) { s.receipt(&l.receipt, listed) }, string(id)))
	}
	if err := c.all(ctx, calls...); err != nil {
		return nil, readError(err)
	}
	if err := c.readHeaders(ctx, found); err != nil {
		return nil, readError(err)
	}
	out := make([]chain.TxStatus, 0, len(ids))
	for i, id := range ids {
		status, err := c.status(id, &found[i], listed)
		if err != nil {
			return nil, err
		}
		out = append(out, status)
	}
	return out, nil
}

// readHeaders reads the block of each receipt, each block once.
func (c *Client) readHeaders(ctx context.Context, found []lookup) error {
	headers := make(map[[32]byte]*header)
	var calls []*call
	for i := range found {
		l := &found[i]
		if l.receipt.missing {
			continue
		}
		h, ok := headers[l.receipt.blockHash]
		if !ok {
			h = new(header)
			headers[l.receipt.blockHash] = h
			calls = append(calls, newCall("eth_getBlockByHash", func(s *scanner) { s.header(h) }, hexHash(&l.receipt.blockHash), false))
		}
		l.block = h
	}
	if err := c.do(ctx, calls...); err != nil {
		return err
	}
	for _, r := range calls {
		if r.err != nil && !isUnknownBlock(r.err) {
			return r.err
		}
	}
	return nil
}

func (c *Client) status(id chain.TxID, l *lookup, listed *tokenTable) (chain.TxStatus, error) {
	r, height := &l.receipt, l.receipt.height
	bad := func(reason string) (chain.TxStatus, error) {
		return chain.TxStatus{}, &IncoherentError{Height: height, Reason: reason}
	}
	switch {
	case l.hasTx && l.tx.hash != l.hash, !r.missing && r.txHash != l.hash:
		return bad("an answer about another transaction")
	case r.missing && !l.hasTx:
		return chain.TxStatus{ID: id, State: chain.TxUnknown}, nil
	case r.missing && !l.tx.mined:
		return chain.TxStatus{ID: id, State: chain.TxPending}, nil
	case r.missing:
		return bad("a mined transaction has no receipt yet")
	case !l.hasTx:
		return bad("a receipt without its transaction")
	case l.block.hash != r.blockHash:
		// Also where the node had no such block: then the hash is zero.
		return chain.TxStatus{}, &ReorgError{Height: height, Reason: "the block of a receipt is gone"}
	case l.block.height != height || l.tx.from != r.from, l.tx.mined && l.tx.blockHash == r.blockHash && l.tx.index != r.index:
		return bad("a receipt contradicts its transaction")
	case l.tx.mined && l.tx.blockHash != r.blockHash:
		return chain.TxStatus{}, &ReorgError{Height: height, Reason: "a transaction and its receipt name two blocks"}
	}
	if err := r.checkLogs(); err != nil {
		return chain.TxStatus{}, err
	}
	return c.minedStatus(&l.tx, r, l.block.ref(), listed)
}

// checkLogs checks that the receipt's logs are its own, and leaves them in the
// order of the block. Logs marked as removed contradict a receipt that exists.
func (r *receipt) checkLogs() error {
	slices.SortStableFunc(r.logs, func(x, y logObject) int { return cmp.Compare(x.logIndex, y.logIndex) })
	r.logs = slices.CompactFunc(r.logs, func(x, y logObject) bool { return x == y })
	for i := range r.logs {
		l := &r.logs[i]
		switch {
		case l.blockHash != r.blockHash, l.txHash != r.txHash, l.txIndex != r.index, l.removed:
			return &IncoherentError{Height: r.height, Reason: "a receipt with a log of another transaction"}
		case i > 0 && l.logIndex == r.logs[i-1].logIndex:
			return &IncoherentError{Height: r.height, Reason: "a receipt with two logs of one index"}
		case !r.ok:
			return &IncoherentError{Height: r.height, Reason: "a failed transaction with logs"}
		}
	}
	return nil
}

// minedStatus describes a mined transaction whose receipt was checked.
func (c *Client) minedStatus(t *transactionObject, r *receipt, block chain.BlockRef, listed *tokenTable) (chain.TxStatus, error) {
	fee, err := r.fee()
	if err != nil {
		return chain.TxStatus{}, &IncoherentError{Height: block.Height, Reason: fmt.Sprintf("an impossible fee: %v", err)}
	}
	from := checksummed(t.from)
	status := chain.TxStatus{
		ID:       chain.TxID(hexHash(&t.hash)),
		State:    chain.TxFailed,
		Block:    block,
		TxIndex:  uint32(r.index),
		From:     from,
		Locks:    append([]chain.Lock{nonceLock(from, t.nonce)}, c.delegationLocks(t)...),
		Fee:      fee,
		GasUsed:  r.gasUsed,
		GasPrice: r.price,
	}
	if !r.ok {
		// What a reverted transaction would have moved did not move.
		return status, nil
	}
	status.State = chain.TxIncluded
	status.Unswept = r.unsweptBy(c.cfg.Sweeper)
	if t.value != [32]byte{} {
		status.Transfers = append(status.Transfers, c.native(t, r, block.Hash))
	}
	var counts ordinals
	own := false // the log of the transaction's own value was met
	for i := range r.logs {
		l := &r.logs[i]
		if !l.isTransfer() {
			continue
		}
		transfer := counts.transfer(l, listed, block.Height)
		if listed.ids[l.address].coin && !own && l.ofValue(t, r) {
			own = true
			continue
		}
		if !transfer.Amount.IsZero() {
			status.Transfers = append(status.Transfers, transfer)
		}
	}
	return status, nil
}

// native is the movement of the transaction's own value. Where it created a
// contract, that is the receiver.
func (c *Client) native(t *transactionObject, r *receipt, hash chain.BlockHash) chain.Transfer {
	to := t.to
	if t.creates {
		to = r.created
	}
	return chain.Transfer{
		ID:      chain.TransferID{Tx: chain.TxID(hexHash(&t.hash)), Ordinal: "n"},
		Asset:   c.cfg.Preset.Info.Native.ID,
		From:    checksummed(t.from),
		To:      checksummed(to),
		Amount:  amountOfWord(&t.value),
		Block:   r.height,
		Hash:    hash,
		TxIndex: uint32(r.index),
		Via:     chain.ViaDirect,
	}
}
