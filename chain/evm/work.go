package evm

import (
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

var _ chain.WorkEstimator = (*Client)(nil)

// Work tells the gas of collections as package contracts measured it (contracts.GasOf),
// for a treasury that has some of the asset and addresses that give all they have. A
// token that is not known (Preset.Tokens) is taken for one that does no more than it
// must; behind a proxy a transfer takes about 7,000 more. Batches are told of where
// Batching is not zero.
//
// Next is for the fork after Osaka. Whether and when a chain other than Ethereum has
// its rules is a matter of that chain. So are prices of its own: on Arbitrum gas pays
// for the layer below too, and is more.
func (c *Client) Work(of chain.Collection) chain.Work {
	class := c.classOf(of.Asset)
	var first, again contracts.Way
	switch of.Way {
	case chain.WayTransfer:
		first, again = contracts.Transfer, contracts.Transfer
	case chain.WayTopUp:
		first, again = contracts.TopUp, contracts.TopUpLater
	case chain.WayBatch:
		if c.Batching().MaxMoves == 0 {
			return chain.Work{}
		}
		first, again = contracts.Fresh, contracts.Reused
	default:
		return chain.Work{}
	}
	gas := func(rules contracts.Rules) uint64 {
		one, err := contracts.GasOf(rules, first, class)
		if err != nil {
			return 0 // nobody does that
		}
		other, err := contracts.GasOf(rules, again, class)
		if err != nil {
			return 0
		}
		return one.With(of.First, other, of.Again)
	}
	w := chain.Work{Now: gas(contracts.Osaka), Next: gas(contracts.Amsterdam)}
	if w.Next > 0 {
		w.Rules = contracts.Amsterdam.String()
	}
	return w
}

// classOf is what kind of token an asset is, as far as that is known.
func (c *Client) classOf(a chain.Asset) contracts.Class {
	if a.Native() {
		return contracts.Coin
	}
	for _, k := range c.cfg.Preset.Tokens() {
		if k.Asset.ID != a.ID || k.Bridged {
			continue
		}
		switch {
		case k.Issuer == "Circle":
			return contracts.Proxied
		case k.Issuer == "Tether" && c.number == 1:
			return contracts.Checked
		}
	}
	return contracts.Plain
}
