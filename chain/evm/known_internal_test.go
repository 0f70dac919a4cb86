package evm

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// TestKnownTokensAsWritten: no row is left out because of a slip of the pen: a wrong
// digit fails the checksum.
func TestKnownTokensAsWritten(t *testing.T) {
	for _, k := range knownTokens() {
		a, err := Token(k.chain, k.contract, k.symbol, k.decimals)
		require.NoError(t, err, k)
		require.Equal(t, chain.Address(k.contract), a.Contract)
	}
}
