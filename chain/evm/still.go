package evm

import (
	"context"
	"maps"
	"sync/atomic"
)

// stillness tells which accounts can have had a part in a stretch of blocks, from
// what they had before it and have behind it.
//
// The rule it rests on: coin leaves an account without code only by a transaction
// of its own, which raises its nonce; and an account gets code only by its own
// signature (EIP-7702), which raises its nonce too. So one whose nonce is the same
// at two blocks, and that has no code at the second, has sent nothing in between and
// had no code: its balance can only have grown, and where it is the same too,
// nothing came. One that is empty behind the stretch never signed, so that its nonce
// need not be asked for. An account with code can be emptied by anybody's call, so that
// equal balances say nothing of it.
type stillness struct {
	// active are the accounts that had a part in it or may have had one.
	active []account
	// kept is what the others had, in the state of each of the blocks.
	kept map[[addressLength]byte][32]byte
	// seen and moved count the blocks that were looked at with this, and those of
	// them that had to be read; off is set where it is of no use.
	seen, moved atomic.Uint64
	off         atomic.Bool
}

// account is one that may have moved; signs is true where its nonce did or may
// have.
type account struct {
	key   [addressLength]byte
	signs bool
}

// Bounds of what is compared.
const (
	maxStill  = 5000 // watched accounts
	maxMovers = 200  // those of them that sign, each one a question at each end of a page
)

// standing is what accounts have in the state after a block.
type standing struct {
	balances [][32]byte
	empty    []bool   // neither balance nor nonce nor code
	nonces   []uint64 // of those that sign
	coded    bool     // one of them has code
}

// ask returns the calls that tell what accounts have, and what takes their answers
// once all are there.
func ask(block any, of []account) (calls []*call, take func() *standing) {
	out := &standing{balances: make([][32]byte, len(of)), empty: make([]bool, len(of)), nonces: make([]uint64, len(of))}
	parts := (len(of) + manyBalances - 1) / manyBalances
	// The answers of a batch may be read at the same time.
	code := make([]bool, parts)
	for k := range parts {
		from := k * manyBalances
		part := of[from:min(from+manyBalances, len(of))]
		keys := make([][addressLength]byte, len(part))
		for i := range part {
			keys[i] = part[i].key
		}
		calls = append(calls, accountsCall(block, keys, func(words []byte) {
			for i := range part {
				out.empty[from+i] = words[32*i]&emptyBit != 0
				words[32*i] &^= emptyBit
				out.balances[from+i] = [32]byte(words[32*i:])
			}
			code[k] = [32]byte(words[32*len(part):]) != [32]byte{}
		}))
	}
	for i := range of {
		if of[i].signs {
			calls = append(calls, newCall("eth_getTransactionCount", intoUint64(&out.nonces[i]), hexBytes(of[i].key[:]), block))
		}
	}
	return calls, func() *standing {
		for _, c := range code {
			out.coded = out.coded || c
		}
		return out
	}
}

// stateOf names the state after a block as EIP-1898 has it.
func stateOf(hash *[32]byte) map[string]string { return map[string]string{"blockHash": hexHash(hash)} }

// standingOf asks for what accounts have in the state after a block, without their
// nonces. It returns nil where the node does not tell.
func (c *Client) standingOf(ctx context.Context, accounts []account, hash *[32]byte) (*standing, error) {
	bare := make([]account, len(accounts))
	for i := range accounts {
		bare[i].key = accounts[i].key
	}
	calls, take := ask(stateOf(hash), bare)
	if err := c.do(ctx, calls...); err != nil {
		return nil, err
	}
	for _, r := range calls {
		if r.err != nil {
			return nil, nil //nolint:nilnil,nilerr // blocks can be read without
		}
	}
	return take(), nil
}

// withStill compares what accounts had before a stretch of blocks and behind it, and
// adds them to what is known of others, old. It returns nil where comparing is of no
// use.
func (c *Client) withStill(old *stillness, accounts []account, from, to *standing) *stillness {
	if from == nil || to == nil || from.coded || to.coded {
		return nil // see the rule
	}
	next := &stillness{kept: map[[addressLength]byte][32]byte{}}
	if old != nil {
		next.active = append(next.active, old.active...)
		maps.Copy(next.kept, old.kept)
		next.off.Store(old.off.Load())
	}
	for i, a := range accounts {
		switch {
		case !a.signs && from.balances[i] == to.balances[i]:
			next.kept[a.key] = to.balances[i]
			continue
		case !a.signs && fell(&from.balances[i], &to.balances[i]):
			c.distrust(balancesMethod, "the balance of "+string(checksummed(a.key))+" fell, and it signed nothing")
			return nil
		}
		next.active = append(next.active, a)
	}
	movers := 0
	for _, a := range next.active {
		if a.signs {
			movers++
		}
	}
	if movers > maxMovers {
		return nil // their nonces cost more than the blocks
	}
	return next
}

// fell reports whether a balance is below what it was.
func fell(before, after *[32]byte) bool {
	for i := range before {
		if before[i] != after[i] {
			return after[i] < before[i]
		}
	}
	return false
}

// judge counts blocks that were looked at, and those of them that had to be read:
// where that is most of them, the following ones are read right away.
func (s *stillness) judge(blocks, moved int) {
	seen, all := s.seen.Add(uint64(blocks)), s.moved.Add(uint64(moved))
	if seen >= fewStill && 2*all > seen {
		s.off.Store(true)
	}
}

// fewStill is how many blocks prove nothing.
const fewStill = 150
