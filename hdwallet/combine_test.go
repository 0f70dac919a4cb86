package hdwallet_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

// Every machine agrees on the accounts, whatever keys it has.
func TestCombine(t *testing.T) {
	cold, own := mnemonicWallet(t, ""), mnemonicWallet(t, "own")
	coldAccount, err := cold.Account(60)
	require.NoError(t, err)
	ownAccount, err := own.Account(60)
	require.NoError(t, err)
	ids := map[string]bool{}
	for name, parts := range map[string][2]*hdwallet.Wallet{
		"gateway and signer": {xpubOf(t, cold), own}, "gateway": {xpubOf(t, cold), xpubOf(t, own)},
		"vault": {cold, xpubOf(t, own)}, "all": {cold, own},
	} {
		w, err := hdwallet.Combine(parts[0], parts[1])
		require.NoError(t, err, name)
		require.Equal(t, parts[1].WatchOnly(), w.WatchOnly(), name)
		a, err := w.Account(60)
		require.NoError(t, err, name)
		again, err := w.Account(60)
		require.NoError(t, err)
		require.Same(t, a, again)
		require.Equal(t, uint32(60), a.CoinType())
		for i := range uint32(3) {
			require.Equal(t, addressOf(t, coldAccount, 0, i), addressOf(t, a, 0, i), name)
			require.Equal(t, addressOf(t, ownAccount, 1, i), addressOf(t, a, 1, i), name)
		}
		_, err = w.XPub(60)
		require.ErrorIs(t, err, hdwallet.ErrCombined)
		public, err := w.PublicKey(a.KeyRef(0, 1))
		require.NoError(t, err)
		require.Len(t, public, 65)
		_, err = w.PublicKey(coldAccount.KeyRef(0, 1))
		require.Error(t, err, "another wallet's")
		ids[a.ID()] = true
		require.Contains(t, w.String(), "combined")
		require.Contains(t, a.String(), a.ID())
	}
	require.Len(t, ids, 1)
	require.NotContains(t, ids, coldAccount.ID())
	require.NotContains(t, ids, ownAccount.ID())
	swapped, err := hdwallet.Combine(own, cold)
	require.NoError(t, err)
	a, err := swapped.Account(60)
	require.NoError(t, err)
	require.NotContains(t, ids, a.ID())

	third, err := hdwallet.Combine(cold, mnemonicWallet(t, "third"))
	require.NoError(t, err)
	a, err = third.Account(60)
	require.NoError(t, err)
	require.NotContains(t, ids, a.ID(), "another sponsor is another wallet")

	// To remember less than the others is not to make them forget.
	own.Remember(10)
	w, err := hdwallet.Combine(xpubOf(t, cold), own)
	require.NoError(t, err)
	w.Remember(5)
	_, err = w.Account(60)
	require.NoError(t, err)
	_, err = w.Account(61)
	require.ErrorIs(t, err, hdwallet.ErrNoAccount, "the xpub is of 60")
}

func TestCombineRefuses(t *testing.T) {
	cold, own := mnemonicWallet(t, ""), mnemonicWallet(t, "own")
	both, err := hdwallet.Combine(cold, own)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		deposits, own *hdwallet.Wallet
		field         string
	}{
		"no deposits": {nil, own, "deposits"}, "no own": {cold, nil, "own"}, "the same": {cold, cold, "own"},
		"combined deposits": {both, own, "deposits"}, "combined own": {cold, both, "own"},
	} {
		_, err := hdwallet.Combine(c.deposits, c.own)
		var bad *hdwallet.ConfigError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, c.field, bad.Field, name)
	}
}

// A combined wallet of one mnemonic would be what it is there to avoid, however that was
// given: the sponsor's key and the deposits' xpub are all their keys.
func TestThreat_F19_DepositsAreNoKinOfTheSponsor(t *testing.T) {
	cold := mnemonicWallet(t, "")
	for name, own := range map[string]*hdwallet.Wallet{"its mnemonic": mnemonicWallet(t, ""), "its xpub": xpubOf(t, cold)} {
		w, err := hdwallet.Combine(xpubOf(t, cold), own)
		require.NoError(t, err, name)
		_, err = w.Account(60)
		var bad *hdwallet.ConfigError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, "own", bad.Field)
		_, err = hdwallet.NewSigner(hdwallet.Policy{
			Codecs: map[chain.ID]chain.Codec{mainnet: evm.Codec()}, Treasury: map[chain.ID][]chain.Address{mainnet: {treasury}},
		}, w)
		require.ErrorAs(t, err, &bad, name)
	}
}

// A combined wallet with all keys signs with each of the right one.
func TestCombinedSignerSignsWithBoth(t *testing.T) {
	w, err := hdwallet.Combine(mnemonicWallet(t, ""), mnemonicWallet(t, "own"))
	require.NoError(t, err)
	account, err := w.Account(60)
	require.NoError(t, err)
	codec := evm.CodecWith(sweeperFor(t, treasury))
	s, err := hdwallet.NewSigner(hdwallet.Policy{
		Codecs: map[chain.ID]chain.Codec{mainnet: codec}, Treasury: map[chain.ID][]chain.Address{mainnet: {treasury}},
	}, w)
	require.NoError(t, err)
	d := evmDesk{signer: s, account: account}
	for _, change := range []uint32{0, 1} {
		_, payload := dynamic(t, 1, treasury, 1, nil)
		r := d.request(mainnet, payload)
		r.Key = account.KeyRef(change, 0)
		_, err := d.sign(r) // the private key is compared with the public one
		require.NoError(t, err, change)
		require.False(t, s.Offline(r.Key))
	}
}
