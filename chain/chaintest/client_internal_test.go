package chaintest

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestReadTransferEvent(t *testing.T) {
	from, to := common.HexToAddress("0x1"), common.HexToAddress("0x2")
	word := make([]byte, 32)
	word[31] = 7
	topics := []common.Hash{transferTopic, common.BytesToHash(from[:]), common.BytesToHash(to[:])}
	gotFrom, gotTo, n, ok := readTransferEvent(event{topics: topics, data: word})
	require.True(t, ok)
	require.Equal(t, []common.Address{from, to}, []common.Address{gotFrom, gotTo})
	require.Equal(t, units(7), n)
	dirty := common.BytesToHash(to[:])
	dirty[0] = 1
	for name, e := range map[string]event{
		"four topics":   {topics: append(topics[:3:3], common.Hash{}), data: word},
		"two topics":    {topics: topics[:2], data: word},
		"long data":     {topics: topics, data: append(word[:32:32], 0)},
		"short data":    {topics: topics, data: word[1:]},
		"other event":   {topics: []common.Hash{{1}, topics[1], topics[2]}, data: word},
		"dirty address": {topics: []common.Hash{transferTopic, topics[1], dirty}, data: word},
	} {
		_, _, _, ok := readTransferEvent(e)
		require.False(t, ok, name)
	}
}
