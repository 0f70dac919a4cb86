package evm

import (
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// Token makes the asset of an ERC-20 contract on a chain, with the id
// "eip155:<n>/erc20:<contract>". The contract may be given in lower case or with
// its checksum. Symbol and decimals are the host's claim: compare them with
// Client.Inspect before the first use.
func Token(id chain.ID, contract, symbol string, decimals uint8) (chain.Asset, error) {
	number, err := chainNumber(id)
	if err != nil {
		return chain.Asset{}, err
	}
	raw, err := parseAddress(contract)
	switch {
	case err != nil:
		return chain.Asset{}, err
	case raw == [addressLength]byte{}:
		return chain.Asset{}, &chain.FormatError{What: "token contract", Text: contract, Reason: "the zero address is no contract"}
	case symbol == "":
		return chain.Asset{}, &chain.FormatError{What: "token symbol", Reason: "required"}
	case decimals > chain.MaxDecimals:
		return chain.Asset{}, &chain.FormatError{What: "token decimals", Text: fmt.Sprint(decimals), Reason: "at most 77"}
	}
	canonical := checksummed(raw)
	return chain.Asset{ID: tokenID(number, canonical), Symbol: symbol, Decimals: decimals, Contract: canonical}, nil
}

// tokenTable finds listed tokens by contract. It is immutable.
type tokenTable struct {
	ids       map[[addressLength]byte]listedToken
	contracts [][addressLength]byte // in the order of the list
}

type listedToken struct {
	id       chain.AssetID
	contract chain.Address
	coin     bool // the native coin, see addCoin
}

// coinLogger is the address in whose name a chain logs the movements of its native
// coin (the system address of EIP-7708).
const coinLogger = "0xfffffffffffffffffffffffffffffffffffffffe"

// addCoin lists the native coin by the logs of its chain.
func (t *tokenTable) addCoin(id chain.AssetID) error {
	raw, err := parseAddress(coinLogger)
	if err != nil {
		return err
	}
	if _, listed := t.ids[raw]; !listed {
		t.contracts = append(t.contracts, raw)
	}
	t.ids[raw] = listedToken{id: id, contract: checksummed(raw), coin: true}
	return nil
}

// newTokenTable checks the assets and leaves out native coins. The id of a
// token must be exactly the one its contract has on this chain: a table that
// books one contract's money under another one's id is how a worthless token
// becomes a valuable one.
func newTokenTable(id chain.ID, assets []chain.Asset) (*tokenTable, error) {
	number, err := chainNumber(id)
	if err != nil {
		return nil, err
	}
	t := &tokenTable{ids: make(map[[addressLength]byte]listedToken, len(assets))}
	for _, a := range assets {
		if a.Native() {
			continue
		}
		raw, err := parseAddress(string(a.Contract))
		if err != nil {
			return nil, err
		}
		contract := checksummed(raw)
		if want := tokenID(number, contract); a.ID != want {
			return nil, &chain.FormatError{What: "token id", Text: string(a.ID), Reason: "the contract has " + string(want) + " on this chain"}
		}
		if _, twice := t.ids[raw]; !twice {
			t.contracts = append(t.contracts, raw)
		}
		t.ids[raw] = listedToken{id: a.ID, contract: contract}
	}
	return t, nil
}

// listedTokens is the table of a chain's tokens, and of its coin where that is logged.
func listedTokens(p Preset, assets []chain.Asset) (*tokenTable, error) {
	t, err := newTokenTable(p.Info.ID, assets)
	if err == nil && p.CoinLogs {
		err = t.addCoin(p.Info.Native.ID)
	}
	return t, err
}

// union returns a table with the tokens of both, or t itself where it already
// has all of them.
func (t *tokenTable) union(o *tokenTable) *tokenTable {
	missing := 0
	for _, c := range o.contracts {
		if _, ok := t.ids[c]; !ok {
			missing++
		}
	}
	if missing == 0 {
		return t
	}
	out := &tokenTable{ids: make(map[[addressLength]byte]listedToken, len(t.ids)+missing)}
	for _, from := range []*tokenTable{t, o} {
		for _, c := range from.contracts {
			if _, ok := out.ids[c]; !ok {
				out.ids[c] = from.ids[c]
				out.contracts = append(out.contracts, c)
			}
		}
	}
	return out
}
