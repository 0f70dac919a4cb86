package main

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/ethereum/go-ethereum/crypto/keccak"
)

// deriveAgainstFloor compares our addresses with what no derivation below an
// xpub can do without: an HMAC for the scalar, its base multiplication, and the
// hash of the point. The floor is no derivation: it adds no parent, inverts
// nothing and encodes nothing.
func deriveAgainstFloor(b *bench) (reading, error) {
	mine, err := ours(1)
	if err != nil {
		return reading{}, err
	}
	c, err := b.compare(byCPU, whole(mine), whole(floor()))
	if err != nil {
		return reading{}, err
	}
	c = c.per(batch, batch)
	return reading{c.ratio, c.how("ours", "floor")}, nil
}

// floor is a workload of the bare minimum for an address.
func floor() work {
	mac := hmac.New(sha512.New, make([]byte, 32))
	var (
		message [37]byte // a parent key and an index
		sum     [64]byte
		public  [64]byte
		hash    [32]byte
		scalar  secp256k1.ModNScalar
		point   secp256k1.JacobianPoint
		index   uint32
	)
	return func(n int) (func() error, error) {
		return func() error {
			for range n {
				index++
				binary.BigEndian.PutUint32(message[33:], index)
				mac.Reset()
				mac.Write(message[:])
				mac.Sum(sum[:0])
				scalar.SetByteSlice(sum[:32])
				secp256k1.ScalarBaseMultNonConst(&scalar, &point)
				h := keccak.NewLegacyKeccak256()
				h.Write(public[:])
				h.Sum(hash[:0])
			}
			return nil
		}, nil
	}
}
