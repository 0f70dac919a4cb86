package evm

import (
	"fmt"
	"slices"
	"strings"
)

// fakeMove is what happened to an account beside the block's transactions: coin
// that a contract sent, the protocol credited or a call took out of it, nonces that
// went by, code that came (1) or went (-1).
type fakeMove struct {
	account string
	amount  int64
	nonces  uint64
	code    int
}

// fakeFee is what each transaction of the fake node costs its sender, and rich what
// every account begins with.
const (
	fakeFee = 21000 * 7
	rich    = 1 << 40
)

// ofState answers from the state after a block: balances of many accounts in one
// call with code that is not there, as balancesCode does. What a node without the
// state says is for tests to bend.
func (n *fakeNode) ofState(method string, params []any) (result any, refusal object, ok bool) {
	switch {
	case method == "eth_getHeaderByNumber":
		h := heightOf(params[0])
		if h >= uint64(len(n.blocks)) {
			return nil, nil, true
		}
		header := n.blocks[h].object(false)
		delete(header, "transactions")
		return header, nil, true
	case method == "eth_call" && len(params) == 3:
	default:
		return nil, nil, false
	}
	last := n.blocks[len(n.blocks)-1]
	if at, pinned := params[1].(object); pinned {
		if last = n.byHash(fmt.Sprint(at["blockHash"])); last == nil {
			return nil, object{"code": -32000, "message": "header for hash not found"}, true
		}
	}
	data := params[0].(object)["data"].(string)[2:]
	out, coded := "0x", 0
	for ; data != ""; data = data[64:] {
		balance, code := n.account("0x"+data[24:64], last.height)
		nonce, _ := n.nonce("0x"+data[24:64], object{"blockHash": last.hash})
		if text := word(balance)[2:]; balance+uint64(code) == 0 && nonce == "0x0" {
			out += "8" + text[1:]
		} else {
			out += text
		}
		coded |= code
	}
	return out + word(uint64(coded))[2:], nil, true
}

// account is what an account has in the state after a block.
func (n *fakeNode) account(name string, height uint64) (balance uint64, code int) {
	sum := int64(rich)
	if slices.Contains(n.poor, strings.ToLower(name)) {
		sum = 0
	}
	is := func(other any) bool { return strings.EqualFold(fmt.Sprint(other), name) }
	for _, b := range n.blocks[:height+1] {
		for i, t := range b.txs {
			value := int64(heightOf(t["value"]))
			if is(t["from"]) {
				sum -= fakeFee
			}
			if b.receipts[i]["status"] == "0x0" {
				continue
			}
			if is(t["from"]) {
				sum -= value
			}
			if is(t["to"]) {
				sum += value
			}
		}
		for _, m := range b.moves {
			if is(m.account) {
				sum, code = sum+m.amount, code+m.code
			}
		}
	}
	return uint64(sum), code
}

// then adds moves to the newest block.
func (n *fakeNode) then(moves ...fakeMove) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.blocks[len(n.blocks)-1]
	b.moves = append(b.moves, moves...)
}
