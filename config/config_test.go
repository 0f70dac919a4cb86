package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/quorum"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/store/memory"
)

const (
	words    = "test test test test test test test test test test test junk"
	whsec    = "whsec_YnVyc2FyLWV4YW1wbGUtc2VjcmV0LTMyLWJ5dGVzISE="
	treasury = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
)

// minimal is the smallest file that is right, but for the mnemonic.
const minimal = `store: {driver: memory}
chains:
  local:
    url: http://127.0.0.1:8545
    treasury: "` + treasury + `"
    describe: {chain_id: 31337}
`

var seed = []string{"BURSAR_WALLET_MNEMONIC=" + words}

// load writes a file and loads it.
func load(t *testing.T, text string, env ...string) (*config.File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bursar.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return config.Load(path, env)
}

// faults are the errors by field; a field with two would be one too many.
func faults(t *testing.T, err error) map[string]*config.Error {
	t.Helper()
	out := map[string]*config.Error{}
	if err == nil {
		return out
	}
	many, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok, "%T", err)
	for _, e := range many.Unwrap() {
		var fault *config.Error
		require.ErrorAs(t, e, &fault)
		require.NotEmpty(t, fault.Reason)
		require.NotContains(t, out, fault.Field+fault.Env)
		if fault.Field == "" {
			out[fault.Env] = fault
		} else {
			out[fault.Field] = fault
		}
	}
	return out
}

// TestExample loads and builds the file that newcomers copy.
func TestExample(t *testing.T) {
	f, err := config.Load("example.yaml", []string{"HOME=/root", "BURSAR_STORE_PASSWORD=hunter2"})
	require.NoError(t, err)
	require.Equal(t, "postgres", f.Store.Driver)
	require.Equal(t, "hunter2", f.Store.Password.Reveal())
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	require.Len(t, cfg.Chains, 2)
	base, eth := cfg.Chains[0], cfg.Chains[1]
	require.Equal(t, "base", base.Client.Info().Name)
	require.Equal(t, chain.ID("eip155:8453"), base.Client.Info().ID)
	require.Equal(t, "ethereum", eth.Client.Info().Name)
	require.Equal(t, []string{"own/own", "a-eu/a", "b/b", "a-us/a"}, names(eth.Client.(*quorum.Client)))
	require.EqualValues(t, 12, eth.Confirmations)
	require.Equal(t, "20000000000000000", eth.MaxFee.String())
	require.Len(t, eth.Assets, 2)
	require.Equal(t, "5000000000000000", eth.Assets[0].Minimum.String())
	require.Equal(t, "50000000", eth.Assets[1].SweepMinimum.String())
	require.Equal(t, time.Hour, cfg.TTL)
	require.Equal(t, 30*time.Minute, cfg.Policy.Grace)
	require.EqualValues(t, 50, cfg.Policy.ToleranceBps)
	require.Len(t, cfg.Notify, 1)
	require.Equal(t, "orders", cfg.Notify[0].Name())
	require.False(t, cfg.Wallet.WatchOnly())
	_, err = bursar.New(cfg)
	require.NoError(t, err)
}

func TestBuildWantsAStore(t *testing.T) {
	f, err := load(t, minimal, seed...)
	require.NoError(t, err)
	_, err = f.Build(nil)
	require.Contains(t, faults(t, err), "store")
}

// TestBuildChecksChanges: a File that was changed after Load is checked again.
func TestBuildChecksChanges(t *testing.T) {
	f, err := load(t, minimal, seed...)
	require.NoError(t, err)
	c := f.Chains["local"]
	c.Treasury = strings.ToLower(treasury)
	f.Chains["local"] = c
	_, err = f.Build(memory.New())
	require.Equal(t, bursar.CodeInvalid, faults(t, err)["chains.local.treasury"].Code)
}

// TestStrict: what is not understood completely is an error at its line.
func TestStrict(t *testing.T) {
	usdc := "    assets: {USDC: {contract: \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\", decimals: 6, %s}}\n"
	for _, c := range []struct {
		name, add, field string
		line             int
		code             bursar.Code
	}{
		{"unknown key", "tls: 1h\n", "tls", 7, bursar.CodeUnknown},
		{"unknown key inside", "    tresury: x\n", "chains.local.tresury", 7, bursar.CodeUnknown},
		{"repeated key", "ttl: 1h\nttl: 2h\n", "ttl", 8, bursar.CodeDuplicate},
		{"repeated section", "store: {driver: memory}\n", "store", 7, bursar.CodeDuplicate},
		{"number for a duration", "ttl: 3600\n", "ttl", 7, bursar.CodeInvalid},
		{"duration without unit", "ttl: '3600'\n", "ttl", 7, bursar.CodeInvalid},
		{"negative duration", "ttl: -1h\n", "ttl", 7, bursar.CodeOutOfRange},
		{"too short a life", "ttl: 1s\n", "ttl", 7, bursar.CodeOutOfRange},
		{"too short a lease", "lease: 1ms\n", "lease", 7, bursar.CodeOutOfRange},
		{"number for text", "instance: 12\n", "instance", 7, bursar.CodeInvalid},
		{"bad instance", "instance: a b\n", "instance", 7, bursar.CodeInvalid},
		{"bad level", "log_level: loud\n", "log_level", 7, bursar.CodeUnknown},
		{"empty value", "ttl:\n", "ttl", 7, bursar.CodeRequired},
		{"list for text", "instance: [a]\n", "instance", 7, bursar.CodeInvalid},
		{"text for a section", "policy: soft\n", "policy", 7, bursar.CodeInvalid},
		{"float for an integer", "policy: {tolerance_bps: 1e2}\n", "policy.tolerance_bps", 7, bursar.CodeInvalid},
		{"octal", "policy: {tolerance_bps: 010}\n", "policy.tolerance_bps", 7, bursar.CodeInvalid},
		{"out of range", "policy: {tolerance_bps: 10001}\n", "policy.tolerance_bps", 7, bursar.CodeOutOfRange},
		{"over the type", "policy: {tolerance_bps: 4294967296}\n", "policy.tolerance_bps", 7, bursar.CodeOutOfRange},
		{"grace", "policy: {grace: 9000h}\n", "policy.grace", 7, bursar.CodeOutOfRange},
		{"anchor", "instance: &a b\n", "instance", 7, bursar.CodeInvalid},
		{"tag", "instance: !!str b\n", "instance", 7, bursar.CodeInvalid},
		{"the environment's tag", "ttl: !env 1h\n", "ttl", 7, bursar.CodeInvalid},
		{"merge key", "policy: {<<: {grace: 1h}}\n", "policy.(unreadable key)", 7, bursar.CodeInvalid},
		{"float for an amount", "    max_fee: 0.5\n", "chains.local.max_fee", 7, bursar.CodeInvalid},
		{"exponent", "    max_fee: 1e18\n", "chains.local.max_fee", 7, bursar.CodeInvalid},
		{"exponent in quotes", "    max_fee: '1e18'\n", "chains.local.max_fee", 7, bursar.CodeInvalid},
		{"hex amount", "    max_fee: 0x10\n", "chains.local.max_fee", 7, bursar.CodeInvalid},
		{"negative amount", "    max_fee: '-1'\n", "chains.local.max_fee", 7, bursar.CodeInvalid},
		{"too fine an amount", fmt.Sprintf(usdc, `minimum: "0.0000001"`), "chains.local.assets.USDC.minimum", 7, bursar.CodeInvalid},
		{"float minimum", fmt.Sprintf(usdc, "minimum: 0.5"), "chains.local.assets.USDC.minimum", 7, bursar.CodeInvalid},
		{"text for a flag", fmt.Sprintf(usdc, "verify_balance: yes"), "chains.local.assets.USDC.verify_balance", 7, bursar.CodeInvalid},
		{"quoted flag", fmt.Sprintf(usdc, "verify_balance: 'true'"), "chains.local.assets.USDC.verify_balance", 7, bursar.CodeInvalid},
		{"bad checksum", "    assets: {USDC: {contract: \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eb48\", decimals: 6}}\n", "chains.local.assets.USDC.contract", 7, bursar.CodeInvalid},
		{"token without decimals", "    assets: {USDC: {contract: \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\"}}\n", "chains.local.assets.USDC.decimals", 7, bursar.CodeRequired},
		{"too many decimals", "    assets: {USDC: {contract: \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\", decimals: 78}}\n", "chains.local.assets.USDC.decimals", 7, bursar.CodeInvalid},
		{"token without contract", "    assets: {USDC: {minimum: 1}}\n", "chains.local.assets.USDC.contract", 7, bursar.CodeRequired},
		{"coin with decimals", "    assets: {ETH: {decimals: 18}}\n", "chains.local.assets.ETH", 7, bursar.CodeMismatch},
		{"twice the coin", "    assets: {ETH: {contract: \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\", decimals: 6}}\n", "chains.local.assets", 7, bursar.CodeDuplicate},
		{"bad symbol", "    assets: {a/b: {minimum: 1}}\n", "chains.local.assets.(unreadable key)", 7, bursar.CodeInvalid},
		{"bad sweep", "    sweep: always\n", "chains.local.sweep", 7, bursar.CodeUnknown},
		{"fee percentage", "    low_fee_percent: 10001\n", "chains.local.low_fee_percent", 7, bursar.CodeOutOfRange},
		{"fee finer than wei", "    low_fee: '0.0000000001'\n", "chains.local.low_fee", 7, bursar.CodeInvalid},
		{"wait for nothing", "    sweep_wait: 1h\n", "chains.local.sweep_wait", 7, bursar.CodeMismatch},
		{"wait for ever", "    low_fee: 3\n    sweep_wait: 9999h\n", "chains.local.sweep_wait", 8, bursar.CodeOutOfRange},
		{"deadline without a budget", "    sweep_deadline: 1h\n", "chains.local.sweep_deadline", 7, bursar.CodeMismatch},
		{"deadline too early", "    sweep_deadline: 1m\n    max_fee: 1\n", "chains.local.sweep_deadline", 7, bursar.CodeInvalid},
		{"too many confirmations", "    confirmations: 128\n", "chains.local.confirmations", 7, bursar.CodeOutOfRange},
		{"bad preset", "    preset: etherum\n", "chains.local.preset", 7, bursar.CodeUnknown},
		{"another preset", "    preset: base\n", "chains.local.describe.chain_id", 6, bursar.CodeMismatch},
		{"page", "    page_blocks: 1001\n", "chains.local.page_blocks", 7, bursar.CodeInvalid},
		{"genesis", "    genesis: abc\n", "chains.local.genesis", 7, bursar.CodeInvalid},
		{"price", "    max_gas_price: 50001\n", "chains.local.max_gas_price", 7, bursar.CodeOutOfRange},
		{"batch", "    max_batch: 1001\n", "chains.local.max_batch", 7, bursar.CodeInvalid},
		{"timeout", "    timeout: 11m\n", "chains.local.timeout", 7, bursar.CodeInvalid},
		{"response", "    max_response: 1\n", "chains.local.max_response", 7, bursar.CodeInvalid},
		{"header", "    headers: {\"a b\": {file: bursar.yaml}}\n", "chains.local.headers.(unreadable key)", 7, bursar.CodeInvalid},
		{"chain name", "  Ethereum: {}\n", "chains.Ethereum", 7, bursar.CodeInvalid},
		{"webhook name", "webhooks: {\"a b\": {}}\n", "webhooks.(unreadable key)", 7, bursar.CodeInvalid},
		{"retired", "retired: {old: {}}\n", "retired.old.mnemonic", 7, bursar.CodeRequired},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, minimal+c.add, seed...)
			got := faults(t, err)[c.field]
			require.NotNil(t, got, "%v", err)
			require.Equal(t, c.line, got.Line, "%v", err)
			require.Equal(t, c.code, got.Code, "%v", err)
			require.Contains(t, got.Error(), fmt.Sprintf("bursar.yaml:%d: %s: ", c.line, c.field))
		})
	}
}

func TestNotAFile(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML": "a: [", "a list": "- a\n", "text": "hello\n", "two documents": minimal + "---\na: b\n", "huge": "# " + strings.Repeat("x", 1<<20),
		"an alias at the top": "*a\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, text, seed...)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "chains", "only what is wrong with the file as such")
		})
	}
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestAllErrorsAtOnce: an operator mends a file in one go.
func TestAllErrorsAtOnce(t *testing.T) {
	_, err := load(t, `
store: {driver: mysql}
ttl: 5
tls: 1
chains:
  ethereum: {treasury: "0x0"}
  base: {url: "ftp://x", treasury: "`+treasury+`"}
  optimism: {url: "http://x", websocket: "http://x", treasury: "`+treasury+`"}
webhooks:
  a: {url: "http://x.example", secret: {file: none}}
`)
	got := faults(t, err)
	for _, field := range []string{
		"store.driver", "ttl", "tls", "wallet.mnemonic", "chains.ethereum.url", "chains.ethereum.treasury",
		"chains.base.url", "chains.optimism.websocket", "webhooks.a.secret",
	} {
		require.Contains(t, got, field, "%v", err)
	}
	require.Len(t, got, 9, "%v", err)
	require.ErrorIs(t, err, os.ErrNotExist, "the cause of a secret's file")
}

// TestCommentedSections: a section whose fields are all commented out is empty.
func TestCommentedSections(t *testing.T) {
	f, err := load(t, minimal+"policy:\n  # grace: 1h\nwebhooks:\nretired:\n", seed...)
	require.NoError(t, err)
	require.Zero(t, f.Policy)
	require.Empty(t, f.Webhooks)
}

func TestStoreFields(t *testing.T) {
	for name, c := range map[string]struct{ store, field string }{
		"none":          {"{}", "store.driver"},
		"no path":       {"{driver: sqlite}", "store.path"},
		"no dsn":        {"{driver: postgres}", "store.dsn"},
		"bad schema":    {"{driver: postgres, dsn: dbname=x, schema: 1a}", "store.schema"},
		"path of pg":    {"{driver: postgres, dsn: dbname=x, path: y}", "store.path"},
		"dsn of sqlite": {"{driver: sqlite, path: y, dsn: dbname=x}", "store.dsn"},
		"schema of mem": {"{driver: memory, schema: a}", "store.schema"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, strings.Replace(minimal, "{driver: memory}", c.store, 1), seed...)
			require.Contains(t, faults(t, err), c.field)
			require.Len(t, faults(t, err), 1)
		})
	}
	f, err := load(t, strings.Replace(minimal, "{driver: memory}", "{driver: sqlite, path: shop.db}", 1), seed...)
	require.NoError(t, err)
	require.Equal(t, "shop.db", f.Store.Path)
}

// TestOwnChain describes a chain that has no preset.
func TestOwnChain(t *testing.T) {
	own := strings.Replace(minimal, "  local:", "  mynet:", 1)
	_, err := load(t, own, seed...)
	got := faults(t, err)
	for _, field := range []string{"symbol", "block_time", "confirmations", "finality_depth", "max_reorg"} {
		require.Contains(t, got, "chains.mynet.describe."+field)
	}
	full := "{chain_id: 4242, symbol: NET, block_time: 3s, confirmations: 7, finality_depth: 9, max_reorg: 99, legacy: true, testnet: true, finality_tag: safe}"
	f, err := load(t, strings.Replace(own, "{chain_id: 31337}", full, 1), seed...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	info := cfg.Chains[0].Client.Info()
	require.Equal(t, chain.ID("eip155:4242"), info.ID)
	require.Equal(t, "mynet", info.Name)
	require.Equal(t, "NET", info.Native.Symbol)
	require.EqualValues(t, 9, info.FinalityDepth)
	require.Equal(t, time.Hour, info.InclusionSlack)
	require.True(t, info.Testnet)
	_, err = load(t, strings.Replace(own, "{chain_id: 31337}", strings.Replace(full, "finality_depth: 9", "finality_depth: 3", 1), 1), seed...)
	require.Contains(t, faults(t, err), "chains.mynet.describe.finality_depth")
}

// TestPresets loads each, under its own name and under another one.
func TestPresets(t *testing.T) {
	for name, id := range map[string]chain.ID{
		"ethereum": "eip155:1", "bsc": "eip155:56", "polygon": "eip155:137", "arbitrum": "eip155:42161", "avalanche": "eip155:43114",
		"fantom": "eip155:250", "sonic": "eip155:146", "base": "eip155:8453", "optimism": "eip155:10",
	} {
		for _, head := range []string{"  " + name + ":", "  other:\n    preset: " + name} {
			f, err := load(t, strings.NewReplacer("  local:", head, "    describe: {chain_id: 31337}\n", "").Replace(minimal), seed...)
			require.NoError(t, err)
			cfg, err := f.Build(memory.New())
			require.NoError(t, err)
			require.Equal(t, id, cfg.Chains[0].Client.Info().ID)
		}
	}
}

func TestLiveAndTestNeverMix(t *testing.T) {
	_, err := load(t, minimal+"  ethereum: {url: 'http://x', treasury: '"+treasury+"'}\n", seed...)
	require.Equal(t, bursar.CodeMismatch, faults(t, err)["chains.local"].Code, "%v", err)
}

func TestWallets(t *testing.T) {
	f, err := load(t, minimal, seed...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	xpub, err := cfg.Wallet.XPub(60)
	require.NoError(t, err)
	watch, err := load(t, minimal+"wallet: {xpubs: {60: "+xpub+"}}\n")
	require.NoError(t, err)
	cfg, err = watch.Build(memory.New())
	require.NoError(t, err)
	require.True(t, cfg.Wallet.WatchOnly())
	for name, c := range map[string]struct{ wallet, field string }{
		"both":            {"{xpubs: {60: " + xpub + "}}", "wallet.xpubs"},
		"bad coin type":   {"{xpubs: {x: " + xpub + "}}", "wallet.xpubs"},
		"broken key":      {"{xpubs: {60: xpub1}}", "wallet.xpubs"},
		"lone passphrase": {"{passphrase: {file: bursar.yaml}}", "wallet.passphrase"},
	} {
		env := seed
		if name != "both" {
			env = nil
		}
		_, err := load(t, minimal+"wallet: "+c.wallet+"\n", env...)
		require.Contains(t, faults(t, err), c.field, name)
	}
}

func TestWebhookFields(t *testing.T) {
	for name, c := range map[string]struct{ hook, field string }{
		"no url":        {"{}", "webhooks.a.url"},
		"http":          {"{url: http://x.example}", "webhooks.a.url"},
		"long timeout":  {"{url: https://x.example, timeout: 31s}", "webhooks.a.timeout"},
		"bad network":   {"{url: https://x.example, allow_private: [10.0.0.0]}", "webhooks.a.allow_private[0]"},
		"bad port":      {"{url: https://x.example, ports: [0]}", "webhooks.a.ports"},
		"port too high": {"{url: https://x.example, ports: [65536]}", "webhooks.a.ports[0]"},
		"concurrency":   {"{url: https://x.example, concurrency: 1025}", "webhooks.a.concurrency"},
		"breaker":       {"{url: https://x.example, breaker_failures: 1001}", "webhooks.a.breaker_failures"},
		"own header":    {"{url: https://x.example, headers: {Content-Type: {file: bursar.yaml}}}", "webhooks.a.headers.Content-Type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, minimal+"webhooks: {a: "+c.hook+"}\n", append([]string{"BURSAR_WEBHOOKS_A_SECRET=" + whsec}, seed...)...)
			require.Contains(t, faults(t, err), c.field, "%v", err)
		})
	}
	_, err := load(t, minimal+"webhooks: {a: {url: https://x.example, allow_private: [10.0.0.0/8], ports: [8443]}}\n", append([]string{"BURSAR_WEBHOOKS_A_SECRET=short"}, seed...)...)
	require.Equal(t, "BURSAR_WEBHOOKS_A_SECRET", faults(t, err)["webhooks.a.secret"].Env)
}

// canary is every secret of a file that can be printed.
const canary = "canary0canary0canary"

// TestSecretsNeverShow prints a file with secrets everywhere in every way there
// is, and looks for them.
func TestSecretsNeverShow(t *testing.T) {
	f, err := load(t, strings.Replace(minimal, "http://127.0.0.1:8545", "https://node.example/"+canary, 1),
		"BURSAR_WALLET_MNEMONIC="+words, "BURSAR_WALLET_PASSPHRASE="+canary, "BURSAR_RETIRED_OLD_MNEMONIC="+words,
		"BURSAR_CHAINS_LOCAL_HEADERS_X_KEY="+canary, "BURSAR_CHAINS_LOCAL_WEBSOCKET=wss://node.example/"+canary, "BURSAR_WEBHOOKS_A_URL=https://x.example/"+canary, "BURSAR_WEBHOOKS_A_SECRET="+whsec,
		"BURSAR_WEBHOOKS_A_HEADERS_TOKEN="+canary)
	require.NoError(t, err)
	f.Store.DSN, f.Store.Password = config.NewSecret(canary), config.NewSecret(canary)
	require.Equal(t, canary, f.Chains["local"].Headers["x-key"].Reveal())
	require.Contains(t, notShown(t, f), "[secret]")
	require.Empty(t, config.Secret{}.String())
}

// notShown prints a file in every way there is, looks for its secrets, and returns
// it as YAML.
func notShown(t *testing.T, f *config.File) string {
	t.Helper()
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("file", "file", f, "value", *f, "secret", f.Store.DSN)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("file", "file", f, "value", *f, "secret", f.Store.DSN)
	asJSON, err := json.Marshal(f)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(f)
	require.NoError(t, err)
	outputs := []string{string(asJSON), string(asYAML), logged.String(), fmt.Sprint(f), fmt.Sprint(*f)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		outputs = append(outputs, fmt.Sprintf(verb, *f), fmt.Sprintf(verb, f.Wallet), fmt.Sprintf(verb, f.Store.DSN), fmt.Sprintf(verb, &f.Store.DSN))
	}
	for _, out := range outputs {
		for _, secret := range []string{canary, "junk", fmt.Sprintf("%x", canary), whsec[6:]} {
			require.NotContains(t, out, secret)
		}
	}
	return string(asYAML)
}

// TestSecretsNotInErrors puts secrets where they do not belong: no error
// repeats them.
func TestSecretsNotInErrors(t *testing.T) {
	secrets := []string{words, "*" + canary, canary, "'" + canary, "{file: " + canary + "}", "postgres://u:" + canary + "@h/db"}
	for _, secret := range secrets {
		for _, place := range []string{
			"wallet: {mnemonic: %s}\n", "wallet: {passphrase: %s}\n", "wallet: {xpubs: {60: %s}}\n", "wallet: {mnemonic: {file: %s}}\n", "wallet: %s\n",
			"%s: 1\n", "%s\n", "webhooks: {a: {secret: %s}}\n", "webhooks: {a: {url: %s}}\n", "webhooks: {%s: {}}\n", "instance: %s\n", "ttl: %s\n",
			"    assets: {%s: {}}\n", "    max_fee: %s\n", "    genesis: %s\n", "    preset: %s\n", "    confirmations: %s\n", "    headers: {K: %s}\n",
			"policy: {grace: %s}\n", "log_level: %s\n", "policy:\n  grace: 1h\n %s\n",
		} {
			if strings.Contains(place, "%s:") && secret == canary {
				continue // a key that looks like a name is shown: it is a name misspelt
			}
			_, err := load(t, minimal+fmt.Sprintf(place, secret))
			require.Error(t, err, place)
			require.NotContains(t, err.Error(), canary, place)
			require.NotContains(t, err.Error(), "junk", place)
		}
		for _, name := range []string{
			"WALLET_MNEMONIC", "WALLET_MNEMONIC_FILE", "WALLET_XPUBS_60", "TTL", "INSTANCE", "LOG_LEVEL", "CHAINS_LOCAL_TREASURY", "CHAINS_LOCAL_MAX_FEE",
			"CHAINS_LOCAL_CONFIRMATIONS", "WEBHOOKS_A_SECRET", "NONE", "CHAINS", "STORE_DRIVER",
		} {
			if name == "WALLET_MNEMONIC" && secret == words || name == "INSTANCE" && secret == canary {
				continue
			}
			_, err := load(t, minimal, "BURSAR_"+name+"="+secret)
			require.Error(t, err, name)
			require.NotContains(t, err.Error(), canary, name)
			require.NotContains(t, err.Error(), "junk", name)
		}
	}
}

// TestSecretsStandApart: what is secret does not stand in the file.
func TestSecretsStandApart(t *testing.T) {
	for field, text := range map[string]string{
		"wallet.mnemonic":   "wallet: {mnemonic: " + words + "}\n",
		"wallet.passphrase": "wallet: {passphrase: abc}\n",
		"webhooks.a.secret": "webhooks: {a: {url: https://x.example, secret: " + whsec + "}}\n",
		"store.dsn":         "",
	} {
		file := minimal + text
		if field == "store.dsn" {
			file = strings.Replace(minimal, "{driver: memory}", "{driver: postgres, dsn: 'host=h password = x'}", 1)
		}
		_, err := load(t, file, seed[:len(seed)*min(1, strings.Count(field, "s"))]...)
		got := faults(t, err)[field]
		require.NotNil(t, got, "%v", err)
		require.Contains(t, got.Reason, "BURSAR_"+strings.ToUpper(strings.ReplaceAll(field, ".", "_")), "it says where to put it")
	}
}

func TestSecretFiles(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "bursar.yaml")
	require.NoError(t, os.WriteFile(path, []byte(minimal+"wallet: {mnemonic: {file: seed}, passphrase: {file: "+filepath.Join(folder, "pass")+"}}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "seed"), []byte(words+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "pass"), []byte(" two \r\n\n"), 0o600))
	f, err := config.Load(path, nil)
	require.NoError(t, err)
	require.Equal(t, words, f.Wallet.Mnemonic.Reveal())
	require.Equal(t, " two \r\n", f.Wallet.Passphrase.Reveal(), "one line end goes, nothing else")

	require.NoError(t, os.WriteFile(filepath.Join(folder, "pass"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "seed"), make([]byte, 65<<10), 0o600))
	_, err = config.Load(path, nil)
	require.Equal(t, bursar.CodeRequired, faults(t, err)["wallet.passphrase"].Code)
	require.Equal(t, bursar.CodeInvalid, faults(t, err)["wallet.mnemonic"].Code)

	env := []string{"BURSAR_WALLET_MNEMONIC=" + words, "BURSAR_WALLET_PASSPHRASE_FILE=" + path}
	f, err = config.Load(path, env)
	require.NoError(t, err, "the environment replaces the file's")
	require.Equal(t, words, f.Wallet.Mnemonic.Reveal())
	require.True(t, strings.HasPrefix(f.Wallet.Passphrase.Reveal(), "store:"))
}

func ExampleLoad() {
	file, err := config.Load("example.yaml", []string{"BURSAR_TTL=45m"})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg, err := file.Build(memory.New()) // or the store that file.Store names
	fmt.Println(file.Store.Driver, cfg.TTL, len(cfg.Chains), file.Chains["base"].URL, err)
	// Output: postgres 45m0s 2 [secret] <nil>
}

func ExampleError() {
	_, err := config.Load("", []string{"BURSAR_TTL=45"})
	var first *config.Error
	fmt.Println(errors.As(err, &first), first)
	// Output: true config: BURSAR_TTL: ttl: want a duration with its unit, such as 24h, 90m or 30s
}

func TestTiersAndExposure(t *testing.T) {
	of := func(fields string) (bursar.Chain, error) {
		f, err := load(t, strings.Split(minimal, "  local:")[0]+"  base:\n    url: http://x\n    treasury: '"+treasury+"'\n    confirm_after: 1m\n    assets:\n      USDC: {contract: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', decimals: 6, "+fields+"}\n", seed...)
		if err != nil {
			return bursar.Chain{}, err
		}
		cfg, err := f.Build(memory.New())
		if err != nil {
			return bursar.Chain{}, err
		}
		return cfg.Chains[0], nil
	}
	c, err := of("tiers: [0.5 12, 1000 final, ' 5000  64 final '], exposure: 20000")
	require.NoError(t, err)
	require.Equal(t, time.Minute, c.ConfirmAfter)
	f, err := load(t, minimal+"policy: {final: true}\n", seed...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	require.True(t, cfg.Policy.Final)
	usdc := c.Assets[0].ID
	require.Equal(t, []bursar.Tier{
		{Asset: usdc, From: chain.NewAmount(500_000), Confirmations: 12}, {Asset: usdc, From: chain.NewAmount(1e9), Final: true},
		{Asset: usdc, From: chain.NewAmount(5e9), Confirmations: 64, Final: true},
	}, c.Tiers)
	require.Equal(t, []bursar.Exposure{{Asset: usdc, Max: chain.NewAmount(2e10)}}, c.Exposure)
	for _, bad := range []string{"'100'", "final", "100 0", "100 -1", "100 12 13", "100 12 finally", "x 12", "0.0000001 12", "''"} {
		_, err := of("tiers: [1 2, " + bad + "]")
		require.Contains(t, faults(t, err), "chains.base.assets.USDC.tiers[1]", bad)
	}
	_, err = of("exposure: x")
	require.Contains(t, faults(t, err), "chains.base.assets.USDC.exposure")
}

func TestRefunds(t *testing.T) {
	of := func(limits, approvers string) (bursar.Config, error) {
		f, err := load(t, strings.Split(minimal, "  local:")[0]+"  base:\n    url: http://x\n    treasury: '"+treasury+"'\n    assets:\n      USDC: {refund_limits: "+limits+"}\napprovers: "+approvers+"\n", seed...)
		if err != nil {
			return bursar.Config{}, err
		}
		return f.Build(memory.New())
	}
	key := strings.Repeat("0a", 32)
	cfg, err := of("[1000 24h, 0.5 90m]", "["+key+"]")
	require.NoError(t, err)
	usdc := cfg.Chains[0].Assets[0].ID
	require.Equal(t, []bursar.PayoutLimit{
		{Asset: usdc, Max: chain.NewAmount(1e9), Window: 24 * time.Hour}, {Asset: usdc, Max: chain.NewAmount(500_000), Window: 90 * time.Minute},
	}, cfg.Chains[0].Limits)
	require.Len(t, cfg.Approvers, 1)
	require.EqualValues(t, bytes.Repeat([]byte{10}, 32), cfg.Approvers[0])
	for _, bad := range []string{"1000", "'1000 24'", "1000 0s", "x 24h", "0 24h", "1000 24h 5", "''"} {
		_, err := of("[1 1h, "+bad+"]", "[]")
		require.Contains(t, faults(t, err), "chains.base.assets.USDC.refund_limits[1]", bad)
	}
	for _, bad := range []string{key[2:], key + "00", "zz" + key[2:], "''"} {
		_, err := of("[]", "["+key+", '"+bad+"']")
		require.Contains(t, faults(t, err), "approvers[1]", bad)
	}
}

func TestMempool(t *testing.T) {
	const at = "chains.local."
	build := func(fields string) (bursar.Config, error) {
		f, err := load(t, strings.Replace(minimal, "  local:\n", "  local:\n"+fields, 1), seed...)
		if err != nil {
			return bursar.Config{}, err
		}
		return f.Build(memory.New())
	}
	c, err := build("")
	require.NoError(t, err)
	require.False(t, c.Chains[0].Mempool)
	c, err = build("    websocket: ws://localhost\n    mempool: true\n    drop_after: 2h\n")
	require.NoError(t, err)
	require.True(t, c.Chains[0].Mempool)
	require.Equal(t, 2*time.Hour, c.Chains[0].DropAfter)
	_, err = build("    mempool: true\n")
	require.Contains(t, faults(t, err), at+"mempool")
	for _, d := range []string{"59s", "721h"} {
		_, err = build("    drop_after: " + d + "\n")
		require.Contains(t, faults(t, err), at+"drop_after")
	}
}
