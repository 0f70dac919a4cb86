package hdwallet_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/hdwallet"
)

// asked counts what reaches a signer.
type asked struct {
	chain.Signer
	keys []chain.KeyRef
}

func (a *asked) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	for _, r := range requests {
		a.keys = append(a.keys, r.Key)
	}
	return a.Signer.Sign(ctx, requests)
}

// The machine that is online has the sponsor's key alone: ten addresses delegate and are
// swept by one transaction, and are swept again without any authorisation. One of which
// nothing is signed is named, and the others go without it.
func TestPresignedSweepsOfTheSimulatedChain(t *testing.T) {
	own, err := mnemonicWallet(t, "own").Account(60)
	require.NoError(t, err)
	sweeper := chaintest.NewSweeper(addressOf(t, own, 1, 0), treasury)
	sim := chaintest.New(chaintest.Options{Sweeper: sweeper})
	id, client := sim.Info().ID, sim.Client()
	usd := sim.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	v := newVault(t, map[chain.ID]chain.Codec{id: client.Codec()})
	set := v.set(t)
	_, err = set.Read(t.Context(), strings.NewReader(v.make(t, id, 20, 10)))
	require.NoError(t, err)
	inner := &asked{Signer: v.inner}
	signer, err := hdwallet.Presigned(inner, set)
	require.NoError(t, err)

	at := func(change, index uint32) chain.Account {
		return chain.Account{Address: addressOf(t, v.account, change, index), Key: v.account.KeyRef(change, index)}
	}
	sponsor := at(1, 0)
	sim.Grant(sponsor.Address, sim.Info().Native, chain.NewAmount(1_000_000_000_000_000_000))
	in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: sponsor}
	for i := range uint32(11) {
		sim.Grant(at(0, 20+i).Address, usd, chain.NewAmount(100))
		in.Moves = append(in.Moves, chain.Move{From: at(0, 20+i), To: treasury, Asset: usd, Amount: chain.NewAmount(40)})
	}
	sim.Mine(1)
	d, err := client.Prepare(t.Context(), in)
	require.NoError(t, err)
	_, err = client.Sign(t.Context(), d, signer)
	var missing *chain.SourcesError
	require.ErrorAs(t, err, &missing)
	require.Len(t, missing.Sources, 1)
	require.Equal(t, at(0, 30).Address, missing.Sources[0].Account)
	require.Empty(t, inner.keys)

	in.Moves = in.Moves[:10]
	for round := range uint64(2) {
		d, err := client.Prepare(t.Context(), in)
		require.NoError(t, err)
		s, err := client.Sign(t.Context(), d, signer)
		require.NoError(t, err)
		require.NoError(t, client.Broadcast(t.Context(), s))
		sim.Mine(1)
		require.Equal(t, chain.NewAmount((round+1)*400), sim.BalanceOf(treasury, usd))
		require.Len(t, d.Locks, []int{11, 1}[round], "authorisations are used once")
		for i := range uint32(10) {
			require.NotEmpty(t, sim.Delegate(at(0, 20+i).Address))
		}
	}
	require.Equal(t, []chain.KeyRef{sponsor.Key, sponsor.Key}, inner.keys, "the sponsor's key alone")
	require.Empty(t, sim.Delegate(at(0, 30).Address))

	// What a file that leaked allows: a stranger has an address delegate to the contract
	// early. Our sweep works the same.
	require.NoError(t, readAlso(t, set, v.make(t, id, 31, 1)))
	late := in
	late.Moves = []chain.Move{{From: at(0, 31), To: treasury, Asset: usd, Amount: chain.NewAmount(40)}}
	sim.Grant(at(0, 31).Address, usd, chain.NewAmount(100))
	sim.Mine(1)
	d, err = client.Prepare(t.Context(), late)
	require.NoError(t, err)
	s, err := client.Sign(t.Context(), d, signer)
	require.NoError(t, err)
	require.NoError(t, client.Broadcast(t.Context(), s))
	_, ran := sim.FrontRun("stranger", s.ID)
	require.True(t, ran)
	sim.Mine(1)
	require.Equal(t, chain.NewAmount(840), sim.BalanceOf(treasury, usd))
}

func readAlso(t *testing.T, set *hdwallet.Authorisations, text string) error {
	t.Helper()
	_, err := set.Read(t.Context(), strings.NewReader(text))
	return err
}

// The machine with the mnemonic signs for a range of addresses and is switched off. The
// gateway has the xpub, and a sponsor of another mnemonic.
func ExamplePresigned() {
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	sponsors, err := hdwallet.FromMnemonic(devMnemonic, "sponsor") // another mnemonic in earnest
	fail(err)

	// Offline: the contract pays the treasury, and is swept through by the sponsor alone.
	vault, err := hdwallet.FromMnemonic(devMnemonic, "")
	fail(err)
	contract, err := contracts.New(contracts.Params{
		Treasury: contracts.Address{0: 1}, Owner: contracts.Address{0: 2}, Sponsor: contracts.Address{0: 3},
	})
	fail(err)
	codecs := map[chain.ID]chain.Codec{mainnet: evm.CodecWith(contract)}
	policy := hdwallet.Policy{Codecs: codecs, Treasury: map[chain.ID][]chain.Address{mainnet: {"0x0100000000000000000000000000000000000000"}}}
	offline, err := hdwallet.NewSigner(policy, vault)
	fail(err)
	deposits, err := vault.Account(60)
	fail(err)
	var file strings.Builder
	fail(hdwallet.WriteAuthorisations(ctx, &file, offline, hdwallet.AuthorisationRange{
		Chain: mainnet, Codec: codecs[mainnet], Account: deposits, From: 0, Count: 1000,
	}))
	xpub, err := vault.XPub(60)
	fail(err)

	// Online.
	watched, err := hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: xpub})
	fail(err)
	wallet, err := hdwallet.Combine(watched, sponsors)
	fail(err)
	inner, err := hdwallet.NewSigner(policy, wallet)
	fail(err)
	set, err := hdwallet.NewAuthorisations(codecs, wallet)
	fail(err)
	n, err := set.Read(ctx, strings.NewReader(file.String()))
	fail(err)
	signer, err := hdwallet.Presigned(inner, set) // with wallet into bursar.Config
	fail(err)
	account, err := wallet.Account(60)
	fail(err)
	fmt.Println(n, "authorisations, the file takes", file.Len()/n, "bytes for each")
	for _, key := range []chain.KeyRef{account.KeyRef(0, 999), account.KeyRef(0, 1000), account.KeyRef(1, 0)} {
		fmt.Println(key.Path, "offline:", signer.Offline(key), "signed before:", set.Has(mainnet, key))
	}
	// Output:
	// 1000 authorisations, the file takes 88 bytes for each
	// m/44'/60'/0'/0/999 offline: true signed before: true
	// m/44'/60'/0'/0/1000 offline: true signed before: false
	// m/44'/60'/0'/1/0 offline: false signed before: false
}

func BenchmarkWriteAuthorisations(b *testing.B) {
	v := mainnetVault(b)
	for b.Loop() {
		v.make(b, mainnet, 0, 512)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*512), "us/authorisation")
}

func BenchmarkAuthorisationsRead(b *testing.B) {
	v := mainnetVault(b)
	text := v.make(b, mainnet, 0, 4096)
	for b.Loop() {
		_, err := v.set(b).Read(b.Context(), strings.NewReader(text))
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*4096), "us/authorisation")
}

func BenchmarkPresignedSign(b *testing.B) {
	v := mainnetVault(b)
	set := v.set(b)
	_, err := set.Read(b.Context(), strings.NewReader(v.make(b, mainnet, 0, 100)))
	require.NoError(b, err)
	signer := v.presigned(b, set)
	var requests []chain.SignRequest
	for i := range uint32(100) {
		requests = append(requests, v.request(b, mainnet, i, 0))
	}
	slices.Reverse(requests)
	for b.Loop() {
		_, err := signer.Sign(b.Context(), requests)
		require.NoError(b, err)
	}
}
