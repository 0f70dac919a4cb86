package evm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// The texts by which nodes refuse a transaction, in lower case, one a line.
// JSON-RPC has no codes for them, so the words of geth, erigon, nethermind, besu,
// reth, anvil and the old parity are all there is. A text counts where a word
// of the message begins with it.
const (
	// knownTexts: the very same transaction is in the pool or in a block.
	knownTexts = `already known
		alreadyknown
		known transaction
		already imported
		imported already
		transaction with the same hash was already imported
		transaction already exists
		already have transaction
		transaction_already_known`

	// spentTexts: the nonce is used. Ours may be the transaction that used it.
	spentTexts = `nonce too low
		nonce is too low
		nonce_too_low
		nonce too old
		oldnonce
		old nonce
		transaction nonce is too low
		nonce has already been used`

	// poorTexts: the account cannot pay. They are asked before cheapTexts,
	// because "insufficient MaxFeePerGas for sender balance" speaks of both.
	poorTexts = `insufficient funds
		insufficientfunds
		insufficient balance
		insufficient sender balance
		insufficient account balance
		insufficient maxfeepergas for sender balance
		upfront cost exceeds account balance
		upfront_cost_exceeds_balance
		sender doesn't have enough funds
		does not have enough funds
		not enough funds
		lack of funds
		overshot`

	// cheapTexts: another price would do.
	cheapTexts = `underpriced
		replacement transaction underpriced
		replacementnotallowed
		replacement not allowed
		transaction_replacement_underpriced
		could not replace existing
		less than block base fee
		fee cap less than
		fee cap too low
		feecap too low
		fee too low
		feetoolow
		tip too low
		gas tip cap
		miner gas tip
		priority fee per gas too low
		priority fee per gas below
		max fee per gas too low
		maxfeepergas too low
		max fee per gas below
		gas price below
		gas price less than
		gas price too low
		gas price is too low
		gas_price_too_low
		below minimum
		below configured minimum
		effective gas price too low`
)

// says reports whether a word of the message begins with one of the texts:
// "unknown transaction type" does not say "known transaction".
func says(message, texts string) bool {
	for text := range strings.SplitSeq(texts, "\n") {
		if begins(message, strings.TrimSpace(text)) {
			return true
		}
	}
	return false
}

func begins(message, text string) bool {
	for {
		before, after, found := strings.Cut(message, text)
		if !found {
			return false
		}
		if last, _ := utf8.DecodeLastRuneInString(before); before == "" || !unicode.IsLetter(last) {
			return true
		}
		message = after
	}
}

// Broadcast hands the signed bytes to the node. It returns nil where the node
// took them, had them already, or has the transaction in a block.
//
// Errors: *chain.FormatError where the bytes are not those of the id,
// chain.ErrLockSpent where the nonce is used and the node does not know this
// transaction, chain.ErrUnderpriced, *chain.InsufficientFundsError. After any
// other error the outcome is unknown and the same bytes may be sent again; the
// transaction must not be replaced by one with another nonce.
func (c *Client) Broadcast(ctx context.Context, s chain.Signed) error {
	return c.writer().broadcast(ctx, s)
}

func (w writer) broadcast(ctx context.Context, s chain.Signed) error {
	switch {
	case s.Chain != w.coin.Chain():
		return badSigned("made for %s, this is %s", s.Chain, w.coin.Chain())
	case len(s.Raw) == 0 || txID(s.Raw) != s.ID:
		return badSigned("the bytes are not those of %s", s.ID)
	}
	var hash *string
	err := w.node.call(ctx, "eth_sendRawTransaction", &hash, hexBytes(s.Raw))
	switch {
	case err != nil:
		return w.rejected(ctx, s, err)
	case hash == nil || !strings.EqualFold(*hash, string(s.ID)):
		return &IncoherentError{Reason: fmt.Sprintf("the node took %s and returned another hash", s.ID)}
	}
	return nil
}

func badSigned(format string, args ...any) error {
	return &chain.FormatError{What: "signed transaction", Reason: fmt.Sprintf(format, args...)}
}

// rejected finds out what a refusal means.
func (w writer) rejected(ctx context.Context, s chain.Signed, cause error) error {
	message, answered := refusal(cause)
	switch {
	case !answered:
		return fmt.Errorf("evm: broadcast of %s, outcome unknown: %w", s.ID, cause)
	case says(message, knownTexts):
		return nil
	case says(message, spentTexts):
		return w.spent(ctx, s, cause)
	case says(message, poorTexts):
		return w.poor(ctx, s, cause)
	case says(message, cheapTexts):
		return errors.Join(chain.ErrUnderpriced, cause)
	}
	return fmt.Errorf("evm: broadcast of %s, outcome unknown: %w", s.ID, cause)
}

// spent decides whether a used nonce was used by this very transaction: after
// a lost answer that is the normal case. Only a node that knows of nothing
// makes it somebody else's.
func (w writer) spent(ctx context.Context, s chain.Signed, cause error) error {
	for _, method := range []string{"eth_getTransactionByHash", "eth_getTransactionReceipt"} {
		var found *struct{}
		if err := w.ask(ctx, method, &found, s.ID); err != nil {
			return fmt.Errorf("evm: looking for %s after %q: %w", s.ID, cause.Error(), err)
		}
		if found != nil {
			return nil
		}
	}
	return errors.Join(chain.ErrLockSpent, cause)
}

// poor reports the figures as far as they can be had. The balance is only for
// the reader, so failing to get it is no second error.
func (w writer) poor(ctx context.Context, s chain.Signed, cause error) error {
	t, from, err := decodeSigned(s.Raw)
	if err != nil {
		return errors.Join(cause, err)
	}
	out := &chain.InsufficientFundsError{Account: checksummed(from), Asset: w.coin}
	fee, overflow := t.fee()
	if overflow {
		return errors.Join(cause, badSigned("the fee exceeds 2^256-1"))
	}
	if out.Required, err = fee.Add(amountOf(&t.Value)); err != nil {
		return errors.Join(cause, err)
	}
	if balance, err := w.number(ctx, "eth_getBalance", out.Account, "latest"); err == nil {
		out.Available = amountOf(&balance)
	}
	return errors.Join(out, cause)
}

// decodeSigned reads a transaction of ours back from its signed bytes, with
// who signed it.
func decodeSigned(raw []byte) (t *transaction, from [addressLength]byte, err error) {
	if len(raw) == 0 || len(raw) > maxBatchPayload {
		return nil, from, badSigned("%d bytes", len(raw))
	}
	var r, s uint256.Int
	var parity uint64
	switch raw[0] {
	case dynamicFeePrefix:
		t, r, s, parity, err = decodeSignedDynamicFee(raw[1:])
	case setCodePrefix:
		t, r, s, parity, err = decodeSignedSetCode(raw[1:])
	default:
		t, r, s, parity, err = decodeSignedLegacy(raw)
	}
	if err != nil {
		return nil, from, err
	}
	if parity > 1 {
		return nil, from, badSigned("a recovery id of %d", parity)
	}
	payload, err := t.payload()
	if err != nil {
		return nil, from, err
	}
	rb, sb := r.Bytes32(), s.Bytes32()
	signature := append(append(rb[:], sb[:]...), byte(parity))
	from, err = recoverSigner(keccak256(payload), signature)
	return t, from, err
}

func decodeSignedDynamicFee(body []byte) (t *transaction, r, s uint256.Int, parity uint64, err error) {
	var list signedDynamicFeeList
	if err := rlp.DecodeBytes(body, &list); err != nil {
		return nil, r, s, 0, badSigned("%v", err)
	}
	if len(list.AccessList) > 0 {
		return nil, r, s, 0, badSigned("has an access list")
	}
	to, err := destination(list.To)
	if err != nil {
		return nil, r, s, 0, err
	}
	return &transaction{
		ChainID: list.ChainID, Nonce: list.Nonce, TipCap: list.TipCap, FeeCap: list.FeeCap, Gas: list.Gas,
		To: to, Value: list.Value, Data: list.Data,
	}, list.R, list.S, list.V, nil
}

func decodeSignedLegacy(body []byte) (t *transaction, r, s uint256.Int, parity uint64, err error) {
	var list legacyList
	if err := rlp.DecodeBytes(body, &list); err != nil {
		return nil, r, s, 0, badSigned("%v", err)
	}
	to, err := destination(list.To)
	if err != nil {
		return nil, r, s, 0, err
	}
	// EIP-155: v = 2 * chain id + 35 + parity.
	if !list.V.IsUint64() || list.V.Uint64() < 37 {
		return nil, r, s, 0, badSigned("has no chain id")
	}
	v := list.V.Uint64() - 35
	t = &transaction{
		Legacy: true, Nonce: list.Nonce, TipCap: list.Price, FeeCap: list.Price, Gas: list.Gas,
		To: to, Value: list.Value, Data: list.Data,
	}
	t.ChainID.SetUint64(v / 2)
	return t, list.R, list.S, v % 2, nil
}
