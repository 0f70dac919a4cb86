package scanner

import (
	"fmt"
	"math"

	"github.com/bursar-go/bursar/chain"
)

// maxHeight is the highest block number that every store can keep in a signed
// 64-bit column.
const maxHeight = math.MaxInt64

// checkHead refuses a head that no chain can have.
func checkHead(h chain.Head) error {
	switch {
	case h.Latest.Hash == "":
		return &IncoherentError{What: "head", Height: h.Latest.Height, Reason: "no hash"}
	case h.Latest.Height > maxHeight:
		return &IncoherentError{What: "head", Height: h.Latest.Height, Reason: "over 2^63-1"}
	}
	return nil
}

// checkPage refuses a page that is not what was asked for: blocks from height
// from on, none above to, each following the one before, and transfers and
// spends that belong to these very blocks, each of them once. The link to our
// own tip is not looked at here: a mismatch there is a reorg and no fault.
func checkPage(p chain.Page, from, to uint64) error {
	bad := func(height uint64, format string, args ...any) error {
		return &IncoherentError{What: "page", Height: height, Reason: fmt.Sprintf(format, args...)}
	}
	if len(p.Blocks) == 0 {
		return bad(from, "no blocks")
	}
	if first := p.Blocks[0]; first.Height != from {
		return bad(from, "it begins at %d", first.Height)
	}
	if last := p.Last(); last.Height > to {
		return bad(last.Height, "asked for blocks up to %d", to)
	}
	if err := checkLinks("page", p.Blocks); err != nil {
		return err
	}
	inside := func(height uint64, hash chain.BlockHash) bool {
		return height >= from && height-from < uint64(len(p.Blocks)) && p.Blocks[height-from].Hash == hash
	}
	seen := make(map[chain.TransferID]struct{}, len(p.Transfers))
	for _, t := range p.Transfers {
		_, again := seen[t.ID]
		seen[t.ID] = struct{}{}
		switch {
		case !inside(t.Block, t.Hash):
			return bad(t.Block, "transfer %s of block %s, which is not in the page", t.ID, t.Hash)
		case t.Amount.IsZero():
			return bad(t.Block, "transfer %s of nothing", t.ID)
		case again:
			return bad(t.Block, "transfer %s twice", t.ID)
		}
	}
	for _, s := range p.Spends {
		if !inside(s.Block.Height, s.Block.Hash) {
			return bad(s.Block.Height, "spend %s of block %s, which is not in the page", s.ID, s.Block.Hash)
		}
	}
	return nil
}

// checkLinks refuses blocks without a hash and blocks that do not follow each
// other.
func checkLinks(what string, blocks []chain.BlockRef) error {
	for i, b := range blocks {
		switch {
		case b.Hash == "":
			return &IncoherentError{What: what, Height: b.Height, Reason: "no hash"}
		case i > 0 && !follows(blocks[i-1], b):
			return &IncoherentError{What: what, Height: b.Height, Reason: (&LinkError{Before: blocks[i-1], Block: b, Index: i}).Error()}
		}
	}
	return nil
}
