package hdwallet_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

// A policy signer signs a batch of the simulated chain, first with the accounts'
// authorisations and later without, and refuses one by a contract that it does not know.
func TestSignerSignsSimulatedBatches(t *testing.T) {
	wallet, err := hdwallet.FromMnemonic(devMnemonic, "")
	require.NoError(t, err)
	account, err := wallet.Account(60)
	require.NoError(t, err)
	at := func(change, index uint32) chain.Account {
		public, err := account.PublicKey(change, index)
		require.NoError(t, err)
		raw, err := evm.Codec().FromPublicKey(nil, public)
		require.NoError(t, err)
		address, err := evm.Codec().Format(raw)
		require.NoError(t, err)
		return chain.Account{Address: address, Key: account.KeyRef(change, index)}
	}
	sponsor := at(1, 0)
	sweeper := chaintest.NewSweeper(sponsor.Address, treasury)
	sim := chaintest.New(chaintest.Options{Sweeper: sweeper})
	usd := sim.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	signer := func(codec chain.Codec) *hdwallet.Signer {
		s, err := hdwallet.NewSigner(hdwallet.Policy{
			Codecs: map[chain.ID]chain.Codec{sim.Info().ID: codec}, Treasury: map[chain.ID][]chain.Address{sim.Info().ID: {treasury}},
		}, wallet)
		require.NoError(t, err)
		return s
	}
	client, in := sim.Client(), chain.Intent{Purpose: chain.PurposeCollection, FeePayer: sponsor}
	sim.Grant(sponsor.Address, sim.Info().Native, chain.NewAmount(1_000_000_000_000_000_000))
	for i := range uint32(3) {
		sim.Grant(at(0, i+10).Address, usd, chain.NewAmount(100))
		in.Moves = append(in.Moves, chain.Move{From: at(0, i+10), To: treasury, Asset: usd, Amount: chain.NewAmount(40)})
	}
	sim.Mine(1)
	for round := range uint64(2) {
		d, err := client.Prepare(t.Context(), in)
		require.NoError(t, err)
		var refused *chain.PolicyError
		_, err = client.Sign(t.Context(), d, signer(evm.Codec()))
		require.ErrorAs(t, err, &refused)
		s, err := client.Sign(t.Context(), d, signer(client.Codec()))
		require.NoError(t, err)
		require.NoError(t, client.Broadcast(t.Context(), s))
		sim.Mine(1)
		require.Equal(t, chain.NewAmount((round+1)*120), sim.BalanceOf(treasury, usd))
	}
}
