package chaintest

import (
	"crypto/ecdsa"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/bursar-go/bursar/chain"
)

// payer is a stranger who pays: a customer, an exchange. It never runs dry.
type payer struct {
	key     *ecdsa.PrivateKey
	address common.Address
}

// payerGas is a gas limit that every simulated call with that data fits in.
func payerGas(data []byte) uint64 {
	parts := 1 + uint64(len(data)/splitterPart)
	return intrinsicGas(data) + gasDestruct + parts*(gasSplit+gasToken+gasFreshSlot)
}

// faucet is the payer behind Fund.
const faucet = "faucet"

// Payer returns the address of the named payer. Its key is derived from the
// name, so that the same name is the same account on every simulated chain.
func (c *Chain) Payer(name string) chain.Address {
	c.mu.Lock()
	defer c.mu.Unlock()
	return textAddress(c.payer(name).address)
}

func (c *Chain) payer(name string) *payer {
	if p, ok := c.payers[name]; ok {
		return p
	}
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("chaintest payer " + name)))
	if err != nil {
		panic("chaintest: " + err.Error()) // one name in 2^128
	}
	p := &payer{key: key, address: crypto.PubkeyToAddress(key.PublicKey)}
	c.payers[name], c.external[p.address] = p, true
	return p
}

// Payment is one part of PayMany.
type Payment struct {
	To     chain.Address // To is the receiver.
	Asset  chain.Asset   // Asset is the CAIP-19 id.
	Amount chain.Amount  // Amount is how much, in units of the asset.
}

// Pay has the named payer send an amount of an asset: a plain transaction that
// waits in the mempool until a block is made. An amount of zero is sent too, as
// address poisoners do.
func (c *Chain) Pay(payer string, to chain.Address, asset chain.Asset, amount chain.Amount) chain.TxID {
	receiver, token := mustAddress("Pay", to), c.mustContract("Pay", asset)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.onDemand()
	return c.pay(payer, receiver, token, amount)
}

func (c *Chain) pay(payer string, to, token common.Address, amount chain.Amount) chain.TxID {
	if token == (common.Address{}) {
		return c.send(payer, to, amount, nil, nil)
	}
	return c.send(payer, token, chain.Amount{}, transferCall(to, amount), nil)
}

// Fund sends native coin from the faucet, by a visible transaction that waits
// in the mempool: a watched address that is funded sees a transfer. Grant is
// its invisible counterpart.
func (c *Chain) Fund(to chain.Address, amount chain.Amount) chain.TxID {
	return c.Pay(faucet, to, c.info.Native, amount)
}

// PayMany has the payer send several amounts in one transaction, through a
// contract. Tokens show one log each; native coin moves by internal calls, which
// are visible in balances and traces only.
func (c *Chain) PayMany(payer string, parts ...Payment) chain.TxID {
	var data []byte
	var value chain.Amount
	for _, p := range parts {
		to, token := mustAddress("PayMany", p.To), c.mustContract("PayMany", p.Asset)
		data = append(data, splitterCall(token, to, p.Amount)...)
		if p.Asset.Native() {
			sum, err := value.Add(p.Amount)
			if err != nil {
				panic("chaintest: PayMany: " + err.Error())
			}
			value = sum
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.onDemand()
	return c.send(payer, splitterAddress, value, data, nil)
}

// PaySelfDestruct has the payer send native coin through a contract that is
// destroyed in favour of the receiver: the transaction is visible, but names the
// contract, and no log and no call shows the credit. Unlike a part of PayMany,
// no contract can refuse it.
func (c *Chain) PaySelfDestruct(payer string, to chain.Address, amount chain.Amount) chain.TxID {
	receiver := mustAddress("PaySelfDestruct", to)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.onDemand()
	return c.send(payer, destructorAddress, amount, receiver[:], nil)
}

// PayReverted has the payer send native coin through a contract whose call to the
// receiver is reverted, while the transaction itself succeeds: its input names the
// receiver and its trace shows the call, and nothing arrives.
func (c *Chain) PayReverted(payer string, to chain.Address, amount chain.Amount) chain.TxID {
	receiver := mustAddress("PayReverted", to)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.onDemand()
	return c.send(payer, regretterAddress, amount, receiver[:], nil)
}

// PayFailed is Pay by a transaction that fails when it is mined: its status is
// 0, it names receiver and value, and moves nothing.
func (c *Chain) PayFailed(payer string, to chain.Address, asset chain.Asset, amount chain.Amount) chain.TxID {
	receiver, token := mustAddress("PayFailed", to), c.mustContract("PayFailed", asset)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.onDemand()
	id := c.pay(payer, receiver, token, amount)
	c.doomed[id] = true
	return id
}

// Replace has a waiting transaction of a payer replaced by a dearer one with the
// same nonce, which pays somebody else. The old one is forgotten. It panics
// where the transaction does not wait or is not a payer's.
func (c *Chain) Replace(old chain.TxID, to chain.Address, asset chain.Asset, amount chain.Amount) chain.TxID {
	receiver, token := mustAddress("Replace", to), c.mustContract("Replace", asset)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.onDemand()
	t := c.pool.find(old)
	if t == nil {
		panic(fmt.Sprintf("chaintest: Replace: %s does not wait", old))
	}
	for name, p := range c.payers {
		if p.address != t.from {
			continue
		}
		if token == (common.Address{}) {
			return c.send(name, receiver, amount, nil, t)
		}
		return c.send(name, token, chain.Amount{}, transferCall(receiver, amount), t)
	}
	panic(fmt.Sprintf("chaintest: Replace: %s is not a payer's", old))
}

// send signs a payer's transaction and puts it into the mempool. With a rival
// it takes the rival's nonce and outbids it. What a full mempool does not take is
// lost, as what it evicts is.
func (c *Chain) send(name string, to common.Address, value chain.Amount, data []byte, rival *tx) chain.TxID {
	p := c.payer(name)
	u := unsigned{ChainID: c.number, To: to, Value: value.Big(), Data: data, Gas: payerGas(data)}
	offer := c.fees.ordinary()
	u.Nonce = c.pendingNonce(c.head().world, p.address)
	if rival != nil {
		u.Nonce = rival.raw.Nonce()
		offer = offer.outbid(rival)
	}
	u.Tip, u.Cap = offer.tip.Big(), offer.cap.Big()
	signed, err := types.SignTx(u.transaction(), c.signer, p.key)
	if err != nil {
		panic("chaintest: " + err.Error())
	}
	t, err := c.newTx(signed)
	if err == nil {
		err = c.submit(t)
	}
	if err != nil && !errors.Is(err, errPoolFull) {
		panic(fmt.Sprintf("chaintest: payer %s: %v", name, err))
	}
	return t.id
}

// Send broadcasts a signed transaction in the network's encoding, as a client's
// Broadcast does but without faults.
func (c *Chain) Send(raw []byte) (chain.TxID, error) {
	t, err := c.readTx(raw)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.onDemand()
	return t.id, c.submit(t)
}

// Grant credits an asset to an address with the next block, without a
// transaction: for the starting balances of a test, and as the model of credits
// that only balances show, as withdrawals and a miner's reward are. A reorg
// carries it over to the new branch.
func (c *Chain) Grant(to chain.Address, asset chain.Asset, amount chain.Amount) {
	owner, token := mustAddress("Grant", to), c.mustContract("Grant", asset)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decree(func(w world) {
		// An overflow leaves the balance as it is.
		_ = w.credit(token, owner, amount)
	})
}

// Withdraw credits native coin to an address with the next block, without a
// transaction, as the protocol does for a validator (EIP-4895): the block names it,
// so that a client that can trace tells it. A reorg carries it over to the new
// branch under its old number.
func (c *Chain) Withdraw(to chain.Address, amount chain.Amount) {
	owner := mustAddress("Withdraw", to)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decree(func(w world) {
		_ = w.credit(common.Address{}, owner, amount)
	})
	c.edicts[len(c.edicts)-1].withdrawal = &innerMove{to: owner, amount: amount}
}
