package main

import (
	"github.com/tyler-smith/go-bip32"

	"github.com/bursar-go/bursar/chain/evm"
)

// deriveAgainstLibrary compares addresses below an xpub: go-bip32, one child
// key after the other, and the gateway's batches.
func deriveAgainstLibrary(b *bench) (reading, error) {
	mine, err := ours(1)
	if err != nil {
		return reading{}, err
	}
	key, err := xpub()
	if err != nil {
		return reading{}, err
	}
	account, err := bip32.B58Deserialize(key)
	if err != nil {
		return reading{}, err
	}
	level, err := account.NewChildKey(0)
	if err != nil {
		return reading{}, err
	}
	codec := evm.Codec()
	index := uint32(0)
	library := func(n int) (func() error, error) {
		return func() error {
			var address [20]byte
			for range n {
				index++
				child, err := level.NewChildKey(index)
				if err != nil {
					return err
				}
				if _, err := codec.FromPublicKey(address[:0], child.Key); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
	c, err := b.compare(byCPU, library, whole(mine))
	if err != nil {
		return reading{}, err
	}
	c = c.per(1, batch)
	return reading{c.ratio, c.how("go-bip32", "ours")}, nil
}
