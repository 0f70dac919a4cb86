package evm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bursar-go/bursar/chain"
)

// The client has these capabilities beside chain.Client.
var (
	_ chain.Reader         = (*Client)(nil)
	_ chain.Identifier     = (*Client)(nil)
	_ chain.BalanceReader  = (*Client)(nil)
	_ chain.TokenInspector = (*Client)(nil)
)

// Selectors of the calls this package makes, as calldata.
const (
	decimalsCall  = "0x313ce567" // decimals()
	symbolCall    = "0x95d89b41" // symbol()
	balanceOfCall = "0x70a08231" // balanceOf(address)
)

// Identify asks the node for its chain id and the hash of its first block. It
// returns *WrongChainError, with what the node said, where the id or a
// configured genesis hash differs, and *SweeperCodeError where Config.Sweeper is not
// what stands at its address.
func (c *Client) Identify(ctx context.Context) (chain.Identity, error) {
	var (
		number   uint64
		first    header
		hasFirst bool
	)
	err := c.all(ctx,
		newCall("eth_chainId", intoUint64(&number)),
		newCall("eth_getBlockByNumber", func(s *scanner) { hasFirst = s.header(&first) }, "0x0", false))
	if err != nil {
		return chain.Identity{}, readError(err)
	}
	if !hasFirst {
		return chain.Identity{}, &IncoherentError{Reason: "the node has no first block"}
	}
	identity := chain.Identity{
		ID:      chain.ID("eip155:" + strconv.FormatUint(number, 10)),
		Genesis: chain.BlockHash(hexHash(&first.hash)),
	}
	switch want := c.cfg.Genesis; {
	case number != c.number:
		return identity, c.wrongNumber(number)
	case want != "" && identity.Genesis != want:
		return identity, &WrongChainError{Field: "genesis hash", Want: string(want), Got: string(identity.Genesis)}
	case c.cfg.Sweeper != nil:
		return identity, c.VerifySweeper(ctx)
	}
	return identity, nil
}

func (c *Client) wrongNumber(got uint64) error {
	return &WrongChainError{Field: "chain id", Want: strconv.FormatUint(c.number, 10), Got: strconv.FormatUint(got, 10)}
}

// Balances returns one amount for each holding at the block with that hash, or
// at the newest block. chain.ErrNotFound means that the node does not have that
// block (yet), chain.ErrPruned that it does not keep its state any more,
// chain.ErrNoContract that a token's contract is not there in it.
func (c *Client) Balances(ctx context.Context, at chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
	block, err := blockParam(at)
	if err != nil {
		return nil, err
	}
	amounts := make([]chain.Amount, len(of))
	calls := make([]*call, 0, len(of))
	var native []*call
	var holders [][addressLength]byte
	var places []*chain.Amount
	for i, h := range of {
		r, err := c.balanceCall(h, block, &amounts[i])
		if err != nil {
			return nil, err
		}
		if !h.Asset.Native() {
			calls = append(calls, r)
			continue
		}
		holder, _ := parseAddress(string(h.Address)) // balanceCall has read it
		native, holders, places = append(native, r), append(holders, holder), append(places, &amounts[i])
	}
	done := c.kept(at, holders, places)
	if !done {
		done, err = c.nativeBalances(ctx, block, holders, places)
	}
	if !done {
		calls = append(calls, native...)
	}
	if err == nil {
		err = c.all(ctx, calls...)
	}
	switch {
	case err == nil:
		return amounts, nil
	case isPruned(err):
		return nil, fmt.Errorf("%w: %w", chain.ErrPruned, err)
	case isUnknownBlock(err):
		return nil, fmt.Errorf("%w: %w", chain.ErrNotFound, err)
	case errors.Is(err, chain.ErrNotFound):
		return nil, err
	}
	return nil, readError(err)
}

// blockParam names a block by its hash as EIP-1898 has it.
func blockParam(at chain.BlockHash) (any, error) {
	if at == "" {
		return "latest", nil
	}
	if _, err := parseHash("block hash", string(at)); err != nil {
		return nil, err
	}
	return map[string]string{"blockHash": string(at)}, nil
}

func (c *Client) balanceCall(h chain.Holding, block any, dst *chain.Amount) (*call, error) {
	holder, err := parseAddress(string(h.Address))
	if err != nil {
		return nil, err
	}
	if h.Asset.Native() {
		if h.Asset.ID != c.Info().Native.ID {
			return nil, &chain.FormatError{What: "asset id", Text: string(h.Asset.ID), Reason: "not the coin of this chain"}
		}
		return newCall("eth_getBalance", intoAmount(dst), string(checksummed(holder)), block), nil
	}
	contract, err := c.contractOf(h.Asset)
	if err != nil {
		return nil, err
	}
	data := fmt.Sprintf("%s%024x%x", balanceOfCall, 0, holder)
	var r *call
	r = newCall("eth_call", func(s *scanner) {
		var word [32]byte
		switch n := s.bytes(word[:]); {
		case s.err != nil:
		case n == 32:
			*dst = amountOfWord(&word)
		case n == 0:
			// A call to an account without code succeeds and returns nothing.
			r.err = fmt.Errorf("evm: no token at %s: %w", contract, chain.ErrNoContract)
		default:
			r.err = &IncoherentError{Reason: "balanceOf of " + string(contract) + " is no number"}
		}
	}, callObject(contract, data), block)
	return r, nil
}

// contractOf checks that the asset is a token of this chain.
func (c *Client) contractOf(a chain.Asset) (chain.Address, error) {
	table, err := newTokenTable(c.Info().ID, []chain.Asset{a})
	if err != nil {
		return "", err
	}
	return table.ids[table.contracts[0]].contract, nil
}

func callObject(to chain.Address, data string) map[string]string {
	return map[string]string{"to": string(to), "data": data}
}

// Inspect returns decimals and symbol of a token's contract, at the newest
// block; for the native coin what is configured. chain.ErrNoContract means that
// there is no contract, chain.ErrUnsupported that it has no decimals and is no
// token. A symbol that is missing or unreadable is empty: it is a label and proves
// nothing.
func (c *Client) Inspect(ctx context.Context, a chain.Asset) (chain.Token, error) {
	if a.Native() {
		native := c.Info().Native
		return chain.Token{Decimals: native.Decimals, Symbol: native.Symbol}, nil
	}
	contract, err := c.contractOf(a)
	if err != nil {
		return chain.Token{}, err
	}
	var code, decimals, symbol, slot, oldSlot []byte
	calls := []*call{
		newCall("eth_getCode", intoBytes(&code), string(contract), "latest"),
		newCall("eth_call", intoBytes(&decimals), callObject(contract, decimalsCall), "latest"),
		newCall("eth_call", intoBytes(&symbol), callObject(contract, symbolCall), "latest"),
		newCall("eth_getStorageAt", intoBytes(&slot), string(contract), implementationSlot, "latest"),
		newCall("eth_getStorageAt", intoBytes(&oldSlot), string(contract), oldImplementationSlot, "latest"),
	}
	if err := c.do(ctx, calls...); err != nil {
		return chain.Token{}, readError(err)
	}
	if err := calls[0].err; err != nil {
		return chain.Token{}, readError(err)
	}
	if len(code) == 0 {
		return chain.Token{}, fmt.Errorf("evm: nothing at %s: %w", contract, chain.ErrNoContract)
	}
	if err := calls[1].err; err != nil && !isRevert(err) {
		return chain.Token{}, readError(err)
	}
	n, err := chain.AmountFromBytes(decimals)
	if calls[1].err != nil || err != nil || len(decimals) != 32 || chain.NewAmount(255).Less(n) {
		return chain.Token{}, fmt.Errorf("evm: the contract at %s does not tell its decimals: %w", contract, chain.ErrUnsupported)
	}
	token := chain.Token{Decimals: decimals[31]}
	if calls[2].err == nil {
		token.Symbol = decodeSymbol(symbol)
	}
	if calls[3].err == nil && calls[4].err == nil {
		token.CodeHash, err = c.codeHash(ctx, code, slot, oldSlot)
	}
	return token, err
}

// isRevert reports whether a node says that a call reverted. Code 3 is the
// usual one; older nodes only say it in words.
func isRevert(err error) bool { return refusedWith(err, 3, "revert", "invalid opcode") }

// maxSymbol is the most bytes of a symbol that is believed to be one.
const maxSymbol = 64

// decodeSymbol reads an ABI string or, as old contracts have it, a word padded
// with zeros. Anything else, and what does not print, is no symbol.
func decodeSymbol(data []byte) string {
	text := string(data)
	if len(data) == 32 {
		text = strings.TrimRight(text, "\x00")
	} else {
		if len(data) < 64 || strings.Trim(text[:31], "\x00") != "" || data[31] != 32 || strings.Trim(text[32:62], "\x00") != "" {
			return ""
		}
		length := int(data[62])<<8 | int(data[63])
		if length > len(data)-64 {
			return ""
		}
		text = text[64 : 64+length]
	}
	unprintable := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if len(text) > maxSymbol || strings.ContainsFunc(text, unprintable) {
		return ""
	}
	return text
}
