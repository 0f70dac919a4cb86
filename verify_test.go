package bursar_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// audited checks that an audit finds nothing, and returns what it looked at.
func (f *flow) audited() bursar.Report {
	f.t.Helper()
	report, err := f.Gateway.Verify(f.ctx())
	require.NoError(f.t, err)
	require.True(f.t, report.Clean(), "%s", report)
	return report
}

func TestVerifyNeedsAStore(t *testing.T) {
	var gw *bursar.Gateway
	_, err := gw.Verify(t.Context())
	require.ErrorIs(t, err, bursar.ErrNotStarted)
	_, err = new(bursar.Gateway).Verify(t.Context())
	require.ErrorIs(t, err, bursar.ErrNotStarted)

	f := newFlow(t, bursartest.Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Gateway.Verify(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, f.Gateway.Stop(t.Context()))
	f.audited()
	require.NoError(t, f.Store.Close())
	_, err = f.Gateway.Verify(t.Context())
	require.ErrorIs(t, err, bursar.ErrStoreClosed)
}

// readOnly fails the test where an audit writes.
type readOnly struct {
	bursar.Store
	t testing.TB
}

func (s readOnly) Write(context.Context, func(bursar.Tx) error) error {
	s.t.Error("an audit writes")
	return errors.New("read only")
}

func (s readOnly) Reserve(context.Context, string, uint32) (uint32, error) {
	s.t.Error("an audit reserves")
	return 0, errors.New("read only")
}

func TestVerifyWritesNothing(t *testing.T) {
	f := busy(t)
	cfg := f.cfg
	cfg.Store = readOnly{f.Store, t}
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	report, err := gw.Verify(t.Context())
	require.NoError(t, err)
	require.True(t, report.Clean(), "%s", report)
}

// blind hides what a client can do beside the port.
type blind struct{ chain.Client }

func (blind) As(any) bool { return false }

func TestVerifySkipsWhatCannotBeCompared(t *testing.T) {
	f := busy(t)
	skips := func(gw *bursar.Gateway, what, why string) {
		t.Helper()
		report, err := gw.Verify(t.Context())
		require.NoError(t, err)
		require.True(t, report.Clean(), "%s", report)
		require.Empty(t, report.Heights)
		require.True(t, slices.ContainsFunc(report.Skipped, func(s bursar.Skipped) bool { return s.What == what }), "%s", report)
		require.Contains(t, report.String(), "skipped "+what+": ")
		require.Contains(t, report.String(), why)
	}
	id := string(f.Chain.Info().ID)
	f.Chain.Fail(func(chaintest.Call) error { return errNode })
	skips(f.Gateway, "balances on "+id, "the node is away")
	skips(f.Gateway, "transactions on "+id, "the node is away")
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances {
			return fmt.Errorf("state: %w", chain.ErrNotFound)
		}
		return nil
	})
	skips(f.Gateway, "balances on "+id, "state: ")
	f.Chain.Fail(nil)

	cfg := f.cfg
	cfg.Chains = slices.Clone(cfg.Chains)
	cfg.Chains[0].Client = blind{cfg.Chains[0].Client}
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	skips(gw, "balances on "+id, "the client cannot tell balances")

	// The node has left the branch that was scanned: it is no judge of it.
	f.Chain.Reorg(2, chaintest.ReorgOptions{DropAll: true})
	skips(f.Gateway, "balances on "+id, "another block")
	skips(f.Gateway, "transactions on "+id, "another block")
	f.Step()
	f.audited()
}

// TestThreat_D15_TheChainKnows: what a forger changed everywhere alike, the
// chain still contradicts.
func TestThreat_D15_TheChainKnows(t *testing.T) {
	f := busy(t)
	cfg := f.cfg
	cfg.Chains = slices.Clone(cfg.Chains)
	cfg.Chains[0].Client = rich{cfg.Chains[0].Client}
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	report, err := gw.Verify(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, report.Findings)
	for _, x := range report.Findings {
		require.Equal(t, "chain.balance", x.Rule)
	}
	require.Contains(t, report.String(), string(f.Sponsor))
	require.Contains(t, report.String(), "findings at")
}

// rich is a chain on which everybody has one unit more than the ledger says.
type rich struct{ chain.Client }

func (r rich) Balances(ctx context.Context, at chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
	reader, _ := chain.As[chain.BalanceReader](r.Client)
	out, err := reader.Balances(ctx, at, of)
	for i := range out {
		out[i] = more(out[i])
	}
	return out, err
}

func TestVerifyPagesThroughManyRows(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	const many = 450
	for i := range many {
		p := f.Request(bursar.PaymentRequest{Asset: string(f.ETH.ID), Amount: decimal.NewFromInt(int64(1 + i))})
		if i%3 == 0 {
			f.Pay(p)
		}
	}
	f.Mine(2)
	report := f.audited()
	require.Equal(t, many, report.Checked["payments"])
	require.Equal(t, many+1, report.Checked["addresses"], "and the sponsor")
	require.Equal(t, many/3+1, report.Checked["transactions"])
	oldest := f.everything().payments[many-1]
	report = f.audit(&tampered{edit: func(row any) bool {
		if p, ok := row.(*bursar.Payment); ok && p.ID == oldest.ID {
			p.RequiredConfirmations = 0
		}
		return true
	}})
	require.Equal(t, oldest.ID, report.Findings[0].ID, "on the last page")

	// More findings than anybody reads are counted.
	report = f.audit(&tampered{edit: func(row any) bool {
		if p, ok := row.(*bursar.Payment); ok {
			p.Livemode, p.URI, p.Accepted = true, "", true
		}
		return true
	}})
	require.Len(t, report.Findings, bursar.MaxFindings)
	require.Positive(t, report.More)
	require.Contains(t, report.String(), fmt.Sprintf("and %d more", report.More))
}
