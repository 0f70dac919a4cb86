package e2e

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/e2e/node"
	"github.com/bursar-go/bursar/hdwallet"
)

func TestPresignedSimulated(t *testing.T) { presigned(t, nodes.Simulated(t)) }
func TestPresignedGeth(t *testing.T)      { presigned(t, nodes.Geth(t)) }

// presigned sweeps addresses whose keys are on another machine: what that one signed
// before is what a chain takes, by the sponsor's key alone, once.
func presigned(t *testing.T, n *node.Network) {
	vault, err := hdwallet.FromMnemonic(devWords, t.Name()+" vault")
	require.NoError(t, err)
	xpub, err := vault.XPub(60)
	require.NoError(t, err)
	watched, err := hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: xpub})
	require.NoError(t, err)
	own, err := hdwallet.FromMnemonic(devWords, t.Name())
	require.NoError(t, err)
	wallet, err := hdwallet.Combine(watched, own)
	require.NoError(t, err)
	f := fleetOf(t, n, "OzLike", wallet)
	f.deploy()

	id := f.client.Info().ID
	codecs := map[chain.ID]chain.Codec{id: evm.CodecWith(f.sweeper)}
	cold, err := hdwallet.NewSigner(hdwallet.Policy{Codecs: codecs, Treasury: map[chain.ID][]chain.Address{id: {f.to}}}, vault)
	require.NoError(t, err)
	deposits, err := vault.Account(60)
	require.NoError(t, err)
	from := f.made
	of := f.fresh(12)
	var file bytes.Buffer
	require.NoError(t, hdwallet.WriteAuthorisations(t.Context(), &file, cold, hdwallet.AuthorisationRange{
		Chain: id, Codec: codecs[id], Account: deposits, From: from, Count: 10,
	}))
	set, err := hdwallet.NewAuthorisations(codecs, wallet)
	require.NoError(t, err)
	_, err = set.Read(t.Context(), &file)
	require.NoError(t, err)
	f.signer, err = hdwallet.Presigned(f.signer, set)
	require.NoError(t, err)

	f.pay(of...)
	d, err := f.client.Prepare(t.Context(), f.collect(of...))
	require.NoError(t, err)
	_, err = f.client.Sign(t.Context(), d, f.signer)
	var missing *chain.SourcesError
	require.ErrorAs(t, err, &missing)
	require.Len(t, missing.Sources, 2)
	require.Equal(t, []chain.Address{of[10].Address, of[11].Address}, []chain.Address{missing.Sources[0].Account, missing.Sources[1].Account})
	require.ErrorContains(t, missing, "nothing is signed")

	of = of[:10]
	d, s := f.signed(f.collect(of...))
	require.Len(t, d.Locks, 11)
	f.swept(f.lands(s), of...)

	// Later it takes the sponsor's signature alone.
	f.pay(of...)
	d, s = f.signed(f.collect(of...))
	require.Len(t, d.Locks, 1)
	f.swept(f.lands(s), of...)

	// Coin there would take the key.
	_, err = f.signer.Sign(t.Context(), []chain.SignRequest{{Chain: id, Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Key: of[0].Key, Payload: d.Payload}})
	var refused *chain.PolicyError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, hdwallet.RuleOffline, refused.Rule)
}
