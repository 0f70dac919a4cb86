package evm

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSlotsAreThoseOfTheStandards(t *testing.T) {
	sum := keccak256([]byte("eip1967.proxy.implementation"))
	n := new(big.Int).Sub(new(big.Int).SetBytes(sum[:]), big.NewInt(1))
	require.Equal(t, implementationSlot, "0x"+n.Text(16))
	sum = keccak256([]byte("org.zeppelinos.proxy.implementation"))
	require.Equal(t, oldImplementationSlot, hexHash(&sum))
}
