package evm

import (
	"testing"

	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func TestThreat_C21_PriceIsCappedByConfiguration(t *testing.T) {
	for _, c := range []struct {
		set, want uint64
	}{{0, absurdPrice}, {30e9, 30e9}, {absurdPrice + 1, absurdPrice}} {
		client, err := New(Config{Preset: Ethereum(), URL: "http://127.0.0.1:1", MaxGasPrice: chain.NewAmount(c.set)})
		require.NoError(t, err)
		require.Equal(t, *uint256.NewInt(c.want), client.writer().highest)
	}
}
