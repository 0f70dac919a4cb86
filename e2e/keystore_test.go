package e2e

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/hdwallet"
)

// TestKeystoreFilesAreThoseOfGoEthereum in both directions, at the light and at the
// standard cost.
func TestKeystoreFilesAreThoseOfGoEthereum(t *testing.T) {
	// The first key of the development mnemonic. Everybody knows it.
	raw, err := hex.DecodeString("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
	require.NoError(t, err)
	theirs, err := crypto.ToECDSA(raw)
	require.NoError(t, err)
	ours, err := hdwallet.NewKey(bytes.Clone(raw))
	require.NoError(t, err)
	const password = "correct horse battery stäple"
	for _, cost := range [][2]int{{keystore.LightScryptN, keystore.LightScryptP}, {keystore.StandardScryptN, keystore.StandardScryptP}} {
		file, err := keystore.EncryptKey(&keystore.Key{Address: crypto.PubkeyToAddress(theirs.PublicKey), PrivateKey: theirs}, password, cost[0], cost[1])
		require.NoError(t, err)
		got, err := hdwallet.ReadKeystore(file, password)
		require.NoError(t, err)
		require.Equal(t, ours.KeyRef(), got.KeyRef())
		_, err = hdwallet.ReadKeystore(file, password+" ")
		require.ErrorIs(t, err, hdwallet.ErrPassword)

		file, err = ours.Keystore(password, hdwallet.KeystoreOptions{ScryptN: cost[0], ScryptP: cost[1]})
		require.NoError(t, err)
		back, err := keystore.DecryptKey(file, password)
		require.NoError(t, err)
		require.True(t, theirs.Equal(back.PrivateKey))
		require.Equal(t, crypto.PubkeyToAddress(theirs.PublicKey), back.Address)
		_, err = keystore.DecryptKey(file, password+" ")
		require.ErrorIs(t, err, keystore.ErrDecrypt)
	}
}
