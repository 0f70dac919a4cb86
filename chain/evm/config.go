package evm

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// Defaults of a Config.
const (
	// DefaultMaxResponse is the most bytes of one HTTP response.
	DefaultMaxResponse = 32 << 20
	// DefaultTimeout bounds one HTTP request with its whole body.
	DefaultTimeout = 30 * time.Second
	// DefaultMaxBatch is the most calls in one HTTP request; several providers
	// refuse more than 100.
	DefaultMaxBatch = 100
)

// Limits of a Config.
const (
	minMaxResponse = 64 << 10
	maxMaxResponse = 1 << 30
	maxTimeout     = 10 * time.Minute
	maxMaxBatch    = 1000
	maxPageBlocks  = 1000
)

// Config says which node to use and how. New copies it, fills in the defaults
// and validates it; changing it afterwards has no effect.
//
// Its String form and every error of this package leave out all of the URL but
// scheme and host, since providers put the access key into the path.
type Config struct {
	// Preset describes the chain: Ethereum(), Base(), Local(), or one's own.
	// Required.
	Preset Preset
	// URL is the node's HTTP endpoint, http or https. Required. It is a secret.
	URL string `json:"-"`
	// WebSocket is the node's endpoint for subscriptions, ws or wss, which gets
	// Headers too. With it new heads are pushed, and the gateway need not wait for
	// its next look; empty: it polls. They are hints, so that it may be another
	// node's than URL. It is a secret.
	WebSocket string `json:"-"`
	// HTTP sends the requests. Nil: a client of one's own that uses no proxy,
	// follows no redirect and asks for no compression, which on a local
	// network costs both sides more time than it saves.
	HTTP *http.Client `json:"-"`
	// Headers are added to each request, for providers that want their key
	// there. Their values are secrets.
	Headers http.Header `json:"-"`
	// Genesis is the hash of the chain's first block, as a pin against a fork
	// that kept the chain id. Empty: not checked. See Client.Identify.
	Genesis chain.BlockHash
	// Tokens are tokens whose movements Status reports, beside those of every
	// Watch that the client has been given. Optional.
	Tokens []chain.Asset
	// MaxResponse is the most bytes one response may have, 64 KiB to 1 GiB.
	// Default: DefaultMaxResponse.
	MaxResponse int64
	// Timeout bounds one request including the last byte of its body, up to
	// ten minutes. Default: DefaultTimeout.
	Timeout time.Duration
	// MaxBatch is the most calls sent in one HTTP request, 1 to 1000.
	// Default: DefaultMaxBatch.
	MaxBatch int
	// PageBlocks is the most blocks of one Transfers call, 1 to 1000. Default:
	// that of the Preset.
	PageBlocks uint64
	// Native pins where the movements of native coin are read from, for a node
	// that is known. Default: what the node turns out to have, see Capabilities.
	// A pinned source that the node lacks is an error of Transfers, but for
	// NativeProbe, which falls back to others.
	Native NativeSource
	// Verify holds each block in which something for us was found against its own
	// hash: the header's fields, the receipts and, where the node has
	// debug_getRawBlock, the transactions. What does not fit is a *ForgedError, and
	// nothing of the page is used. It costs one request for each such block, of about
	// the size of its receipts. Blocks of which the node tells too little are counted
	// as Stats.Unverifiable and believed. It needs Preset.Hashed.
	Verify bool
	// MaxGasPrice is the most that is ever offered for a unit of gas, in wei,
	// whatever the node says prices are. Default and upper bound: 50,000 gwei,
	// which only stops absurdities; set it to what the chain has seen.
	MaxGasPrice chain.Amount
	// Sweeper is the installation's contract on this chain, made by contracts.New from
	// the treasury, the owner and the sponsor. With it an intent of many sources, one
	// treasury and the sponsor as fee payer becomes one transaction (see Prepare and
	// Batching), and Identify checks that the contract is there. Nil: each source pays
	// for itself.
	Sweeper *contracts.Sweeper
}

// ConfigError names the field of a Config that New refuses.
type ConfigError struct {
	// Field is the Go path of the field, "Preset.Info.ID".
	Field string
	// Reason is what is wrong with it. It never repeats the URL.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *ConfigError) Error() string { return "evm: Config." + e.Field + ": " + e.Reason }

// String describes the configuration without its secrets.
func (c Config) String() string {
	return fmt.Sprintf("evm.Config{%s %s}", c.Preset.Info.Name, displayURL(c.URL))
}

// Format prints String for every verb, so that %+v and %#v do not print the
// URL either.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// withDefaults returns a copy that shares no memory with c.
func (c Config) withDefaults() Config {
	c.Headers = c.Headers.Clone()
	c.Tokens = slices.Clone(c.Tokens)
	if c.MaxResponse == 0 {
		c.MaxResponse = DefaultMaxResponse
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = DefaultMaxBatch
	}
	if c.PageBlocks != 0 {
		c.Preset.Info.PageBlocks = c.PageBlocks
	}
	if c.HTTP == nil {
		c.HTTP = newHTTPClient()
	}
	return c
}

func (c Config) validate() error {
	if err := c.Preset.validate(); err != nil {
		return err
	}
	if _, err := parseURL(c.URL); err != nil {
		return err
	}
	if _, err := parseWebSocket(c.WebSocket); c.WebSocket != "" && err != nil {
		return err
	}
	switch {
	case c.Sweeper != nil && c.Sweeper.Address() == contracts.Address{}:
		return &ConfigError{Field: "Sweeper", Reason: "none that contracts.New made"}
	case c.Genesis != "" && !isHash(string(c.Genesis)):
		return &ConfigError{Field: "Genesis", Reason: "want 0x and 64 lower case hex digits"}
	case c.MaxResponse < minMaxResponse || c.MaxResponse > maxMaxResponse:
		return &ConfigError{Field: "MaxResponse", Reason: fmt.Sprintf("%d bytes, want %d to %d", c.MaxResponse, minMaxResponse, maxMaxResponse)}
	case c.Timeout < time.Millisecond || c.Timeout > maxTimeout:
		return &ConfigError{Field: "Timeout", Reason: fmt.Sprintf("%s, want 1ms to %s", c.Timeout, maxTimeout)}
	case !slices.Contains([]NativeSource{NativeAuto, NativeFull, NativeRaw, NativeTrace, NativeProbe, NativeBlocks}, c.Native):
		return &ConfigError{Field: "Native", Reason: fmt.Sprintf("%q, want full, raw, trace, probe, blocks or nothing", string(c.Native))}
	case c.Verify && !c.Preset.Hashed:
		return &ConfigError{Field: "Verify", Reason: "the preset does not say that the chain hashes as Ethereum does"}
	case c.MaxBatch < 1 || c.MaxBatch > maxMaxBatch:
		return &ConfigError{Field: "MaxBatch", Reason: fmt.Sprintf("%d, want 1 to %d", c.MaxBatch, maxMaxBatch)}
	}
	return nil
}

// parseURL accepts an absolute http or https URL.
func parseURL(text string) (*url.URL, error) { return parseEndpoint("URL", text, "http", "https") }

// parseWebSocket accepts an absolute ws or wss URL.
func parseWebSocket(text string) (*url.URL, error) {
	return parseEndpoint("WebSocket", text, "ws", "wss")
}

// parseEndpoint names the field in its error, and repeats nothing of the text:
// whatever does not parse may still hold a key.
func parseEndpoint(field, text string, schemes ...string) (*url.URL, error) {
	bad := func(reason string) (*url.URL, error) {
		return nil, &ConfigError{Field: field, Reason: reason}
	}
	if text == "" {
		return bad("required")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return bad("not a URL")
	case !slices.Contains(schemes, u.Scheme):
		return bad("want the scheme " + strings.Join(schemes, " or "))
	case u.Hostname() == "":
		return bad("no host")
	case u.Fragment != "":
		return bad("a fragment makes no sense here")
	}
	return u, nil
}

// displayURL is what may be shown of a URL: scheme and host.
func displayURL(text string) string {
	u, err := parseURL(text)
	if err != nil {
		return "(no valid URL)"
	}
	return u.Scheme + "://" + u.Host
}

// isHash reports whether s is 0x and 64 lower case hex digits.
func isHash(s string) bool {
	return len(s) == 66 && strings.HasPrefix(s, "0x") && strings.Trim(s[2:], "0123456789abcdef") == ""
}
