package signer_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/signer"
)

// away is a signer of which one key is offline.
type away struct{ chain.Signer }

func (away) Offline(key chain.KeyRef) bool { return key.Path == "cold" }

// What stands around a signer passes on which keys are offline: who is not told sends
// gas to their addresses.
func TestThreat_F9_WrappersTellOfOfflineKeys(t *testing.T) {
	codecs := map[chain.ID]chain.Codec{"eip155:1": evm.Codec()}
	verified, err := signer.Verified(away{}, codecs, signer.KeyMap{})
	require.NoError(t, err)
	plain, err := signer.Verified(struct{ chain.Signer }{}, codecs, signer.KeyMap{})
	require.NoError(t, err)
	for _, s := range []chain.Signer{verified, signer.HaltFile(away{}, filepath.Join(t.TempDir(), "halt"))} {
		o, ok := s.(chain.OfflineSigner)
		require.True(t, ok)
		require.True(t, o.Offline(chain.KeyRef{Path: "cold"}))
		require.False(t, o.Offline(chain.KeyRef{Path: "hot"}))
	}
	require.False(t, plain.Offline(chain.KeyRef{Path: "cold"}))
}
