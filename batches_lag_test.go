package bursar_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// behind has transactions drafted by a node that has seen nothing above a height.
type behind struct {
	*chaintest.Client
	slow *chaintest.Client
	at   *uint64
}

func (c behind) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	if *c.at == 0 {
		return c.Client.Prepare(ctx, in)
	}
	c.slow.Lag(c.Network().Head().Height - *c.at)
	return c.slow.Prepare(ctx, in)
}

// A node that is behind still tells of the nonce with which an address began to delegate
// in a batch that is final. Nothing is signed with it: it could never be mined, and the
// money would be stuck behind it. That holds for a batch that moved nothing, too.
func TestThreat_C2_ANodeBehindABatch(t *testing.T) {
	for _, fails := range []bool{false, true} {
		var at uint64
		f := batched(t, func(o *bursartest.Options) {
			o.Client = func(c chain.Client) chain.Client {
				own := c.(*chaintest.Client)
				return behind{own, own.Network().Client(), &at}
			}
		})
		a, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "c", TokensOnly: true})
		require.NoError(t, err)
		f.Chain.Pay("payer", a.Address, f.ETH, units(t, f.ETH, "1"))
		f.Chain.Pay("payer", a.Address, f.USDC, units(t, f.USDC, "5"))
		f.until(func() bool {
			rows := f.payouts(bursar.PayoutSweep)
			return len(rows) == 1 && rows[0].Status == bursar.PayoutBroadcast
		})
		batch := f.only(bursar.PayoutSweep)
		at = f.Chain.Head().Height
		if fails {
			f.Chain.SetTransferRate(f.USDC, 0, 1)
		}
		f.Mine(1)
		f.Chain.SetTransferRate(f.USDC, 1, 1)
		require.EqualValues(t, 1, f.Chain.Nonce(a.Address), "it delegates")
		f.Mine(20)
		require.NotEqual(t, bursar.PayoutBroadcast, f.payout(batch).Status)
		for _, p := range f.payouts(bursar.PayoutSweep) {
			if p.ID != batch.ID {
				require.Equal(t, bursar.PayoutPlanned, p.Status)
				require.Equal(t, "NONCE_TOO_LOW", p.FailureCode)
			}
			for _, try := range f.attempts(p) {
				require.Equal(t, 1, try.Group, "nothing is signed with what is used up")
			}
		}
		at = 0
		f.AdvanceTime(24 * time.Hour)
		f.Settle()
		require.Equal(t, units(t, f.USDC, "5"), f.Chain.BalanceOf(f.Treasury, f.USDC))
		require.False(t, f.Chain.BalanceOf(f.Treasury, f.ETH).IsZero())
		f.noBrokenRules()
		f.allSwept()
	}
}
