package sweeper

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// TestSimulatedChain: what is planned here is what a client with real bytes
// makes, needs, signs and outbids, and its drafts pass the checks.
func TestSimulatedChain(t *testing.T) {
	ctx := context.Background()
	sim := chaintest.New(chaintest.Options{})
	token := sim.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	client := sim.Client()
	signer := chaintest.NewSigner(client.Codec(), t.Name())
	own, gas := signer.Account("deposit"), signer.Account("sponsor")
	on, coin := client.Info().ID, client.Info().Native
	p := Policy{Treasury: sim.Payer("treasury"), Sponsor: gas}.withDefaults(client.Info().BlockTime)
	ether := chain.NewAmount(1_000_000_000_000_000_000)
	sim.Fund(gas.Address, ether)
	sim.Pay("alice", own.Address, token, units(25_000_000))
	sim.Mine(1)

	settle := func(in chain.Intent) {
		t.Helper()
		d, err := client.Prepare(ctx, in)
		require.NoError(t, err)
		require.NoError(t, checkDraft(on, in, d, nil))
		s, err := client.Sign(ctx, d, signer)
		require.NoError(t, err)
		require.NoError(t, checkSigned(d, s))
		require.NoError(t, client.Broadcast(ctx, s))

		in.Reuse = commonLocks([]Attempt{{Signed: s}})
		dearer, err := client.Bump(ctx, in, s)
		require.NoError(t, err)
		if len(dearer.Needs) == 0 {
			require.NoError(t, checkDraft(on, in, dearer, nil))
			require.Equal(t, in.Reuse, dearer.Locks)
		}
		sim.Mine(1)
	}

	plans := Decide(Work{Holdings: []Holding{{Ref: "t", Account: own, Asset: token, Amount: units(25_000_000)}}}, p)
	job := Job{ID: "j", State: Planned, Intent: plans[0].Intent}
	require.NoError(t, p.checkIntent(on, job, nil))
	d, err := client.Prepare(ctx, job.Intent)
	require.NoError(t, err)
	require.NotEmpty(t, d.Needs)
	topUps, err := p.topUps(job, d.Needs, time.Time{})
	require.NoError(t, err)
	settle(topUps[0].Intent)
	settle(job.Intent)
	require.Equal(t, units(25_000_000), sim.BalanceOf(p.Treasury, token))

	// A second deposit that is not final yet stays behind, fee included.
	sim.Pay("bob", own.Address, coin, ether)
	sim.Pay("bob", own.Address, coin, units(77))
	sim.Mine(1)
	before := sim.BalanceOf(own.Address, coin)
	plans = Decide(Work{Holdings: []Holding{{Ref: "n", Account: own, Asset: coin, Amount: ether}}}, p)
	settle(plans[0].Intent)
	gone, err := before.Sub(sim.BalanceOf(own.Address, coin))
	require.NoError(t, err)
	require.Equal(t, ether, gone)
}
