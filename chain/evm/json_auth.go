package evm

import (
	"encoding/json"
	"slices"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// authorizationObject is one authorisation of a set-code transaction. Everybody may
// put anything there that has its form, and the chain skips what is no signature:
// one that cannot be read is no mistake of the node.
type authorizationObject struct {
	signedAuth
	bad bool
}

// authorizations reads a list of authorisations, or null. It is rare, and so may
// cost more than the rest.
func (s *scanner) authorizations() []authorizationObject {
	text := s.raw()
	var list []struct {
		ChainID quantity `json:"chainId"`
		Address hexData  `json:"address"`
		Nonce   quantity `json:"nonce"`
		Parity  quantity `json:"yParity"`
		R       quantity `json:"r"`
		S       quantity `json:"s"`
	}
	if s.err != nil || json.Unmarshal(text, &list) != nil {
		return nil
	}
	out := make([]authorizationObject, len(list))
	for i, a := range list {
		o := &out[i]
		o.bad = len(a.Address) != addressLength || !a.Nonce.v.IsUint64() || !a.Parity.v.IsUint64()
		if !o.bad {
			o.signedAuth = signedAuth{
				ChainID: a.ChainID.v, Address: [addressLength]byte(a.Address), Nonce: a.Nonce.v.Uint64(),
				Parity: a.Parity.v.Uint64(), R: a.R.v, S: a.S.v,
			}
		}
	}
	return out
}

// quantity reads a number in hex, with leading zeros or without: nodes differ for
// the halves of signatures.
type quantity struct{ v uint256.Int }

// UnmarshalText implements encoding.TextUnmarshaler.
func (q *quantity) UnmarshalText(text []byte) error {
	if len(text) < 2 || string(text[:2]) != "0x" || len(text) > 66 {
		return errRLP("no number")
	}
	digits := text[2:]
	if len(digits)%2 != 0 {
		digits = append([]byte{'0'}, digits...)
	}
	raw := make([]byte, len(digits)/2)
	if !unhex(raw, digits) {
		return errRLP("no number")
	}
	q.v.SetBytes(raw)
	return nil
}

// authorizations are those of a raw transaction.
func (t *rawTx) authorizations() []authorizationObject {
	if t.kind != setCodeType {
		return nil
	}
	const listAt = 9 // chain, nonce, three of gas, to, value, data, access list
	fields, err := rlp.SplitListValues(t.encoding[1:])
	if err != nil || len(fields) <= listAt {
		return nil
	}
	values, err := rlp.SplitListValues(fields[listAt])
	if err != nil {
		return nil
	}
	out := make([]authorizationObject, len(values))
	for i, v := range values {
		out[i].bad = rlp.DecodeBytes(v, &out[i].signedAuth) != nil
	}
	return out
}

// delegationLocks are the nonces of those that authorised something on this chain
// in a transaction, as far as they can be told. The chain itself used up only those
// whose nonce was right.
func (c *Client) delegationLocks(t *transactionObject) (out []chain.Lock) {
	for i := range t.auths {
		a := &t.auths[i]
		here := a.ChainID.IsZero() || a.ChainID.IsUint64() && a.ChainID.Uint64() == c.number
		if a.bad || !here {
			continue
		}
		by, err := authorities([]signedAuth{a.signedAuth})
		if err != nil {
			continue
		}
		if lock := nonceLock(checksummed(by[0].Authority), a.Nonce); !slices.Contains(out, lock) {
			out = append(out, lock)
		}
	}
	return out
}
