package bursar

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// TestLearnNeverGoesBack: a snapshot that was read before a change and told
// after it changes nothing.
func TestLearnNeverGoesBack(t *testing.T) {
	info := chain.Info{ID: "eip155:1", Name: "ethereum", Native: chain.Asset{ID: "eip155:1/slip44:60", Symbol: "ETH", Decimals: 18}}
	n := &network{info: info}
	first, err := newTokenSet(info, []chain.Asset{info.Native}, ChainState{Version: -1})
	require.NoError(t, err)
	n.tokens.Store(first)
	off := []AssetState{{Asset: info.Native, Disabled: true}}
	require.NoError(t, n.learn(ChainState{Version: 7, Assets: off}))
	require.NoError(t, n.learn(ChainState{Version: 6}))
	require.True(t, n.disabled(info.Native.ID))
	require.NoError(t, n.learn(ChainState{Version: 8, Assets: off}))
	require.EqualValues(t, 8, n.known().version)
	require.NoError(t, n.learn(ChainState{Version: 9}))
	require.False(t, n.disabled(info.Native.ID))
}
