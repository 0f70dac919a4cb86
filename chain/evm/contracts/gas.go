package contracts

import "fmt"

// TxGas is the most gas that a transaction may ask for (EIP-7825). It counts
// before refunds, as every figure here does.
const TxGas = 16_777_216

// reserve is what a batch keeps beside an entry's own gas before it tries it.
const reserve = 9_000

// Way is how an address is swept.
type Way uint8

const (
	// Fresh is an account that delegates in the same transaction.
	Fresh Way = iota + 1
	// Reused is an account that delegates already.
	Reused
	// ForwarderFirst is a forwarder that is deployed by the batch.
	ForwarderFirst
	// ForwarderLater is a deployed forwarder, by salt.
	ForwarderLater
	// TopUp is no entry of a batch: the sponsor sends gas to an account that the chain
	// has never seen, which then makes its transfer. Two transactions.
	TopUp
	// TopUpLater is that of an account that is there already, as after a first one.
	TopUpLater
	// Transfer is no entry either: an account sends coin and pays for it by itself.
	Transfer
)

// String returns the way as figures name it.
func (w Way) String() string {
	switch w {
	case Fresh:
		return "7702fresh"
	case Reused:
		return "7702reused"
	case ForwarderFirst:
		return "forwarder_first"
	case ForwarderLater:
		return "forwarder_later"
	case TopUp:
		return "topup"
	case TopUpLater:
		return "topup_later"
	case Transfer:
		return "transfer"
	}
	return fmt.Sprintf("Way(%d)", uint8(w))
}

// Class is what kind of asset is swept, by what a transfer of it costs.
type Class uint8

const (
	// Coin is the native coin, to a treasury that is a plain account.
	Coin Class = iota + 1
	// Plain is a token with one mapping of balances, such as OpenZeppelin's.
	Plain
	// Checked reads several settings and a blacklist in each transfer, such as USDT.
	Checked
	// Proxied is behind a proxy, with the blacklist in the balance, such as USDC.
	Proxied
)

// String returns the class as figures name it.
func (c Class) String() string {
	switch c {
	case Coin:
		return "coin"
	case Plain:
		return "oz"
	case Checked:
		return "usdt"
	case Proxied:
		return "usdc"
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// Cost is what a batch needs of gas, before refunds: never too little for the
// tokens it was measured with. Tokens of one class differ, so that a dry run
// decides; make a Cost of your own for a token that was measured.
type Cost struct {
	// Base is what a batch of no entries needs, and what its first entry finds cold;
	// Entry is one entry's.
	Base, Entry uint64
}

// CostOf returns what was measured on go-ethereum with the rules of Osaka, rounded
// up by one percent, for amounts that are given; an amount of zero is 800 more for
// an entry of a Plain or Checked token, 1,100 for a Proxied one, before refunds.
// Deposits that leave nothing behind, and a treasury that has some of the asset
// already, are assumed. A way or class that is none, and a way without a batch, is a
// *FieldError. What is paid for in the end is less: GasOf.
func CostOf(way Way, class Class) (Cost, error) {
	if way < Fresh || way > ForwarderLater {
		return Cost{}, fieldErr("Way", "is none: %d", uint8(way))
	}
	if class < Coin || class > Proxied {
		return Cost{}, fieldErr("Class", "is none: %d", uint8(class))
	}
	entry := [...][4]uint64{
		Coin - 1:    {33_100, 10_400, 47_100, 10_300},
		Plain - 1:   {34_100, 11_400, 48_100, 11_300},
		Checked - 1: {36_800, 14_050, 50_800, 13_950},
		Proxied - 1: {34_850, 12_100, 48_850, 12_000},
	}[class-1][way-1]
	return Cost{Base: 40_000, Entry: entry}, nil
}

// Limit returns the gas that a transaction of n entries asks for: with less, a
// batch may stop before its last entries. entryGas is Batch.Gas; that much is left
// over where no entry uses it up. What is left over is not paid.
func (c Cost) Limit(n int, entryGas uint64) uint64 {
	return c.Base + uint64(max(n, 0))*c.Entry + headroom(entryGas)
}

// Fit returns how many entries fit one transaction, at most MaxEntries; 0 where
// none does.
func (c Cost) Fit(entryGas uint64) int {
	used := c.Base + headroom(min(entryGas, TxGas))
	if used >= TxGas || c.Entry == 0 {
		return 0
	}
	return int(min((TxGas-used)/c.Entry, MaxEntries))
}

// headroom is what a batch must have left to try an entry: the entry's gas, the
// 64th that a call keeps back, and the end of the batch.
func headroom(entryGas uint64) uint64 { return entryGas + entryGas/32 + reserve }
