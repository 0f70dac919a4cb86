package evm

import (
	"fmt"
	"strconv"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Preset is what is known of a chain before its node is asked. The functions of
// this package that return one give the chains in use; a Preset is a plain
// value, so any field can be changed before it goes into a Config, and a chain
// that has none here is described by writing one.
type Preset struct {
	// Info describes the chain. ID must be "eip155:<number>", Native.ID what
	// NativeAssetID says for it.
	Info chain.Info
	// FinalityTag is the block tag read as Head.Finalized: "finalized", "safe",
	// or empty for none, in which case Info.FinalityDepth decides. Where a node
	// does not know the tag, or has no such block yet, the depth decides too.
	FinalityTag string
	// Legacy is true where the chain has no base fee (EIP-1559), so that
	// transactions name one gas price.
	Legacy bool
	// OPStack is true where the chain adds a fee for the layer below that its
	// gas price oracle quotes and that receipts report as l1Fee.
	OPStack bool
	// PlainAccounts is true where coin leaves an account without code only by a
	// transaction that raises its nonce, as in the EVM of the main network. Then
	// an account with the same nonce and balance at two blocks had no part in what
	// is between them, and a catch-up may leave those blocks unread (NativeProbe).
	// False is the safe value for a chain that adds ways of its own.
	PlainAccounts bool
	// Hashed is true where headers and receipts are hashed just as Ethereum's are, so
	// that Config.Verify can be used. Chains whose blocks show more receipts than they
	// hash (Polygon), or have hashes of another kind (Fantom, Sonic, Avalanche), would
	// seem to lie.
	Hashed bool
	// CoinLogs is true where the chain logs each movement of the native coin between
	// two accounts as if it were a token's (EIP-7708): then what contracts send shows
	// in the logs, with its transaction. No preset has it. Where the node's chain has
	// no such logs, setting it costs a little and changes nothing.
	CoinLogs bool
}

// Ethereum returns the main network. Twelve blocks are the usual confirmation;
// final are blocks of a justified and finalized epoch, 64 to 95 deep in good
// times, so a depth of three epochs stands in for the tag.
func Ethereum() Preset {
	p := preset(1, "ethereum", "ETH", 12*time.Second, 12)
	p.FinalityTag, p.Hashed = "finalized", true
	p.Info.FinalityDepth, p.Info.MaxReorg, p.Info.PageBlocks = 96, 256, 50
	return p
}

// BSC returns BNB Smart Chain. The finalized tag follows its validators' votes
// (BEP-126). Without it, two thirds of 21 validators must have built on a
// block, at up to 16 blocks a turn: 15 turns, 240 blocks.
func BSC() Preset {
	p := preset(56, "bsc", "BNB", 450*time.Millisecond, 15)
	p.FinalityTag = "finalized"
	p.Info.FinalityDepth, p.Info.MaxReorg, p.Info.PageBlocks = 240, 1024, 50
	return p
}

// Polygon returns Polygon PoS. The finalized tag follows its milestones. It has
// seen a reorg of 157 blocks, so the depth is far beyond that.
func Polygon() Preset {
	p := preset(137, "polygon", "POL", 2*time.Second, 20)
	p.FinalityTag = "finalized"
	p.Info.FinalityDepth, p.Info.MaxReorg, p.Info.PageBlocks = 512, 1024, 50
	return p
}

// Arbitrum returns Arbitrum One. Ten blocks are 2.5 seconds of the sequencer's
// word; final is what is in a finalized block of Ethereum, 15 to 20 minutes
// later, which as a depth is 20 minutes of blocks.
//
// Messages from the layer below move an account's coin without its nonce, so that
// accounts are not plain.
func Arbitrum() Preset {
	p := preset(42161, "arbitrum", "ETH", 250*time.Millisecond, 10)
	p.PlainAccounts = false
	p.FinalityTag = "finalized"
	p.Info.FinalityDepth, p.Info.MaxReorg, p.Info.PageBlocks = 4800, 8192, 100
	return p
}

// Avalanche returns the C-chain. An accepted block is final, and nodes serve
// accepted blocks only unless told otherwise; three confirmations and a depth
// of twelve are for those that were.
func Avalanche() Preset {
	p := preset(43114, "avalanche", "AVAX", 1500*time.Millisecond, 3)
	p.FinalityTag = "finalized"
	p.Info.FinalityDepth, p.Info.MaxReorg = 12, 128
	return p
}

// Fantom returns Fantom Opera. Its consensus does not revert blocks; not all of
// its nodes know the tags, so depth decides.
func Fantom() Preset {
	p := preset(250, "fantom", "FTM", time.Second, 12)
	p.Info.FinalityDepth, p.Info.MaxReorg = 24, 128
	return p
}

// Sonic returns Sonic, with the same kind of consensus as Fantom and faster
// blocks; ten of them are about four seconds.
func Sonic() Preset {
	p := preset(146, "sonic", "S", 400*time.Millisecond, 10)
	p.Info.FinalityDepth, p.Info.MaxReorg = 32, 256
	return p
}

// Base returns Base. Fifteen blocks are half a minute of the sequencer's word;
// final is what rests on a finalized block of Ethereum, as a depth half an
// hour.
func Base() Preset { return opStack(8453, "base") }

// Optimism returns OP Mainnet, with the values and reasons of Base.
func Optimism() Preset { return opStack(10, "optimism") }

// Local returns a development chain with that EIP-155 number: 1337 for geth
// --dev and the simulated backend, 31337 for anvil. It is a test network that
// makes a block only for a transaction. It has no finality tag, because
// development nodes make one up, each in its own way.
func Local(number uint64) Preset {
	p := preset(number, "local", "ETH", time.Second, 3)
	p.Info.Testnet, p.Info.OnDemandBlocks, p.Hashed = true, true, true
	p.Info.FinalityDepth, p.Info.MaxReorg = 6, 128
	return p
}

func opStack(number uint64, name string) Preset {
	p := preset(number, name, "ETH", 2*time.Second, 15)
	p.FinalityTag, p.OPStack = "finalized", true
	p.Info.FinalityDepth, p.Info.MaxReorg = 900, 2048
	return p
}

// preset fills in what all EVM chains share. Addresses use coin type 60
// everywhere, whatever the asset id of the coin says.
func preset(number uint64, name, symbol string, blockTime time.Duration, confirmations uint64) Preset {
	return Preset{PlainAccounts: true, Info: chain.Info{
		ID:             chain.ID("eip155:" + strconv.FormatUint(number, 10)),
		Name:           name,
		Native:         chain.Asset{ID: nativeID(number), Symbol: symbol, Decimals: 18},
		Curve:          chain.Secp256k1,
		CoinType:       60,
		BlockTime:      blockTime,
		Confirmations:  confirmations,
		InclusionSlack: time.Hour,
		PageBlocks:     100,
	}}
}

// validate checks what the rest of the package relies on.
func (p Preset) validate() error {
	bad := func(field, format string, args ...any) error {
		return &ConfigError{Field: "Preset." + field, Reason: fmt.Sprintf(format, args...)}
	}
	i := p.Info
	native, err := NativeAssetID(i.ID)
	switch {
	case err != nil:
		return bad("Info.ID", "%v", err)
	case i.Name == "":
		return bad("Info.Name", "required")
	case i.Native.ID != native:
		return bad("Info.Native.ID", "%q, want %q", i.Native.ID, native)
	case !i.Native.Native():
		return bad("Info.Native.Contract", "a native coin has none")
	case i.Native.Decimals != 18:
		return bad("Info.Native.Decimals", "%d, the EVM counts in 18", i.Native.Decimals)
	case i.Curve != chain.Secp256k1:
		return bad("Info.Curve", "%q, want %q", i.Curve, chain.Secp256k1)
	case i.CoinType != 60:
		return bad("Info.CoinType", "%d, want 60", i.CoinType)
	case i.BlockTime <= 0:
		return bad("Info.BlockTime", "%s, want above zero", i.BlockTime)
	case i.Confirmations < 1:
		return bad("Info.Confirmations", "want at least 1")
	case i.FinalityDepth < i.Confirmations:
		return bad("Info.FinalityDepth", "%d, want at least Confirmations (%d)", i.FinalityDepth, i.Confirmations)
	case i.MaxReorg < i.Confirmations:
		return bad("Info.MaxReorg", "%d, want at least Confirmations (%d)", i.MaxReorg, i.Confirmations)
	case i.InclusionSlack < 0:
		return bad("Info.InclusionSlack", "negative")
	case i.PageBlocks < 1 || i.PageBlocks > maxPageBlocks:
		return bad("Info.PageBlocks", "%d, want 1 to %d", i.PageBlocks, maxPageBlocks)
	case p.FinalityTag != "" && p.FinalityTag != "finalized" && p.FinalityTag != "safe":
		return bad("FinalityTag", "%q, want finalized, safe or nothing", p.FinalityTag)
	}
	return nil
}
