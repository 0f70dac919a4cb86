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

// rewrite changes a payment's row behind the gateway's back.
func (f *flow) rewrite(p bursar.Payment, edit func(*bursar.Payment)) {
	f.t.Helper()
	require.NoError(f.t, f.Store.Write(f.ctx(), func(tx bursar.Tx) error {
		rows, err := tx.Payments(f.ctx(), bursar.PaymentQuery{IDs: []string{p.ID}})
		if err != nil {
			return err
		}
		edit(&rows[0])
		return tx.Apply(f.ctx(), bursar.Batch{Payments: rows})
	}))
}

// deeply halts the chain by a deep reorg, with two payments on it.
func deeply(t *testing.T, edit func(*bursar.Config)) (f *flow, p, q bursar.Payment) {
	f = newFlow(t, bursartest.Options{Edit: edit})
	p, q = f.Create("USDC", "10"), f.Create("ETH", "1")
	f.Pay(p)
	f.Confirm()
	f.Reorg(4, chaintest.ReorgOptions{})
	require.Equal(t, "deep_reorg", f.state().Halted)
	f.Pay(q)
	return f, p, q
}

func TestThreat_D15_AHaltedChainWaitsForACleanAudit(t *testing.T) {
	f, p, q := deeply(t, nil)
	f.rewrite(p, func(p *bursar.Payment) { p.PostedPaid = one() })
	f.Settle()
	halted := f.state().Halted
	require.Contains(t, halted, "audit: payment.posted: payments "+p.ID)
	require.Zero(t, f.state().HaltedFrom)
	require.Equal(t, bursar.StatusDetected, f.Payment(q).Status, "nothing is credited")
	require.Zero(t, f.count(bursar.ChainResumed, ""))
	require.Equal(t, 2, f.count(bursar.ChainHalted, ""), "the reorg, and then the audit, told once")
	require.Equal(t, halted, f.Gateway.Health(t.Context()).Chains[0].Halted)

	// Mending the row is not enough: from here on an operator decides.
	f.rewrite(p, func(p *bursar.Payment) { p.PostedPaid = chain.Amount{} })
	f.Settle()
	require.Equal(t, halted, f.state().Halted)
	require.NoError(t, f.Gateway.ResumeChain(t.Context(), f.Chain.Info().ID))
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Equal(t, bursar.StatusSettled, f.Payment(q).Status)
	f.audited()
}

// slow is a store whose ledger cannot be read in time.
type slow struct{ bursar.Store }

func (s slow) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	return s.Store.Read(ctx, func(r bursar.Reader) error { return fn(slowReader{r}) })
}

type slowReader struct{ bursar.Reader }

func (r slowReader) Entries(ctx context.Context, q bursar.EntryQuery) ([]bursar.Entry, error) {
	if q.Unreversed {
		return r.Reader.Entries(ctx, q) // no audit's question
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAnAuditThatTakesTooLongLeavesItToTheOperator(t *testing.T) {
	f, p, _ := deeply(t, func(c *bursar.Config) {
		c.Store, c.Lease = slow{c.Store}, time.Second
	})
	f.Settle()
	require.Contains(t, f.state().Halted, "audit: not done within 333")
	require.NoError(t, f.Gateway.ResumeChain(t.Context(), f.Chain.Info().ID))
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
}

func TestACleanAuditResumesByItself(t *testing.T) {
	f, p, q := deeply(t, nil)
	f.Settle()
	require.Empty(t, f.state().Halted)
	require.Equal(t, 1, f.count(bursar.ChainResumed, ""))
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Equal(t, bursar.StatusSettled, f.Payment(q).Status)
	f.audited()
}
