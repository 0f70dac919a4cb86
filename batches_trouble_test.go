package bursar_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
)

// An entry of a batch has 96 bits for its amount. A holding above goes by itself, and
// holds up no other.
func TestThreat_F7_AHoldingTooLargeForABatch(t *testing.T) {
	f := batched(t)
	token := f.list(f.Chain.DeployToken(chaintest.TokenSpec{Symbol: "BIG", Decimals: 18}))
	f.honest = append(f.honest, token.ID)
	payments := append(f.crowd("BIG", 2), f.Create("BIG", "80000000000"))
	f.Pay(payments[2])
	f.Confirm()
	f.Settle()
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	for _, p := range payments {
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	}
	f.noBrokenRules()
	f.allSwept()
}

// A batch that died by a stranger's transaction waits for an operator, and what comes
// to its addresses meanwhile does not wait with it. The nonces with which they were to
// delegate in it are still the next ones.
func TestThreat_F4_ADeadBatchLeavesNoGapInItsSourcesNonces(t *testing.T) {
	for _, how := range []string{"retried", "canceled"} {
		t.Run(how, func(t *testing.T) {
			f := batched(t)
			f.refuse(chaintest.MethodBroadcast)
			var at []bursar.Address
			for i := range 3 {
				a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: fmt.Sprint("c", i), TokensOnly: true})
				require.NoError(t, err)
				at = append(at, a)
				f.Chain.Pay("payer", a.Address, f.USDC, units(t, f.USDC, "5"))
			}
			f.Confirm()
			f.until(func() bool {
				rows := f.payouts(bursar.PayoutSweep)
				return len(rows) > 0 && rows[0].Status == bursar.PayoutBroadcast
			})
			batch := f.only(bursar.PayoutSweep)
			require.Len(t, f.attempts(batch)[0].Locks, 4)
			f.steal(f.account(1, 0, f.Sponsor), f.ETH, chain.NewAmount(1e9), f.Treasury)
			f.until(func() bool { return f.payout(batch).Status == bursar.PayoutHalted })
			require.False(t, f.attempts(batch)[0].Open, "it can never be mined")
			f.Chain.Fail(nil)
			f.Chain.Pay("payer", at[1].Address, f.USDT, units(t, f.USDT, "5"))
			f.Settle()
			require.Equal(t, units(t, f.USDT, "5"), f.Chain.BalanceOf(f.Treasury, f.USDT))

			var err error
			if how == "retried" {
				_, err = f.Gateway.RetryPayout(t.Context(), batch.ID)
			} else {
				_, err = f.Gateway.CancelPayout(t.Context(), batch.ID)
			}
			require.NoError(t, err)
			f.AdvanceTime(2 * time.Hour)
			f.Settle()
			require.Equal(t, units(t, f.USDC, "15"), f.Chain.BalanceOf(f.Treasury, f.USDC))
			f.noBrokenRules()
			f.allSwept()
		})
	}
}

// without is a signer that does not sign with some keys.
type without struct {
	chain.Signer
	refuses func(chain.KeyRef) bool
}

func (s without) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	for _, r := range requests {
		if s.refuses(r.Key) {
			return nil, &chain.PolicyError{Rule: "key", Detail: r.Key.Path, Key: r.Key}
		}
	}
	return s.Signer.Sign(ctx, requests)
}

// signedBy gives a flow a signer of its own, and a filter before it.
func signedBy(o *bursartest.Options, refuses func(chain.KeyRef) bool) {
	edit := o.Edit
	o.Edit = func(c *bursar.Config) {
		edit(c)
		net := c.Chains[0]
		id := net.Client.Info().ID
		inner, err := hdwallet.NewSigner(hdwallet.Policy{
			Codecs: map[chain.ID]chain.Codec{id: net.Client.Codec()}, Treasury: map[chain.ID][]chain.Address{id: {net.Treasury}},
		}, c.Wallet)
		if err != nil {
			panic(err)
		}
		c.Signer = without{inner, refuses}
	}
}

// A source whose key the signer does not have goes by itself, or waits so: the others
// of its batch do not wait for it. Where it is the sponsor's key that is refused nothing
// is gained by parts, and the batch goes on whole once it is not.
func TestThreat_F20_ASignerThatRefusesOneSourceOfABatch(t *testing.T) {
	var bad chain.KeyRef
	f := batched(t, func(o *bursartest.Options) { signedBy(o, func(k chain.KeyRef) bool { return k == bad }) })
	payments, batch := f.caught("USDC", 4, chaintest.MethodPrepare)
	f.Chain.Fail(nil)

	bad = batch.From.Key
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	require.Equal(t, "SIGNER_REFUSED", f.only(bursar.PayoutSweep).FailureCode)

	for _, s := range batch.Sources {
		if s.Account.Address == payments[1].Address {
			bad = s.Account.Key
		}
	}
	require.NotEqual(t, bad, batch.From.Key)
	for range 3 {
		f.AdvanceTime(2 * time.Hour)
		f.Settle()
	}
	for i, p := range payments {
		require.Equal(t, i != 1, f.Payment(p).Status == bursar.StatusSettled)
	}
	bad = chain.KeyRef{}
	f.AdvanceTime(24 * time.Hour)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(payments[1]).Status)
	f.noBrokenRules()
	f.allSwept()
}

// What a batch moved for a payment that was paid twice is of that payment.
func TestABatchSaysOfWhichPaymentItsMoneyIs(t *testing.T) {
	f := batched(t)
	p, q := f.Create("USDC", "10"), f.Create("USDC", "10")
	for _, n := range []string{"4", "6"} {
		f.Chain.Pay("payer "+n, p.Address, f.USDC, units(t, f.USDC, n))
	}
	f.Pay(q)
	f.Settle()
	var of []string
	f.read(func(r bursar.Reader) error {
		rows, err := r.Transactions(f.ctx(), bursar.TransactionQuery{Types: []bursar.TransactionType{bursar.TypeInternal}})
		for _, row := range rows {
			if row.From == p.Address || row.From == q.Address {
				of = append(of, row.PaymentID)
			}
		}
		return err
	})
	require.ElementsMatch(t, []string{p.ID, q.ID}, of)
}

// A batch that a gateway sent before its store lost the end of what it had written is
// on the chain: a transaction of our keys that nobody here knows. It is told,
// the ledger follows it, and no address waits for another.
func TestThreat_D9_ABatchThatTheStoreHasForgotten(t *testing.T) {
	var signer chain.Signer
	f := batched(t, func(o *bursartest.Options) {
		signedBy(o, func(chain.KeyRef) bool { return false })
		edit := o.Edit
		o.Edit = func(c *bursar.Config) { edit(c); signer = c.Signer }
	})
	payments, batch := f.caught("USDC", 3, chaintest.MethodPrepare)
	f.Chain.Fail(nil)
	client := f.Chain.Client()
	in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: batch.From}
	for _, s := range batch.Sources {
		in.Moves = append(in.Moves, chain.Move{From: s.Account, To: batch.To, Asset: batch.Asset, Amount: s.Amount})
	}
	draft, err := client.Prepare(f.ctx(), in)
	require.NoError(t, err)
	signed, err := client.Sign(f.ctx(), draft, signer)
	require.NoError(t, err)
	_, err = f.Chain.Send(signed.Raw)
	require.NoError(t, err)
	f.Mine(1)
	for range 3 {
		f.Settle()
		f.AdvanceTime(2 * time.Hour)
	}
	require.Equal(t, 1, f.count(bursar.AlertKeyCompromised, string(f.Chain.Info().ID)), "one transaction, whatever it moves")
	require.Equal(t, units(t, f.USDC, "30").String(), f.Balance(f.USDC, bursar.AccountTreasuryU).String(), "the ledger follows")
	require.Equal(t, units(t, f.USDC, "30"), f.Chain.BalanceOf(f.Treasury, f.USDC))
	for _, p := range payments {
		require.Equal(t, bursar.StatusConfirmed, f.Payment(p).Status, "nothing of ours has brought it there")
	}
	for _, p := range f.payouts(bursar.PayoutSweep) {
		if p.Status.Open() {
			require.Equal(t, "INSUFFICIENT_FUNDS", p.FailureCode)
			require.Len(t, p.Items, 1)
			_, err := f.Gateway.CancelPayout(t.Context(), p.ID)
			require.NoError(t, err)
		}
	}
	f.audited()
	require.Empty(t, f.logs.broken())
}
