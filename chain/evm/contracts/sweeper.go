package contracts

import (
	"bytes"
	_ "embed" // for the code
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/sha3"
)

// Address is a raw EVM address.
type Address = [20]byte

// Hash is a Keccak-256 hash.
type Hash = [32]byte

// Salt tells the forwarders of a Sweeper apart. Who knows the salts knows the
// addresses before they are paid to: a number that counts up shows a business's
// income to everybody, eight bytes of a keyed function of it do not. The same
// salt is the same address.
type Salt [8]byte

//go:embed sweeper.hex
var sweeperHex string

const (
	// constructorSize is how many bytes of the init code precede what it returns.
	constructorSize = 12
	// Placeholders of the source, which an installation's addresses replace.
	treasuryMark = "a82656b04cd07486863119ba4149273ae7fbc2b5"
	ownerMark    = "d5e4923709316758d08cc01ca59ffe397eb5779f"
	sponsorMark  = "94a07e51875fe8243b1a206eb69cf0774d14cdcd"
	// deployerHex is the account of the deterministic deployment proxy, which is
	// at this address on every EVM chain that takes its one transaction.
	//
	// Source: https://github.com/Arachnid/deterministic-deployment-proxy
	deployerHex = "4e59b44847b379578588920ca78fbf26c0b4956c"
	// forwarderInitHex is what CREATE2 runs for a forwarder, around the Sweeper's
	// address; forwarderPrefix bytes of it are not part of the forwarder.
	forwarderInitHex, forwarderInitTail = "60218060095f395ff3365f5f375f5f365f73", "5af45ff3"
	forwarderPrefix                     = 9
)

// Params are an installation's addresses. They are part of the code, so that
// others than these make another contract at another address.
type Params struct {
	// Treasury gets everything that is ever swept; required. Where it is a contract,
	// it must exist on each chain that the Sweeper is used on, and accept coin.
	Treasury Address
	// Owner alone can have a deposit address make any call, for assets that a sweep
	// cannot move; required. It can take all that was not swept yet: a key that is
	// kept as well as the treasury's, or a multi-signature contract. It may be the
	// treasury itself.
	Owner Address
	// Sponsor signs the transactions that sweep, and deploy forwarders beside the
	// owner: an account with a key of its own, kept for as long as the installation is
	// used. In nobody else's transactions is anything swept. Zero: anybody may sweep
	// to the treasury, also before each sweep of ours, and only the owner deploys;
	// then nothing depends on a key that changes.
	Sponsor Address
}

// Sweeper is the contract of one installation. The zero value is not usable;
// make one with New.
type Sweeper struct {
	params  Params
	init    []byte
	address Address
}

// New returns the contract of an installation, or a *FieldError: the treasury and
// the owner must be set, no address may be one of the first 65,536, where
// precompiled contracts are, and the sponsor's hot key must be neither the
// treasury's nor the owner's.
func New(p Params) (*Sweeper, error) {
	for _, f := range []struct {
		field    string
		address  Address
		required bool
	}{{"Params.Treasury", p.Treasury, true}, {"Params.Owner", p.Owner, true}, {"Params.Sponsor", p.Sponsor, false}} {
		switch {
		case f.address == Address{}:
			if f.required {
				return nil, fieldErr(f.field, "is required")
			}
		case bytes.Equal(f.address[:18], make([]byte, 18)):
			return nil, fieldErr(f.field, "is among the precompiled contracts")
		case f.address == deployer():
			return nil, fieldErr(f.field, "is the deployment proxy")
		}
	}
	switch p.Sponsor {
	case p.Treasury:
		return nil, fieldErr("Params.Sponsor", "is the treasury")
	case p.Owner:
		return nil, fieldErr("Params.Sponsor", "is the owner")
	}
	s := &Sweeper{params: p, init: template()}
	for mark, address := range map[string]Address{treasuryMark: p.Treasury, ownerMark: p.Owner, sponsorMark: p.Sponsor} {
		put(s.init, unhex(mark), address)
	}
	s.address = create2(deployer(), Hash{}, keccak(s.init))
	return s, nil
}

// Params returns what the contract was made for.
func (s *Sweeper) Params() Params { return s.params }

// Address returns where the contract is on every chain once it is deployed.
func (s *Sweeper) Address() Address { return s.address }

// Code returns the code that stands at Address, to be compared with the chain's
// before anything is delegated to it.
func (s *Sweeper) Code() []byte { return bytes.Clone(s.init[constructorSize:]) }

// CodeHash returns the hash of Code, as EXTCODEHASH and eth_getProof have it.
func (s *Sweeper) CodeHash() Hash { return keccak(s.init[constructorSize:]) }

// Deployment returns the transaction that deploys the contract, without value:
// to the deployment proxy, which must be there (DeployerCode). Anybody can send
// it, to the same effect; a second one fails.
func (s *Sweeper) Deployment() (to Address, data []byte) {
	return deployer(), append(make([]byte, 32), s.init...)
}

// Delegation returns the code of an account that delegates to the contract
// (EIP-7702).
func (s *Sweeper) Delegation() []byte { return append([]byte{0xef, 0x01, 0x00}, s.address[:]...) }

// Forwarder returns the address of a salt's forwarder, deployed or not. It takes
// token transfers and coin at any time; for what coin needs once it is deployed,
// see docs/contracts.md.
func (s *Sweeper) Forwarder(salt Salt) Address {
	var word Hash
	copy(word[24:], salt[:])
	return create2(s.address, word, keccak(s.forwarderInit()))
}

// ForwarderCode returns the code of every deployed forwarder of this contract.
func (s *Sweeper) ForwarderCode() []byte { return s.forwarderInit()[forwarderPrefix:] }

func (s *Sweeper) forwarderInit() []byte {
	return append(append(unhex(forwarderInitHex), s.address[:]...), unhex(forwarderInitTail)...)
}

// DeployerCode returns the code of the deployment proxy, by which a program sees
// that a chain has it.
func DeployerCode() []byte {
	return unhex("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3")
}

func deployer() Address { return Address(unhex(deployerHex)) }

// template returns the init code with placeholders.
func template() []byte { return unhex(strings.TrimSpace(sweeperHex)) }

// put writes an address over a placeholder. Where to write is looked up in the
// template, not in what is written already: an address may be anything.
func put(code, mark []byte, address Address) {
	raw := template()
	for at := 0; ; {
		i := bytes.Index(raw[at:], mark)
		if i < 0 {
			return
		}
		at += i
		at += copy(code[at:], address[:])
	}
}

// create2 is the address that CREATE2 gives.
//
// Source: https://eips.ethereum.org/EIPS/eip-1014
func create2(from Address, salt, initHash Hash) Address {
	sum := keccak([]byte{0xff}, from[:], salt[:], initHash[:])
	return Address(sum[12:])
}

// unhex reads hex of this package's own; of other bytes it makes nothing.
func unhex(text string) []byte {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return raw
}

func keccak(parts ...[]byte) (sum Hash) {
	h := sha3.NewLegacyKeccak256()
	for _, p := range parts {
		_, _ = h.Write(p) // a hash's Write returns no error
	}
	h.Sum(sum[:0])
	return sum
}
