package hdwallet

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Policy is what a Signer permits. It comes from the operator's configuration
// and never from a database: whoever can write to the database must not be able
// to choose where money goes. NewSigner copies it.
type Policy struct {
	// Codecs are the chains it signs for, at least one. A codec reads payloads;
	// it must be the real one, not something that a node talked into existence.
	//
	// One that knows the installation's contract (chain.ContractCodec) lets deposit
	// addresses of the wallets delegate to that contract and to it alone, on that
	// chain, and any key send its batches and its deployment, within the limits of
	// fees. The contract must pay an address of Treasury.
	Codecs map[chain.ID]chain.Codec
	// Treasury are the addresses that may receive anything, for each chain in
	// canonical form: with the EIP-55 checksum on EVM chains, so that a typing
	// error cannot pass. A chain without any can still move money between own
	// addresses.
	Treasury map[chain.ID][]chain.Address
	// Delegates are the contracts that an authorisation (EIP-7702) may bind an
	// account to, in canonical form, beside the contract that a codec knows. A
	// delegate rules over the account like its key does. Default: none.
	Delegates map[chain.ID][]chain.Address
	// MaxFee is the most that one payload may cost, in base units of the native
	// coin. It bounds what a broken process can burn. A chain that is not in it
	// has no limit here.
	MaxFee map[chain.ID]chain.Amount
	// Limits bound what leaves the wallets by asset and time; all of them hold.
	// Without Journal they are counted in memory, so that a restart begins anew.
	// Default: none.
	Limits []Limit
	// Journal makes the signer remember across restarts what counts toward Limits,
	// which approvals were used, and Halt. Nothing is signed before it is recorded
	// there; where that fails, nothing is signed. Default: none.
	Journal Journal
	// Keys are single keys beside the wallets: a sponsor's, a float's. Their addresses
	// are own addresses on every chain of the policy. Default: none.
	Keys []*Key
	// Approvers are the keys whose signature approves a payment to a stranger.
	// Default: none, every such payment is refused.
	Approvers []ed25519.PublicKey
	// Now is the time by which approvals end. Default: time.Now.
	Now func() time.Time
}

// chainPolicy is what Policy says of one chain, in the form that Sign asks for.
type chainPolicy struct {
	codec     chain.Codec
	coinType  uint32
	treasury  map[chain.Address]bool
	delegates map[chain.Address]bool
	maxFee    *chain.Amount
	// contract is what deposit addresses may delegate to, as the codec derives it;
	// empty where it knows none.
	contract chain.Address
}

// compile validates p. All errors are *ConfigError, and which of several is
// reported does not depend on chance.
func (p Policy) compile() (map[chain.ID]*chainPolicy, error) {
	if len(p.Codecs) == 0 {
		return nil, &ConfigError{Field: "Policy.Codecs", Reason: "want at least one chain"}
	}
	chains := make(map[chain.ID]*chainPolicy, len(p.Codecs))
	for _, id := range sortedKeys(p.Codecs) {
		c, err := compileChain(id, p.Codecs[id])
		if err != nil {
			return nil, err
		}
		chains[id] = c
	}
	for _, id := range sortedKeys(p.MaxFee) {
		if chains[id] == nil {
			return nil, noCodec("MaxFee", id)
		}
		limit := p.MaxFee[id]
		chains[id].maxFee = &limit
	}
	lists := []struct {
		name string
		of   map[chain.ID][]chain.Address
		into func(*chainPolicy) *map[chain.Address]bool
	}{
		{"Treasury", p.Treasury, func(c *chainPolicy) *map[chain.Address]bool { return &c.treasury }},
		{"Delegates", p.Delegates, func(c *chainPolicy) *map[chain.Address]bool { return &c.delegates }},
	}
	for _, list := range lists {
		for _, id := range sortedKeys(list.of) {
			if chains[id] == nil {
				return nil, noCodec(list.name, id)
			}
			set, err := addressSet(fmt.Sprintf("Policy.%s[%s]", list.name, id), chains[id].codec, list.of[id])
			if err != nil {
				return nil, err
			}
			*list.into(chains[id]) = set
		}
	}
	for _, id := range sortedKeys(p.Treasury) {
		if err := checkPayable(id, chains[id].codec, p.Treasury[id]); err != nil {
			return nil, err
		}
	}
	for _, id := range sortedKeys(chains) {
		if err := chains[id].knowContract(id); err != nil {
			return nil, err
		}
	}
	return chains, checkApprovers(p.Approvers)
}

// knowContract asks the codec for the contract that collects. One that pays anybody
// but a treasury of the policy would be a way around it.
func (p *chainPolicy) knowContract(id chain.ID) error {
	bad := func(reason string) error {
		return &ConfigError{Field: fmt.Sprintf("Policy.Codecs[%s]", id), Reason: reason}
	}
	codec, ok := p.codec.(chain.ContractCodec)
	if !ok {
		return nil
	}
	var contract, treasury chain.Address
	if err := guard("codec", func() error { contract, treasury = codec.Contract(); return nil }); err != nil {
		return bad(err.Error())
	}
	switch {
	case contract == "":
		return nil
	case !p.treasury[treasury]:
		return bad(fmt.Sprintf("its contract pays %s, which is not in Policy.Treasury", treasury))
	case p.treasury[contract]:
		return bad("its contract is in Policy.Treasury, and would keep what it gets")
	}
	p.contract = contract
	return nil
}

// checkPayable refuses the address whose raw key is all zeros: on every chain
// that is where coins are burnt. As a delegate it is legal, it revokes.
func checkPayable(id chain.ID, codec chain.Codec, treasury []chain.Address) error {
	for i, a := range treasury {
		bad := func(reason string) error {
			return &ConfigError{Field: fmt.Sprintf("Policy.Treasury[%s][%d]", id, i), Reason: reason}
		}
		var keys [][]byte
		err := guard("codec", func() (err error) { keys, err = codec.WatchKeys(a); return err })
		if err != nil {
			return bad(err.Error())
		}
		for _, key := range keys {
			if !slices.ContainsFunc(key, func(b byte) bool { return b != 0 }) {
				return bad("the zero address, what it gets is lost")
			}
		}
	}
	return nil
}

func compileChain(id chain.ID, codec chain.Codec) (*chainPolicy, error) {
	bad := func(reason string) (*chainPolicy, error) {
		return nil, &ConfigError{Field: fmt.Sprintf("Policy.Codecs[%s]", id), Reason: reason}
	}
	if codec == nil {
		return bad("nil")
	}
	if _, err := chain.ParseID(string(id)); err != nil {
		return bad(err.Error())
	}
	var path string
	if err := guard("codec", func() error { path = codec.Path(0, 0); return nil }); err != nil {
		return bad(err.Error())
	}
	coinType, change, index, ok := parsePath(path)
	if !ok || change != 0 || index != 0 {
		return bad("its paths are not m/44'/coin'/0'/change/index")
	}
	return &chainPolicy{codec: codec, coinType: coinType}, nil
}

// addressSet accepts canonical addresses only: an EVM address in lower case
// carries no checksum, so a flipped digit in it would be just another address.
func addressSet(field string, codec chain.Codec, list []chain.Address) (map[chain.Address]bool, error) {
	set := make(map[chain.Address]bool, len(list))
	for i, a := range list {
		var canonical chain.Address
		err := guard("codec", func() (err error) { canonical, err = codec.Parse(string(a)); return err })
		switch {
		case err != nil:
			return nil, &ConfigError{Field: fmt.Sprintf("%s[%d]", field, i), Reason: err.Error()}
		case canonical != a:
			return nil, &ConfigError{Field: fmt.Sprintf("%s[%d]", field, i), Reason: "not in canonical form with its checksum, which would be " + string(canonical) + " if the letters are right"}
		}
		set[a] = true
	}
	return set, nil
}

func checkApprovers(keys []ed25519.PublicKey) error {
	for i, k := range keys {
		if len(k) != ed25519.PublicKeySize {
			return &ConfigError{Field: fmt.Sprintf("Policy.Approvers[%d]", i), Reason: fmt.Sprintf("%d bytes, want %d", len(k), ed25519.PublicKeySize)}
		}
	}
	return nil
}

func noCodec(field string, id chain.ID) error {
	return &ConfigError{Field: fmt.Sprintf("Policy.%s[%s]", field, id), Reason: "a chain that Policy.Codecs does not have"}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// guard turns a panic of a codec or a clock, which are the host's code, into a
// refusal. It is never put around anything that holds a private key.
func guard(rule string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = refuse(rule, "panicked: %.200s", fmt.Sprint(p))
		}
	}()
	return f()
}

func refuse(rule, format string, args ...any) *chain.PolicyError {
	return &chain.PolicyError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}
