package chaintest

import (
	"bytes"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/bursar-go/bursar/chain"
)

// TokenKind is how a token's contract behaves.
type TokenKind string

// The kinds of tokens. Networks that cannot offer one leave it out of
// Harness.Tokens.
const (
	// TokenPlain follows ERC-20: it moves, emits Transfer and returns true.
	TokenPlain TokenKind = "plain"
	// TokenNoReturn moves and emits, but returns nothing, as USDT does.
	TokenNoReturn TokenKind = "no-return"
	// TokenFalse returns false, moves nothing and emits nothing, while its
	// transaction succeeds.
	TokenFalse TokenKind = "false-returning"
	// TokenLookAlike is plain, has the symbol of another token, and is not
	// listed.
	TokenLookAlike TokenKind = "look-alike"
	// TokenSpoofer is not listed; beside an event of its own it emits one that
	// names another token's contract in its data.
	TokenSpoofer TokenKind = "spoofer"
	// TokenNFT emits Transfer with the value as a fourth topic, as ERC-721 does,
	// though it is listed.
	TokenNFT TokenKind = "four-topics"
	// TokenFee takes a twentieth of every transfer, and its event tells the
	// amount before the fee.
	TokenFee TokenKind = "fee-on-transfer"
	// TokenLongData emits Transfer with two words of data, though it is listed.
	TokenLongData TokenKind = "long-data"
	// TokenRebasing is plain, and its owner can make all balances grow or shrink
	// without an event, see Rebase.
	TokenRebasing TokenKind = "rebasing"
	// TokenPausable is plain, and its owner can make all transfers revert, see
	// Pause.
	TokenPausable TokenKind = "pausable"
	// TokenBlacklist is plain, and its owner can make transfers of single
	// addresses revert, see Blacklist.
	TokenBlacklist TokenKind = "blacklisting"
)

// listed reports whether a gateway that is configured well would list it.
func (k TokenKind) listed() bool { return k != TokenLookAlike && k != TokenSpoofer }

// TokenSpec describes a token to deploy.
type TokenSpec struct {
	// Kind is how it behaves. Default: TokenPlain.
	Kind TokenKind
	// Symbol is its label. Default: "TOK".
	Symbol string
	// Decimals are its decimals, as given: 0 is none.
	Decimals uint8
	// Imitates is the token that a TokenSpoofer names in its events.
	Imitates chain.Asset
	// Unlisted keeps the token unknown to clients, as TokenLookAlike and
	// TokenSpoofer always are: TxStatus.Transfers leaves it out.
	Unlisted bool
}

// transferTopic is the hash of Transfer(address,address,uint256).
var transferTopic = crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))

// token models one token contract.
type token struct {
	spec     TokenSpec
	asset    chain.Asset
	imitates common.Address
	// What transfers really move, as a fraction of what the call says. It is
	// the state that the outcome of a transfer depends on.
	num, den chain.Amount
	// upgrades counts what Upgrade made of it.
	upgrades int
}

// Upgrade replaces the code of a token, as the owner of a proxy can: its
// CodeHash changes, and nothing else.
func (c *Chain) Upgrade(a chain.Asset) {
	address := c.mustContract("Upgrade", a)
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.contracts[address].(*token)
	if !ok {
		panic(fmt.Sprintf("chaintest: Upgrade(%s): want a token", a.ID))
	}
	t.upgrades++
}

// codeHash stands for the hash of the token's code.
func (t *token) codeHash() string {
	return crypto.Keccak256Hash([]byte(fmt.Sprint(t.asset.ID, t.upgrades))).Hex()
}

// DeployToken makes a token contract. It exists in every block, those already
// mined included. Contracts get their addresses by their order.
func (c *Chain) DeployToken(spec TokenSpec) chain.Asset {
	orDefault(&spec.Kind, TokenPlain)
	orDefault(&spec.Symbol, "TOK")
	t := &token{spec: spec, num: chain.NewAmount(1), den: chain.NewAmount(1)}
	if spec.Kind == TokenSpoofer {
		t.imitates = c.mustContract("DeployToken: Imitates", spec.Imitates)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	seed := fmt.Sprintf("chaintest token %d", len(c.tokens))
	address := common.BytesToAddress(crypto.Keccak256([]byte(seed)))
	id, err := chain.MakeAssetID(c.info.ID, "erc20", address.Hex())
	if err != nil {
		panic("chaintest: DeployToken: " + err.Error())
	}
	t.asset = chain.Asset{ID: id, Symbol: spec.Symbol, Decimals: spec.Decimals, Contract: textAddress(address)}
	c.contracts[address] = t
	c.tokens = append(c.tokens, t.asset)
	if spec.Kind.listed() && !spec.Unlisted {
		c.listed = append(c.listed, t.asset)
	}
	return t.asset
}

// SetTransferRate makes transfers of a token that are executed from now on move
// num/den of what they say, rounded down, which may be more than that; the event tells what really moved,
// and there is none where it is nothing. With a reorg afterwards, the same
// transaction moves another amount when it is mined again.
func (c *Chain) SetTransferRate(a chain.Asset, num, den uint64) {
	address := c.mustContract("SetTransferRate", a)
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.contracts[address].(*token)
	if !ok || den == 0 {
		panic(fmt.Sprintf("chaintest: SetTransferRate(%s, %d, %d): want a token and a fraction", a.ID, num, den))
	}
	t.num, t.den = chain.NewAmount(num), chain.NewAmount(den)
}

func (t *token) call(m *message) ([]byte, error) {
	m.gas += gasToken
	to, amount, ok := readTransferCall(m.data)
	switch {
	case !m.value.IsZero():
		return nil, reverted("token is not payable")
	case !ok:
		return nil, reverted("unknown function")
	}
	return t.transfer(m, m.from, to, amount)
}

// transfer moves amount in the way of the token's kind. m is the message that
// reached the token, directly or through another contract.
func (t *token) transfer(m *message, from, to common.Address, amount chain.Amount) ([]byte, error) {
	if t.spec.Kind == TokenFalse {
		return make([]byte, 32), nil
	}
	self := common.BytesToAddress(common.FromHex(string(t.asset.Contract)))
	if err := refused(m.world, self, from, to); err != nil {
		return nil, err
	}
	moved, err := amount.MulDiv(t.num, t.den)
	if err != nil {
		return nil, reverted("overflow")
	}
	if err := m.c.mintExternal(m.world, self, from, amount); err != nil {
		return nil, reverted("overflow")
	}
	if m.world.balance(self, to).IsZero() && !moved.IsZero() {
		m.gas += gasFreshSlot
	}
	if m.world.balance(self, from).Less(amount) || m.world.debit(self, from, moved) != nil {
		return nil, reverted("transfer amount exceeds balance")
	}
	arrives := moved
	if t.spec.Kind == TokenFee {
		fee, _ := moved.MulDiv(chain.NewAmount(1), chain.NewAmount(20)) // never above moved
		arrives = moved.SubFloor(fee)
	}
	if err := m.world.credit(self, to, arrives); err != nil {
		return nil, reverted("overflow")
	}
	if !moved.IsZero() || amount.IsZero() {
		t.announce(m, self, from, to, moved)
	}
	if t.spec.Kind == TokenNoReturn {
		return nil, nil
	}
	return common.LeftPadBytes([]byte{1}, 32), nil
}

// refused says why the token's owner does not let it move. Only tokens of the
// kinds with such an owner have these flags.
func refused(w world, self, from, to common.Address) error {
	switch {
	case w.flag('p', self, common.Address{}):
		return reverted("token is paused")
	case w.flag('x', self, from) || w.flag('x', self, to):
		return reverted("account is blacklisted")
	}
	return nil
}

// announce emits the events of one movement.
func (t *token) announce(m *message, self, from, to common.Address, amount chain.Amount) {
	own := *m
	own.to = self
	word := amount.Bytes32()
	topics := []common.Hash{transferTopic, common.BytesToHash(from[:]), common.BytesToHash(to[:])}
	switch t.spec.Kind {
	case TokenNFT:
		own.emit(nil, append(topics, word)...)
	case TokenLongData:
		own.emit(append(word[:], make([]byte, 32)...), topics...)
	case TokenSpoofer:
		own.emit(word[:], topics...)
		own.emit(bytes.Join([][]byte{word[:], common.LeftPadBytes(t.imitates[:], 32)}, nil), topics...)
	default:
		own.emit(word[:], topics...)
	}
}

// returnedFalse reports a token call that says by its return value that nothing
// moved. No return value is no refusal.
func returnedFalse(output []byte) bool {
	return len(output) >= 32 && bytes.Equal(output[:32], make([]byte, 32))
}
