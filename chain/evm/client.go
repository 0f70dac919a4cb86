package evm

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Client is one node of one EVM chain. It implements chain.Client and is safe
// for concurrent use. It has no goroutine of its own, but for those of
// SubscribeHeads, and nothing to close.
type Client struct {
	cfg     Config
	number  uint64 // the EIP-155 chain id
	secrets redactor
	nextID  atomic.Uint64
	buffers sync.Pool // of *[]byte, response bodies
	readers sync.Pool // of *pageReader
	listed  atomic.Pointer[tokenTable]
	page    atomic.Uint64 // most blocks of a page that the node could answer; 0: no limit seen
	// plainBalances is set once the node could not run code that is not there.
	plainBalances atomic.Bool
	tracing       atomic.Uint32 // how the node traces a block; see trace.go
	stats         counters
	limits        nodeLimits
	samples       atomic.Uint64 // counts the blocks that are asked for again in turn
	head          atomic.Pointer[blockID]
	caps          atomic.Pointer[Capabilities]
	signers       atomic.Pointer[signers]
	ending        atomic.Pointer[ending]
}

// New checks the configuration and returns a client. It does not talk to the
// node: see Identify.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	number, err := chainNumber(cfg.Preset.Info.ID)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, number: number, secrets: newRedactor(cfg)}
	listed, err := listedTokens(cfg.Preset, cfg.Tokens)
	if err != nil {
		return nil, err
	}
	c.listed.Store(listed)
	return c, nil
}

// Info describes the chain.
func (c *Client) Info() chain.Info { return c.cfg.Preset.Info }

// Preset returns what the client was configured with.
func (c *Client) Preset() Preset { return c.cfg.Preset }

// String names the chain and the node's host, without any secret.
func (c *Client) String() string {
	return fmt.Sprintf("evm.Client{%s %s}", c.cfg.Preset.Info.Name, displayURL(c.cfg.URL))
}

// Format prints String for every verb: %+v must not print the URL.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// newHTTPClient is what a Config without HTTP gets. A proxy from the
// environment would see every key, and a redirect would carry the request to a
// place nobody configured.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableCompression:  true,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
