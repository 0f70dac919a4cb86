package tokens

import (
	_ "embed" // for the init code
	"math/big"
)

//go:embed fee.hex
var fee string

//go:embed rebasing.hex
var rebasing string

//go:embed freezable.hex
var freezable string

//go:embed phantom.hex
var phantom string

//go:embed proxy.hex
var proxy string

//go:embed hooked.hex
var hooked string

//go:embed hookpayer.hex
var hookPayer string

// Fee returns the init code of a token that keeps a twentieth of each transfer,
// rounded down, which its event does not tell.
func Fee(symbol string, decimals uint8) []byte { return token(fee, symbol, decimals) }

// Rebasing returns the init code of a token whose balances anybody can scale. See
// Rebase.
func Rebasing(symbol string, decimals uint8) []byte { return token(rebasing, symbol, decimals) }

// Freezable returns the init code of a token that anybody can pause, for all or
// for one account. See Freeze and Pause.
func Freezable(symbol string, decimals uint8) []byte { return token(freezable, symbol, decimals) }

// Phantom returns the init code of a token whose transfer emits its event and
// moves nothing.
func Phantom(symbol string, decimals uint8) []byte { return token(phantom, symbol, decimals) }

// Proxy returns the init code of an EIP-1967 proxy in front of one of the other
// tokens but Rebasing, whose storage is laid out in another way. Symbol and
// decimals are the proxy's own. See UpgradeTo.
func Proxy(symbol string, decimals uint8, implementation Address) []byte {
	return join(code(proxy), number(3*32), number(uint64(decimals)), address(implementation), text(symbol))
}

// Hooked returns the init code of a token that tells a sender which is a contract
// before it moves anything, as ERC-777 does.
func Hooked(symbol string, decimals uint8) []byte { return token(hooked, symbol, decimals) }

// HookPayer returns the init code of a contract that pays with a Hooked token of
// its own, and from inside of its hook half as much again, down to nothing. See
// HookPay.
func HookPayer() []byte { return code(hookPayer) }

// Rebase returns the call that makes every 100 units minted of a Rebasing token
// percent units.
func Rebase(percent uint64) []byte { return join([]byte{0xbc, 0x4f, 0x2d, 0x6d}, number(percent)) }

// Freeze returns the call that puts an account of a Freezable token on its list,
// or takes it off.
func Freeze(account Address, on bool) []byte {
	return join([]byte{0xbf, 0x12, 0x0a, 0xe5}, address(account), truth(on))
}

// Pause returns the call that stops a Freezable token, or lets it go on.
func Pause(on bool) []byte { return join([]byte{0x02, 0x32, 0x9a, 0x29}, truth(on)) }

// UpgradeTo returns the call that puts other code behind a Proxy.
func UpgradeTo(implementation Address) []byte {
	return join([]byte{0x36, 0x59, 0xcf, 0xe6}, address(implementation))
}

// HookPay returns the call of a HookPayer that pays value of a token, and what
// its hook adds, to one receiver.
func HookPay(token, to Address, value *big.Int) []byte {
	return join([]byte{0xb3, 0xd7, 0x61, 0x88}, address(token), address(to), quantity(value))
}

func truth(b bool) []byte {
	if b {
		return number(1)
	}
	return number(0)
}
