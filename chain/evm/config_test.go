package evm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func presets() map[string]Preset {
	return map[string]Preset{"ethereum": Ethereum(), "bsc": BSC(), "polygon": Polygon(), "arbitrum": Arbitrum(), "avalanche": Avalanche(),
		"fantom": Fantom(), "sonic": Sonic(), "base": Base(), "optimism": Optimism(), "local": Local(31337)}
}

func TestPresets(t *testing.T) {
	want := map[string]struct {
		id, native    string
		symbol        string
		confirmations uint64
	}{
		"ethereum": {"eip155:1", "eip155:1/slip44:60", "ETH", 12}, "bsc": {"eip155:56", "eip155:56/slip44:714", "BNB", 15},
		"polygon": {"eip155:137", "eip155:137/slip44:966", "POL", 20}, "arbitrum": {"eip155:42161", "eip155:42161/slip44:60", "ETH", 10},
		"avalanche": {"eip155:43114", "eip155:43114/slip44:9005", "AVAX", 3}, "fantom": {"eip155:250", "eip155:250/slip44:1007", "FTM", 12},
		"sonic": {"eip155:146", "eip155:146/slip44:10007", "S", 10}, "base": {"eip155:8453", "eip155:8453/slip44:60", "ETH", 15},
		"optimism": {"eip155:10", "eip155:10/slip44:60", "ETH", 15}, "local": {"eip155:31337", "eip155:31337/slip44:60", "ETH", 3},
	}
	for name, p := range presets() {
		w, i := want[name], p.Info
		require.NoError(t, p.validate(), name)
		require.Equal(t, w.id, string(i.ID))
		require.Equal(t, w.native, string(i.Native.ID))
		require.Equal(t, w.symbol, i.Native.Symbol)
		require.Equal(t, uint8(18), i.Native.Decimals)
		require.Equal(t, w.confirmations, i.Confirmations, name)
		require.Equal(t, name, i.Name)
		require.Equal(t, time.Hour, i.InclusionSlack)
		require.Equal(t, name == "local", i.Testnet)
		require.Equal(t, name == "local", i.OnDemandBlocks)
		require.Equal(t, name == "base" || name == "optimism", p.OPStack)
		require.GreaterOrEqual(t, i.MaxReorg, i.FinalityDepth, "%s: what is not final can be undone", name)
		_, err := chain.ParseID(string(i.ID))
		require.NoError(t, err)
		_, err = chain.ParseAssetID(string(i.Native.ID))
		require.NoError(t, err)
	}
}

func TestPresetsShareNothing(t *testing.T) {
	a := Ethereum()
	a.Info.Confirmations = 99
	require.NotEqual(t, a, Ethereum())
}

func TestNewDefaultsAndCopies(t *testing.T) {
	cfg := Config{Preset: Ethereum(), URL: "https://node.example/v3", PageBlocks: 7, Headers: http.Header{"X": {"1"}}, Tokens: make([]chain.Asset, 1)}
	cfg.Tokens[0] = mustToken(t, "eip155:1")
	c, err := New(cfg)
	require.NoError(t, err)
	cfg.Headers.Set("X", "2")
	cfg.Tokens[0] = chain.Asset{}
	require.Equal(t, "1", c.cfg.Headers.Get("X"))
	require.Equal(t, "TKN", c.cfg.Tokens[0].Symbol)
	require.EqualValues(t, 7, c.Info().PageBlocks)
	require.EqualValues(t, DefaultMaxResponse, c.cfg.MaxResponse)
	require.Equal(t, DefaultTimeout, c.cfg.Timeout)
	require.Equal(t, DefaultMaxBatch, c.cfg.MaxBatch)
	require.Equal(t, "ethereum", c.Preset().Info.Name)
	require.EqualValues(t, 50, Ethereum().Info.PageBlocks)
	transport, ok := c.cfg.HTTP.Transport.(*http.Transport)
	require.True(t, ok)
	require.Nil(t, transport.Proxy, "no proxy from the environment")
	require.True(t, transport.DisableCompression)
}

func mustToken(t *testing.T, id chain.ID) chain.Asset {
	t.Helper()
	a, err := Token(id, strings.ToLower(coin), "TKN", 6)
	require.NoError(t, err)
	return a
}

func TestNewRefuses(t *testing.T) {
	for field, edits := range map[string][]func(*Config){
		"Preset.Info.ID": {func(c *Config) { c.Preset = Preset{} }, func(c *Config) { c.Preset.Info.ID = "eip155:01" },
			func(c *Config) { c.Preset.Info.ID = "bip122:1" }, func(c *Config) { c.Preset.Info.ID = "eip155:0" }},
		"Preset.Info.Name":            {func(c *Config) { c.Preset.Info.Name = "" }},
		"Preset.Info.Native.ID":       {func(c *Config) { c.Preset.Info.Native.ID = "eip155:5/slip44:60" }, func(c *Config) { c.Preset.Info.ID = "eip155:5" }},
		"Preset.Info.Native.Contract": {func(c *Config) { c.Preset.Info.Native.Contract = "0x1" }},
		"Preset.Info.Native.Decimals": {func(c *Config) { c.Preset.Info.Native.Decimals = 8 }},
		"Preset.Info.Curve":           {func(c *Config) { c.Preset.Info.Curve = chain.Ed25519 }},
		"Preset.Info.CoinType":        {func(c *Config) { c.Preset.Info.CoinType = 714 }},
		"Preset.Info.BlockTime":       {func(c *Config) { c.Preset.Info.BlockTime = 0 }},
		"Preset.Info.Confirmations":   {func(c *Config) { c.Preset.Info.Confirmations = 0 }},
		"Preset.Info.FinalityDepth":   {func(c *Config) { c.Preset.Info.FinalityDepth = 1 }},
		"Preset.Info.MaxReorg":        {func(c *Config) { c.Preset.Info.MaxReorg = 1 }},
		"Preset.Info.InclusionSlack":  {func(c *Config) { c.Preset.Info.InclusionSlack = -1 }},
		"Preset.Info.PageBlocks":      {func(c *Config) { c.Preset.Info.PageBlocks = 0 }, func(c *Config) { c.PageBlocks = 1001 }},
		"Preset.FinalityTag":          {func(c *Config) { c.Preset.FinalityTag = "latest" }},
		"URL": {func(c *Config) { c.URL = "" }, func(c *Config) { c.URL = "ws://h" }, func(c *Config) { c.URL = "h:8545" }, func(c *Config) { c.URL = "http://" },
			func(c *Config) { c.URL = "http://h/%zz" }, func(c *Config) { c.URL = "http://h/#f" }, func(c *Config) { c.URL = "http://:80/" }},
		"WebSocket":   {func(c *Config) { c.WebSocket = "http://h" }, func(c *Config) { c.WebSocket = "ws://" }, func(c *Config) { c.WebSocket = "wss://h/%zz" }},
		"Genesis":     {func(c *Config) { c.Genesis = "0x12" }, func(c *Config) { c.Genesis = chain.BlockHash("0X" + strings.Repeat("1", 64)) }},
		"MaxResponse": {func(c *Config) { c.MaxResponse = 10 }, func(c *Config) { c.MaxResponse = -1 }, func(c *Config) { c.MaxResponse = 1 << 40 }},
		"Timeout":     {func(c *Config) { c.Timeout = -1 }, func(c *Config) { c.Timeout = time.Hour }},
		"MaxBatch":    {func(c *Config) { c.MaxBatch = -1 }, func(c *Config) { c.MaxBatch = 1001 }},
	} {
		for i, edit := range edits {
			cfg := Config{Preset: Local(1337), URL: "http://127.0.0.1:8545"}
			edit(&cfg)
			_, err := New(cfg)
			var bad *ConfigError
			require.ErrorAs(t, err, &bad, "%s, case %d", field, i)
			require.Equal(t, field, bad.Field)
			require.NotEmpty(t, bad.Reason)
		}
	}
	_, err := New(Config{Preset: Local(1337), URL: "http://h", Tokens: []chain.Asset{mustToken(t, "eip155:1")}})
	require.Error(t, err, "a token of another chain")
}

func TestToken(t *testing.T) {
	a, err := Token("eip155:1", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "USDC", 6)
	require.NoError(t, err)
	require.Equal(t, chain.Asset{ID: "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", Symbol: "USDC", Decimals: 6,
		Contract: "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"}, a)
	for name, f := range map[string]func() (chain.Asset, error){
		"chain":    func() (chain.Asset, error) { return Token("bip122:0", string(a.Contract), "X", 6) },
		"contract": func() (chain.Asset, error) { return Token("eip155:1", "0x12", "X", 6) },
		"checksum": func() (chain.Asset, error) {
			return Token("eip155:1", "0xa0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "X", 6)
		},
		"zero":     func() (chain.Asset, error) { return Token("eip155:1", string(zeroAddress), "X", 6) },
		"symbol":   func() (chain.Asset, error) { return Token("eip155:1", string(a.Contract), "", 6) },
		"decimals": func() (chain.Asset, error) { return Token("eip155:1", string(a.Contract), "X", 78) },
	} {
		_, err := f()
		var format *chain.FormatError
		require.ErrorAs(t, err, &format, name)
	}
}

func TestThreat_B3_IDAndContractMustAgree(t *testing.T) {
	n := newFakeNode(t)
	n.mine()
	w := watching([]string{coin}, ann)
	w.assets[0].Contract = canonical(other)
	_, err := page(t, n, w)
	var format *chain.FormatError
	require.ErrorAs(t, err, &format, "one contract's money under another one's id")
	w = watching([]string{"0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"}, ann)
	w.assets[0].ID = chain.AssetID(strings.ToLower(string(w.assets[0].ID)))
	_, err = page(t, n, w)
	require.ErrorAs(t, err, &format, "ids are compared as text, so only the canonical one will do")
}

func TestTokenTableUnion(t *testing.T) {
	table := func(contracts ...string) *tokenTable {
		out, err := newTokenTable("eip155:1337", watching(contracts).assets)
		require.NoError(t, err)
		return out
	}
	both := table(coin, other)
	require.Same(t, both, both.union(table(other)))
	require.Same(t, both, both.union(table()))
	joined := table(coin).union(table(other, coin))
	require.Equal(t, both, joined)
	require.Equal(t, both.contracts, table(coin, other, coin).contracts)
}

// secretURLs are URLs with a key in each place where providers put one.
func secretURLs(host string) []string {
	return []string{"http://" + host + "/v3/S3cretKey%2F42", "http://" + host + "/rpc?apikey=S3cretKey%2F42&x=1", "http://user:S3cretKey%2F42@" + host + "/", "http://S3cretKey%2F42@" + host,
		"http://" + host + "/v1/S3cretKey%2F42/mainnet?token=OtherS3cret", "http://" + host + "/v2/S3cretKey/eth#"}
}

func leaks(text string) bool {
	return strings.Contains(text, "S3cret") || strings.Contains(text, "HeaderKey")
}

// failing returns an error that repeats the whole URL, as some transports do.
type failing struct{}

func (failing) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("cannot reach %s (%s) with %v", r.URL, r.URL.Path, r.Header)
}

func TestThreat_C19_SecretsStayOutOfErrorsAndText(t *testing.T) {
	// The server repeats all it was sent, in each kind of refusal.
	kind := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		echo := fmt.Sprintf("%s %s %s %v", r.URL, r.RequestURI, r.URL.Path, r.Header)
		if kind == "rpc" {
			message, _ := json.Marshal(echo)
			_, _ = io.WriteString(w, withIDs(r, `[{"id":$0,"error":{"code":-32000,"message":`+string(message)+`}}]`))
			return
		}
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, echo)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	for _, secret := range secretURLs(host) {
		cfg := Config{Preset: Local(1337), URL: secret, Headers: http.Header{"Authorization": {"Bearer HeaderKey99"}}}
		cfg.WebSocket = strings.Replace(secret, "http", "ws", 1)
		texts := []string{cfg.String(), fmt.Sprint(cfg), fmt.Sprintf("%v %+v %#v %s %q %d %x", cfg, cfg, cfg, cfg, cfg, cfg, cfg), fmt.Sprintf("%+v", &cfg)}
		encoded, err := json.Marshal(cfg)
		require.NoError(t, err)
		texts = append(texts, string(encoded))
		client, err := New(cfg)
		require.NoError(t, err)
		texts = append(texts, fmt.Sprintf("%v %+v %#v %s %d", client, client, client, client, client))
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "client", client, "config", cfg)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "client", client, "config", cfg)
		texts = append(texts, log.String())
		for _, kind = range []string{"http", "rpc"} {
			_, err = client.Head(t.Context())
			require.Error(t, err)
			texts = append(texts, errorTexts(err)...)
		}
		err = client.SubscribeHeads(t.Context(), make(chan struct{}))
		require.Error(t, err)
		texts = append(texts, errorTexts(err)...)
		cfg.HTTP = &http.Client{Transport: failing{}}
		client, err = New(cfg)
		require.NoError(t, err)
		_, err = client.Head(t.Context())
		require.Error(t, err)
		texts = append(texts, errorTexts(err)...)
		cfg.URL = strings.Replace(secret, "http", "ftp", 1)
		_, err = New(cfg)
		require.Error(t, err)
		texts = append(texts, errorTexts(err)...)
		cfg.URL = secret + "%zz"
		if _, err = New(cfg); err != nil {
			texts = append(texts, errorTexts(err)...)
		}
		for _, text := range texts {
			require.False(t, leaks(text), "%s leaks in %s", secret, text)
		}
		require.Contains(t, texts[0], host)
	}
}

// errorTexts are the texts of an error and of all it wraps.
func errorTexts(err error) (out []string) {
	out = append(out, fmt.Sprintf("%v %+v %#v", err, err, err))
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out = append(out, errorTexts(e)...)
		}
	} else if inner := errors.Unwrap(err); inner != nil {
		out = append(out, errorTexts(inner)...)
	}
	return out
}

func TestRedactorLeavesTheRest(t *testing.T) {
	r := newRedactor(Config{URL: "https://node.example/v3/0123456789abcdef"})
	require.Equal(t, "project (redacted) over its limit of 3 v3", r.text("project 0123456789abcdef over its limit of 3 v3", 256))
	require.Equal(t, "a b?", r.text("a\nb\xff", 256))
	require.Equal(t, "ab…", r.text("abc", 2))
	require.Equal(t, "a…", r.text("aé", 2), "no half character")
	require.Equal(t, "(redacted)…", r.text("0123456789abcdefxxxx", 10), "no half secret")
}

func TestTransferTopicIsTheHash(t *testing.T) {
	sum := keccak256([]byte("Transfer(address,address,uint256)"))
	require.Equal(t, transferTopic, hexHash(&sum))
	require.True(t, isTransferTopic(&sum))
	for i := range sum {
		other := sum
		other[i] = bits.Reverse8(other[i]) ^ 1
		require.False(t, isTransferTopic(&other))
	}
}
