package bursar

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
)

// ChainClient is the port of a chain; see package chain.
type ChainClient = chain.Client

// Bounds and defaults of a Config and of requests.
const (
	// DefaultTTL is how long a payment waits for money; MinTTL and MaxTTL bound it.
	DefaultTTL = 24 * time.Hour
	MinTTL     = time.Minute
	MaxTTL     = 366 * 24 * time.Hour
	// MaxGrace bounds AmountPolicy.Grace.
	MaxGrace = 366 * 24 * time.Hour
	// DefaultRetention is how long ended deliveries are kept, MinRetention the
	// shortest that can be asked for: longer than the schedule of tries.
	DefaultRetention = 90 * 24 * time.Hour
	MinRetention     = 7 * 24 * time.Hour

	// DefaultSkipAhead is the default of Config.SkipAhead, MaxSkipAhead the most.
	DefaultSkipAhead = 1 << 20
	MaxSkipAhead     = 1 << 24

	// DefaultLease is how long an instance keeps a chain after its last sign of
	// life.
	DefaultLease = 30 * time.Second

	// DefaultDropAfter is the default of Chain.DropAfter; MinDropAfter and
	// MaxDropAfter bound it.
	DefaultDropAfter = time.Hour
	MinDropAfter     = time.Minute
	MaxDropAfter     = 30 * 24 * time.Hour
)

// SweepAt says when money may be swept.
type SweepAt string

// When money may be swept.
const (
	// SweepFinal: when its block is final. The default.
	SweepFinal SweepAt = "final"
	// SweepOff: never by itself.
	SweepOff SweepAt = "off"
)

// Config is what a Gateway is made of. New copies it, fills defaults and
// validates; a bad field is a *FieldError with its path.
type Config struct {
	// Store keeps everything. Required.
	Store Store
	// Wallet makes the addresses. Required. With a wallet made from xpubs the
	// gateway only watches, unless Signer signs for it.
	Wallet *hdwallet.Wallet
	// Retired are wallets of earlier times: watched, and swept, never issued
	// from.
	Retired []*hdwallet.Wallet
	// ReuseWallet lets Wallet be used with a Store that has never issued an
	// address of it although money lies on some of its deposit addresses, which
	// means that another database issued them. Set it where that database is gone
	// for good, for the first start; the pool then begins far above what was found.
	// Without it Start refuses, because two databases that issue from one wallet
	// give two customers one address. Only chains whose client is a
	// chain.BalanceReader can be searched, and addresses that were swept empty do
	// not show: give each database a wallet of its own, a staging system above all.
	ReuseWallet bool
	// Signer signs. Default: in process, with the keys of Wallet and Retired
	// and a policy that knows the treasuries of Chains; none where Wallet only
	// watches.
	Signer chain.Signer
	// Chains are the networks, at least one. All are live or all are test
	// networks.
	Chains []Chain
	// Notify receives the events. Names are unique.
	Notify []Notifier
	// Endpoints lets receivers of events be managed while the gateway runs: see
	// AddEndpoint. Nil: only Notify receives; Start refuses that where the store has
	// endpoints.
	Endpoints *Endpoints
	// Approvers are Ed25519 public keys, whose private halves are outside this
	// process: a refund is paid only with the signature of one of them, see
	// ApprovePayout. Required for refunds where the wallet in this process signs; a
	// Signer of its own knows its approvers, and what stands here is looked at first.
	Approvers []ed25519.PublicKey
	// Screen is asked before a payout to a stranger is recorded, outside any
	// transaction, and an error refuses it; Amount is zero where all or the excess is
	// asked for. It may be called again for the same payout, from several goroutines
	// at a time. Nil: nobody is asked.
	Screen func(ctx context.Context, s Screening) error
	// TTL is a payment's time to live where the request says none. Default 24 h,
	// 1 min to 366 days.
	TTL time.Duration
	// Policy is the amount policy where the request says none. Tolerance is in
	// base units and hence rarely useful here; ToleranceBps is.
	Policy AmountPolicy
	// Instance names this process among those that share the store: 1 to 64 of
	// a-z, A-Z, 0-9, '.', '_', '-', and no two processes at a time may have the
	// same. Default: a random name.
	Instance string
	// Lease is how long a chain stays with an instance that has gone silent.
	// Default 30 s, at least 1 s.
	Lease time.Duration
	// Retention is how long a delivery is kept after it was done or given up, on a
	// store that can forget them (Pruner). Default 90 days, at least 7; events are
	// kept for ever. Negative: deliveries too.
	Retention time.Duration
	// SkipAhead is how many address indexes are left out, at least, where the store
	// may have forgotten some that it handed out, as after a backup was restored; up
	// to as many again are left out by the place the data are in. Default 2^20, more
	// than any shop hands out between a backup and its restoration, and at most
	// MaxSkipAhead; fewer than the default are for test networks alone.
	SkipAhead uint32
	// Manual starts no background work: the host calls Step, from a scheduler of
	// its own or in a test.
	Manual bool
	// Logger gets what happens. Default slog.Default(). A panic of its handler is
	// contained; the record is lost.
	Logger *slog.Logger
	// Rand is the source of ids. Default crypto/rand.
	Rand io.Reader
}

// Chain is one network of a Config.
type Chain struct {
	// Client reaches the network. Required.
	Client ChainClient
	// Assets are the tokens that are accepted. The native coin is implicit; it
	// may be listed to set its minimums.
	Assets []chain.Asset
	// Treasury is where money is swept to, in canonical form (on EVM chains
	// with its EIP-55 checksum, so that a typing error cannot pass). It is
	// never read from the store. Required unless Sweep is SweepOff.
	Treasury chain.Address
	// Confirmations is the depth at which a transfer is confirmed; its own
	// block counts. Default: the chain's.
	Confirmations uint64
	// ConfirmAfter raises Confirmations to as many blocks as the chain usually makes
	// in that time, for chains so fast that a number of blocks says little. Zero:
	// not used.
	ConfirmAfter time.Duration
	// Tiers ask for other confirmations by amount, for each asset from the smallest
	// amount up.
	Tiers []Tier
	// Exposure caps what is confirmed and not final, by asset.
	Exposure []Exposure
	// Sweep says when money is swept. Default SweepFinal.
	Sweep SweepAt
	// Limits cap what is given back within a time.
	Limits []PayoutLimit
	// MaxTopUp caps the gas given to one address for one sweep, in base units
	// of the native coin. Zero: no cap beside MaxFee.
	MaxTopUp chain.Amount
	// MaxFee caps the fee of each transaction, in base units of the native
	// coin. Zero: no cap beside the client's.
	MaxFee chain.Amount
	// MaxBatch is how many addresses of one token are swept by one transaction, which the
	// sponsor pays for, where the client can do that (chain.Batcher, on EVM chains by
	// evm.Config.Sweeper). Its contract must pay Treasury, and let the gateway's sponsor
	// send. Default: as many as the client has room for. Negative: none, each address is
	// topped up and pays for itself.
	MaxBatch int
	// Gather is how long a token that is alone at the time waits for others, from when it
	// is final: what ten addresses hold costs half as much gas together. Up to 30 days.
	// Default: 10 min, where there are batches. Negative: not at all.
	Gather time.Duration
	// SweepDeadline is how long a sweep may take from its first signature until it
	// offers all that it may cost. It then begins at the lowest price that is still
	// mined and rises with each replacement to its budget: the lowest of MaxFee, the
	// asset's MaxSweepFee and half of what it moves. 1 min to 30 days, on most chains
	// at least 5 min or 25 block times; it needs MaxFee. Zero, the default: a sweep
	// offers the market's price at once.
	SweepDeadline time.Duration
	// LowFee and LowFeePercent have sweeps wait while gas is dear: until it costs at
	// most LowFee, in base units of the native coin for a unit of gas, or at most
	// that percentage of the median of the last day, 1 to 10000. Top-ups, refunds and
	// withdrawals never wait. Zero, the default: sweeps do not wait either.
	LowFee        chain.Amount
	LowFeePercent uint64 // LowFeePercent is of the usual price; 100 is as usual.
	// SweepWait is how long a sweep waits for it at most; after that it is made at
	// any price within MaxFee. Up to 30 days. Default: 24 h, where it waits at all.
	SweepWait time.Duration
	// Start is the first block to scan on a fresh store; 0 begins at the head.
	Start uint64
	// Poll is the pause between two looks at the head. Default: the block time.
	Poll time.Duration
	// Mempool has transfers announced while they still wait in the node's mempool,
	// where the client is a chain.MempoolWatcher: a transaction.detected with 0
	// confirmations. It never moves a payment and never credits anything. Off by
	// default: a stream of all that is pending is a load on one's own node, and
	// providers charge for it. With Config.Manual nothing is streamed.
	Mempool bool
	// DropAfter is how long no node may know an announced transaction before it
	// counts as dropped. Default 1 h, 1 min to 30 days. A restart begins it anew.
	DropAfter time.Duration
}

// prepared copies the configuration, fills defaults and validates.
func (c Config) prepared() (Config, error) {
	c.Chains = append([]Chain(nil), c.Chains...)
	c.Notify = append([]Notifier(nil), c.Notify...)
	c.Retired = append([]*hdwallet.Wallet(nil), c.Retired...)
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	if c.Retention == 0 {
		c.Retention = DefaultRetention
	}
	if c.SkipAhead == 0 {
		c.SkipAhead = DefaultSkipAhead
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = slog.New(calmHandler{c.Logger.Handler()})
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	switch {
	case c.Store == nil:
		return c, fieldErr("Config.Store", CodeRequired, "a gateway needs a store")
	case c.Wallet == nil:
		return c, fieldErr("Config.Wallet", CodeRequired, "a gateway needs a wallet")
	case len(c.Chains) == 0:
		return c, fieldErr("Config.Chains", CodeRequired, "a gateway needs at least one chain")
	case c.Lease < time.Second:
		return c, fieldErr("Config.Lease", CodeOutOfRange, "%s is shorter than 1 s", c.Lease)
	case c.Retention > 0 && c.Retention < MinRetention:
		return c, fieldErr("Config.Retention", CodeOutOfRange, "%s is shorter than %s", c.Retention, MinRetention)
	}
	if err := checkTTL("Config.TTL", c.TTL); err != nil {
		return c, err
	}
	if err := c.Policy.check("Config.Policy"); err != nil {
		return c, err
	}
	for i, w := range c.Retired {
		if w == nil {
			return c, fieldErr(fmt.Sprintf("Config.Retired[%d]", i), CodeRequired, "nil wallet")
		}
	}
	if err := c.checkApprovers(); err != nil {
		return c, err
	}
	if err := c.checkNotifiers(); err != nil {
		return c, err
	}
	if c.Endpoints != nil {
		common, err := c.Endpoints.prepare("Config.Endpoints")
		if err != nil {
			return c, err
		}
		c.Endpoints = &common
	}
	seen := map[chain.ID]bool{}
	for i := range c.Chains {
		path := fmt.Sprintf("Config.Chains[%d]", i)
		if err := c.Chains[i].prepare(path); err != nil {
			return c, err
		}
		info := c.Chains[i].Client.Info()
		if seen[info.ID] {
			return c, fieldErr(path+".Client", CodeDuplicate, "chain %s is configured twice", info.ID)
		}
		seen[info.ID] = true
		if first := c.Chains[0].Client.Info(); info.Testnet != first.Testnet {
			return c, fieldErr(path+".Client", CodeMismatch, "live and test networks never mix: %s and %s", first.ID, info.ID)
		}
		if c.SkipAhead > MaxSkipAhead || c.SkipAhead < DefaultSkipAhead && !info.Testnet {
			return c, fieldErr("Config.SkipAhead", CodeOutOfRange, "%d is not within %d and %d", c.SkipAhead, DefaultSkipAhead, MaxSkipAhead)
		}
	}
	return c, nil
}

func (c Config) checkNotifiers() error {
	names := map[string]bool{}
	for i, n := range c.Notify {
		path := fmt.Sprintf("Config.Notify[%d]", i)
		if n == nil {
			return fieldErr(path, CodeRequired, "nil notifier")
		}
		name := n.Name()
		switch {
		case !validName(name):
			return fieldErr(path, CodeInvalid, "name %q: want 1 to 64 of a-z, A-Z, 0-9, . _ and -", name)
		case names[name]:
			return fieldErr(path, CodeDuplicate, "name %q stands twice", name)
		}
		names[name] = true
	}
	return nil
}

// prepare fills a chain's defaults and validates it.
func (c *Chain) prepare(path string) error {
	if c.Client == nil {
		return fieldErr(path+".Client", CodeRequired, "a chain needs a client")
	}
	info := c.Client.Info()
	if c.Confirmations == 0 {
		c.Confirmations = max(info.Confirmations, 1)
	}
	c.Confirmations = max(c.Confirmations, blocksIn(c.ConfirmAfter, info.BlockTime))
	c.Tiers, c.Exposure = slices.Clone(c.Tiers), slices.Clone(c.Exposure)
	if c.Sweep == "" {
		c.Sweep = SweepFinal
	}
	if c.DropAfter == 0 {
		c.DropAfter = DefaultDropAfter
	}
	switch {
	case info.ID == "" || c.Client.Codec() == nil:
		return fieldErr(path+".Client", CodeInvalid, "the client tells no chain id or no codec")
	case c.Confirmations >= info.MaxReorg:
		return fieldErr(path+".Confirmations", CodeOutOfRange, "%d confirmations need a reorg window of more than %d blocks", c.Confirmations, info.MaxReorg)
	case c.Sweep != SweepFinal && c.Sweep != SweepOff:
		return fieldErr(path+".Sweep", CodeInvalid, "%q is neither %q nor %q", c.Sweep, SweepFinal, SweepOff)
	case c.Poll < 0:
		return fieldErr(path+".Poll", CodeOutOfRange, "negative")
	case c.ConfirmAfter < 0:
		return fieldErr(path+".ConfirmAfter", CodeOutOfRange, "negative")
	case c.DropAfter < MinDropAfter || c.DropAfter > MaxDropAfter:
		return fieldErr(path+".DropAfter", CodeOutOfRange, "%s is not within %s and %s", c.DropAfter, MinDropAfter, MaxDropAfter)
	}
	if err := c.checkTreasury(path); err != nil {
		return err
	}
	for _, check := range []func(string) error{c.checkAssets, c.checkTiers, c.checkExposure, c.checkLimits, c.checkFees} {
		if err := check(path); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chain) checkTreasury(path string) error {
	field := path + ".Treasury"
	if c.Treasury == "" {
		if c.Sweep == SweepOff {
			return nil
		}
		return fieldErr(field, CodeRequired, "an address to sweep to, or Sweep: SweepOff")
	}
	parsed, err := c.Client.Codec().Parse(string(c.Treasury))
	switch {
	case err != nil:
		return &FieldError{Field: field, Code: CodeInvalid, Reason: "not an address", Err: err}
	case parsed != c.Treasury:
		return fieldErr(field, CodeInvalid, "%s is not in canonical form, with checksum: %s", c.Treasury, parsed)
	case isZeroAddress(c.Client.Codec(), parsed):
		return fieldErr(field, CodeInvalid, "%s is the zero address", parsed)
	}
	for _, a := range c.Assets {
		if a.Contract == c.Treasury {
			return fieldErr(field, CodeInvalid, "%s is the contract of %s", parsed, a.Symbol)
		}
	}
	return nil
}

func (c *Chain) checkAssets(path string) error {
	info := c.Client.Info()
	seen := map[chain.AssetID]bool{}
	symbols := map[string]bool{}
	assets := make([]chain.Asset, 0, len(c.Assets)+1)
	for i, a := range c.Assets {
		field := fmt.Sprintf("%s.Assets[%d]", path, i)
		switch {
		case a.Chain() != info.ID:
			return fieldErr(field+".ID", CodeMismatch, "%s is not on chain %s", a.ID, info.ID)
		case a.Native() && (a.ID != info.Native.ID || a.Decimals != info.Native.Decimals):
			return fieldErr(field, CodeMismatch, "%s without a contract is not the chain's coin %s", a.ID, info.Native.ID)
		case a.Symbol == "":
			return fieldErr(field+".Symbol", CodeRequired, "an asset needs a symbol")
		case a.Decimals > chain.MaxDecimals:
			return fieldErr(field+".Decimals", CodeOutOfRange, "%d is above %d", a.Decimals, chain.MaxDecimals)
		case seen[a.ID]:
			return fieldErr(field+".ID", CodeDuplicate, "%s stands twice", a.ID)
		case symbols[a.Symbol]:
			return fieldErr(field+".Symbol", CodeDuplicate, "%s stands twice; the alias would be ambiguous", a.Symbol)
		}
		if _, err := chain.ParseAssetID(string(a.ID)); err != nil {
			return &FieldError{Field: field + ".ID", Code: CodeInvalid, Reason: "not a CAIP-19 id", Err: err}
		}
		if err := checkContract(c.Client.Codec(), field, a); err != nil {
			return err
		}
		seen[a.ID], symbols[a.Symbol] = true, true
		assets = append(assets, a)
	}
	if !seen[info.Native.ID] {
		if symbols[info.Native.Symbol] {
			return fieldErr(path+".Assets", CodeDuplicate, "%s is the symbol of the chain's own coin", info.Native.Symbol)
		}
		assets = append(assets, info.Native)
	}
	c.Assets = assets
	return nil
}

// checkContract makes sure that a token's id and contract name the same thing.
func checkContract(codec chain.Codec, field string, a chain.Asset) error {
	if a.Native() {
		return nil
	}
	parsed, err := codec.Parse(string(a.Contract))
	switch {
	case err != nil:
		return &FieldError{Field: field + ".Contract", Code: CodeInvalid, Reason: "not an address", Err: err}
	case parsed != a.Contract:
		return fieldErr(field+".Contract", CodeInvalid, "%s is not in canonical form: %s", a.Contract, parsed)
	case a.ID.Reference() != string(a.Contract):
		return fieldErr(field+".ID", CodeMismatch, "the id names %s, the contract is %s", a.ID.Reference(), a.Contract)
	}
	return nil
}

func isZeroAddress(codec chain.Codec, a chain.Address) bool {
	keys, err := codec.WatchKeys(a)
	if err != nil {
		return false
	}
	for _, key := range keys {
		for _, b := range key {
			if b != 0 {
				return false
			}
		}
	}
	return true
}
