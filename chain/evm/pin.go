package evm

import (
	"bytes"
	"context"
)

// The storage slots in which proxies keep the address of their implementation.
const (
	// implementationSlot is keccak256("eip1967.proxy.implementation") - 1.
	//
	// Source: EIP-1967.
	implementationSlot = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"
	// oldImplementationSlot is keccak256("org.zeppelinos.proxy.implementation"),
	// which proxies older than the EIP use, USDC's among them.
	oldImplementationSlot = "0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3"
)

// codeHash hashes a contract's code and, behind a proxy, the address and the
// code of the implementation: an upgrade changes it, whichever way it is made.
func (c *Client) codeHash(ctx context.Context, code []byte, slots ...[]byte) (string, error) {
	sum := keccak256(code)
	parts := [][]byte{sum[:]}
	for _, slot := range slots {
		if len(bytes.TrimLeft(slot, "\x00")) == 0 || len(slot) != 32 {
			continue
		}
		address, err := Codec().Format(slot[12:])
		if err != nil {
			return "", err
		}
		var implementation []byte
		if err := c.all(ctx, newCall("eth_getCode", intoBytes(&implementation), string(address), "latest")); err != nil {
			return "", readError(err)
		}
		behind := keccak256(implementation)
		parts = append(parts, slot[12:], behind[:])
	}
	if len(parts) > 1 {
		sum = keccak256(bytes.Join(parts, nil))
	}
	return hexHash(&sum), nil
}
