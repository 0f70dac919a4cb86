package bursar_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// liar is a node of a chain whose token tells a movement between two accounts
// of ours that nobody signed.
type liar struct {
	chain.Client
	lie func(chain.Page) []chain.Transfer
}

func (l *liar) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	page, err := l.Client.Transfers(ctx, from, to, w)
	if err == nil && l.lie != nil {
		page.Transfers = append(page.Transfers, l.lie(page)...)
	}
	return page, err
}

func TestThreat_B16_UnsignedMovementOfOursIsToldAndIsNoDeposit(t *testing.T) {
	node := &liar{}
	kit := bursartest.New(t, bursartest.Options{
		SkipLedger: true, // the ledger follows the token, the simulated chain does not
		Client: func(c chain.Client) chain.Client {
			node.Client = c
			return node
		},
	})
	a, b := kit.Create("USDC", "5"), kit.Create("USDC", "5")
	kit.Pay(a)
	kit.Confirm()
	node.lie = func(p chain.Page) []chain.Transfer {
		node.lie = nil
		return []chain.Transfer{{
			ID: chain.TransferID{Tx: "0xlie", Ordinal: "t:x:y:0"}, Asset: kit.USDC.ID, From: a.Address, To: b.Address,
			Amount: a.Amount, Block: p.Last().Height, Hash: p.Last().Hash, Via: chain.ViaDirect,
		}}
	}
	kit.Mine(1)
	require.Equal(t, bursar.StatusPending, kit.Payment(b).Status, "no payer's money")
	e := kit.WaitEvent(bursar.AlertKeyCompromised, string(kit.Chain.Info().ID))
	require.Contains(t, e.Data.Reason, "0xlie")
	require.Equal(t, "5000000", kit.Balance(kit.USDC, bursar.Account("U:"+string(b.Address))).String())
	require.Equal(t, "-5000000", kit.Balance(kit.USDC, bursar.Account("U:"+string(a.Address))).String())
	// The block leaves the chain, and all of it is undone.
	kit.Reorg(1, chaintest.ReorgOptions{})
	require.Equal(t, "0", kit.Balance(kit.USDC, bursar.Account("U:"+string(b.Address))).String())
	require.Equal(t, "0", kit.Balance(kit.USDC, bursar.Account("U:"+string(a.Address))).String())
}
