package bursar_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// oneSweep is four plain payments at what the simulated market asks for, a base
// fee that may double and the tip, in wei.
const oneSweep = 4 * 21_000 * 2_100_000_000

// launch is a live gateway's configuration in which everything is well.
type launch struct {
	t     *testing.T
	chain *chaintest.Chain
	store *durable
	usdc  chain.Asset
	cfg   bursar.Config
}

// durable is a memory store that does not say that it forgets, with faults.
type durable struct {
	bursar.Store
	readErr, leaseErr error
	leases            []string
	writes            int
}

func (d *durable) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	if d.readErr != nil {
		return d.readErr
	}
	return d.Store.Read(ctx, fn)
}

func (d *durable) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	d.writes++
	return d.Store.Write(ctx, fn)
}

func (d *durable) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	d.leases = append(d.leases, fmt.Sprint(name, " ", ttl > 0))
	if d.leaseErr != nil {
		return bursar.Fence{}, d.leaseErr
	}
	return d.Store.Acquire(ctx, name, holder, ttl)
}

// bare is a client without any capability beyond the port.
type bare struct{ chain.Client }

func (bare) As(any) bool { return false }

// elsewhere is a store whose data are from another place.
type elsewhere struct {
	bursar.Store
	written, here string
	err           error
}

func (e elsewhere) Origin(context.Context) (bursar.Origin, error) {
	return bursar.Origin{Written: e.written, Here: e.here}, e.err
}
func (e elsewhere) Settle(context.Context) error { return errors.New("preflight writes nothing") }

func newLaunch(t *testing.T, o chaintest.Options) *launch {
	t.Helper()
	o.Start, o.Mainnet, o.Finalized = time.Now(), true, !o.Finalized
	l := &launch{t: t, chain: chaintest.New(o), store: &durable{Store: memory.New()}}
	l.usdc = l.chain.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	l.cfg = bursar.Config{
		Store: l.store, Wallet: wallet(t, bursartest.Mnemonic, ""), Manual: true, Logger: slog.New(slog.DiscardHandler),
		Chains: []bursar.Chain{{Client: l.chain.Client(), Assets: []chain.Asset{l.usdc}, Treasury: l.chain.Payer("treasury")}},
		Notify: []bursar.Notifier{l.webhook("https://shop.example/hook")},
	}
	l.fund(chain.NewAmount(1e18))
	return l
}

func (l *launch) webhook(url string) bursar.Notifier {
	secret, err := webhook.NewSecret(nil)
	require.NoError(l.t, err)
	sender, err := send.New(send.Config{URL: url, Secrets: []webhook.Secret{secret}, AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	require.NoError(l.t, err)
	return bursar.Webhooks("shop", sender)
}

// fund gives the sponsor coins and lets the clock catch up with the chain.
func (l *launch) fund(n chain.Amount) {
	gw, err := bursar.New(l.cfg)
	require.NoError(l.t, err)
	sponsor, err := gw.Sponsor(l.chain.Info().ID)
	require.NoError(l.t, err)
	l.chain.Fund(sponsor, n)
	l.chain.Mine(10)
	time.Sleep(time.Until(l.chain.Now())) // in the bubble of the test
	synctest.Wait()
}

func (l *launch) run() bursar.PreflightReport {
	l.t.Helper()
	r, err := bursar.Preflight(l.t.Context(), l.cfg)
	require.NoError(l.t, err)
	return r
}

// level is the worst level of the checks of a name; empty where there is none.
func level(r bursar.PreflightReport, name string) bursar.PreflightLevel {
	worst := map[bursar.PreflightLevel]int{"": 0, bursar.PreflightOK: 1, bursar.PreflightWarning: 2, bursar.PreflightFailure: 3}
	var out bursar.PreflightLevel
	for _, c := range r.Checks {
		if c.Name == name && worst[c.Level] > worst[out] {
			out = c.Level
		}
	}
	return out
}

// write changes the chain's row.
func (l *launch) write(change func(*bursar.ChainState)) {
	require.NoError(l.t, l.store.Store.Write(l.t.Context(), func(tx bursar.Tx) error {
		st, err := tx.Chain(l.t.Context(), l.chain.Info().ID)
		if err != nil {
			return err
		}
		st.Chain = l.chain.Info().ID
		change(&st)
		return tx.Apply(l.t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}})
	}))
}

func TestPreflightAllWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLaunch(t, chaintest.Options{})
		r := l.run()
		require.Equal(t, r.At(bursar.PreflightOK), r.Checks, "%s", r)
		require.True(t, r.Ready())
		for _, name := range []string{
			"notify.any", "notify.https", "store.durable", "store.reachable", "store.clock", "store.lease", "wallet.match", "chain.reachable", "chain.identity",
			"chain.head", "chain.finality", "chain.confirmations", "chain.capabilities", "chain.token", "treasury.set", "treasury.account", "treasury.takes", "sponsor.gas",
		} {
			require.Equal(t, bursar.PreflightOK, level(r, name), name)
		}
		require.Zero(t, l.store.writes, "nothing is written")
		require.Equal(t, []string{"preflight true", "preflight false"}, l.store.leases, "a lease of its own, given up")
		require.Contains(t, r.String(), "chain.head")
		gw, err := bursar.New(l.cfg)
		require.NoError(t, err)
		require.NoError(t, gw.Start(t.Context()), "and it can start")
		require.NoError(t, gw.Stop(t.Context()))
		require.True(t, l.run().Ready(), "also on a store with a past")
	})
}

// TestPreflightChecks breaks one thing at a time.
func TestPreflightChecks(t *testing.T) {
	const ok, warning, failure = bursar.PreflightOK, bursar.PreflightWarning, bursar.PreflightFailure
	for name, c := range map[string]struct {
		options chaintest.Options
		breaks  func(l *launch)
		check   string
		level   bursar.PreflightLevel
	}{
		"a store that forgets":     {breaks: func(l *launch) { l.cfg.Store = memory.New() }, check: "store.durable", level: failure},
		"a dead store":             {breaks: func(l *launch) { l.store.readErr = errors.New("refused") }, check: "store.reachable", level: failure},
		"no leases":                {breaks: func(l *launch) { l.store.leaseErr = errors.New("refused") }, check: "store.lease", level: failure},
		"another preflight":        {breaks: func(l *launch) { l.store.leaseErr = bursar.ErrLeaseHeld }, check: "store.lease", level: ok},
		"data from elsewhere":      {breaks: func(l *launch) { l.cfg.Store = elsewhere{l.store, "a", "b", nil} }, check: "store.origin", level: failure},
		"data without a past":      {breaks: func(l *launch) { l.cfg.Store = elsewhere{l.store, "", "b", nil} }, check: "store.origin", level: ok},
		"data where they were":     {breaks: func(l *launch) { l.cfg.Store = elsewhere{l.store, "b", "b", nil} }, check: "store.origin", level: ok},
		"an origin that fails":     {breaks: func(l *launch) { l.cfg.Store = elsewhere{l.store, "", "", errNode} }, check: "store.origin", level: failure},
		"the store's clock off":    {breaks: func(l *launch) { l.shift(5 * time.Second) }, check: "store.clock", level: warning},
		"the store's clock wrong":  {breaks: func(l *launch) { l.shift(-time.Minute) }, check: "store.clock", level: failure},
		"another wallet":           {breaks: func(l *launch) { l.otherWallet() }, check: "wallet.match", level: failure},
		"no node":                  {breaks: func(l *launch) { l.chain.FailNext(chaintest.MethodHead, errNode, 1) }, check: "chain.reachable", level: failure},
		"identity unknown":         {breaks: func(l *launch) { l.chain.FailNext(chaintest.MethodIdentify, errNode, 1) }, check: "chain.identity", level: failure},
		"another chain":            {breaks: func(l *launch) { l.client(pretender{l.chain.Client()}) }, check: "chain.identity", level: failure},
		"another genesis":          {breaks: func(l *launch) { l.write(func(s *bursar.ChainState) { s.Genesis = "0x1" }) }, check: "chain.identity", level: failure},
		"a client that cannot ask": {breaks: func(l *launch) { l.client(bare{l.chain.Client()}) }, check: "chain.identity", level: warning},
		"an old head":              {breaks: func(*launch) { time.Sleep(5 * time.Minute) }, check: "chain.head", level: failure},
		"a head just not too old":  {breaks: func(*launch) { time.Sleep(239 * time.Second) }, check: "chain.head", level: ok},
		"a head to come":           {breaks: func(l *launch) { l.chain.MineAt(time.Now().Add(time.Minute)) }, check: "chain.head", level: failure},
		"blocks on demand": {options: chaintest.Options{Info: chain.Info{OnDemandBlocks: true}}, breaks: func(*launch) { time.Sleep(time.Hour) },
			check: "chain.head", level: ok},
		"no final block":       {options: chaintest.Options{Finalized: true}, breaks: func(*launch) {}, check: "chain.finality", level: warning},
		"halted":               {breaks: func(l *launch) { l.write(func(s *bursar.ChainState) { s.Halted = "reorg" }) }, check: "chain.halted", level: warning},
		"few confirmations":    {breaks: func(l *launch) { l.cfg.Chains[0].Confirmations = 2 }, check: "chain.confirmations", level: warning},
		"more confirmations":   {breaks: func(l *launch) { l.cfg.Chains[0].Confirmations = 9 }, check: "chain.confirmations", level: ok},
		"few capabilities":     {breaks: func(l *launch) { l.client(bare{l.chain.Client()}) }, check: "chain.capabilities", level: warning},
		"balances not told":    {breaks: func(l *launch) { l.client(bare{l.chain.Client()}); l.cfg.Chains[0].Assets[0].VerifyBalance = true }, check: "chain.token", level: failure},
		"code not told":        {breaks: func(l *launch) { l.client(bare{l.chain.Client()}); l.cfg.Chains[0].Assets[0].CodeHash = "0x1" }, check: "chain.token", level: failure},
		"other decimals":       {breaks: func(l *launch) { l.cfg.Chains[0].Assets[0].Decimals = 18 }, check: "chain.token", level: failure},
		"other code":           {breaks: func(l *launch) { l.cfg.Chains[0].Assets[0].CodeHash = "0x1" }, check: "chain.token", level: failure},
		"pinned code":          {breaks: func(l *launch) { l.pin() }, check: "chain.token", level: ok},
		"upgraded code":        {breaks: func(l *launch) { l.pin(); l.chain.Upgrade(l.usdc) }, check: "chain.token", level: failure},
		"an added token gone":  {breaks: func(l *launch) { l.addGhost() }, check: "chain.token", level: failure},
		"a row that lies":      {breaks: func(l *launch) { l.addLie() }, check: "chain.assets", level: failure},
		"no treasury":          {breaks: func(l *launch) { l.cfg.Chains[0].Treasury, l.cfg.Chains[0].Sweep = "", bursar.SweepOff }, check: "treasury.set", level: warning},
		"sweeping off":         {breaks: func(l *launch) { l.cfg.Chains[0].Sweep = bursar.SweepOff }, check: "treasury.set", level: warning},
		"nobody signs":         {breaks: func(l *launch) { l.watchOnly() }, check: "treasury.set", level: warning},
		"our own treasury":     {breaks: func(l *launch) { l.ownTreasury() }, check: "treasury.set", level: failure},
		"a treasury of tokens": {breaks: func(l *launch) { l.cfg.Chains[0].Treasury = l.token().Contract }, check: "treasury.account", level: failure},
		"a treasury unknown": {breaks: func(l *launch) { l.cfg.Chains[0].Assets = nil; l.chain.FailNext(chaintest.MethodInspect, errNode, 1) },
			check: "treasury.account", level: warning},
		"a treasury that refuses": {breaks: func(l *launch) { l.cfg.Chains[0].Treasury = l.chain.Rejecter() }, check: "treasury.takes", level: failure},
		"a try that fails":        {breaks: func(l *launch) { l.chain.FailNext(chaintest.MethodDryRun, errNode, 1) }, check: "treasury.takes", level: warning},
		"an empty sponsor":        {breaks: func(l *launch) { l.otherSponsor(0) }, check: "sponsor.gas", level: failure},
		"a sponsor for none":      {breaks: func(l *launch) { l.otherSponsor(oneSweep - 1) }, check: "sponsor.gas", level: failure},
		"a sponsor for one":       {breaks: func(l *launch) { l.otherSponsor(oneSweep) }, check: "sponsor.gas", level: warning},
		"a poor sponsor":          {breaks: func(l *launch) { l.otherSponsor(10*oneSweep - 1) }, check: "sponsor.gas", level: warning},
		"a sponsor for ten":       {breaks: func(l *launch) { l.otherSponsor(10 * oneSweep) }, check: "sponsor.gas", level: ok},
		"no tokens, no gas":       {breaks: func(l *launch) { l.cfg.Chains[0].Assets = nil; l.otherSponsor(0) }, check: "sponsor.gas", level: ok},
		"a balance unknown":       {breaks: func(l *launch) { l.chain.FailNext(chaintest.MethodBalances, errNode, 1) }, check: "sponsor.gas", level: warning},
		"a price unknown":         {breaks: func(l *launch) { l.chain.FailNext(chaintest.MethodPrepare, errNode, 1) }, check: "sponsor.gas", level: warning},
		"nobody told":             {breaks: func(l *launch) { l.cfg.Notify = nil }, check: "notify.any", level: warning},
		"plain http":              {breaks: func(l *launch) { l.cfg.Notify = []bursar.Notifier{l.webhook("http://10.0.0.1/x")} }, check: "notify.https", level: failure},
		"no sender":               {breaks: func(l *launch) { l.cfg.Notify = []bursar.Notifier{bursar.Webhooks("x", nil)} }, check: "notify.https", level: failure},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLaunch(t, c.options)
				c.breaks(l)
				r := l.run()
				require.Equal(t, c.level, level(r, c.check), "%s", r)
				require.Equal(t, len(r.At(failure)) == 0, r.Ready())
				for _, x := range r.Checks {
					require.NotEmpty(t, x.Detail)
				}
				require.Zero(t, l.store.writes)
			})
		})
	}
}

func (l *launch) client(c chain.Client) { l.cfg.Chains[0].Client = c }

// pretender reaches another chain than it was configured for.
type pretender struct{ *chaintest.Client }

func (pretender) Identify(context.Context) (chain.Identity, error) {
	return chain.Identity{ID: "eip155:5", Genesis: "0x5"}, nil
}

// shift puts the store's clock off by d.
func (l *launch) shift(d time.Duration) {
	l.store.Store = memory.NewWith(memory.Options{Now: func() time.Time { return time.Now().Add(d) }})
}

// otherWallet leaves addresses of another wallet in the store.
func (l *launch) otherWallet() {
	other, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "another passphrase")
	require.NoError(l.t, err)
	account, err := other.Account(60)
	require.NoError(l.t, err)
	_, err = l.store.Reserve(l.t.Context(), fmt.Sprintf("60/%s/0", account.ID()), 1)
	require.NoError(l.t, err)
}

func (l *launch) pin() {
	got, err := l.chain.Client().Inspect(l.t.Context(), l.usdc)
	require.NoError(l.t, err)
	l.cfg.Chains[0].Assets[0].CodeHash = got.CodeHash
}

// addGhost has a token among the added ones that is not on the chain.
func (l *launch) addGhost() {
	nobody := l.chain.Payer("nobody")
	l.write(func(s *bursar.ChainState) {
		s.Assets = []bursar.AssetState{{Added: true, Asset: chain.Asset{ID: erc20(nobody), Contract: nobody, Symbol: "GONE"}}}
	})
}

func (l *launch) addLie() {
	l.write(func(s *bursar.ChainState) {
		s.Assets = []bursar.AssetState{{Added: true, Asset: chain.Asset{ID: "eip155:1/slip44:60", Symbol: "LIE"}}}
	})
}

func (l *launch) token() chain.Asset {
	return l.chain.DeployToken(chaintest.TokenSpec{Symbol: "TOK", Decimals: 6})
}

func (l *launch) watchOnly() {
	xpub, err := l.cfg.Wallet.XPub(60)
	require.NoError(l.t, err)
	l.cfg.Wallet, err = hdwallet.FromXPub(hdwallet.XPub{CoinType: 60, Key: xpub})
	require.NoError(l.t, err)
}

// ownTreasury sweeps to an address that was issued to somebody.
func (l *launch) ownTreasury() {
	cfg := l.cfg
	cfg.Store = l.store.Store
	gw, err := bursar.New(cfg)
	require.NoError(l.t, err)
	require.NoError(l.t, gw.Start(l.t.Context()))
	p, err := gw.CreatePayment(l.t.Context(), usdc("5"))
	require.NoError(l.t, err)
	require.NoError(l.t, gw.Stop(l.t.Context()))
	l.cfg.Chains[0].Treasury = p.Address
}

// otherSponsor gives the sponsor of another wallet so many base units.
func (l *launch) otherSponsor(n uint64) {
	other, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "poor")
	require.NoError(l.t, err)
	l.cfg.Wallet = other
	if n > 0 {
		l.fund(chain.NewAmount(n))
	}
}

func TestPreflightNeedsAConfiguration(t *testing.T) {
	_, err := bursar.Preflight(t.Context(), bursar.Config{})
	isField(t, err, "Config.Store", bursar.CodeRequired)
}

func TestPreflightEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLaunch(t, chaintest.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, err := bursar.Preflight(ctx, l.cfg)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, r.Ready())
	})
}

// TestThreat_D17_AMemoryStoreOnALiveNetwork is warned about at each start, and
// no preflight passes with it; on a test network it is nobody's fault.
func TestThreat_D17_AMemoryStoreOnALiveNetwork(t *testing.T) {
	for _, live := range []bool{true, false} {
		var log bytes.Buffer
		kit := bursartest.New(t, bursartest.Options{
			Chain: chaintest.Options{Mainnet: live},
			Edit:  func(c *bursar.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) },
		})
		require.NoError(t, kit.Gateway.Stop(t.Context()))
		if live {
			require.Contains(t, log.String(), "level=WARN msg=\"the store forgets everything")
			require.Contains(t, log.String(), "eip155:1337")
		} else {
			require.NotContains(t, log.String(), "forgets")
		}
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLaunch(t, chaintest.Options{})
		l.cfg.Store = memory.New()
		require.False(t, l.run().Ready())
	})
}

func ExamplePreflightReport() {
	r := bursar.PreflightReport{Checks: []bursar.PreflightCheck{
		{Name: "store.durable", Level: bursar.PreflightFailure, Detail: "the store forgets everything with the process"},
		{Name: "chain.head", Chain: "eip155:1", Level: bursar.PreflightOK, Detail: "9s old"},
	}}
	fmt.Print(r)
	fmt.Println(r.Ready())
	// Output:
	// failure  store.durable        the store forgets everything with the process
	// ok       chain.head           9s old (eip155:1)
	// false
}
