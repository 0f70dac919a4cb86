package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

// owner is an account of the development mnemonic that the gateway does not use.
const owner = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"

// together is a file of one node with a sweeper section of these lines.
func together(lines string) string { return minimal + "    sweeper: {" + lines + "}\n" }

// sponsor is that of the wallet, on any EVM chain.
func sponsor(t *testing.T) chain.Address {
	t.Helper()
	wallet, err := hdwallet.FromMnemonic(words, "")
	require.NoError(t, err)
	at, err := bursar.SponsorOf(wallet, evm.Local(31337).Info, evm.Codec())
	require.NoError(t, err)
	return at
}

// installed loads a file of one chain with a sweeper, and returns what becomes of it.
func installed(t *testing.T, text string, env ...string) (bursar.Chain, config.Installation) {
	t.Helper()
	f, err := load(t, text, env...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	list, err := f.Installations()
	require.NoError(t, err)
	require.Len(t, cfg.Chains, 1)
	require.Len(t, list, 1)
	return cfg.Chains[0], list[0]
}

func written(t *testing.T, raw [20]byte) string {
	t.Helper()
	text, err := evm.Codec().Format(raw[:])
	require.NoError(t, err)
	return string(text)
}

// batching is what a client says of its batches; zero where it makes none.
func batching(c any) chain.Batching {
	if b, ok := chain.As[chain.Batcher](c); ok {
		return b.Batching()
	}
	return chain.Batching{}
}

// TestSweeper: the contract is made of the treasury, the owner and the sponsor, and
// every client has it.
func TestSweeper(t *testing.T) {
	c, it := installed(t, together(`owner: "`+owner+`"`), seed...)
	require.Equal(t, "local", it.Name)
	require.Equal(t, chain.ID("eip155:31337"), it.Chain)
	p := it.Contract.Params()
	require.Equal(t, []string{treasury, owner, string(sponsor(t))}, []string{written(t, p.Treasury), written(t, p.Owner), written(t, p.Sponsor)})
	want := chain.Batching{Treasury: treasury, FeePayer: sponsor(t), MaxMoves: 424}
	require.Equal(t, want, batching(c.Client), "the figure stands in the page of all fields")
	require.Zero(t, c.MaxBatch, "as many as there is room for")
	require.Zero(t, c.Gather, "the library's default")
	require.Len(t, it.Nodes, 1)
	require.Empty(t, it.Nodes[0].Name)
	known, ok := c.Client.Codec().(chain.ContractCodec)
	require.True(t, ok)
	at, pays := known.Contract()
	require.Equal(t, written(t, it.Contract.Address()), string(at), "what the signer goes by")
	require.EqualValues(t, treasury, pays)

	c, _ = installed(t, together(`owner: "`+treasury+`", max_batch: 200, gather: 0s`), seed...)
	require.Equal(t, 200, c.MaxBatch)
	require.Negative(t, c.Gather, "they do not wait")
	c, _ = installed(t, minimal, append([]string{
		"BURSAR_CHAINS_LOCAL_SWEEPER_OWNER=" + owner, "BURSAR_CHAINS_LOCAL_SWEEPER_GATHER=90m", "BURSAR_CHAINS_LOCAL_SWEEPER_MAX_BATCH=424",
	}, seed...)...)
	require.Equal(t, 90*time.Minute, c.Gather)
	require.Equal(t, 424, c.MaxBatch)
}

// TestSweeperOfWatchers: who only watches comes to the same contract as who signs.
func TestSweeperOfWatchers(t *testing.T) {
	wallet, err := hdwallet.FromMnemonic(words, "")
	require.NoError(t, err)
	xpub, err := wallet.XPub(60)
	require.NoError(t, err)
	_, signing := installed(t, together(`owner: "`+owner+`"`), seed...)
	_, watching := installed(t, together(`owner: "`+owner+`"`), "BURSAR_WALLET_XPUBS_60="+xpub)
	require.Equal(t, signing.Contract.Address(), watching.Contract.Address())
	_, other := installed(t, together(`owner: "`+owner+`"`), append([]string{"BURSAR_WALLET_PASSPHRASE=x"}, seed...)...)
	require.NotEqual(t, signing.Contract.Address(), other.Contract.Address(), "another wallet has another sponsor")
}

// TestSweeperOfProviders: one that had no contract, or another one, would draft sweeps
// that the others do not know.
func TestSweeperOfProviders(t *testing.T) {
	c, it := installed(t, several(three, "    quorum: {agree: 2}", `    sweeper: {owner: "`+owner+`"}`), seed...)
	_, single := installed(t, together(`owner: "`+owner+`"`), seed...)
	require.Equal(t, single.Contract.Address(), it.Contract.Address())
	require.Equal(t, batching(single.Nodes[0].Client), batching(c.Client))
	var names []string
	for _, n := range it.Nodes {
		names = append(names, n.Name)
		require.Equal(t, batching(c.Client), batching(n.Client), n.Name)
	}
	require.Equal(t, []string{"a-eu", "a-us", "own"}, names)
}

// TestWithoutSweeper: nothing changes.
func TestWithoutSweeper(t *testing.T) {
	f, err := load(t, minimal, seed...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	list, err := f.Installations()
	require.NoError(t, err)
	require.Empty(t, list)
	require.Zero(t, batching(cfg.Chains[0].Client))
	require.Zero(t, cfg.Chains[0].MaxBatch)
	require.Zero(t, cfg.Chains[0].Gather)
}

// TestSweeperErrors: what is wrong is told at its field, alone.
func TestSweeperErrors(t *testing.T) {
	const token = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
	hot := string(sponsor(t))
	right := together(`owner: "` + owner + `"`)
	for name, c := range map[string]struct {
		text, field string
		code        bursar.Code
	}{
		"no owner":            {together(""), "sweeper.owner", bursar.CodeRequired},
		"an empty section":    {minimal + "    sweeper:\n", "sweeper.owner", bursar.CodeRequired},
		"no address":          {together("owner: treasury"), "sweeper.owner", bursar.CodeInvalid},
		"no checksum":         {together(`owner: "` + strings.ToLower(owner) + `"`), "sweeper.owner", bursar.CodeInvalid},
		"a wrong checksum":    {together(`owner: "` + strings.Replace(owner, "3C44C", "3c44C", 1) + `"`), "sweeper.owner", bursar.CodeInvalid},
		"nobody":              {together(`owner: "0x0000000000000000000000000000000000000000"`), "sweeper.owner", bursar.CodeInvalid},
		"a precompile":        {together(`owner: "0x0000000000000000000000000000000000000001"`), "sweeper.owner", bursar.CodeInvalid},
		"a token":             {together(`owner: "`+token+`"`) + "    assets: {USDC: {contract: \"" + token + "\", decimals: 6}}\n", "sweeper.owner", bursar.CodeInvalid},
		"the sponsor owns":    {together(`owner: "` + hot + `"`), "sweeper.owner", bursar.CodeMismatch},
		"the sponsor is paid": {strings.Replace(right, treasury, hot, 1), "treasury", bursar.CodeMismatch},
		"a precompile is":     {strings.Replace(right, treasury, "0x0000000000000000000000000000000000000009", 1), "treasury", bursar.CodeInvalid},
		"no treasury":         {strings.Replace(right, "    treasury: \""+treasury+"\"\n", "", 1), "treasury", bursar.CodeRequired},
		"no sweeps":           {right + "    sweep: \"off\"\n", "sweeper", bursar.CodeMismatch},
		"less than one":       {together(`owner: "` + owner + `", max_batch: -1`), "sweeper.max_batch", bursar.CodeInvalid},
		"more than fit":       {together(`owner: "` + owner + `", max_batch: 425`), "sweeper.max_batch", bursar.CodeOutOfRange},
		"before it came":      {together(`owner: "` + owner + `", gather: -1s`), "sweeper.gather", bursar.CodeOutOfRange},
		"for ever":            {together(`owner: "` + owner + `", gather: 721h`), "sweeper.gather", bursar.CodeOutOfRange},
		"no unit":             {together(`owner: "` + owner + `", gather: 10`), "sweeper.gather", bursar.CodeInvalid},
		"a sponsor":           {together(`owner: "` + owner + `", sponsor: "` + hot + `"`), "sweeper.sponsor", bursar.CodeUnknown},
		"a bitcoin account":   {strings.Replace(right, "store:", "wallet: {xpubs: {0: XPUB}}\nstore:", 1), "sweeper", bursar.CodeMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			env := slices.Clone(seed)
			if strings.Contains(c.text, "XPUB") {
				wallet, err := hdwallet.FromMnemonic(words, "")
				require.NoError(t, err)
				xpub, err := wallet.XPub(0)
				require.NoError(t, err)
				c.text, env = strings.Replace(c.text, "XPUB", xpub, 1), nil
			}
			_, err := load(t, c.text, env...)
			found := faults(t, err)
			require.Contains(t, found, "chains.local."+c.field)
			require.Len(t, found, 1)
			require.Equal(t, c.code, found["chains.local."+c.field].Code)
			require.Positive(t, found["chains.local."+c.field].Line)
		})
	}
	f, err := load(t, right, seed...)
	require.NoError(t, err)
	long := 721 * time.Hour
	f.Chains["local"].Sweeper.Gather, f.Chains["local"].Sweeper.MaxBatch = &long, -1
	for _, check := range []func() error{
		func() error { _, err := f.Installations(); return err },
		func() error { _, err := f.Build(memory.New()); return err },
	} {
		found := faults(t, check())
		require.Len(t, found, 2, "a change in Go is checked again")
		require.Equal(t, bursar.CodeOutOfRange, found["chains.local.sweeper.gather"].Code)
		require.Equal(t, bursar.CodeOutOfRange, found["chains.local.sweeper.max_batch"].Code)
	}
}
