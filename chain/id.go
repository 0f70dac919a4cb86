package chain

import (
	"fmt"
	"strings"
)

// ID names a chain as CAIP-2 does: "namespace:reference", for example
// "eip155:1" for Ethereum.
//
// Source: https://chainagnostic.org/CAIPs/caip-2
type ID string

// AssetID names an asset as CAIP-19 does: "chain/namespace:reference", for
// example "eip155:1/slip44:60" for ether on Ethereum and
// "eip155:1/erc20:0xA0b8…eB48" for a token. Two ids are equal exactly when the
// strings are: contracts are written in the chain's canonical form.
//
// Source: https://chainagnostic.org/CAIPs/caip-19
type AssetID string

// ParseID checks text against the CAIP-2 grammar.
func ParseID(text string) (ID, error) {
	namespace, reference, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		return "", &FormatError{What: "chain id", Text: text, Reason: "want namespace:reference"}
	case !within(namespace, 3, 8, isLowerAlnumDash):
		return "", &FormatError{What: "chain id", Text: text, Reason: "the namespace is 3 to 8 of a-z, 0-9 and -"}
	case !within(reference, 1, 32, isReference):
		return "", &FormatError{What: "chain id", Text: text, Reason: "the reference is 1 to 32 of a-z, A-Z, 0-9, - and _"}
	}
	return ID(text), nil
}

// Namespace returns what stands before the colon, "eip155" for every EVM chain.
func (id ID) Namespace() string {
	namespace, _, _ := strings.Cut(string(id), ":")
	return namespace
}

// Reference returns what stands behind the colon, the EIP-155 chain id in
// decimal for an EVM chain.
func (id ID) Reference() string {
	_, reference, _ := strings.Cut(string(id), ":")
	return reference
}

// MakeAssetID joins a chain, an asset namespace ("slip44", "erc20") and a
// reference into an asset id, and checks it.
func MakeAssetID(id ID, namespace, reference string) (AssetID, error) {
	return ParseAssetID(fmt.Sprintf("%s/%s:%s", id, namespace, reference))
}

// ParseAssetID checks text against the CAIP-19 grammar of an asset type.
func ParseAssetID(text string) (AssetID, error) {
	head, tail, ok := strings.Cut(text, "/")
	if !ok {
		return "", &FormatError{What: "asset id", Text: text, Reason: "want chain/namespace:reference"}
	}
	if _, err := ParseID(head); err != nil {
		return "", &FormatError{What: "asset id", Text: text, Reason: err.Error()}
	}
	namespace, reference, ok := strings.Cut(tail, ":")
	switch {
	case !ok:
		return "", &FormatError{What: "asset id", Text: text, Reason: "want chain/namespace:reference"}
	case !within(namespace, 3, 8, isLowerAlnumDash):
		return "", &FormatError{What: "asset id", Text: text, Reason: "the asset namespace is 3 to 8 of a-z, 0-9 and -"}
	case !within(reference, 1, 128, isAssetReference):
		return "", &FormatError{What: "asset id", Text: text, Reason: "the asset reference is 1 to 128 of a-z, A-Z, 0-9, -, . and %"}
	}
	return AssetID(text), nil
}

// Chain returns the chain part of the id.
func (id AssetID) Chain() ID {
	head, _, _ := strings.Cut(string(id), "/")
	return ID(head)
}

// Namespace returns the asset namespace: "slip44" for a native coin, "erc20"
// for an ERC-20 token.
func (id AssetID) Namespace() string {
	_, tail, _ := strings.Cut(string(id), "/")
	namespace, _, _ := strings.Cut(tail, ":")
	return namespace
}

// Reference returns the asset reference: the SLIP-44 coin type or the contract.
func (id AssetID) Reference() string {
	_, tail, _ := strings.Cut(string(id), "/")
	_, reference, _ := strings.Cut(tail, ":")
	return reference
}

func within(s string, shortest, longest int, ok func(byte) bool) bool {
	if len(s) < shortest || len(s) > longest {
		return false
	}
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool          { return c >= '0' && c <= '9' }
func isLowerAlnumDash(c byte) bool { return c >= 'a' && c <= 'z' || isDigit(c) || c == '-' }
func isAlnumDash(c byte) bool      { return isLowerAlnumDash(c) || c >= 'A' && c <= 'Z' }
func isReference(c byte) bool      { return isAlnumDash(c) || c == '_' }
func isAssetReference(c byte) bool { return isAlnumDash(c) || c == '.' || c == '%' }
