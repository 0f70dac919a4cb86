package chaintest

import (
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar/chain"
)

// edict is a change of the state without a transaction that concerns anybody: a
// credit by the protocol, or what the owner of a token did to it. The next block
// carries it out before its transactions. It belongs to that block: a reorg undoes
// it and has the new branch carry it out again, and an abandoned branch keeps it.
type edict struct {
	n   uint64 // tells equal edicts apart
	act func(world)
	// withdrawal is what the block tells of it; nil: nothing.
	withdrawal *innerMove
}

func (c *Chain) decree(act func(world)) {
	c.decreed++
	c.edicts = append(c.edicts, edict{n: c.decreed, act: act})
}

// undone leaves out the edicts that the present branch has carried out.
func (c *Chain) undone(edicts []edict) []edict {
	return slices.DeleteFunc(edicts, func(e edict) bool {
		return slices.ContainsFunc(c.canon, func(b *block) bool {
			return slices.ContainsFunc(b.edicts, func(p edict) bool { return p.n == e.n })
		})
	})
}

// Pause makes a TokenPausable revert all transfers, or lets it move again, from
// the next block on: before that, a client does not see it either. A reorg carries
// it over to the new branch.
func (c *Chain) Pause(a chain.Asset, paused bool) {
	t := c.mustToken("Pause", a, TokenPausable)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decree(func(w world) { w.setFlag('p', t, common.Address{}, paused) })
}

// Blacklist makes a TokenBlacklist revert transfers from and to an address, or
// forgives it, from the next block on. A reorg carries it over to the new branch.
func (c *Chain) Blacklist(a chain.Asset, address chain.Address, listed bool) {
	t, owner := c.mustToken("Blacklist", a, TokenBlacklist), mustAddress("Blacklist", address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decree(func(w world) { w.setFlag('x', t, owner, listed) })
}

// Rebase makes every balance of a TokenRebasing num/den of what it is, rounded
// down, with the next block and without any event. A balance that would overflow
// stays as it is. A reorg carries it over to the new branch.
func (c *Chain) Rebase(a chain.Asset, num, den uint64) {
	t := c.mustToken("Rebase", a, TokenRebasing)
	if den == 0 {
		panic(fmt.Sprintf("chaintest: Rebase(%s, %d, 0): no fraction", a.ID, num))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decree(func(w world) { w.scale(t, chain.NewAmount(num), chain.NewAmount(den)) })
}

// mustToken returns the contract of a token that must be of that kind.
func (c *Chain) mustToken(what string, a chain.Asset, kind TokenKind) common.Address {
	address := c.mustContract(what, a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.contracts[address].(*token); !ok || t.spec.Kind != kind {
		panic(fmt.Sprintf("chaintest: %s(%s): want a token of kind %s", what, a.ID, kind))
	}
	return address
}
