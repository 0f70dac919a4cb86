package contracts

import "fmt"

// Rules are the prices of a chain's work.
type Rules uint8

const (
	// Osaka are today's.
	Osaka Rules = iota + 1
	// Amsterdam are those of the fork after it, which no main network has yet: state
	// that is made for good is paid by its bytes (EIP-8037), reading and writing state
	// costs other prices (EIP-8038), and so does a transaction by itself (EIP-2780). A
	// new account and a new slot become several times as dear. Figures under them are
	// projections: measured with what go-ethereum v1.17.10 has of these rules, which
	// may still change.
	Amsterdam
)

// String names the rules and the proposals that make the difference.
func (r Rules) String() string {
	switch r {
	case Osaka:
		return "Osaka"
	case Amsterdam:
		return "Amsterdam (EIP-2780, EIP-8037, EIP-8038)"
	}
	return fmt.Sprintf("Rules(%d)", uint8(r))
}

// refundPart is the part of a transaction's gas that refunds give back at most
// (EIP-3529).
const refundPart = 5

// Gas is what a collection uses by its receipt. Unlike Cost, which bounds what a
// transaction must ask for, it is what is paid for in the end, refunds taken off.
type Gas struct {
	// Base is what a transaction of no entries uses, and what its first entry finds
	// cold; zero where each entry has transactions of its own.
	Base uint64
	// Entry is one entry's, before refunds.
	Entry uint64
	// Refund is what one entry gives back: of a transaction's refunds at most a fifth of
	// its gas counts.
	Refund uint64
}

// GasOf returns what was measured on go-ethereum v1.17.10, within half a percent, for
// amounts that are given, deposits that leave nothing behind, and a treasury that has
// some of the asset already. The tests in e2e/contracts measure it again. On chains with
// prices of their own it is none of these figures, nor is a fee for the layer below in
// them.
//
// What nobody does, such as coin after a top-up, and rules, a way or a class that are
// none are a *FieldError.
func GasOf(rules Rules, way Way, class Class) (Gas, error) {
	if rules < Osaka || rules > Amsterdam {
		return Gas{}, fieldErr("Rules", "are none: %d", uint8(rules))
	}
	if way < Fresh || way > Transfer {
		return Gas{}, fieldErr("Way", "is none: %d", uint8(way))
	}
	if class < Coin || class > Proxied {
		return Gas{}, fieldErr("Class", "is none: %d", uint8(class))
	}
	m := measured(rules, class)
	if way > ForwarderLater {
		each := m.alone[way-TopUp]
		if each == 0 {
			return Gas{}, fieldErr("Way", "%s is no way for %s", way, class)
		}
		return Gas{Entry: each}, nil
	}
	g := Gas{Base: m.base, Entry: m.entry[way-Fresh], Refund: m.refund}
	if way == Fresh {
		g.Refund += m.existed
	}
	return g, nil
}

// figures are those of one class of assets under some rules.
type figures struct {
	base   uint64
	entry  [4]uint64 // from Fresh to ForwarderLater
	refund uint64    // for a slot that is emptied
	// existed is what an authorisation gives back where its account was there: one with
	// coin is, one with tokens alone is not.
	existed uint64
	alone   [3]uint64 // TopUp, TopUpLater, Transfer
}

func measured(rules Rules, class Class) figures {
	return [...][4]figures{
		Osaka - 1: {
			Coin - 1:    {base: 24_330, entry: [4]uint64{32_784, 10_284, 46_667, 10_211}, existed: 12_500, alone: [3]uint64{0, 0, 21_000}},
			Plain - 1:   {base: 29_505, entry: [4]uint64{33_749, 11_250, 47_632, 11_176}, refund: 4_800, alone: [3]uint64{50_242, 50_242, 0}},
			Checked - 1: {base: 35_490, entry: [4]uint64{36_417, 13_916, 50_300, 13_844}, refund: 4_800, alone: [3]uint64{58_910, 58_910, 0}},
			Proxied - 1: {base: 36_000, entry: [4]uint64{34_488, 11_988, 48_371, 11_915}, refund: 4_800, alone: [3]uint64{57_481, 57_481, 0}},
		},
		Amsterdam - 1: {
			Coin - 1:    {base: 18_810, entry: [4]uint64{62_091, 12_984, 72_868, 12_909}, alone: [3]uint64{0, 0, 21_000}},
			Plain - 1:   {base: 31_270, entry: [4]uint64{251_555, 18_850, 262_333, 18_775}, refund: 11_616, alone: [3]uint64{238_554, 54_954, 0}},
			Checked - 1: {base: 37_280, entry: [4]uint64{254_223, 21_517, 265_001, 21_442}, refund: 11_616, alone: [3]uint64{245_488, 61_888, 0}},
			Proxied - 1: {base: 38_180, entry: [4]uint64{252_295, 19_588, 263_072, 19_513}, refund: 11_616, alone: [3]uint64{244_665, 61_065, 0}},
		},
	}[rules-1][class-1]
}

// maxCount bounds what is counted, so that no product wraps.
const maxCount = 1 << 32

// Of returns the gas of n entries in one transaction. Below zero it is none, above 2^32
// that many.
func (g Gas) Of(n int) uint64 { return g.With(n, Gas{}, 0) }

// With returns the gas of n entries and of m other ones, which are swept in another way,
// all in one transaction: refunds that the ones may not have, the others may. The
// larger Base counts.
func (g Gas) With(n int, other Gas, m int) uint64 {
	n, m = min(max(n, 0), maxCount), min(max(m, 0), maxCount)
	var used, back uint64
	for _, part := range []struct {
		Gas
		n uint64
	}{{g, uint64(n)}, {other, uint64(m)}} {
		if part.n > 0 {
			used = max(used, part.Base)
		}
	}
	used += uint64(n)*g.Entry + uint64(m)*other.Entry
	back = uint64(n)*g.Refund + uint64(m)*other.Refund
	return used - min(back, used/refundPart)
}
