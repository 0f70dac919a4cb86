package bursar_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

// lost is a gateway that was never started, on an empty store beside the chain on
// which another one, whose store is gone, has worked.
func (f *flow) lost(edit func(*bursar.Config)) (*bursar.Gateway, bursar.Config) {
	f.t.Helper()
	cfg := f.cfg
	cfg.Store = memory.NewWith(memory.Options{Now: f.Chain.Now})
	cfg.Chains = slices.Clone(cfg.Chains)
	if edit != nil {
		edit(&cfg)
	}
	gw, err := bursar.New(cfg)
	require.NoError(f.t, err)
	return gw, cfg
}

// rows are the addresses of a store.
func rows(t testing.TB, s bursar.Store, q bursar.AddressQuery) (out []bursar.Address) {
	t.Helper()
	require.NoError(t, s.Read(context.Background(), func(r bursar.Reader) (err error) {
		out, err = r.Addresses(context.Background(), q)
		return err
	}))
	return out
}

func TestThreat_D13_ARecoveredDatabaseIssuesNoOldAddress(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	paid := f.Create("USDC", "10")
	f.Pay(paid)
	f.Confirm()
	old := map[chain.Address]bool{}
	for range 30 {
		old[f.Create("ETH", "1").Address] = true
	}
	require.NoError(t, f.Gateway.Stop(t.Context()))

	gw, cfg := f.lost(nil)
	name := f.Chain.Info().Name
	req := bursar.RecoverRequest{Chain: name, To: 40, From: 1}
	dry := req
	dry.DryRun = true
	plan, err := gw.Recover(t.Context(), dry)
	require.NoError(t, err)
	require.False(t, plan.Written)
	require.Equal(t, uint32(41), plan.Pools[0].Next)
	require.Equal(t, paid.Address, plan.Pools[0].First)
	require.Empty(t, rows(t, cfg.Store, bursar.AddressQuery{}), "a dry run writes nothing")

	done, err := gw.Recover(t.Context(), req)
	require.NoError(t, err)
	require.True(t, done.Written)
	plan.Written = true
	require.Equal(t, plan, done)
	require.Zero(t, done.Cursor.Height, "block 1 is the first to be scanned")
	require.Len(t, rows(t, cfg.Store, bursar.AddressQuery{Roles: []bursar.Role{bursar.RoleUnissued}}), 41)
	report, err := gw.Verify(t.Context())
	require.NoError(t, err)
	require.True(t, report.Clean(), "%s", report)

	again := f.another(cfg)
	for range 40 {
		require.NoError(t, again.Step(t.Context()))
	}
	txs, err := again.Transactions(t.Context(), bursar.TransactionFilter{To: paid.Address}, 0, "")
	require.NoError(t, err)
	require.Len(t, txs.Items, 1, "money from before the loss is found")
	require.Empty(t, txs.Items[0].PaymentID)
	x, err := again.Explain(t.Context(), string(paid.Address))
	require.NoError(t, err)
	require.Contains(t, codes(x), bursar.ReasonUnissued)
	require.Contains(t, x.String(), string(bursar.AlertUnknownRecipient))

	// Money to an old address of which nothing had come.
	var one chain.Address
	for one = range old {
		break
	}
	f.Chain.Pay("bob", one, f.ETH, chain.NewAmount(5))
	f.Chain.Mine(3)
	for range 10 {
		require.NoError(t, again.Step(t.Context()))
	}
	sums, err := again.Balances(t.Context(), one)
	require.NoError(t, err)
	require.Len(t, sums, 1)

	for range 300 {
		p, err := again.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: name + "/ETH", Amount: decimal.NewFromInt(1)})
		require.NoError(t, err)
		require.False(t, old[p.Address] || p.Address == paid.Address, "%s is issued again", p.Address)
	}
	report, err = again.Verify(t.Context())
	require.NoError(t, err)
	require.True(t, report.Clean(), "%s", report)

	_, err = again.Recover(t.Context(), req)
	require.ErrorIs(t, err, bursar.ErrNotEmpty)
}

func TestRecoverCanBeRepeated(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.Mine(20)
	gw, cfg := f.lost(nil)
	id := string(f.Chain.Info().ID)
	tip := func() (st bursar.ChainState) {
		require.NoError(t, cfg.Store.Read(t.Context(), func(r bursar.Reader) (err error) {
			st, err = r.Chain(t.Context(), chain.ID(id))
			return err
		}))
		return st
	}
	_, err := gw.Recover(t.Context(), bursar.RecoverRequest{Chain: id, To: 5})
	require.NoError(t, err)
	require.Zero(t, tip().Version, "without From the configuration says where a scan begins")
	_, err = gw.Recover(t.Context(), bursar.RecoverRequest{Chain: id, To: 700, From: 9})
	require.NoError(t, err)
	require.Equal(t, uint64(8), tip().Tip().Height)
	out, err := gw.Recover(t.Context(), bursar.RecoverRequest{Chain: id, To: 3, From: 4})
	require.NoError(t, err)
	require.Equal(t, uint32(701), out.Pools[0].Next, "what is reserved stays so")
	require.Zero(t, out.Pools[0].Reserved)
	require.Equal(t, uint64(3), tip().Tip().Height)
	require.Len(t, rows(t, cfg.Store, bursar.AddressQuery{}), 701)
}

// cut fails a store's writes after some.
type cut struct {
	bursar.Store
	left *int
}

func (s cut) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	if *s.left--; *s.left < 0 {
		return errNode
	}
	return s.Store.Write(ctx, fn)
}

func TestRecoverGoesOnAfterACrash(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.Mine(5)
	for writes := range 4 {
		left := writes
		gw, cfg := f.lost(func(c *bursar.Config) { c.Store = cut{c.Store, &left} })
		req := bursar.RecoverRequest{Chain: f.Chain.Info().Name, To: 1200, From: 2}
		_, err := gw.Recover(t.Context(), req)
		require.ErrorIs(t, err, errNode)
		require.Len(t, rows(t, cfg.Store, bursar.AddressQuery{}), min(500*writes, 1201))
		first, err := cfg.Store.Reserve(t.Context(), poolOf(t, gw), 1)
		require.NoError(t, err)
		require.Equal(t, uint32(1201), first, "reserved before anything else")

		left = 100
		_, err = gw.Recover(t.Context(), req)
		require.NoError(t, err)
		require.Len(t, rows(t, cfg.Store, bursar.AddressQuery{}), 1202)
	}
}

func poolOf(t testing.TB, gw *bursar.Gateway) string {
	t.Helper()
	d, err := gw.Derive(gw.Health(t.Context()).Chains[0].Name, "", 0, 0)
	require.NoError(t, err)
	return d[0].Pool
}

func TestRecoverFindsMoneyBehindAGap(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff }})
	far, err := f.Gateway.Derive(f.Chain.Info().Name, "", 0, 2000)
	require.NoError(t, err)
	f.Chain.Pay("bob", far[90].Address, f.ETH, chain.NewAmount(5))
	f.Chain.Pay("bob", far[180].Address, f.USDC, chain.NewAmount(5))
	f.Chain.Pay("bob", far[1500].Address, f.USDC, chain.NewAmount(5))
	f.Chain.Mine(1)
	for _, c := range []struct{ to, gap, next uint32 }{
		{0, 50, 51},   // nothing up to there
		{0, 90, 271},  // 90, and from there 180, and 90 more
		{50, 40, 131}, // 90, and then nothing for 40
		{100, 1400, 2901},
		{3, 0, 4},
	} {
		gw, _ := f.lost(nil)
		out, err := gw.Recover(t.Context(), bursar.RecoverRequest{Chain: f.Chain.Info().Name, To: c.to, Gap: c.gap, DryRun: true})
		require.NoError(t, err)
		require.Equal(t, c.next, out.Pools[0].Next, "%+v", c)
		for _, d := range out.Holding {
			require.Contains(t, []uint32{90, 180, 1500}, d.Index)
		}
	}
}

func TestRecoverRefuses(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	name := f.Chain.Info().Name
	for field, req := range map[string]bursar.RecoverRequest{
		"RecoverRequest.Chain": {Chain: "mars"},
		"RecoverRequest.To":    {Chain: name, To: bursar.MaxRecover},
		"RecoverRequest.Gap":   {Chain: name, Gap: bursar.MaxGap + 1},
		"RecoverRequest.From":  {Chain: name, From: 1 << 40},
	} {
		gw, cfg := f.lost(nil)
		_, err := gw.Recover(t.Context(), req)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
		require.Empty(t, rows(t, cfg.Store, bursar.AddressQuery{}))
	}
	req := bursar.RecoverRequest{Chain: name, To: 3, From: 1}

	gw, cfg := f.lost(nil)
	_, err := cfg.Store.Acquire(t.Context(), "chain/"+string(f.Chain.Info().ID), "somebody", time.Hour)
	require.NoError(t, err)
	_, err = gw.Recover(t.Context(), req)
	require.ErrorIs(t, err, bursar.ErrLeaseHeld)
	require.ErrorContains(t, err, "stop it")

	gw, cfg = f.lost(nil)
	f.Chain.Fail(func(chaintest.Call) error { return errNode })
	_, err = gw.Recover(t.Context(), req)
	require.ErrorIs(t, err, errNode)
	require.Empty(t, rows(t, cfg.Store, bursar.AddressQuery{}))
	f.Chain.Fail(nil)

	// A customer's address alone makes a database not empty.
	gw, cfg = f.lost(nil)
	other := f.another(cfg)
	_, err = other.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	require.NoError(t, other.Stop(t.Context()))
	_, err = gw.Recover(t.Context(), req)
	require.ErrorIs(t, err, bursar.ErrNotEmpty)
	require.ErrorContains(t, err, "issued addresses")

	var none *bursar.Gateway
	_, err = none.Recover(t.Context(), req)
	require.ErrorIs(t, err, bursar.ErrNotStarted)
}

func TestRecoverRetiredWalletsToo(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	before, err := hdwallet.FromMnemonic("abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about", "")
	require.NoError(t, err)
	gw, cfg := f.lost(func(c *bursar.Config) { c.Retired = []*hdwallet.Wallet{before} })
	out, err := gw.Recover(t.Context(), bursar.RecoverRequest{Chain: f.Chain.Info().Name, To: 2})
	require.NoError(t, err)
	require.Len(t, out.Pools, 2)
	require.Equal(t, chain.Address("0x9858EfFD232B4033E47d90003D41EC34EcaEda94"), out.Pools[1].First)
	require.Len(t, rows(t, cfg.Store, bursar.AddressQuery{Pool: out.Pools[1].Pool}), 3)
	f.another(cfg)

	list, err := gw.Derive(f.Chain.Info().Name, out.Pools[1].Pool, 0, 1)
	require.NoError(t, err)
	require.Equal(t, out.Pools[1].First, list[0].Address)
	require.Equal(t, "m/44'/60'/0'/0/1", list[1].Key.Path)
	byID, err := gw.Derive(string(f.Chain.Info().ID), list[0].Key.Wallet, 0, 1)
	require.NoError(t, err)
	require.Equal(t, list, byID)
}

func TestDerive(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	name := f.Chain.Info().Name
	p := f.Create("ETH", "1")
	list, err := f.Gateway.Derive(name, "", 0, 0)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, p.Address, list[0].Address)
	last, err := f.Gateway.Derive(name, "", 1<<31-1, 1<<31-1)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("m/44'/60'/0'/0/%d", 1<<31-1), last[0].Key.Path)
	for _, c := range []struct {
		name, account string
		from, to      uint32
		field         string
	}{
		{"mars", "", 0, 1, "Derive.Name"},
		{name, "nobody", 0, 1, "Derive.Account"},
		{name, "", 2, 1, "Derive.To"},
		{name, "", 0, bursar.MaxRecover, "Derive.To"},
		{name, "", 1 << 31, 1 << 31, "Derive.To"},
	} {
		_, err := f.Gateway.Derive(c.name, c.account, c.from, c.to)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad, "%+v", c)
		require.Equal(t, c.field, bad.Field)
	}
}
