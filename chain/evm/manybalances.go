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
	// balance of each. It needs no instruction of a later fork: RETURNDATASIZE is
	// the zero of before PUSH0.
	//
	//	00 RETURNDATASIZE           i = 0
	//	01 JUMPDEST CALLDATASIZE DUP2 LT ISZERO PUSH1 14 JUMPI
	//	09 DUP1 CALLDATALOAD BALANCE DUP2 MSTORE
	//	0e PUSH1 20 ADD PUSH1 01 JUMP
	//	14 JUMPDEST CALLDATASIZE RETURNDATASIZE RETURN
	balancesCode = "0x3d5b368110156014578035318152602001600156" + "5b363df3"
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
	var data strings.Builder
	data.WriteString("0x")
	for _, a := range of {
		data.WriteString(strings.Repeat("0", 24))
		data.WriteString(hex.EncodeToString(a[:]))
	}
	var r *call
	r = newCall("eth_call", func(s *scanner) {
		words := make([]byte, 32*len(of))
		switch n := s.bytes(words); {
		case s.err != nil:
		case n != len(words):
			// Without the code the call succeeds and returns nothing.
			r.err = &IncoherentError{Reason: "the answer to a call with an override is of another length"}
		default:
			for i := range of {
				*dst[i] = amountOfWord((*[32]byte)(words[32*i:]))
			}
		}
	}, callObject(balancesAccount, data.String()), block, map[string]any{balancesAccount: map[string]string{"code": balancesCode}})
	return r
}
