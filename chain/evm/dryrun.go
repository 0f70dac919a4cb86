package evm

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// DryRun tries each move of an intent by itself, by eth_call on the newest
// block, and returns nil where all would succeed. It needs neither fees nor
// nonces, and an amount may be zero. A source without the native coin for its
// move is lent it for the try, on nodes that can; tokens cannot be lent.
//
// Errors: *chain.FormatError, *chain.RevertError, chain.ErrUnsupported,
// *chain.InsufficientFundsError, and those of the node.
func (c *Client) DryRun(ctx context.Context, in chain.Intent) error {
	return c.writer().dryRun(ctx, in)
}

func (w writer) dryRun(ctx context.Context, in chain.Intent) error {
	switch {
	case len(in.Moves) == 0:
		return badIntent("moves", "", "none")
	case len(in.Coins) > 0:
		return fmt.Errorf("evm: choosing coins: %w", chain.ErrUnsupported)
	}
	for _, m := range in.Moves {
		checked, err := w.checked(m, in.Purpose == chain.PurposeCancel)
		if err != nil {
			return err
		}
		if m.Asset.Native() {
			err = w.tryPayment(ctx, checked)
		} else {
			err = w.tryTransfer(ctx, checked, m.Amount)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tryPayment sends native coin to a receiver that may be a contract.
func (w writer) tryPayment(ctx context.Context, m move) error {
	args := callArgs(m.From.Address, m.To, fromAmount(m.Amount), nil)
	_, err := w.ethCall(ctx, args)
	if message, ok := refusal(err); !ok || !says(message, poorTexts) {
		return err
	}
	// Three parameters are an extension that most nodes have.
	lent := map[string]any{string(m.From.Address): map[string]any{"balance": new(uint256.Int).Lsh(uint256.NewInt(1), 128).Hex()}}
	if _, retried := w.ethCall(ctx, args, lent); retried == nil || reverted(retried) {
		return retried
	}
	return &chain.InsufficientFundsError{Account: m.From.Address, Asset: w.coin, Required: m.Amount}
}

// tryTransfer calls the token's transfer without sending it. Tokens that return
// nothing are as good as those that return true, provided there is a contract;
// one that returns false has refused, without reverting.
func (w writer) tryTransfer(ctx context.Context, m move, units chain.Amount) error {
	contract := checksummed(m.contract)
	out, err := w.ethCall(ctx, callArgs(m.From.Address, contract, new(uint256.Int), encodeTransfer(m.to, units)))
	switch {
	case err != nil:
		return err
	case len(out) == 0:
		return w.hasCode(ctx, contract)
	case len(out) < 32:
		return &chain.RevertError{Reason: "transfer returned no boolean", Data: out}
	}
	switch word := new(uint256.Int).SetBytes(out[:32]); {
	case word.IsZero():
		return &chain.RevertError{Reason: "transfer returned false", Data: out}
	case word.Eq(uint256.NewInt(1)):
		return nil
	}
	return &chain.RevertError{Reason: "transfer returned no boolean", Data: out}
}

// hasCode tells a contract that returns nothing from an address where nobody
// answers, which a call cannot.
func (w writer) hasCode(ctx context.Context, contract chain.Address) error {
	var code *hexData
	if err := w.ask(ctx, "eth_getCode", &code, contract, "latest"); err != nil {
		return err
	}
	if code == nil || len(*code) == 0 {
		return &chain.RevertError{Reason: fmt.Sprintf("no contract at %s", contract)}
	}
	return nil
}

// balanceOf asks a token how much the source holds.
func (w writer) balanceOf(ctx context.Context, m move) (chain.Amount, error) {
	from, err := parseAddress(string(m.From.Address))
	if err != nil {
		return chain.Amount{}, err
	}
	contract := checksummed(m.contract)
	out, err := w.ethCall(ctx, callArgs("", contract, nil, addressCall(balanceOfSelector, from)))
	switch {
	case err != nil:
		return chain.Amount{}, err
	case len(out) != 32:
		return chain.Amount{}, &chain.RevertError{Reason: fmt.Sprintf("balanceOf of %s returned %d bytes", contract, len(out)), Data: out}
	}
	return chain.AmountFromBytes(out)
}

const (
	// balanceOf(address)
	balanceOfSelector = "\x70\xa0\x82\x31"
	// getL1Fee(bytes) of the OP stack's gas price oracle
	l1FeeSelector  = "\x49\x94\x8e\x0e"
	gasPriceOracle = chain.Address("0x420000000000000000000000000000000000000F")
	// signatureBytes is the room that a signature takes in a transaction.
	signatureBytes = 68
)

// layerBelow is what an OP stack rollup charges beside gas for putting the
// transaction on the layer below, half as much again: the oracle follows that
// layer's fees and has moved by the time the transaction is mined.
func (w writer) layerBelow(ctx context.Context, t *transaction) (chain.Amount, error) {
	if !w.opStack {
		return chain.Amount{}, nil
	}
	payload, err := t.payload()
	if err != nil {
		return chain.Amount{}, err
	}
	// Non-zero filler: the fee depends on how well the bytes compress.
	for i := range signatureBytes {
		payload = append(payload, byte(1+i*37))
	}
	out, err := w.ethCall(ctx, callArgs("", gasPriceOracle, nil, bytesCall(l1FeeSelector, payload)))
	if err != nil {
		return chain.Amount{}, err
	}
	if len(out) != 32 {
		return chain.Amount{}, &IncoherentError{Reason: "the gas price oracle returned no number"}
	}
	fee, err := chain.AmountFromBytes(out)
	if err != nil {
		return chain.Amount{}, err
	}
	return fee.MulDiv(chain.NewAmount(3), chain.NewAmount(2))
}

// addressCall encodes a call with one argument of type address.
func addressCall(selector string, address [addressLength]byte) []byte {
	data := append([]byte(selector), make([]byte, 12)...)
	return append(data, address[:]...)
}

// bytesCall encodes a call with one argument of type bytes.
func bytesCall(selector string, argument []byte) []byte {
	data := []byte(selector)
	offset, length := uint256.NewInt(32).Bytes32(), uint256.NewInt(uint64(len(argument))).Bytes32()
	data = append(append(data, offset[:]...), length[:]...)
	data = append(data, argument...)
	return append(data, make([]byte, (32-len(argument)%32)%32)...)
}

// callArgs is the transaction object of eth_call and eth_estimateGas. It names
// no gas price, so that nodes do not ask whether the sender could pay for it.
func callArgs(from, to chain.Address, value *uint256.Int, data []byte) map[string]any {
	args := map[string]any{"to": to}
	if from != "" {
		args["from"] = from
	}
	if value != nil && !value.IsZero() {
		args["value"] = value.Hex()
	}
	if len(data) > 0 {
		args["data"] = hexBytes(data)
	}
	return args
}

// ethCall calls on the newest block; overrides change the state for the call.
func (w writer) ethCall(ctx context.Context, args map[string]any, overrides ...any) ([]byte, error) {
	var out *hexData
	params := append([]any{args, "latest"}, overrides...)
	if err := w.ask(ctx, "eth_call", &out, params...); err != nil {
		return nil, asRevert(err)
	}
	if out == nil {
		return nil, &IncoherentError{Reason: "eth_call returned nothing"}
	}
	return *out, nil
}

// hexData reads JSON-RPC data of at most a few kilobytes.
type hexData []byte

func (d *hexData) UnmarshalText(text []byte) error {
	if len(text) < 2 || text[0] != '0' || text[1] != 'x' {
		return errors.New("want 0x and hex digits")
	}
	raw, err := hex.DecodeString(string(text[2:]))
	*d = raw
	return err
}

// refusal returns the text with which a node refused a call in so many words.
func refusal(err error) (message string, ok bool) {
	var answer *RPCError
	if !errors.As(err, &answer) {
		return "", false
	}
	return strings.ToLower(answer.Message), true
}

func reverted(err error) bool {
	var revert *chain.RevertError
	return errors.As(err, &revert)
}

// revertTexts are how nodes say that the EVM would not execute it.
const revertTexts = `revert
	vm execution error
	vm exception
	invalid opcode
	invalid jump
	out of gas
	gas required exceeds
	stack underflow
	bad instruction
	always failing transaction
	write protection`

// asRevert makes a *chain.RevertError of an error that says so. Others pass.
func asRevert(err error) error {
	var answer *RPCError
	if !errors.As(err, &answer) {
		return err
	}
	// 3 is the code that geth and its relatives give to a revert with data.
	if message := strings.ToLower(answer.Message); answer.Code != 3 && !says(message, revertTexts) {
		return err
	}
	data := revertData(answer.Data)
	reason := revertReason(data)
	if reason == "" {
		reason = strings.TrimSpace(answer.Message)
	}
	return &chain.RevertError{Reason: reason, Data: data}
}

// revertData finds the return data in an error's data: a hex string, or with
// some nodes a word before it, or an object that has it in a field data.
func revertData(raw []byte) []byte {
	var object struct {
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(raw, &object) == nil && len(object.Data) > 0 {
		raw = object.Data
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil
	}
	_, digits, ok := strings.Cut(text, "0x")
	if !ok {
		return nil
	}
	data, err := hex.DecodeString(digits)
	if err != nil {
		return nil
	}
	return data
}

// revertReason reads what contracts return: Error(string), Panic(uint256), or
// the selector of an error of their own. The text is a stranger's, so it is cut
// to a few lines and must be UTF-8.
func revertReason(data []byte) string {
	const longest = 256
	if len(data) < 4 {
		return ""
	}
	selector, body := hexBytes(data[:4]), data[4:]
	switch {
	case selector == "0x08c379a0" && len(body) >= 64:
		length := new(uint256.Int).SetBytes(body[32:64])
		text := body[64:]
		if !length.IsUint64() || length.Uint64() > uint64(len(text)) {
			break
		}
		text = text[:min(length.Uint64(), longest)]
		return strings.ToValidUTF8(string(text), string(utf8.RuneError))
	case selector == "0x4e487b71" && len(body) >= 32:
		return "panic " + new(uint256.Int).SetBytes(body[:32]).Hex()
	}
	return "custom error " + selector
}
