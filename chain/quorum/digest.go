package quorum

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/bursar-go/bursar/chain"
)

// sum is what two providers must have in common to have said the same.
type sum = [sha256.Size]byte

// canon writes values so that different ones never give the same bytes.
type canon struct {
	h   hash.Hash
	buf []byte
}

func newCanon() *canon { return &canon{h: sha256.New()} }

func (c *canon) num(n uint64) {
	c.buf = binary.BigEndian.AppendUint64(c.buf[:0], n)
	c.h.Write(c.buf)
}

func (c *canon) text(s string) {
	c.num(uint64(len(s)))
	c.buf = append(c.buf[:0], s...)
	c.h.Write(c.buf)
}

func (c *canon) amount(a chain.Amount) {
	word := a.Bytes32()
	c.h.Write(word[:])
}

func (c *canon) done() (out sum) {
	c.h.Sum(out[:0])
	return out
}

// block covers the parent and the time too: a node can tell a right hash with a
// wrong time, and payments expire by it.
func (c *canon) block(b chain.BlockRef) {
	c.num(b.Height)
	c.text(string(b.Hash))
	c.text(string(b.Parent))
	c.num(uint64(b.Time.UnixNano()))
}

// transfer covers everything but Key, which our own watch gave it.
func (c *canon) transfer(t chain.Transfer) {
	for _, s := range []string{string(t.ID.Tx), t.ID.Ordinal, string(t.Asset), string(t.From), string(t.To), string(t.Hash), string(t.Via)} {
		c.text(s)
	}
	c.amount(t.Amount)
	c.num(t.Block)
	c.num(uint64(t.TxIndex))
}

// status covers a transaction completely where it is in a block; otherwise only
// that it is not, because a mempool is each node's own.
func (c *canon) status(s chain.TxStatus) {
	c.text(string(s.ID))
	if !mined(s) {
		c.text("not mined")
		return
	}
	c.text(string(s.State))
	c.block(s.Block)
	c.num(uint64(s.TxIndex))
	c.text(string(s.From))
	c.num(uint64(len(s.Locks)))
	for _, l := range s.Locks {
		c.text(string(l))
	}
	c.amount(s.Fee)
	c.num(s.GasUsed)
	c.amount(s.GasPrice)
	c.num(uint64(len(s.Transfers)))
	for _, t := range s.Transfers {
		c.transfer(t)
	}
	if u := s.Unswept; u != nil {
		c.text("unswept")
		c.num(uint64(u.Tried))
		c.num(uint64(len(u.Failed)))
		for _, f := range u.Failed {
			c.text(string(f.Account))
			c.amount(f.Amount)
		}
	}
}

func mined(s chain.TxStatus) bool { return s.State == chain.TxIncluded || s.State == chain.TxFailed }

// reading is a page as one provider told it.
type reading struct {
	page chain.Page
	// prefix has for each block a digest of all that the page says up to it:
	// pages of different lengths agree as far as these do.
	prefix []sum
}

// newReading checks a page and digests it.
func newReading(p chain.Page, from, to uint64) (reading, error) {
	if err := checkPage(p, from, to); err != nil {
		return reading{}, err
	}
	r := reading{page: p, prefix: make([]sum, 0, len(p.Blocks))}
	var before sum
	t, s := 0, 0
	for _, b := range p.Blocks {
		c := newCanon()
		c.h.Write(before[:])
		c.block(b)
		first := t
		for t < len(p.Transfers) && p.Transfers[t].Block == b.Height {
			c.transfer(p.Transfers[t])
			t++
		}
		c.num(uint64(t - first))
		first = s
		for s < len(p.Spends) && p.Spends[s].Block.Height == b.Height {
			c.status(p.Spends[s])
			s++
		}
		c.num(uint64(s - first))
		before = c.done()
		r.prefix = append(r.prefix, before)
	}
	if t < len(p.Transfers) || s < len(p.Spends) {
		return reading{}, faulty(FaultIncoherent, "a page from %d with transfers or spends out of order", from)
	}
	return r, nil
}

// checkPage refuses what is not a page at all.
func checkPage(p chain.Page, from, to uint64) error {
	if len(p.Blocks) == 0 {
		return faulty(FaultIncoherent, "a page from %d without blocks", from)
	}
	if err := checkRefs(p.Blocks, from, to); err != nil {
		return err
	}
	at := make(map[uint64]chain.BlockHash, len(p.Blocks))
	for _, b := range p.Blocks {
		at[b.Height] = b.Hash
	}
	seen := make(map[chain.TransferID]bool, len(p.Transfers))
	for _, t := range p.Transfers {
		if at[t.Block] != t.Hash || t.Hash == "" || t.Amount.IsZero() || seen[t.ID] {
			return faulty(FaultIncoherent, "a page from %d with the transfer %s, which is of another block, of nothing, or there twice", from, t.ID)
		}
		seen[t.ID] = true
	}
	for _, s := range p.Spends {
		if at[s.Block.Height] != s.Block.Hash || s.Block.Hash == "" || !mined(s) {
			return faulty(FaultIncoherent, "a page from %d with the spend %s, which is of another block", from, s.ID)
		}
	}
	return nil
}

// checkRefs refuses blocks that do not begin at from, end above to, or do not
// follow each other.
func checkRefs(refs []chain.BlockRef, from, to uint64) error {
	for i, b := range refs {
		switch {
		case i == 0 && b.Height != from, b.Height > to, b.Hash == "":
			return faulty(FaultIncoherent, "block %d %q, asked for %d to %d", b.Height, b.Hash, from, to)
		case i > 0 && (b.Parent != refs[i-1].Hash || b.Height <= refs[i-1].Height):
			return faulty(FaultIncoherent, "block %d does not follow block %d", b.Height, refs[i-1].Height)
		}
	}
	return nil
}

// cut is the page up to its n-th block.
func (r reading) cut(n int) chain.Page {
	p := r.page
	if n >= len(p.Blocks) {
		return p
	}
	last := p.Blocks[n-1].Height
	out := chain.Page{Blocks: p.Blocks[:n:n]}
	for _, t := range p.Transfers {
		if t.Block <= last {
			out.Transfers = append(out.Transfers, t)
		}
	}
	for _, s := range p.Spends {
		if s.Block.Height <= last {
			out.Spends = append(out.Spends, s)
		}
	}
	return out
}
