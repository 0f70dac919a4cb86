package bursar

import (
	"errors"
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// readCursor reads the blocks before From. The window reaches as far back as the
// scanner follows a reorg, so that one at the beginning finds an ancestor.
func (c *recovery) readCursor() error {
	if c.req.From == 0 {
		return nil
	}
	head, err := c.net.client.Head(c.ctx)
	if err != nil {
		return err
	}
	if c.req.From > head.Latest.Height {
		return fieldErr("RecoverRequest.From", CodeOutOfRange, "block %d does not exist yet, the newest is %d", c.req.From, head.Latest.Height)
	}
	first := c.req.From - min(c.req.From, max(c.net.info.MaxReorg, 2)-1)
	for next := first; next < c.req.From; {
		refs, err := c.net.client.Headers(c.ctx, next, c.req.From-1)
		if err != nil {
			return err
		}
		for _, b := range refs {
			if n := len(c.recent); b.Height != next || n > 0 && b.Parent != c.recent[n-1].Hash {
				return fmt.Errorf("%w: block %d does not follow the one before", chain.ErrReorg, b.Height)
			}
			c.recent, next = append(c.recent, b), next+1
		}
		if len(refs) == 0 {
			return fmt.Errorf("%w: the node has no block %d", chain.ErrTransient, next)
		}
	}
	c.out.Cursor = c.recent[len(c.recent)-1]
	return nil
}

// write does what was planned. The reservation comes first: from then on nothing
// is issued twice, whatever happens next, and a repetition does the rest. The
// cursor comes last, so that a chain that is scanned has all its addresses.
func (c *recovery) write() (err error) {
	lease := leaseName(c.net)
	fence, err := c.gw.store.Acquire(c.ctx, lease, c.gw.cfg.Instance, recoverPatience)
	if err != nil {
		if errors.Is(err, ErrLeaseHeld) {
			err = fmt.Errorf("%w: a gateway works on this database, stop it", err)
		}
		return err
	}
	defer func() {
		_, gone := c.gw.store.Acquire(c.ctx, lease, c.gw.cfg.Instance, 0)
		err = errors.Join(err, gone)
	}()
	for i, p := range c.out.Pools {
		if p.Reserved > 0 {
			first, err := c.gw.store.Reserve(c.ctx, p.Pool, p.Reserved)
			if err != nil {
				return err
			}
			if first != c.have[p.Pool] {
				return fmt.Errorf("%w: somebody else has just reserved indexes of pool %s", ErrNotEmpty, p.Pool)
			}
		}
		for from := uint32(0); from < p.Next; from += recoverBatch {
			if err := c.writeRows(fence, i, from, min(from+recoverBatch, p.Next)-1); err != nil {
				return err
			}
		}
	}
	return c.writeCursor(fence)
}

// writeRows writes the rows of a range that are not there.
func (c *recovery) writeRows(fence Fence, account int, from, to uint32) error {
	b := c.net.book
	return c.gw.store.Write(c.ctx, func(tx Tx) error {
		rows, err := tx.Addresses(c.ctx, AddressQuery{Pool: poolName(b.accounts[account]), FromIndex: from, Limit: int(to-from) + 1})
		if err != nil {
			return err
		}
		known := map[uint32]bool{}
		for _, row := range rows {
			known[row.Index] = true
		}
		batch := Batch{Fences: []Fence{fence}}
		err = b.each(account, from, to, func(d DerivedAddress) error {
			if !known[d.Index] {
				batch.Addresses = append(batch.Addresses, Address{
					ID: fmt.Sprintf("%s%d", b.names[account][changeDeposit].row, d.Index), Address: d.Address,
					Pool: d.Pool, Index: d.Index, Key: d.Key, Role: RoleUnissued, CreatedAt: tx.Now(),
				})
			}
			return nil
		})
		if err != nil || len(batch.Addresses) == 0 {
			return err
		}
		return tx.Apply(c.ctx, batch)
	})
}

// writeCursor has the next scan begin behind the window.
func (c *recovery) writeCursor(fence Fence) error {
	if len(c.recent) == 0 {
		return nil
	}
	return c.gw.store.Write(c.ctx, func(tx Tx) error {
		// Money may have been found since the plan was made.
		if err := c.empty(tx); err != nil {
			return err
		}
		st, err := tx.Chain(c.ctx, c.net.info.ID)
		if err != nil {
			return err
		}
		st.Chain, st.Recent, st.Head = c.net.info.ID, c.recent, c.recent[len(c.recent)-1]
		st.Final, st.StartedAt, st.UpdatedAt = 0, tx.Now(), tx.Now()
		return tx.Apply(c.ctx, Batch{Fences: []Fence{fence}, Chains: []ChainState{st}})
	})
}
