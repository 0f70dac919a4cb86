package chaintest

import (
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// Harness returns a harness on this chain, with a new client and one token of
// each kind: for Run on the chain itself, or on a client that wraps a simulated
// one, such as a quorum or a cache.
func (c *Chain) Harness() Harness {
	h := Harness{Client: c.Client(), Tokens: map[TokenKind]chain.Asset{}, Rejecter: c.Rejecter(), MinesAtOnce: c.info.OnDemandBlocks}
	for _, kind := range []TokenKind{TokenPlain, TokenNoReturn, TokenFalse, TokenLookAlike, TokenNFT, TokenLongData, TokenSpoofer} {
		h.Tokens[kind] = c.DeployToken(TokenSpec{Kind: kind, Symbol: "USDC", Decimals: 6, Imitates: h.Tokens[TokenPlain]})
	}
	h.Mine = c.Mine
	h.Fund = func(to chain.Address, amount chain.Amount) {
		c.Fund(to, amount)
		c.Mine(1)
	}
	h.PayNative = func(to chain.Address, amount chain.Amount) chain.TxID {
		return c.Pay("stranger", to, c.info.Native, amount)
	}
	h.PayToken = func(kind TokenKind, to chain.Address, amount chain.Amount) chain.TxID {
		return c.Pay("stranger", to, h.Tokens[kind], amount)
	}
	h.PayMany = func(kind TokenKind, to chain.Address, amounts ...chain.Amount) chain.TxID {
		var parts []Payment
		for _, a := range amounts {
			parts = append(parts, Payment{To: to, Asset: h.Tokens[kind], Amount: a})
		}
		return c.PayMany("stranger", parts...)
	}
	h.SendCoin = func(to chain.Address, amount chain.Amount) chain.TxID {
		return c.PayMany("stranger", Payment{To: to, Asset: c.info.Native, Amount: amount})
	}
	h.ForceCoin = func(to chain.Address, amount chain.Amount) chain.TxID {
		return c.PaySelfDestruct("stranger", to, amount)
	}
	h.SendReverted = func(to chain.Address, amount chain.Amount) chain.TxID {
		return c.PayReverted("stranger", to, amount)
	}
	h.Traces = true
	h.Reorg = func(depth int) {
		o := ReorgOptions{Delay: 1, Length: max(depth+1, 2)}
		if !c.info.OnDemandBlocks {
			// A stranger's token payment comes first, so that places in blocks and
			// block-wide log numbers differ from those before.
			o.First = []chain.TxID{c.Pay("first", c.Payer("elsewhere"), h.Tokens[TokenPlain], chain.NewAmount(1))}
		}
		c.Reorg(depth, o)
	}
	return h
}

// NewSweeper returns the contract of a sponsor and a treasury, for Options.Sweeper.
// Nobody has its owner's key. It panics on what contracts.New refuses.
func NewSweeper(sponsor, treasury chain.Address) *contracts.Sweeper {
	s, err := contracts.New(contracts.Params{
		Treasury: mustAddress("NewSweeper", treasury), Owner: contracts.Address{0: 0xee, 19: 0x01}, Sponsor: mustAddress("NewSweeper", sponsor),
	})
	if err != nil {
		panic("chaintest: NewSweeper: " + err.Error())
	}
	return s
}

// NewBatchHarness returns a harness for RunBatches on a new chain with these options
// and a Sweeper of its own.
func NewBatchHarness(o Options) BatchHarness {
	keys := NewSigner(evm.Codec(), "batches")
	h := BatchHarness{Sponsor: keys.Account("sponsor"), Treasury: keys.Account("treasury").Address}
	sweeper := NewSweeper(h.Sponsor.Address, h.Treasury)
	o.Sweeper = sweeper
	c := New(o)
	h.Harness, h.Signer = c.Harness(), NewSigner(evm.CodecWith(sweeper), "batches")
	h.Fund(h.Sponsor.Address, units(10_000_000_000_000_000_000))
	return h
}
