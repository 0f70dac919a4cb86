package config

import (
	"log/slog"
	"time"
)

// The comments of these types are the reference that docs/configuration.md is
// made of: what a field is, its unit, its range, and what it is when left out.

// File is a whole configuration. Load makes one; the zero value can be filled
// in Go as well.
type File struct {
	// Store is where everything is kept.
	Store Store `yaml:"store"`
	// Wallet is the active wallet, which addresses are issued from.
	Wallet Wallet `yaml:"wallet"`
	// Retired are wallets of earlier times, by a name of yours: watched and
	// swept, never issued from. Default: none.
	Retired map[string]Wallet `yaml:"retired"`
	// Chains are the networks by name: 1 to 32 of a-z, 0-9 and -. At least one;
	// all are live or all are test networks. The name is what assets are called
	// by, "ethereum/USDC".
	Chains map[string]Chain `yaml:"chains"`
	// Webhooks are the HTTP endpoints that events are sent to, by name: 1 to 64
	// of a-z, A-Z, 0-9, ., _ and -. Default: none; handlers in Go are added to
	// the result of Build.
	Webhooks map[string]Webhook `yaml:"webhooks"`
	// Endpoints lets the host manage receivers of events while the gateway runs, beside
	// webhooks. Default: none can be added. See docs/webhooks.md.
	Endpoints *Endpoints `yaml:"endpoints"`
	// Approvers are Ed25519 public keys, 64 hex digits each, of which one has to sign
	// each refund; their private halves are nowhere near this process. Default: none,
	// and a mnemonic's signer pays no refunds.
	Approvers []string `yaml:"approvers"`
	// Signer is the process that has the keys, where that is another one: how the gateway
	// reaches it, and what it is itself. Default: none, and the mnemonic's keys sign in
	// the gateway. See docs/signers.md.
	Signer *Signer `yaml:"signer"`
	// Policy is the amount policy of payments whose request says none.
	Policy Policy `yaml:"policy"`
	// TTL is how long a payment waits for money where the request does not say.
	// A duration such as 24h or 90m, 1m to 8784h (366 days). Default: 24h.
	TTL time.Duration `yaml:"ttl"`
	// Lease is how long a chain stays with an instance that has gone silent. At
	// least 1s. Default: 30s.
	Lease time.Duration `yaml:"lease"`
	// Instance names this process among those that share the store, no two the
	// same: 1 to 64 of a-z, A-Z, 0-9, ., _ and -. Default: a random name.
	Instance string `yaml:"instance"`
	// LogLevel is what File.Level returns for the host's logger: debug, info,
	// warn or error. Default: info.
	LogLevel string `yaml:"log_level"`

	name   string
	places map[string]place
}

// Store says which store to open. Opening it is the host's business, so that
// this package links no driver.
type Store struct {
	// Driver is the kind of store: memory, which forgets everything with the
	// process, sqlite or postgres. Required.
	Driver string `yaml:"driver"`
	// Path is the database's file, for sqlite alone. Required there. A relative
	// path is relative to the working directory.
	Path string `yaml:"path"`
	// DSN is the connection string, for postgres alone: a URL or key=value
	// pairs. Required there. One that holds a password comes from a file or the
	// environment.
	DSN Secret `yaml:"dsn" secret:"dsn"`
	// Password is the database's password apart from the DSN, for postgres
	// alone. Default: that of the DSN, if any.
	Password Secret `yaml:"password"`
	// Schema is the schema that the tables are in, for postgres alone: a-z, 0-9
	// and _, up to 63, no digit first. Default: bursar.
	Schema string `yaml:"schema"`
}

// Wallet is a mnemonic, or account keys that can only watch: one of both.
type Wallet struct {
	// Mnemonic is the BIP-39 mnemonic, 12 to 24 English words. Required unless
	// xpubs are given.
	Mnemonic Secret `yaml:"mnemonic"`
	// Passphrase is the mnemonic's passphrase. Default: none.
	Passphrase Secret `yaml:"passphrase"`
	// XPubs are extended public keys of m/44'/coin'/0' by SLIP-44 coin type, 60
	// for every EVM chain. They reveal every address and may stand in the file.
	// Required unless a mnemonic is given.
	XPubs map[string]Secret `yaml:"xpubs" secret:"inline"`
	// Deposits has deposit addresses made of another mnemonic than the gateway's own
	// accounts, so that their keys can be where no network is. The wallet's own mnemonic
	// or xpubs are then for sponsor and float alone. It makes another wallet than the same
	// without it. See docs/operations.md. Default: one mnemonic for both.
	Deposits *Deposits `yaml:"deposits"`
}

// Deposits are deposit addresses whose keys the gateway does not have: xpubs and what was
// signed before; or, on the machine that signs it, the mnemonic.
type Deposits struct {
	// Mnemonic is that of the deposits, for bursar authorise on a machine that is offline.
	// Required unless xpubs are given.
	Mnemonic Secret `yaml:"mnemonic"`
	// Passphrase is the mnemonic's passphrase. Default: none.
	Passphrase Secret `yaml:"passphrase"`
	// XPubs are its extended public keys, for everything that is online: as in wallet.
	// Required unless a mnemonic is given.
	XPubs map[string]Secret `yaml:"xpubs" secret:"inline"`
	// Authorisations are the files that bursar authorise wrote, by their paths. They are
	// read and verified when the gateway is built, 0.2 ms of a processor and 65 bytes of
	// memory for each address. A relative path is relative to the working directory.
	// Default: none, and only addresses that delegate already are swept.
	Authorisations []string `yaml:"authorisations"`
}

// Chain is one network.
type Chain struct {
	// Preset is what is known of the chain: ethereum, bsc, polygon, arbitrum,
	// avalanche, fantom, sonic, base, optimism, local for a development node, or
	// none for a chain that describe tells all about. Default: the chain's name,
	// where there is a preset of that name.
	Preset string `yaml:"preset"`
	// Describe changes what the preset says, or says it. Default: the preset as
	// it is.
	Describe Describe `yaml:"describe"`
	// URL is the node's HTTP endpoint, http or https. It may stand in the file
	// and is never shown, since providers put their keys into it. Required unless
	// providers are given.
	URL Secret `yaml:"url" secret:"inline"`
	// WebSocket is the node's endpoint for pushed heads, and for the mempool, ws or wss. It may stand in
	// the file and is never shown. Default: none, the node is polled.
	WebSocket Secret `yaml:"websocket" secret:"inline"`
	// Headers are added to each request to the node, by name. Default: none.
	Headers map[string]Secret `yaml:"headers"`
	// Providers are several nodes in place of the one of url, websocket and headers,
	// by a name of yours: 1 to 64 of a-z, A-Z, 0-9, ., _ and -. Default: none.
	Providers map[string]Provider `yaml:"providers"`
	// Quorum says which of the providers are believed, and how they are asked.
	// It is for providers alone.
	Quorum Quorum `yaml:"quorum"`
	// Native pins where movements of native coin are read from: full blocks, raw
	// ones where the node has them, trace, which shows what contracts send, or probe
	// and blocks, which choose by the node, with and without comparing balances first.
	// Default: what the node turns out to have; with providers: full.
	Native string `yaml:"native"`
	// Verify holds each block that has something for us against its own hash: header,
	// receipts and, where the node has raw blocks, transactions. It needs
	// describe.hashed. Default: true where providers are sampled and the chain can be
	// verified, otherwise false.
	Verify *bool `yaml:"verify"`
	// Genesis is the hash of the first block, as a pin against a fork that kept
	// the chain id: 0x and 64 lower-case hex digits. Default: not checked before
	// the store knows it.
	Genesis string `yaml:"genesis"`
	// Timeout bounds one request to the node, 1ms to 10m. Default: 30s.
	Timeout time.Duration `yaml:"timeout"`
	// MaxResponse is the most bytes of one answer, 65536 to 1073741824. Default:
	// 33554432 (32 MiB).
	MaxResponse int64 `yaml:"max_response"`
	// MaxBatch is the most calls in one request, 1 to 1000. Default: 100.
	MaxBatch int `yaml:"max_batch"`
	// PageBlocks is the most blocks read at once, 1 to 1000. Default: the
	// preset's.
	PageBlocks uint64 `yaml:"page_blocks"`
	// MaxGasPrice is the most ever offered for a unit of gas, in gwei, up to
	// 50000. Default: 50000.
	MaxGasPrice Units `yaml:"max_gas_price"`
	// Treasury is where money is swept to: an address with its checksum, that is
	// none of the gateway's own. Required unless sweep is off.
	Treasury string `yaml:"treasury"`
	// Confirmations is the depth, in blocks, at which a transfer is confirmed;
	// its own block counts. At least 1, less than describe.max_reorg. Default:
	// the preset's.
	Confirmations uint64 `yaml:"confirmations"`
	// ConfirmAfter raises confirmations to as many blocks as the chain usually
	// makes in that time, a duration, for very fast chains. Default: not used.
	ConfirmAfter time.Duration `yaml:"confirm_after"`
	// Sweep is final, to sweep what is final, or off. Default: final.
	Sweep string `yaml:"sweep"`
	// MaxFee caps the fee of each transaction, in units of the native coin.
	// Default: no cap beside max_gas_price.
	MaxFee Units `yaml:"max_fee"`
	// MaxTopUp caps the gas given to one address for one sweep, in units of the
	// native coin. Default: no cap beside max_fee.
	MaxTopUp Units `yaml:"max_top_up"`
	// Sweeper has the tokens of many addresses swept by one transaction, by a contract
	// that is made of the treasury, the wallet's sponsor and the owner named there.
	// Without the section each address pays for its own sweep. A gateway starts once
	// the contract is on the chain: see docs/operations.md and bursar sweeper.
	Sweeper *Sweeper `yaml:"sweeper"`
	// SweepDeadline is how long a sweep may take from its first signature until it
	// offers all that it may cost, a duration, 1m to 720h, on most chains at least
	// 5m. It begins at the lowest price that is still mined and rises to the budget.
	// It needs max_fee. Default: the market's price at once.
	SweepDeadline time.Duration `yaml:"sweep_deadline"`
	// LowFee is a price of gas, in gwei, up to which sweeps are made at once; above
	// it they wait. Default: they do not wait for it.
	LowFee Units `yaml:"low_fee"`
	// LowFeePercent is the same as a percentage of the usual price, the median of the
	// last day, 1 to 10000. With both the higher one counts. Default: sweeps do not
	// wait for it.
	LowFeePercent uint64 `yaml:"low_fee_percent"`
	// SweepWait is how long a sweep waits for lower fees at most, a duration up to
	// 720h, for low_fee and low_fee_percent alone. Default: 24h.
	SweepWait time.Duration `yaml:"sweep_wait"`
	// Start is the first block to scan on a fresh store. Default: 0, the head.
	Start uint64 `yaml:"start"`
	// Poll is the pause between two looks at the head, a duration. Default: the
	// block time.
	Poll time.Duration `yaml:"poll"`
	// Mempool has transfers announced while they wait in the mempool, with 0
	// confirmations; nothing is credited before a block has them. It needs
	// websocket, and a node that streams pending transactions: a load on one's own
	// and dear at most providers. Default: false.
	Mempool bool `yaml:"mempool"`
	// DropAfter is how long no node may know an announced transaction before it
	// counts as dropped, a duration, 1m to 720h. Default: 1h.
	DropAfter time.Duration `yaml:"drop_after"`
	// Assets are the accepted tokens by symbol, and the native coin where its
	// minimums matter. Default: the native coin alone.
	Assets map[string]Asset `yaml:"assets" env:"upper"`
}

// Sweeper is the contract that sweeps many addresses at once, and how it is used.
type Sweeper struct {
	// Owner alone can have a deposit address make any call, and so take what is not
	// swept yet: an address, with its checksum, of a key that is kept as well as the
	// treasury's or of a multi-signature contract; it may be the treasury. Another owner
	// makes another contract. Required.
	Owner string `yaml:"owner"`
	// MaxBatch is the most addresses in one transaction, from 1 to what the chain's
	// transactions have room for. Default: that, 424.
	MaxBatch int `yaml:"max_batch"`
	// Gather is how long a token waits for others to be swept with, from when it is
	// final, where fewer than max_batch are ready. A duration, 0s to 720h. Default: 10m.
	Gather *time.Duration `yaml:"gather"`
}

// Provider is one of several nodes of a chain.
type Provider struct {
	// URL is its HTTP endpoint, http or https. It may stand in the file and is never
	// shown. Required.
	URL Secret `yaml:"url" secret:"inline"`
	// WebSocket is its endpoint for pushed heads and for the mempool, ws or wss. It may stand in the file
	// and is never shown. Default: none.
	WebSocket Secret `yaml:"websocket" secret:"inline"`
	// Headers are added to each request to it, by name. Default: none.
	Headers map[string]Secret `yaml:"headers"`
	// Operator is who runs it: providers of one operator are one voice. 1 to 64 of
	// a-z, A-Z, 0-9, ., _ and -. Default: its name.
	Operator string `yaml:"operator"`
	// Priority says whom to ask first: the lowest number, and among equals the
	// first name of the alphabet. 0 to 65535. Default: 0.
	Priority uint16 `yaml:"priority"`
	// Rate is how many calls of the gateway it gets in a second on average; a call is a
	// few requests. Default: 0, no limit.
	Rate int `yaml:"rate"`
	// Burst is how many calls it gets at once, where rate is set. Default: rate.
	Burst int `yaml:"burst"`
	// Native is the chain's native for this provider. All that are compared must show
	// the same: trace in all, or full or raw in each. Default: the chain's.
	Native string `yaml:"native"`
	// Timeout bounds one request to it, 1ms to 10m. Default: the chain's timeout.
	Timeout time.Duration `yaml:"timeout"`
	// MaxResponse is the most bytes of one answer, 65536 to 1073741824. Default:
	// the chain's max_response.
	MaxResponse int64 `yaml:"max_response"`
	// MaxBatch is the most calls in one request, 1 to 1000. Default: the chain's
	// max_batch.
	MaxBatch int `yaml:"max_batch"`
	// PageBlocks is the most blocks read from it at once, 1 to 1000. Default: the
	// chain's page_blocks.
	PageBlocks uint64 `yaml:"page_blocks"`
}

// Quorum says which of several providers are believed.
type Quorum struct {
	// Agree is how many operators must say the same before anything is believed.
	// 1 to the number of operators. Required where there are several; otherwise
	// default: 1.
	Agree int `yaml:"agree"`
	// Sample has one page in so many, on average, read by a second operator too,
	// where agree is 1. Default: 0, never.
	Sample uint64 `yaml:"sample"`
	// Checkpoints are blocks that each provider must have, each a height and a
	// hash: 1920000 0x… with 64 lower-case hex digits. Default: none.
	Checkpoints []string `yaml:"checkpoints"`
	// Recheck is how often a provider's chain id, genesis and checkpoints are asked
	// for again, a duration of at least 1s. Default: 10m.
	Recheck time.Duration `yaml:"recheck"`
	// HedgeLeast is the least time after which a second provider is asked what a
	// first has not answered, a duration of at least 1ms. Default: 50ms.
	HedgeLeast time.Duration `yaml:"hedge_least"`
	// HedgeMost is the most of that, a duration of at least hedge_least. Default: 2s.
	HedgeMost time.Duration `yaml:"hedge_most"`
	// FailAfter is how many failures in a row put a provider aside. At least 1.
	// Default: 3.
	FailAfter int `yaml:"fail_after"`
	// Cooldown is how long a provider is put aside the first time, a duration of at
	// least 1ms. Default: 10s.
	Cooldown time.Duration `yaml:"cooldown"`
	// MaxCooldown is what the cool-down grows up to, a duration of at least cooldown.
	// Default: 5m.
	MaxCooldown time.Duration `yaml:"max_cooldown"`
	// MaxBehind is how many blocks a provider may be behind the others before it is
	// put aside. Default: two minutes of blocks, at least 10.
	MaxBehind uint64 `yaml:"max_behind"`
	// HeadAge is how long the head may stand still before that is told, a duration.
	// Default: 20 block times, at least 1m.
	HeadAge time.Duration `yaml:"head_age"`
	// FeeRatio is how often the median of the providers' prices a transaction may
	// cost. At least 2. Default: 4.
	FeeRatio uint64 `yaml:"fee_ratio"`
}

// Describe is what a chain is like. Each field replaces that of the preset.
type Describe struct {
	// ChainID is the EIP-155 number, 1 and above. Required without a preset, and
	// with the preset local (1337 for geth --dev, 31337 for anvil).
	ChainID uint64 `yaml:"chain_id"`
	// Symbol is that of the native coin, which has 18 decimals. Required without
	// a preset.
	Symbol string `yaml:"symbol"`
	// Testnet is true where coins have no value. Default: the preset's, or
	// false.
	Testnet *bool `yaml:"testnet"`
	// BlockTime is the usual time between two blocks, a duration above zero.
	// Required without a preset.
	BlockTime time.Duration `yaml:"block_time"`
	// Confirmations is the default of the chain's confirmations, in blocks, and
	// what a lower choice is warned about against. At least 1. Required without a
	// preset.
	Confirmations uint64 `yaml:"confirmations"`
	// FinalityDepth is the depth, in blocks, at which a block is final where the
	// node names no final block. At least describe.confirmations. Required
	// without a preset.
	FinalityDepth uint64 `yaml:"finality_depth"`
	// FinalityTag is the block tag that names the final block: finalized, safe
	// or none. Default: the preset's, or none.
	FinalityTag string `yaml:"finality_tag"`
	// MaxReorg is how many blocks deep a reorg can be followed. Above the
	// confirmations. Required without a preset.
	MaxReorg uint64 `yaml:"max_reorg"`
	// InclusionSlack is how long after its deadline a payment still takes a
	// transfer that was under way, a duration. Default: the preset's, or 1h.
	InclusionSlack time.Duration `yaml:"inclusion_slack"`
	// OnDemandBlocks is true for development nodes that make a block only for a
	// transaction. Default: the preset's, or false.
	OnDemandBlocks *bool `yaml:"on_demand_blocks"`
	// Legacy is true where the chain has no base fee (EIP-1559). Default: the
	// preset's, or false.
	Legacy *bool `yaml:"legacy"`
	// OPStack is true where the chain adds a fee for the layer below it.
	// Default: the preset's, or false.
	OPStack *bool `yaml:"op_stack"`
	// Hashed is true where headers and receipts are hashed just as on Ethereum.
	// Default: the preset's (ethereum and local are), or false.
	Hashed *bool `yaml:"hashed"`
	// PlainAccounts is true where coin leaves an account without code only by a
	// transaction that raises its nonce, as on Ethereum: then blocks far below the
	// head in which no account of ours moved may be left unread. Default: the
	// preset's (all but arbitrum), or false.
	PlainAccounts *bool `yaml:"plain_accounts"`
	// CoinLogs is true where the chain logs each movement of the native coin
	// (EIP-7708), which shows what contracts send. Default: the preset's, or false.
	CoinLogs *bool `yaml:"coin_logs"`
}

// Asset is a token, or the native coin.
type Asset struct {
	// Contract is the token's contract. Default: that of the well-known token with
	// exactly that symbol on the chain of the preset (USDC, USDC.e, USDT, DAI …),
	// which must not name another contract; with the native coin's symbol, none.
	// Otherwise required.
	Contract string `yaml:"contract"`
	// Decimals is how many decimals a unit has, 0 to 77, as the contract says:
	// compared at start. Required where the contract is; left out for the native
	// coin.
	Decimals *uint8 `yaml:"decimals"`
	// Minimum is the smallest payment and the smallest transfer followed by
	// itself, in units. Default: none.
	Minimum Units `yaml:"minimum"`
	// SweepMinimum is the smallest holding worth sweeping, in units. Default:
	// everything is.
	SweepMinimum Units `yaml:"sweep_minimum"`
	// Tiers ask for other confirmations from an amount on, the smallest amount
	// first. Each is an amount in units and a depth in blocks, final, or both: 100
	// 12, or 5000 64 final. Default: none, the chain's confirmations.
	Tiers []string `yaml:"tiers"`
	// Exposure caps what is confirmed and not final, in units; what does not fit
	// waits for finality. Default: no cap.
	Exposure Units `yaml:"exposure"`
	// RefundLimits cap what is given back within a time, all refunds together. Each is
	// an amount in units and a time: 1000 24h. Default: no cap.
	RefundLimits []string `yaml:"refund_limits"`
	// MaxSweepFee is the most one sweep may cost, in units of the native coin.
	// Default: the chain's max_fee.
	MaxSweepFee Units `yaml:"max_sweep_fee"`
	// VerifyBalance has each arrival compared with the balance of its address,
	// for tokens that may take a fee or lie. Default: false.
	VerifyBalance bool `yaml:"verify_balance"`
	// CodeHash pins the token's code as Preflight shows it; while the chain has
	// another, nothing of the token is credited. Default: not pinned.
	CodeHash string `yaml:"code_hash"`
}

// Webhook is one endpoint.
type Webhook struct {
	// URL receives the events: https, or http where allow_http. It may stand in
	// the file and is never shown. Required.
	URL Secret `yaml:"url" secret:"inline"`
	// Secret signs the requests: whsec_ and base64 of 24 to 64 bytes. Required.
	Secret Secret `yaml:"secret"`
	// PreviousSecret signs beside it while receivers change over. Default: none.
	PreviousSecret Secret `yaml:"previous_secret"`
	// Headers are sent with each request, by name. Default: none.
	Headers map[string]Secret `yaml:"headers"`
	// Timeout bounds one attempt, up to 30s, after which the gateway gives up
	// waiting. Default: 15s.
	Timeout time.Duration `yaml:"timeout"`
	// AllowPrivate are networks that may be reached although they are not on the
	// public internet, in CIDR form: [10.1.2.0/24]. Default: none.
	AllowPrivate []string `yaml:"allow_private"`
	// AllowHTTP permits http to addresses in allow_private. Default: false.
	AllowHTTP bool `yaml:"allow_http"`
	// Ports are those permitted beside 443, 1 to 65535. Default: none.
	Ports []uint16 `yaml:"ports"`
	// Concurrency is the most requests at once, 0 to 1024. Default: 0, no limit.
	Concurrency int `yaml:"concurrency"`
	// Every is the time between two requests in the long run, a duration.
	// Default: no limit.
	Every time.Duration `yaml:"every"`
	// Burst is how many requests may come at once after a pause, where every is
	// set. At least 1. Default: 1.
	Burst int `yaml:"burst"`
	// BreakerFailures is how many failures in a row stop the requests for a
	// while, 1 to 1000. Default: 0, they go on.
	BreakerFailures int `yaml:"breaker_failures"`
}

// Endpoints is what all endpoints that are managed at run time have in common.
type Endpoints struct {
	// Key encrypts in the store what endpoints say: base64 of 32 random bytes, as
	// `openssl rand -base64 32` writes them. Who loses it loses the endpoints. Required.
	Key Secret `yaml:"key"`
	// PreviousKey opens what was encrypted before key took its place, until every
	// instance has started with both. Default: none.
	PreviousKey Secret `yaml:"previous_key"`
	// Max is how many endpoints there may be, 1 to 10000. Default: 100.
	Max int `yaml:"max"`
	// Timeout bounds one attempt where the endpoint says nothing, up to 30s.
	// Default: 15s.
	Timeout time.Duration `yaml:"timeout"`
	// AllowPrivate are networks that endpoints may be in although they are not on the
	// public internet, in CIDR form: [10.1.2.0/24]. Default: none.
	AllowPrivate []string `yaml:"allow_private"`
	// AllowHTTP permits http to addresses in allow_private. Default: false.
	AllowHTTP bool `yaml:"allow_http"`
	// Ports are those permitted beside 443, 1 to 65535. Default: none.
	Ports []uint16 `yaml:"ports"`
	// BreakerFailures is how many failures in a row stop the requests to an endpoint
	// for a while, 1 to 1000. Default: 5.
	BreakerFailures int `yaml:"breaker_failures"`
}

// Signer is how the gateway reaches the process that has the keys, and what that process
// is itself. One file can serve both.
type Signer struct {
	// URL is where the gateway asks for signatures, without a path:
	// https://signer.internal:8443, or http on the loopback. The gateway's wallet then
	// has xpubs. Default: nowhere, the gateway's own keys sign.
	URL string `yaml:"url"`
	// Client names the secret: 1 to 64 of a-z, A-Z, 0-9, ., _ and -. Default: gateway.
	Client string `yaml:"client"`
	// Secret is what gateway and signer share: base64 of 32 random bytes or more.
	// Required unless the gateway shows a certificate.
	Secret Secret `yaml:"secret"`
	// Authorities are the certificates, in PEM, of those that the signer's certificate
	// may come from. Default: the system's.
	Authorities Secret `yaml:"authorities" secret:"inline"`
	// Certificate is the gateway's, in PEM. Default: none is shown.
	Certificate Secret `yaml:"certificate" secret:"inline"`
	// PrivateKey is the certificate's, in PEM. Required where there is one.
	PrivateKey Secret `yaml:"private_key"`
	// Serve is what bursar signer does with the file's mnemonics; a gateway leaves it
	// alone. Default: none, the file is a gateway's alone.
	Serve *SignerServe `yaml:"serve"`
}

// SignerServe is the process that has the keys.
type SignerServe struct {
	// Listen is the address that it listens on, host and port: 127.0.0.1:8443. Without
	// a certificate an address of the loopback. Required.
	Listen string `yaml:"listen"`
	// Certificate is the signer's, in PEM. Required but on the loopback.
	Certificate Secret `yaml:"certificate" secret:"inline"`
	// PrivateKey is the certificate's, in PEM. Required where there is one.
	PrivateKey Secret `yaml:"private_key"`
	// Authorities are the certificates, in PEM, of those that the gateway's certificate
	// must come from. All that they issued let in, so that they issue for this alone.
	// Default: no certificate is asked for.
	Authorities Secret `yaml:"authorities" secret:"inline"`
	// Journal is the file that remembers what was signed, in a folder of the signer's
	// user alone. A relative path is relative to the working directory. Required.
	Journal string `yaml:"journal"`
	// HaltFile is a path at which any file stops the signer. Default: none.
	HaltFile string `yaml:"halt_file"`
	// Limits cap what leaves the wallets within a time, sweeps included: an asset, an
	// amount in units and a time: ethereum/USDC 50000 24h. Default: no cap.
	Limits []string `yaml:"limits"`
}

// Policy says which amounts are enough.
type Policy struct {
	// ToleranceBps is how much of the amount may be missing, in hundredths of a
	// percent, 0 to 10000. Default: 0.
	ToleranceBps uint32 `yaml:"tolerance_bps"`
	// Grace is how long after the deadline money still re-opens a payment, a
	// duration, 0s to 8784h (366 days). Default: 0s.
	Grace time.Duration `yaml:"grace"`
	// Final waits for the chain's finality before money is confirmed. Default:
	// false.
	Final bool `yaml:"final"`
}

// Units is a decimal number of whole coins, "25.5", never a float: exact, or an
// error where it has more decimals than the coin. In the file it is text in
// quotes, or a whole number.
type Units string

// Level returns LogLevel for a slog.HandlerOptions; slog.LevelInfo where it is
// empty or unknown, which Load refuses.
func (f *File) Level() slog.Level {
	switch f.LogLevel {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}
