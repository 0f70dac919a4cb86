package main

import (
	"fmt"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// deposit is the amount of each payment that is swept: six decimals, as most stable
// coins have, and a number like those of real invoices.
const deposit = 123_456_789

// sweepSizes are how many payments are swept at once.
func sweepSizes() [3]int { return [3]int{1, 10, 100} }

// sweepTokens are the tokens by the names that figures have, with what package
// contracts calls their kind.
func sweepTokens() []sweepToken {
	return []sweepToken{
		{"oz", contracts.Plain, "an ERC-20 like OpenZeppelin's"},
		{"usdt", contracts.Checked, "a token with USDT's checks"},
		{"usdc", contracts.Proxied, "a token behind a proxy with USDC's blacklist"},
	}
}

type sweepToken struct {
	name  string
	class contracts.Class
	about string
}

// sweepWay is a way to get deposits to the treasury.
type sweepWay struct {
	name, about string
	// how says by what the transactions are made.
	how string
	// most is what a payment may cost, by token and size; none where nothing is
	// promised.
	most map[string][3]float64
	// pay makes n deposits, which is not counted, and returns what sweeps them and
	// tells the gas of it.
	pay func(s *sweeps, token *minted, n int) (sweep func() (gas uint64, err error), err error)
}

// sweepWays are those there are. The bounds of the tokens with checks lie two percent
// over the best that was known of each kind when the contract was written.
func sweepWays() []sweepWay {
	const byClient, byHand = "by the client", "calls of package contracts sent by hand, since the client makes no such batches yet"
	return []sweepWay{
		{"7702fresh", "accounts that delegate in the same transaction (EIP-7702)", byClient, map[string][3]float64{
			"oz": {59_000, 32_700, 30_000}, "usdt": {67_953, 36_066, 32_878}, "usdc": {66_490, 34_144, 30_910},
		}, (*sweeps).fresh},
		{"7702reused", "accounts that delegate already", byClient, map[string][3]float64{
			"oz": {36_100, 11_700, 9_600}, "usdt": {45_003, 14_409, 11_859}, "usdc": {43_540, 12_872, 10_285},
		}, (*sweeps).reused},
		{"forwarder_first", "forwarders that the transaction deploys", byHand, map[string][3]float64{
			"oz": {72_500, 46_100, 43_400}, "usdt": {81_422, 49_453, 46_257}, "usdc": {79_959, 47_532, 44_289},
		}, (*sweeps).forwardersFirst},
		{"forwarder_later", "forwarders that are deployed already", byHand, map[string][3]float64{
			"oz": {36_300, 11_800, 9_650}, "usdt": {45_165, 14_375, 11_808}, "usdc": {43_702, 12_838, 10_234},
		}, (*sweeps).forwardersLater},
		{"topup", "accounts that get the gas first and then send the token themselves", byClient + ", two transactions for each payment", nil, (*sweeps).topUp},
	}
}

// sweepFigures are the figures sweep_gas_WAY_TOKEN_N.
func sweepFigures() (out []figure) {
	for _, way := range sweepWays() {
		for _, token := range sweepTokens() {
			for i, n := range sweepSizes() {
				f := figure{
					name: fmt.Sprintf("sweep_gas_%s_%s_%d", way.name, token.name, n), unit: "gas", procs: 2,
					about:   fmt.Sprintf("gas for each of %d payments of %s: %s", n, token.about, way.about),
					measure: func(b *bench) (reading, error) { return b.sweepGas(way, token.name, n) },
				}
				if most, promised := way.most[token.name]; promised {
					f.bound = most[i]
				} else {
					f.atLeast = true
				}
				out = append(out, f)
			}
		}
	}
	return out
}

// sweepGas sweeps n payments, on the geth that all these figures share, and takes the
// gas from the receipts. What the treasury did not get was not swept, whatever the
// receipts say.
func (b *bench) sweepGas(way sweepWay, name string, n int) (reading, error) {
	if b.quick {
		n = min(n, 2)
	}
	s, err := b.sweeping()
	if err != nil {
		return reading{}, err
	}
	token := s.tokens[name]
	sweep, err := way.pay(s, token, n)
	if err != nil {
		return reading{}, fmt.Errorf("before the sweep: %w", err)
	}
	before, err := s.treasuryHas(token)
	if err != nil {
		return reading{}, err
	}
	gas, err := sweep()
	if err != nil {
		return reading{}, err
	}
	after, err := s.treasuryHas(token)
	if err != nil {
		return reading{}, err
	}
	return sweepReading(way, n, gas, before, after)
}

// sweepReading is the figure of n payments, where all of them reached the treasury.
func sweepReading(way sweepWay, n int, gas uint64, before, after chain.Amount) (reading, error) {
	got, err := after.Sub(before)
	if want := chain.NewAmount(uint64(n) * deposit); err != nil || got != want {
		return reading{}, fmt.Errorf("the treasury had %s and has %s: want %s more", before, after, want)
	}
	return reading{float64(gas) / float64(n), fmt.Sprintf("geth --dev, %d payments, %d gas in the receipts, %s", n, gas, way.how)}, nil
}

// fresh has accounts paid that the chain has never seen.
func (s *sweeps) fresh(token *minted, n int) (func() (uint64, error), error) {
	of, err := s.accounts(n)
	if err != nil {
		return nil, err
	}
	return s.paidTo(token, of)
}

// reused has accounts paid again that were swept once.
func (s *sweeps) reused(token *minted, n int) (func() (uint64, error), error) {
	of, err := s.accounts(n)
	if err != nil {
		return nil, err
	}
	first, err := s.paidTo(token, of)
	if err != nil {
		return nil, err
	}
	if _, err := first(); err != nil {
		return nil, err
	}
	return s.paidTo(token, of)
}

// paidTo has accounts paid; one batch sweeps them.
func (s *sweeps) paidTo(token *minted, of []chain.Account) (func() (uint64, error), error) {
	if err := s.mint(token, addressesOf(of)...); err != nil {
		return nil, err
	}
	return func() (uint64, error) {
		in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: s.float}
		for _, a := range of {
			in.Moves = append(in.Moves, s.collection(token, a))
		}
		return s.carryOut(in)
	}, nil
}

// collection moves a deposit to the treasury.
func (s *sweeps) collection(token *minted, from chain.Account) chain.Move {
	return chain.Move{From: from, To: s.treasury.Address, Asset: token.asset, Amount: chain.NewAmount(deposit)}
}

// forwardersFirst has addresses paid at which there is nothing yet.
func (s *sweeps) forwardersFirst(token *minted, n int) (func() (uint64, error), error) {
	return s.paidBySalt(token, s.salts(n), contracts.OpDeploy, contracts.ForwarderFirst)
}

// forwardersLater has forwarders paid again that a sweep has deployed.
func (s *sweeps) forwardersLater(token *minted, n int) (func() (uint64, error), error) {
	salts := s.salts(n)
	first, err := s.paidBySalt(token, salts, contracts.OpDeploy, contracts.ForwarderFirst)
	if err != nil {
		return nil, err
	}
	if _, err := first(); err != nil {
		return nil, err
	}
	return s.paidBySalt(token, salts, contracts.OpFlush, contracts.ForwarderLater)
}

// paidBySalt has forwarders paid; one batch sweeps them.
func (s *sweeps) paidBySalt(token *minted, salts []contracts.Salt, op contracts.Op, way contracts.Way) (func() (uint64, error), error) {
	var at []contracts.Address
	batch := contracts.Batch{Op: op, Asset: token.contract, Gas: contracts.EntryGas}
	for _, salt := range salts {
		at = append(at, s.forwards.Forwarder(salt))
		batch.Entries = append(batch.Entries, contracts.Entry{Salt: salt, Amount: chain.NewAmount(deposit)})
	}
	cost, err := contracts.CostOf(way, token.class)
	if err != nil {
		return nil, err
	}
	data, err := batch.Encode()
	if err != nil {
		return nil, err
	}
	if err := s.mint(token, at...); err != nil {
		return nil, err
	}
	return func() (uint64, error) {
		to := s.forwards.Address()
		r, err := s.send(&to, data, 0, cost.Limit(len(salts), contracts.EntryGas))
		return uint64(r.GasUsed), err
	}, nil
}

// topUp has accounts paid that are not swept by any contract: each gets the gas that
// its transfer wants, and then makes it.
func (s *sweeps) topUp(token *minted, n int) (func() (uint64, error), error) {
	of, err := s.accounts(n)
	if err != nil {
		return nil, err
	}
	if err := s.mint(token, addressesOf(of)...); err != nil {
		return nil, err
	}
	return func() (all uint64, err error) {
		for _, a := range of {
			gas, err := s.topUpOne(chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{s.collection(token, a)}})
			if err != nil {
				return 0, err
			}
			all += gas
		}
		return all, nil
	}, nil
}

// topUpOne is the gas of both transactions of one account.
func (s *sweeps) topUpOne(transfer chain.Intent) (uint64, error) {
	d, err := s.prepare(transfer)
	if err != nil {
		return 0, err
	}
	if len(d.Needs) != 1 || !d.Needs[0].Asset.Native() {
		return 0, fmt.Errorf("%s needs %v, want the coin for its transfer", transfer.Moves[0].From.Address, d.Needs)
	}
	need := d.Needs[0]
	first, err := s.carryOut(chain.Intent{
		Purpose: chain.PurposeTopUp, Moves: []chain.Move{{From: s.float, To: need.Account.Address, Own: &need.Account.Key, Asset: need.Asset, Amount: need.Amount}},
	})
	if err != nil {
		return 0, fmt.Errorf("top-up: %w", err)
	}
	second, err := s.carryOut(transfer)
	return first + second, err
}
