package evm

import (
	"strconv"

	"github.com/bursar-go/bursar/chain"
)

// nonceLock is the lock that a transaction of addr with nonce n consumes. Both
// halves of the client use it: what is prepared and what is seen on the chain
// must spell the same lock the same way.
func nonceLock(addr chain.Address, n uint64) chain.Lock {
	return chain.Lock("nonce:" + string(addr) + ":" + strconv.FormatUint(n, 10))
}
