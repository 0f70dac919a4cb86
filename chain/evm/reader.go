package evm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// Head returns the newest block and, where the preset names a finality tag that
// the node knows, the newest final one. Each call also asks for the chain id,
// in the same request: a provider can point the same URL to another chain at
// any time, and then every answer after that is worth nothing.
func (c *Client) Head(ctx context.Context) (chain.Head, error) {
	var (
		number            uint64
		latest, final     header
		hasLatest, hasTag bool
	)
	calls := []*call{
		newCall("eth_chainId", intoUint64(&number)),
		newCall("eth_getBlockByNumber", func(s *scanner) { hasLatest = s.header(&latest) }, "latest", false),
	}
	if tag := c.cfg.Preset.FinalityTag; tag != "" {
		calls = append(calls, newCall("eth_getBlockByNumber", func(s *scanner) { hasTag = s.header(&final) }, tag, false))
	}
	if err := c.do(ctx, calls...); err != nil {
		return chain.Head{}, readError(err)
	}
	for _, r := range calls[:2] {
		if r.err != nil {
			return chain.Head{}, readError(r.err)
		}
	}
	if number != c.number {
		return chain.Head{}, c.wrongNumber(number)
	}
	if !hasLatest {
		return chain.Head{}, &IncoherentError{Reason: "the node has no newest block"}
	}
	c.head.Store(&blockID{height: latest.height, hash: latest.hash})
	head := chain.Head{Latest: latest.ref()}
	if len(calls) == 2 {
		return head, nil
	}
	if err := calls[2].err; err != nil {
		if !lacksTag(err) {
			return chain.Head{}, readError(err)
		}
		hasTag = false
	}
	switch {
	case !hasTag:
		return head, nil
	case final.height > latest.height:
		return chain.Head{}, &IncoherentError{Height: final.height, Reason: "final but newer than the newest block"}
	}
	ref := final.ref()
	head.Finalized = &ref
	return head, nil
}

// Headers returns the blocks between two heights of the node's present branch,
// both included, at most Info().PageBlocks of them.
func (c *Client) Headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	n, err := c.pageSize(from, to)
	if err != nil {
		return nil, err
	}
	headers := make([]header, n)
	found := make([]bool, n)
	calls := make([]*call, n)
	for i := range calls {
		calls[i] = newCall("eth_getBlockByNumber", func(s *scanner) { found[i] = s.header(&headers[i]) }, hexQuantity(from+uint64(i)), false)
	}
	if err := c.do(ctx, calls...); err != nil {
		return nil, readError(err)
	}
	refs := make([]chain.BlockRef, 0, n)
	for i := range headers {
		switch {
		case isUnknownBlock(calls[i].err), calls[i].err == nil && !found[i]:
			return refs, nil
		case calls[i].err != nil:
			return nil, readError(calls[i].err)
		case i == 0:
			err = headers[i].follows(nil, from)
		default:
			err = headers[i].follows(&headers[i-1], from+uint64(i))
		}
		if err != nil {
			return nil, err
		}
		refs = append(refs, headers[i].ref())
	}
	return refs, nil
}

// follows checks that the node answered with the height that was asked for, and
// that the block is the child of before, where there is one.
func (h *header) follows(before *header, height uint64) error {
	switch {
	case h.height != height:
		return &IncoherentError{Height: height, Reason: fmt.Sprintf("the node answers with block %d", h.height)}
	case before != nil && h.parent != before.hash:
		return &ReorgError{Height: height, Reason: "its parent is not the block before it"}
	}
	return nil
}

// pageSize returns how many blocks of a range to ask for at once.
func (c *Client) pageSize(from, to uint64) (int, error) {
	if to < from {
		return 0, &chain.FormatError{What: "block range", Text: fmt.Sprintf("%d-%d", from, to), Reason: "it ends before it begins"}
	}
	// to-from+1 could overflow.
	return int(min(to-from, c.cfg.Preset.Info.PageBlocks-1)) + 1, nil
}

// hexQuantity writes a number as JSON-RPC wants it.
func hexQuantity(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }

// readError gives an error of a reading call its place in the port's errors.
// What the node refuses for reasons of its own is transient, since the same
// question may be answered later or by another node behind the same address;
// what it calls a wrong question is not.
func readError(err error) error {
	var refusal *RPCError
	if !errors.As(err, &refusal) {
		return err
	}
	switch {
	case refusal.Code == codeMethodNotFound:
		return fmt.Errorf("%w: %w", chain.ErrUnsupported, err)
	case refusal.Code == codeInvalidParams || refusal.Code == codeInvalidRequest && !isTooLarge(err):
		return err
	}
	return fmt.Errorf("%w: %w", chain.ErrTransient, err)
}

// Codes of JSON-RPC 2.0.
const (
	codeInvalidRequest = -32600
	codeMethodNotFound = -32601
	codeInvalidParams  = -32602
)

// codeUnknownBlock is what the execution API has for a tag without a block.
const codeUnknownBlock = -39001

// isUnknownBlock reports whether the node says that it has no such block. There
// is no common code for it: these are the texts of geth and its descendants,
// Erigon, Nethermind, Besu, Reth and anvil.
func isUnknownBlock(err error) bool {
	return refusedWith(err, codeUnknownBlock, "unknown block", "block not found", "header not found",
		"header for hash not found", "block does not exist", "cannot find block", "could not find block", "blocknotfound")
}

// isPruned reports whether the node no longer has the state of a block.
func isPruned(err error) bool {
	return refusedWith(err, 0, "missing trie node", "state not available", "state is not available", "pruned",
		"historical state", "state at block", "old data not available")
}

// isTooLarge reports whether an answer, or the request for it, was too large
// for us or for the node, so that a smaller question makes sense.
func isTooLarge(err error) bool {
	var large *TooLargeError
	return errors.As(err, &large) || refusedWith(err, 0, "too large", "larger than", "greater than", "returned more than",
		"exceeds max results", "exceeds limit of", "size exceed", "batch limit", "batch size", "max batch")
}

// lacksTag reports whether the node has no block under a tag: it does not know
// the tag, or nothing is final yet.
func lacksTag(err error) bool {
	return isUnknownBlock(err) || refusedWith(err, codeInvalidParams, "not found", "invalid block tag", "not yet", "unsupported tag")
}

// refusedWith looks for a code (0: none) and for texts, in lower case, in the
// node's refusal.
func refusedWith(err error, code int64, texts ...string) bool {
	var refusal *RPCError
	if !errors.As(err, &refusal) {
		return false
	}
	if code != 0 && refusal.Code == code {
		return true
	}
	message := strings.ToLower(refusal.Message)
	for _, text := range texts {
		if strings.Contains(message, text) {
			return true
		}
	}
	return false
}
