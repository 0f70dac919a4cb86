package config

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/hdwallet"
)

const (
	coinDecimals = 18 // of every EVM chain's own coin
	gweiDecimals = 9
	// maxGasPrice is where package evm caps every offer, in wei.
	maxGasPrice = 50_000_000_000_000
)

// presetOf returns what is known of a chain by name.
func presetOf(name string, number uint64) (evm.Preset, bool) {
	switch name {
	case "ethereum":
		return evm.Ethereum(), true
	case "bsc":
		return evm.BSC(), true
	case "polygon":
		return evm.Polygon(), true
	case "arbitrum":
		return evm.Arbitrum(), true
	case "avalanche":
		return evm.Avalanche(), true
	case "fantom":
		return evm.Fantom(), true
	case "sonic":
		return evm.Sonic(), true
	case "base":
		return evm.Base(), true
	case "optimism":
		return evm.Optimism(), true
	case "local":
		return evm.Local(number), true
	}
	return evm.Preset{}, false
}

// presets are the names that presetOf knows.
func presets() []string {
	return []string{"ethereum", "bsc", "polygon", "arbitrum", "avalanche", "fantom", "sonic", "base", "optimism", "local"}
}

// chainBuilder makes one chain of the file.
type chainBuilder struct {
	*report
	name, path string
	from       Chain
	id         chain.ID
	native     chain.Asset
	described  evm.Preset
	tiers      []bursar.Tier
	exposure   []bursar.Exposure
	limits     []bursar.PayoutLimit
	wallet     *hdwallet.Wallet   // nil where it could not be opened
	contract   *contracts.Sweeper // nil where the chain has none
	nodes      []Node
}

func (b *chainBuilder) at(field string) string { return join(b.path, field) }

// build makes the chain; what could not be made is missing in it and reported.
func (b *chainBuilder) build() bursar.Chain {
	before := len(b.errs)
	preset, ok := b.preset()
	c := b.from
	if !ok {
		return bursar.Chain{}
	}
	b.id, b.native, b.described = preset.Info.ID, preset.Info.Native, preset
	b.checkNodes()
	oneOf(b.report, b.at("sweep"), c.Sweep, string(bursar.SweepFinal), string(bursar.SweepOff))
	out := bursar.Chain{
		Assets: b.assets(), Treasury: b.treasury(), Confirmations: c.Confirmations, ConfirmAfter: c.ConfirmAfter, Sweep: bursar.SweepAt(c.Sweep), Start: c.Start, Poll: c.Poll,
		Mempool: c.Mempool, DropAfter: c.DropAfter,
		MaxTopUp: b.units(b.at("max_top_up"), c.MaxTopUp, coinDecimals), MaxFee: b.units(b.at("max_fee"), c.MaxFee, coinDecimals),
		SweepDeadline: c.SweepDeadline, LowFee: b.units(b.at("low_fee"), c.LowFee, gweiDecimals), LowFeePercent: c.LowFeePercent, SweepWait: c.SweepWait,
	}
	b.mempool()
	b.sweeper(&out)
	price := b.units(b.at("max_gas_price"), c.MaxGasPrice, gweiDecimals)
	if chain.NewAmount(maxGasPrice).Less(price) {
		b.add(b.at("max_gas_price"), bursar.CodeOutOfRange, "want at most 50000 gwei")
	}
	if c.Confirmations >= preset.Info.MaxReorg {
		b.add(b.at("confirmations"), bursar.CodeOutOfRange, "want less than describe.max_reorg, %d", preset.Info.MaxReorg)
	}
	out.Tiers, out.Exposure, out.Limits = b.tiers, b.exposure, b.limits
	if len(b.errs) > before {
		return out
	}
	verify := preset.Hashed && c.Quorum.Sample > 0
	flag(&verify, c.Verify)
	out.Client = b.connect(evm.Config{
		Verify: verify,
		Preset: preset, Genesis: chain.BlockHash(c.Genesis), Tokens: out.Assets, MaxGasPrice: price,
		MaxResponse: c.MaxResponse, Timeout: c.Timeout, MaxBatch: c.MaxBatch, PageBlocks: c.PageBlocks, Native: evm.NativeSource(c.Native),
		Sweeper: b.contract,
	})
	return out
}

// preset finds what is known of the chain and changes it as described.
func (b *chainBuilder) preset() (evm.Preset, bool) {
	if !regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(b.name) {
		b.add(b.path, bursar.CodeInvalid, "a chain's name is 1 to 32 of a-z, 0-9 and -")
		return evm.Preset{}, false
	}
	name, d := b.from.Preset, b.from.Describe
	if name == "" && slices.Contains(presets(), b.name) {
		name = b.name
	}
	preset, known := presetOf(name, d.ChainID)
	switch {
	case name != "" && name != "none" && !known:
		b.add(b.at("preset"), bursar.CodeUnknown, "want one of %s, or none", strings.Join(presets(), ", "))
		return preset, false
	case (!known || name == "local") && d.ChainID == 0:
		b.add(b.at("describe.chain_id"), bursar.CodeRequired, "the EIP-155 number; no preset tells it")
		return preset, false
	case known && d.ChainID != 0 && preset.Info.ID != chain.ID("eip155:"+strconv.FormatUint(d.ChainID, 10)):
		b.add(b.at("describe.chain_id"), bursar.CodeMismatch, "the preset %s is %s", name, preset.Info.ID)
		return preset, false
	case !known:
		preset = evm.Local(d.ChainID) // for what every EVM chain has
		preset.Hashed, preset.PlainAccounts = false, false
		preset.Info = chain.Info{
			ID: preset.Info.ID, Native: chain.Asset{ID: preset.Info.Native.ID, Decimals: coinDecimals},
			Curve: preset.Info.Curve, CoinType: preset.Info.CoinType, InclusionSlack: time.Hour, PageBlocks: preset.Info.PageBlocks,
		}
	}
	preset.Info.Name = b.name
	return b.describe(preset)
}

// describe applies the fields that are set, and asks for those that nothing
// else tells.
func (b *chainBuilder) describe(p evm.Preset) (evm.Preset, bool) {
	d, i := b.from.Describe, &p.Info
	replace(&i.Native.Symbol, d.Symbol)
	replace(&i.BlockTime, d.BlockTime)
	replace(&i.Confirmations, d.Confirmations)
	replace(&i.FinalityDepth, d.FinalityDepth)
	replace(&i.MaxReorg, d.MaxReorg)
	replace(&i.InclusionSlack, d.InclusionSlack)
	flag(&i.Testnet, d.Testnet)
	flag(&i.OnDemandBlocks, d.OnDemandBlocks)
	flag(&p.Legacy, d.Legacy)
	flag(&p.OPStack, d.OPStack)
	flag(&p.Hashed, d.Hashed)
	flag(&p.PlainAccounts, d.PlainAccounts)
	flag(&p.CoinLogs, d.CoinLogs)
	oneOf(b.report, b.at("describe.finality_tag"), d.FinalityTag, "finalized", "safe", "none")
	if replace(&p.FinalityTag, d.FinalityTag); p.FinalityTag == "none" {
		p.FinalityTag = ""
	}
	missing := false
	for _, field := range []struct {
		name  string
		unset bool
	}{
		{"symbol", i.Native.Symbol == ""},
		{"block_time", i.BlockTime == 0},
		{"confirmations", i.Confirmations == 0},
		{"finality_depth", i.FinalityDepth == 0},
		{"max_reorg", i.MaxReorg == 0},
	} {
		if field.unset {
			missing = true
			b.add(b.at("describe."+field.name), bursar.CodeRequired, "no preset tells it")
		}
	}
	return p, !missing
}

func replace[T comparable](field *T, value T) {
	var zero T
	if value != zero {
		*field = value
	}
}

func flag(field, value *bool) {
	if value != nil {
		*field = *value
	}
}

// treasury checks the address by itself, so that a typing error stands beside
// the other errors.
func (b *chainBuilder) treasury() chain.Address {
	if b.from.Treasury == "" {
		if b.from.Sweep != string(bursar.SweepOff) {
			b.add(b.at("treasury"), bursar.CodeRequired, "an address to sweep to, or sweep: off")
		}
		return ""
	}
	return b.address("treasury", b.from.Treasury)
}

// address reads an address that is written just as it must be.
func (b *chainBuilder) address(field, text string) chain.Address {
	parsed, err := evm.Codec().Parse(text)
	switch {
	case err != nil:
		b.add(b.at(field), bursar.CodeInvalid, "not an address: %s", formatReason(err))
	case string(parsed) != text:
		b.add(b.at(field), bursar.CodeInvalid, "want its canonical form, with checksum")
	}
	return parsed
}

// formatReason is what is wrong with a text, without the text.
func formatReason(err error) string {
	var format *chain.FormatError
	if errors.As(err, &format) {
		return format.Reason
	}
	return "malformed"
}

// assets makes the accepted assets in the order of their symbols.
func (b *chainBuilder) assets() (out []chain.Asset) {
	for _, symbol := range sorted(b.from.Assets) {
		path, from := join(b.at("assets"), shown(symbol)), b.from.Assets[symbol]
		if len(symbol) > 32 || strings.ContainsFunc(symbol, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }) {
			b.add(path, bursar.CodeInvalid, "a symbol is up to 32 of printable ASCII, without / and spaces")
			continue
		}
		if b.failed(path) {
			continue
		}
		a, ok := b.asset(path, symbol, from)
		if !ok {
			continue
		}
		a.Minimum = b.units(path+".minimum", from.Minimum, a.Decimals)
		a.SweepMinimum = b.units(path+".sweep_minimum", from.SweepMinimum, a.Decimals)
		a.MaxSweepFee = b.units(path+".max_sweep_fee", from.MaxSweepFee, coinDecimals)
		a.VerifyBalance, a.CodeHash = from.VerifyBalance, from.CodeHash
		b.policy(path, from, a)
		out = append(out, a)
	}
	return out
}

// policy reads what confirmations an asset asks for.
func (b *chainBuilder) policy(path string, from Asset, a chain.Asset) {
	for i, text := range from.Tiers {
		at, words := fmt.Sprintf("%s.tiers[%d]", path, i), strings.Fields(text)
		tier := bursar.Tier{Asset: a.ID, Final: len(words) > 1 && words[len(words)-1] == "final"}
		if tier.Final {
			words = words[:len(words)-1]
		}
		depth, err := uint64(0), error(nil)
		if len(words) == 2 {
			depth, err = strconv.ParseUint(words[1], 10, 32)
		}
		if err != nil || len(words) == 0 || len(words) > 2 || len(words) == 1 && !tier.Final || len(words) == 2 && depth == 0 {
			b.add(at, bursar.CodeInvalid, "want an amount and a depth in blocks, final, or both: 100 12, or 5000 64 final")
			continue
		}
		tier.From, tier.Confirmations = b.units(at, Units(words[0]), a.Decimals), depth
		b.tiers = append(b.tiers, tier)
	}
	if most := b.units(path+".exposure", from.Exposure, a.Decimals); !most.IsZero() {
		b.exposure = append(b.exposure, bursar.Exposure{Asset: a.ID, Max: most})
	}
	for i, text := range from.RefundLimits {
		at, words := fmt.Sprintf("%s.refund_limits[%d]", path, i), strings.Fields(text)
		if len(words) != 2 {
			b.add(at, bursar.CodeInvalid, "want an amount and a time: 1000 24h")
			continue
		}
		window, err := time.ParseDuration(words[1])
		most := b.units(at, Units(words[0]), a.Decimals)
		switch {
		case err != nil:
			b.add(at, bursar.CodeInvalid, "want a time with its unit, such as 24h or 90m, behind the amount")
		case window < time.Second:
			b.add(at, bursar.CodeOutOfRange, "want a time of at least 1s")
		case most.IsZero() && !b.failed(at):
			b.add(at, bursar.CodeOutOfRange, "want an amount above zero")
		default:
			b.limits = append(b.limits, bursar.PayoutLimit{Asset: a.ID, Max: most, Window: window})
		}
	}
}

func (b *chainBuilder) asset(path, symbol string, from Asset) (chain.Asset, bool) {
	known, err := b.described.Token(symbol)
	switch {
	case err == nil && symbol != b.native.Symbol:
		return b.known(path, known, from)
	case from.Contract == "" && symbol != b.native.Symbol:
		b.add(path+".contract", bursar.CodeRequired, "a token needs its contract; the chain's own coin is %s", b.native.Symbol)
	case from.Contract == "" && (from.Decimals != nil || from.VerifyBalance || from.CodeHash != ""):
		b.add(path, bursar.CodeMismatch, "decimals, verify_balance and code_hash are for tokens")
	case from.Contract == "":
		return b.native, true
	case from.Decimals == nil:
		b.add(path+".decimals", bursar.CodeRequired, "as the contract says")
	default:
		token, err := evm.Token(b.id, from.Contract, symbol, *from.Decimals)
		if err == nil {
			return token, true
		}
		field := path + ".contract"
		if *from.Decimals > chain.MaxDecimals {
			field = path + ".decimals"
		}
		b.add(field, bursar.CodeInvalid, "%s", formatReason(err))
	}
	return chain.Asset{}, false
}

// known is a well-known token. A contract that somebody else deployed under its symbol
// is the oldest trick, and the bridge's token under the issuer's the commonest slip.
func (b *chainBuilder) known(path string, known chain.Asset, from Asset) (chain.Asset, bool) {
	switch {
	case from.Contract != "" && !strings.EqualFold(from.Contract, string(known.Contract)):
		b.add(path+".contract", bursar.CodeMismatch, "%s on this chain is %s, not %q: give another token another symbol", known.Symbol, known.Contract, from.Contract)
	case from.Decimals != nil && *from.Decimals != known.Decimals:
		b.add(path+".decimals", bursar.CodeMismatch, "%s on this chain has %d, not %d", known.Symbol, known.Decimals, *from.Decimals)
	default:
		return known, true
	}
	return chain.Asset{}, false
}

// headers makes HTTP headers of secrets.
func headers(r *report, path string, from map[string]Secret) http.Header {
	if len(from) == 0 {
		return nil
	}
	out := http.Header{}
	for _, name := range sorted(from) {
		key := http.CanonicalHeaderKey(name)
		switch {
		case !regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`).MatchString(name):
			r.add(join(path, shown(name)), bursar.CodeInvalid, "no name of a header")
		case out[key] != nil:
			r.add(join(path, shown(name)), bursar.CodeDuplicate, "the same header in other letters")
		case strings.ContainsFunc(from[name].Reveal(), func(c rune) bool { return c < ' ' || c == 0x7f }):
			r.add(join(path, shown(name)), bursar.CodeInvalid, "a control character")
		default:
			out.Set(name, from[name].Reveal())
		}
	}
	return out
}
