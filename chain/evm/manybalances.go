package evm

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

const (
	// fewBalances is up to how many native balances are asked for one by one.
	fewBalances = 8
	// manyBalances bounds one call: at 2,600 gas for each it stays far below what
	// nodes allow a call.
	manyBalances = 2000
	// balancesAccount is where the code is put for the time of the call: an
	// account that nobody has.
	balancesAccount = "0x00000000000000000000000000000000b0a1a4ce"
	// balancesCode reads the words of its input as addresses and returns the
	// balance of each, with the highest bit set where the account is empty, and
	// behind them a word that is zero where none of them has code. Its instructions
	// are those of Constantinople: RETURNDATASIZE is the zero of before PUSH0.
	//
	//	00 RETURNDATASIZE RETURNDATASIZE    sizes = 0, i = 0
	//	02 JUMPDEST CALLDATASIZE DUP2 LT ISZERO PUSH1 22 JUMPI
	//	0a DUP1 CALLDATALOAD DUP1 BALANCE
	//	0e DUP2 EXTCODEHASH ISZERO PUSH1 ff SHL OR DUP3 MSTORE
	//	17 EXTCODESIZE DUP3 OR SWAP2 POP    sizes |= size
	//	1c PUSH1 20 ADD PUSH1 02 JUMP
	//	22 JUMPDEST MSTORE CALLDATASIZE PUSH1 20 ADD RETURNDATASIZE RETURN
	//
	// An empty account has neither balance nor nonce nor code.
	//
	// Source: https://eips.ethereum.org/EIPS/eip-1052
	balancesCode = "0x3d3d5b368110156022" + "57" + "80358031" + "813f1560ff1b17" + "8252" + "3b82179150" + "602001600256" + "5b52366020013df3"
)

// nativeBalances reads many native balances in one call of code that exists for
// that call alone (the state override of eth_call). It returns false where the node
// cannot do that; then each balance is asked for by itself.
func (c *Client) nativeBalances(ctx context.Context, block any, of [][addressLength]byte, dst []*chain.Amount) (bool, error) {
	if len(of) <= fewBalances || c.plainBalances.Load() {
		return false, nil
	}
	var calls []*call
	for from := 0; from < len(of); from += manyBalances {
		to := min(from+manyBalances, len(of))
		calls = append(calls, balancesCall(block, of[from:to], dst[from:to]))
	}
	if err := c.do(ctx, calls...); err != nil {
		return false, err
	}
	for _, r := range calls {
		switch {
		case r.err == nil:
		case isPruned(r.err), isUnknownBlock(r.err):
			return false, r.err
		default:
			// It does not know what an override is, or has too little gas for it.
			c.plainBalances.Store(true)
			return false, nil
		}
	}
	return true, nil
}

func balancesCall(block any, of [][addressLength]byte, dst []*chain.Amount) *call {
	return accountsCall(block, of, func(words []byte) {
		for i := range of {
			words[32*i] &^= emptyBit
			*dst[i] = amountOfWord((*[32]byte)(words[32*i:]))
		}
	})
}

// emptyBit marks an empty account, in the first byte of its word. No balance is so
// large.
const emptyBit = 0x80

// accountsCall runs balancesCode on accounts and hands on what it returns, a word
// for each of them and one more.
func accountsCall(block any, of [][addressLength]byte, take func(words []byte)) *call {
	var data strings.Builder
	data.Grow(2 + 64*len(of))
	data.WriteString("0x")
	for _, a := range of {
		data.WriteString("000000000000000000000000")
		data.WriteString(hex.EncodeToString(a[:]))
	}
	var r *call
	r = newCall("eth_call", func(s *scanner) {
		words := make([]byte, 32*len(of)+32)
		switch n := s.bytes(words); {
		case s.err != nil:
		case n != len(words):
			// Without the code the call succeeds and returns nothing.
			r.err = &IncoherentError{Reason: "the answer to a call with an override is of another length"}
		default:
			take(words)
		}
	}, callObject(balancesAccount, data.String()), block, map[string]any{balancesAccount: map[string]string{"code": balancesCode}})
	return r
}
