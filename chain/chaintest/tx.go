package chaintest

import (
	"bytes"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
)

// tx is a signed transaction together with what is derived from it once.
type tx struct {
	raw  *types.Transaction
	id   chain.TxID
	from common.Address
	// What it offers for a unit of gas, and its most total cost.
	tip, cap, value, cost chain.Amount
	delegations           []delegation // that it authorises
}

// readTx checks a signed transaction as a node's front door does.
func (c *Chain) readTx(raw []byte) (*tx, error) {
	t := new(types.Transaction)
	if err := t.UnmarshalBinary(raw); err != nil {
		return nil, &chain.FormatError{What: "transaction", Text: hexutil.Encode(raw), Reason: err.Error()}
	}
	return c.newTx(t)
}

func (c *Chain) newTx(t *types.Transaction) (*tx, error) {
	bad := func(reason string) (*tx, error) {
		return nil, &chain.FormatError{What: "transaction", Text: t.Hash().Hex(), Reason: reason}
	}
	switch {
	case t.Type() == types.SetCodeTxType && c.sweeper != nil:
		if len(t.SetCodeAuthorizations()) == 0 {
			return bad("a set-code transaction without authorisations")
		}
	case t.Type() > types.DynamicFeeTxType:
		return bad(fmt.Sprintf("transaction type %d is not simulated", t.Type()))
	case t.To() == nil:
		return bad("contract creation is not simulated; use DeployToken")
	case t.GasTipCapIntCmp(t.GasFeeCap()) > 0:
		return bad("max priority fee per gas higher than max fee per gas")
	case !t.Protected():
		return bad("only replay-protected transactions are allowed")
	}
	from, err := types.Sender(c.signer, t)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", chain.ErrInvalidSignature, err)
	}
	out := &tx{raw: t, id: chain.TxID(t.Hash().Hex()), from: from, delegations: c.delegationsOf(t)}
	for _, f := range []struct {
		to   *chain.Amount
		from *big.Int
	}{{&out.tip, t.GasTipCap()}, {&out.cap, t.GasFeeCap()}, {&out.value, t.Value()}, {&out.cost, t.Cost()}} {
		if *f.to, err = chain.AmountFromBig(f.from); err != nil {
			return bad("a number exceeds 2^256-1")
		}
	}
	return out, nil
}

// unsigned is the payload of a draft: what EIP-1559 hashes for signing, behind
// its type byte.
type unsigned struct {
	ChainID    *big.Int
	Nonce      uint64
	Tip, Cap   *big.Int
	Gas        uint64
	To         common.Address
	Value      *big.Int
	Data       []byte
	AccessList types.AccessList
}

func (u unsigned) payload() []byte {
	return encoded(types.DynamicFeeTxType, &u)
}

// readUnsigned is the inverse of payload.
func readUnsigned(payload []byte) (u unsigned, err error) {
	if len(payload) == 0 || payload[0] != types.DynamicFeeTxType {
		return u, &chain.FormatError{What: "payload", Text: hexutil.Encode(payload), Reason: "no EIP-1559 transaction"}
	}
	if err := rlp.DecodeBytes(payload[1:], &u); err != nil {
		return u, &chain.FormatError{What: "payload", Text: hexutil.Encode(payload), Reason: err.Error()}
	}
	return u, nil
}

func (u unsigned) transaction() *types.Transaction {
	return types.NewTx(&types.DynamicFeeTx{
		ChainID: u.ChainID, Nonce: u.Nonce, GasTipCap: u.Tip, GasFeeCap: u.Cap, Gas: u.Gas,
		To: &u.To, Value: u.Value, Data: u.Data, AccessList: u.AccessList,
	})
}

// transferSelector is the start of the call transfer(address,uint256).
var transferSelector = []byte{0xa9, 0x05, 0x9c, 0xbb}

// transferCall is the calldata of transfer(to, amount).
func transferCall(to common.Address, amount chain.Amount) []byte {
	word := amount.Bytes32()
	return bytes.Join([][]byte{transferSelector, common.LeftPadBytes(to[:], 32), word[:]}, nil)
}

// readTransferCall is the inverse of transferCall. What follows the arguments does
// not matter to a contract, and some wallets mark their payments there.
func readTransferCall(data []byte) (to common.Address, amount chain.Amount, ok bool) {
	if len(data) < 68 || !bytes.HasPrefix(data, transferSelector) || !bytes.Equal(data[4:16], make([]byte, 12)) {
		return to, amount, false
	}
	amount, err := chain.AmountFromBytes(data[36:68])
	return common.BytesToAddress(data[4:36]), amount, err == nil
}

// rawAddress reads an address in any form the codec accepts.
func rawAddress(a chain.Address) (common.Address, bool) {
	keys, err := evm.Codec().WatchKeys(a)
	if err != nil || len(keys) != 1 {
		return common.Address{}, false
	}
	return common.BytesToAddress(keys[0]), true
}

func textAddress(a common.Address) chain.Address { return chain.Address(a.Hex()) }

// nonceLock names the lock that a transaction of an EVM account holds.
func nonceLock(owner common.Address, nonce uint64) chain.Lock {
	return chain.Lock(fmt.Sprintf("nonce:%s:%d", textAddress(owner), nonce))
}

// readNonceLock is the inverse of nonceLock.
func readNonceLock(l chain.Lock, owner common.Address) (nonce uint64, ok bool) {
	text, ok := strings.CutPrefix(string(l), "nonce:"+string(textAddress(owner))+":")
	if !ok {
		return 0, false
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || !n.IsUint64() || n.String() != text {
		return 0, false
	}
	return n.Uint64(), true
}
