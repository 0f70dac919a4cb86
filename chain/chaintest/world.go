package chaintest

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/tidwall/btree"

	"github.com/bursar-go/bursar/chain"
)

// world is the state after one block: balances and nonces. A copy costs nothing
// until it is written to, so that each block keeps its own and a balance can be
// asked for at any block, orphaned ones included.
type world struct {
	slots *btree.Map[string, chain.Amount]
}

func newWorld() world { return world{new(btree.Map[string, chain.Amount])} }

// copy returns a world that can be changed without changing w.
func (w world) copy() world { return world{w.slots.Copy()} }

// A slot is named by its kind, the token's contract (zero for the native coin)
// and the owner.
func slot(kind byte, token, owner common.Address) string {
	var key [41]byte
	key[0] = kind
	copy(key[1:21], token[:])
	copy(key[21:], owner[:])
	return string(key[:])
}

func (w world) balance(token, owner common.Address) chain.Amount {
	v, _ := w.slots.Get(slot('b', token, owner))
	return v
}

func (w world) setBalance(token, owner common.Address, v chain.Amount) {
	w.slots.Set(slot('b', token, owner), v)
}

func (w world) nonce(owner common.Address) uint64 {
	v, _ := w.slots.Get(slot('n', common.Address{}, owner))
	return v.Big().Uint64()
}

func (w world) setNonce(owner common.Address, n uint64) {
	w.slots.Set(slot('n', common.Address{}, owner), chain.NewAmount(n))
}

// credit adds to a balance. Overflow cannot be reached by moving what exists,
// but by minting it can.
func (w world) credit(token, owner common.Address, v chain.Amount) error {
	sum, err := w.balance(token, owner).Add(v)
	if err != nil {
		return err
	}
	w.setBalance(token, owner, sum)
	return nil
}

func (w world) debit(token, owner common.Address, v chain.Amount) error {
	rest, err := w.balance(token, owner).Sub(v)
	if err != nil {
		return err
	}
	w.setBalance(token, owner, rest)
	return nil
}
