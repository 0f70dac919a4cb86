package bursartest

import (
	"math/big"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// CheckLedger compares the ledger with the chain at the newest scanned block:
// for every address of ours U + F is the balance, the treasury has received
// what was delivered, and every journal is balanced. It does nothing while the
// gateway is behind the head.
func (k *Kit) CheckLedger() {
	k.t.Helper()
	rows, err := k.Gateway.Ledger(k.ctx(), "")
	k.must(err)
	tip := k.Gateway.Health(k.ctx()).Chains[0].Tip
	if tip.Hash != k.Chain.Head().Hash {
		return
	}
	assets := map[chain.AssetID]chain.Asset{k.ETH.ID: k.ETH, k.USDC.ID: k.USDC, k.USDT.ID: k.USDT}
	for _, a := range k.tokens {
		assets[a.ID] = a
	}
	for _, a := range k.Gateway.Assets() { // those that were added meanwhile
		assets[a.ID] = a.Asset
	}
	type place struct {
		asset chain.AssetID
		owner string
	}
	have, total := map[place]*big.Int{}, map[chain.AssetID]*big.Int{}
	for _, r := range rows {
		if total[r.Asset] == nil {
			total[r.Asset] = new(big.Int)
		}
		total[r.Asset].Add(total[r.Asset], r.Sum)
		layer, owner, _ := strings.Cut(string(r.Account), ":")
		if layer != "U" && layer != "F" || owner == "gas" {
			continue
		}
		at := place{r.Asset, owner}
		if have[at] == nil {
			have[at] = new(big.Int)
		}
		have[at].Add(have[at], r.Sum)
	}
	for asset, sum := range total {
		if sum.Sign() != 0 {
			k.t.Errorf("height %d: the journal of %s is out of balance by %s", tip.Height, asset, sum)
		}
	}
	for at, sum := range have {
		owner := chain.Address(at.owner)
		if at.owner == "treasury" {
			owner = k.Treasury
		}
		if got := k.Chain.BalanceOf(owner, assets[at.asset]); got.Big().Cmp(sum) != 0 {
			k.t.Errorf("height %d: the ledger has %s %s at %s, the chain %s", tip.Height, sum, at.asset, at.owner, got)
		}
	}
}

// Balance is the balance of one ledger account in base units; zero where
// nothing was ever posted.
func (k *Kit) Balance(a chain.Asset, account bursar.Account) *big.Int {
	k.t.Helper()
	rows, err := k.Gateway.Ledger(k.ctx(), string(account))
	k.must(err)
	for _, r := range rows {
		if r.Asset == a.ID && r.Account == account {
			return r.Sum
		}
	}
	return new(big.Int)
}
