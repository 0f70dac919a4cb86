package bursar_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
)

// offline is a flow of a gateway that only watches. Its signer has the keys of its own
// accounts, and of deposits what was signed before.
type offline struct {
	*flow
	set    *hdwallet.Authorisations
	signed *sponsored
	write  func(from uint32, count int) string
}

// sponsored is a signer that notes whose keys it is asked for.
type sponsored struct {
	chain.Signer
	keys []chain.KeyRef
}

func (s *sponsored) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	for _, r := range requests {
		s.keys = append(s.keys, r.Key)
	}
	return s.Signer.Sign(ctx, requests)
}

// newOffline makes one with nothing signed.
func newOffline(t *testing.T) *offline {
	o := &offline{}
	watched := func(w *hdwallet.Wallet) *hdwallet.Wallet {
		key, err := w.XPub(60)
		require.NoError(t, err)
		out, err := hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: key})
		require.NoError(t, err)
		return out
	}
	vault, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "deposits")
	require.NoError(t, err)
	own, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(t, err)
	combine := func(deposits, own *hdwallet.Wallet) *hdwallet.Wallet {
		w, err := hdwallet.Combine(deposits, own)
		require.NoError(t, err)
		return w
	}
	o.flow = batched(t, func(k *bursartest.Options) {
		edit := k.Edit
		k.Edit = func(c *bursar.Config) {
			edit(c)
			id, codec, treasury := c.Chains[0].Client.Info().ID, c.Chains[0].Client.Codec(), c.Chains[0].Treasury
			policy := hdwallet.Policy{Codecs: map[chain.ID]chain.Codec{id: codec}, Treasury: map[chain.ID][]chain.Address{id: {treasury}}}
			c.Wallet = combine(watched(vault), watched(own))
			keys, err := hdwallet.NewSigner(policy, combine(watched(vault), own))
			require.NoError(t, err)
			o.signed = &sponsored{Signer: keys}
			o.set, err = hdwallet.NewAuthorisations(policy.Codecs, c.Wallet)
			require.NoError(t, err)
			c.Signer, err = hdwallet.Presigned(o.signed, o.set)
			require.NoError(t, err)

			cold, err := hdwallet.NewSigner(policy, vault)
			require.NoError(t, err)
			account, err := vault.Account(60)
			require.NoError(t, err)
			o.write = func(from uint32, count int) string {
				var out strings.Builder
				require.NoError(t, hdwallet.WriteAuthorisations(t.Context(), &out, cold, hdwallet.AuthorisationRange{
					Chain: id, Codec: codec, Account: account, From: from, Count: count,
				}))
				return out.String()
			}
		}
	})
	require.True(t, o.cfg.Wallet.WatchOnly())
	return o
}

// bring adds authorisations.
func (o *offline) bring(from uint32, count int) {
	o.t.Helper()
	n, err := o.set.Read(o.ctx(), strings.NewReader(o.write(from, count)))
	require.NoError(o.t, err)
	require.Equal(o.t, count, n)
}

// Ten fresh addresses whose keys are nowhere near are swept by one transaction that the
// sponsor's key signs, and again by another one.
func TestAGatewayWithoutDepositKeysSweeps(t *testing.T) {
	o := newOffline(t)
	o.bring(0, 10)
	var customers []bursar.Address
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		at, err := o.Gateway.CreateAddress(o.ctx(), bursar.AddressRequest{Customer: name, Chain: o.Chain.Info().ID, TokensOnly: true})
		require.NoError(t, err)
		customers = append(customers, at)
	}
	for round := 1; round <= 2; round++ {
		for _, at := range customers {
			o.Chain.Pay("customer", at.Address, o.USDC, chain.NewAmount(10_000_000))
		}
		o.Confirm()
		o.Settle()
		sweeps := o.payouts(bursar.PayoutSweep)
		require.Len(t, sweeps, round)
		require.Len(t, sweeps[round-1].Sources, 10)
		require.Equal(t, bursar.PayoutConfirmed, sweeps[round-1].Status)
		require.Equal(t, chain.NewAmount(uint64(round)*100_000_000), o.Chain.BalanceOf(o.Treasury, o.USDC))
		require.Len(t, o.attempts(sweeps[round-1])[0].Locks, []int{11, 1}[round-1], "authorisations are for the first time")
	}
	require.Empty(t, o.payouts(bursar.PayoutTopUp))
	require.Len(t, o.signed.keys, 2)
	for _, key := range o.signed.keys {
		require.True(t, strings.HasSuffix(key.Path, "/1/0"), key.Path)
	}
	o.audited()
	o.noBrokenRules()
	o.allSwept()
}

// An address of which nothing was signed is left out and told, the others go, and it
// follows when what it lacks has been brought.
func TestThreat_F11_AnUnsignedAddressHoldsUpNobody(t *testing.T) {
	o := newOffline(t)
	o.bring(0, 2)
	o.bring(3, 7)
	payments := o.crowd("USDC", 5)
	o.Mine(20)
	var left bursar.Payment
	for _, p := range payments {
		if got := o.Payment(p); got.Status != bursar.StatusSettled {
			require.Empty(t, left.ID, "one of five")
			left = got
		}
	}
	var waiting bursar.Payout
	for _, p := range o.payouts(bursar.PayoutSweep) {
		if p.Status == bursar.PayoutPlanned {
			waiting = p
		}
	}
	require.Len(t, waiting.Sources, 1)
	require.Equal(t, left.Address, waiting.Sources[0].Account.Address)
	require.True(t, strings.HasSuffix(waiting.Sources[0].Account.Key.Path, "/0/2"))
	require.Equal(t, "SIGNER_REFUSED", waiting.FailureCode)
	require.Contains(t, waiting.FailureReason, "nothing is signed for this address")
	o.AdvanceTime(time.Hour)
	o.until(func() bool { return o.count(bursar.AlertSweepFailing, waiting.ID) == 1 })
	require.Empty(t, o.payouts(bursar.PayoutTopUp))
	o.audited()

	// Others go on meanwhile.
	more := o.crowd("USDC", 2)
	o.Mine(20)
	for _, p := range more {
		require.Equal(t, bursar.StatusSettled, o.Payment(p).Status)
	}
	o.Restart()
	o.bring(2, 1)
	o.AdvanceTime(time.Hour)
	o.Settle()
	require.Equal(t, bursar.StatusSettled, o.Payment(left).Status)
	o.audited()
	o.noBrokenRules()
	o.allSwept()
}

// Coin at an address whose key is offline waits there, is told, and costs nothing.
func TestThreat_F9_CoinWaitsForAnOfflineKey(t *testing.T) {
	o := newOffline(t)
	o.bring(0, 10)
	coin := o.Create("ETH", "1")
	o.Pay(coin)
	tokens := o.crowd("USDC", 2)
	o.Mine(20)
	o.AdvanceTime(time.Hour)
	o.until(func() bool {
		return slices.ContainsFunc(o.told(""), func(e bursar.Event) bool { return e.Kind == bursar.AlertSweepFailing })
	})
	for _, p := range tokens {
		require.Equal(t, bursar.StatusSettled, o.Payment(p).Status)
	}
	require.Equal(t, bursar.StatusConfirmed, o.Payment(coin).Status)
	waiting := o.payouts(bursar.PayoutSweep)
	at := slices.IndexFunc(waiting, func(p bursar.Payout) bool { return p.Asset.ID == o.ETH.ID })
	require.Equal(t, bursar.PayoutPlanned, waiting[at].Status)
	require.Equal(t, "SIGNER_REFUSED", waiting[at].FailureCode)
	require.Contains(t, waiting[at].FailureReason, "offline")
	for _, key := range o.signed.keys {
		require.True(t, strings.HasSuffix(key.Path, "/1/0"), key.Path)
	}
	o.audited()
	o.noBrokenRules()
}

// A token that an address for coin has got is not swept together, nor sent gas for.
func TestOfflineKeysWithoutBatches(t *testing.T) {
	o := newOffline(t)
	o.bring(0, 10)
	at, err := o.Gateway.CreateAddress(o.ctx(), bursar.AddressRequest{Customer: "c", Chain: o.Chain.Info().ID})
	require.NoError(t, err)
	o.Chain.Pay("customer", at.Address, o.USDC, chain.NewAmount(10_000_000))
	o.Confirm()
	o.Mine(20)
	sweep := o.only(bursar.PayoutSweep)
	require.Equal(t, "SIGNER_REFUSED", sweep.FailureCode)
	require.Empty(t, o.payouts(bursar.PayoutTopUp))
	require.True(t, o.Chain.BalanceOf(at.Address, o.Chain.Info().Native).IsZero())
	require.Empty(t, o.Chain.Delegate(at.Address))
}
