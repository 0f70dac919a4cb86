package chaintest

import (
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/tidwall/btree"

	"github.com/bursar-go/bursar/chain"
)

// world is the state after one block: balances, nonces and what owners did to
// their tokens. A copy costs nothing until it is written to, so that each block
// keeps its own and a balance can be asked for at any block, orphaned ones included.
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

// flag tells what setFlag was told last, of a token or of one of its holders.
func (w world) flag(kind byte, token, owner common.Address) bool {
	_, ok := w.slots.Get(slot(kind, token, owner))
	return ok
}

func (w world) setFlag(kind byte, token, owner common.Address, on bool) {
	if on {
		w.slots.Set(slot(kind, token, owner), chain.NewAmount(1))
	} else {
		w.slots.Delete(slot(kind, token, owner))
	}
}

// scale makes all balances of a token num/den of what they are. What overflows
// stays.
func (w world) scale(token common.Address, num, den chain.Amount) {
	type holding struct {
		key    string
		amount chain.Amount
	}
	var all []holding
	prefix := slot('b', token, common.Address{})[:21]
	w.slots.Ascend(prefix, func(key string, v chain.Amount) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		if scaled, err := v.MulDiv(num, den); err == nil {
			all = append(all, holding{key, scaled})
		}
		return true
	})
	for _, h := range all {
		w.slots.Set(h.key, h.amount)
	}
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
