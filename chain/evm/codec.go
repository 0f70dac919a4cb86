package evm

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// codec has no state: all EVM chains share addresses, keys and payloads, and
// what differs (the chain id) comes with each question.
type codec struct {
	// sweeper is the contract whose batches are understood; nil: none are.
	sweeper *contracts.Sweeper
}

var _ chain.AuthorizationCodec = codec{}

// Codec returns the pure functions of the EVM family of chains, without a node.
// The value is comparable and safe for concurrent use.
func Codec() chain.Codec { return codec{} }

// CodecWith returns a codec that also understands what an installation's contract
// does: see Decode. It is a chain.AuthorizationCodec. A policy signer makes the Sweeper of
// its own configuration, so that nobody else can choose the contract, nor whom it
// pays. Nil makes it Codec.
func CodecWith(sweeper *contracts.Sweeper) chain.Codec { return codec{sweeper: sweeper} }

// Codec returns CodecWith of Config.Sweeper.
func (c *Client) Codec() chain.Codec { return CodecWith(c.cfg.Sweeper) }

// Contract implements chain.ContractCodec.
func (c codec) Contract() (contract, treasury chain.Address) {
	if c.sweeper == nil {
		return "", ""
	}
	return checksummed(c.sweeper.Address()), checksummed(c.sweeper.Params().Treasury)
}

// Authorization implements chain.AuthorizationCodec, by EIP-7702.
func (c codec) Authorization(on chain.ID, nonce uint64) ([]byte, error) {
	number, err := chainNumber(on)
	switch {
	case err != nil:
		return nil, err
	case c.sweeper == nil:
		return nil, fmt.Errorf("evm: an authorisation for no contract: %w", chain.ErrUnsupported)
	case nonce == math.MaxUint64:
		return nil, badPayload("no account gets to that nonce")
	}
	a := authorization{Address: c.sweeper.Address(), Nonce: nonce}
	a.ChainID.SetUint64(number)
	return a.payload()
}

// Parse reads an EVM address. All-lower and all-upper case hex is accepted;
// mixed case must be a correct EIP-55 checksum. The result is in EIP-55 form,
// so a caller that insists on a checksum compares it with what was given. The
// zero address parses; it is refused where it would be paid.
func (codec) Parse(text string) (chain.Address, error) {
	raw, err := parseAddress(text)
	if err != nil {
		return "", err
	}
	return checksummed(raw), nil
}

// Format writes 20 bytes as an EIP-55 address.
func (codec) Format(key []byte) (chain.Address, error) {
	if len(key) != addressLength {
		return "", &chain.FormatError{What: "address key", Reason: fmt.Sprintf("want 20 bytes, have %d", len(key))}
	}
	return checksummed([addressLength]byte(key)), nil
}

// FromPublicKey appends the 20 bytes of a public key's address to dst: the end
// of the hash of the point's two coordinates. The point is checked to lie on
// the curve, since an address of no point could never be swept. It allocates
// only where dst lacks room.
//
// The uncompressed form is the fast one: the compressed one costs a square
// root.
func (codec) FromPublicKey(dst, publicKey []byte) ([]byte, error) {
	var point [64]byte
	switch {
	case len(publicKey) == secp256k1.PubKeyBytesLenUncompressed && publicKey[0] == secp256k1.PubKeyFormatUncompressed:
		copy(point[:], publicKey[1:])
		if !onCurve(&point) {
			return dst, badKey("no point of the curve")
		}
	case len(publicKey) == secp256k1.PubKeyBytesLenCompressed &&
		(publicKey[0] == secp256k1.PubKeyFormatCompressedEven || publicKey[0] == secp256k1.PubKeyFormatCompressedOdd):
		if !decompress(&point, publicKey) {
			return dst, badKey("no point of the curve")
		}
	default:
		return dst, badKey("want 33 bytes compressed or 65 bytes uncompressed")
	}
	sum := keccak256(point[:])
	return append(dst, sum[len(sum)-addressLength:]...), nil
}

// badKey does not repeat the key: a caller might have handed in a private one.
func badKey(reason string) error {
	return &chain.FormatError{What: "public key", Reason: reason}
}

// onCurve checks y^2 = x^3 + 7 for coordinates below the field's prime.
func onCurve(point *[64]byte) bool {
	var x, y, right secp256k1.FieldVal
	if x.SetByteSlice(point[:32]) || y.SetByteSlice(point[32:]) {
		return false
	}
	right.SquareVal(&x).Mul(&x).AddInt(7).Normalize()
	return y.Square().Normalize().Equals(&right)
}

func decompress(point *[64]byte, compressed []byte) bool {
	var x, y secp256k1.FieldVal
	odd := compressed[0] == secp256k1.PubKeyFormatCompressedOdd
	if x.SetByteSlice(compressed[1:]) || !secp256k1.DecompressY(&x, odd, &y) {
		return false
	}
	x.Normalize().PutBytesUnchecked(point[:32])
	y.Normalize().PutBytesUnchecked(point[32:])
	return true
}

// Path returns m/44'/60'/0'/change/index. Every EVM chain uses ether's coin
// type 60, so that one customer address is the same on all of them.
func (codec) Path(change, index uint32) string {
	return "m/44'/60'/0'/" + strconv.FormatUint(uint64(change), 10) + "/" + strconv.FormatUint(uint64(index), 10)
}

// WatchKeys returns the address's 20 bytes.
func (codec) WatchKeys(a chain.Address) ([][]byte, error) {
	raw, err := parseAddress(string(a))
	if err != nil {
		return nil, err
	}
	return [][]byte{raw[:]}, nil
}

// PaymentURI returns an EIP-681 link: to the receiver with a value for native
// coin, to the contract's transfer function for a token. Amounts are integers
// of base units; a zero amount is left open for the payer.
//
// Source: https://eips.ethereum.org/EIPS/eip-681
func (c codec) PaymentURI(asset chain.Asset, to chain.Address, amount chain.Amount) (string, error) {
	id, err := chainNumber(asset.Chain())
	if err != nil {
		return "", err
	}
	// An Address is canonical by its type: its shape is looked at here, and its
	// checksum, which costs a hash, was when it was made.
	if err := checkShape(to); err != nil {
		return "", err
	}
	number := strconv.FormatUint(id, 10)
	if asset.Native() {
		uri := "ethereum:" + string(to) + "@" + number
		if !amount.IsZero() {
			uri += "?value=" + amount.String()
		}
		return uri, nil
	}
	if err := checkShape(asset.Contract); err != nil {
		return "", err
	}
	uri := "ethereum:" + string(asset.Contract) + "@" + number + "/transfer?address=" + string(to)
	if !amount.IsZero() {
		uri += "&uint256=" + amount.String()
	}
	return uri, nil
}

// checkShape makes sure that an address is 0x and 40 hex digits.
func checkShape(a chain.Address) error {
	if len(a) != 2+2*addressLength || a[:2] != "0x" {
		return &chain.FormatError{What: "address", Text: string(a), Reason: "want 0x and 40 hex digits"}
	}
	for i := 2; i < len(a); i++ {
		if _, _, ok := hexDigit(a[i]); !ok {
			return &chain.FormatError{What: "address", Text: string(a), Reason: "want 0x and 40 hex digits"}
		}
	}
	return nil
}

// chainNumber returns the EIP-155 number of an "eip155:<n>" id. Zero is none:
// in some payloads it means every chain.
func chainNumber(id chain.ID) (uint64, error) {
	bad := func(reason string) (uint64, error) {
		return 0, &chain.FormatError{What: "chain id", Text: string(id), Reason: reason}
	}
	reference, ok := strings.CutPrefix(string(id), "eip155:")
	if !ok {
		return bad("want eip155:<number>")
	}
	n, err := strconv.ParseUint(reference, 10, 64)
	switch {
	case err != nil, strconv.FormatUint(n, 10) != reference:
		return bad("the reference is no decimal number")
	case n == 0:
		return bad("zero is no chain")
	}
	return n, nil
}

// nativeID returns the CAIP-19 id of a chain's own coin. A payload only has the
// chain's number, so the coin must follow from it alone: the registered SLIP-44
// number where the coin has its own, else that of ether (60), also for chains
// that nobody registered.
//
// Source: https://github.com/satoshilabs/slips/blob/master/slip-0044.md
func nativeID(number uint64) chain.AssetID {
	coin := 60
	switch number {
	case 56, 97: // BNB, and its test network
		coin = 714
	case 137, 80002: // POL
		coin = 966
	case 250, 4002: // FTM
		coin = 1007
	case 43114, 43113: // AVAX on the C-chain
		coin = 9005
	case 146, 57054: // S
		coin = 10007
	}
	return chain.AssetID(fmt.Sprintf("eip155:%d/slip44:%d", number, coin))
}

// NativeAssetID returns the CAIP-19 id that a chain's own coin has in what
// Codec.Decode reports, and so must have in a configuration.
func NativeAssetID(id chain.ID) (chain.AssetID, error) {
	number, err := chainNumber(id)
	if err != nil {
		return "", err
	}
	return nativeID(number), nil
}

// tokenID returns the CAIP-19 id of an ERC-20 contract in EIP-55 form.
func tokenID(number uint64, contract chain.Address) chain.AssetID {
	return chain.AssetID(fmt.Sprintf("eip155:%d/erc20:%s", number, contract))
}
