package differential

import (
	"math/big"
	"math/rand/v2"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// script does random things to both chains. All of it follows from the seed and
// from what both chains agree on.
type script struct {
	*pair
	r *rand.Rand
}

// run is a script of some blocks. It stays below the 32 blocks after which the EVM
// takes a block for final.
func (s *script) run() {
	for range 4 + s.r.IntN(5) {
		for range s.r.IntN(10) {
			s.broadcast()
		}
		if s.chance(40) {
			s.rule()
		}
		s.mine()
		if s.chance(30) && len(s.blocks) > 3 && len(s.blocks) < 20 {
			s.reorg(1 + s.r.IntN(min(3, len(s.blocks)-2)))
		}
	}
	if s.chance(15) {
		s.relay()
	}
	s.comparePorts()
}

// relay has an account spend what it was paid a block before, and takes back both.
func (s *script) relay() {
	s.urgent(0, call{to: s.accounts[4], value: milli(5), gas: 21_000})
	s.mine()
	s.urgent(4, call{to: s.someone(), value: milli(2), gas: 21_000})
	s.mine()
	s.reorg(2)
}

// urgent sends what the next block takes, if it can be paid.
func (s *script) urgent(from int, c call) {
	nonce := s.free(from, s.sim.Nonce(text(s.accounts[from])))
	s.send(s.sign(offer{from: from, nonce: nonce, tip: big.NewInt(300), cap: big.NewInt(5_000), call: c}))
}

// reorg builds another branch, and perhaps goes back to the one it left.
func (s *script) reorg(depth int) {
	left := s.fork(depth)
	for range 1 + s.r.IntN(3) {
		if s.chance(40) {
			s.broadcast()
		}
		s.mine()
	}
	if s.chance(50) {
		other := s.blocks
		s.back(left)
		s.mine()
		if s.chance(30) {
			s.back(other)
			s.mine()
		}
	}
}

func (s *script) chance(percent int) bool { return s.r.IntN(100) < percent }

func (s *script) up(n int64) *big.Int { return big.NewInt(s.r.Int64N(n)) }

func pick[T any](s *script, of ...T) T { return of[s.r.IntN(len(of))] }

// offer is a transaction before it is signed.
type offer struct {
	from     int
	nonce    uint64
	tip, cap *big.Int
	call
}

// call is what a transaction does.
type call struct {
	to    common.Address
	value *big.Int
	data  []byte
	gas   uint64
}

// broadcast sends something new, or again what was sent before.
func (s *script) broadcast() {
	if len(s.sent) > 0 && s.chance(6) {
		ids := make([]chain.TxID, 0, len(s.sent))
		for id := range s.sent {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		s.send(s.sent[pick(s, ids...)])
		return
	}
	o := offer{from: pick(s, 0, 0, 0, 1, 1, 1, 2, 2, frugal, 4)}
	o.nonce = s.nonce(o.from)
	o.tip = new(big.Int).Add(s.up(200), big.NewInt(1))
	o.cap = new(big.Int).Add(o.tip, s.up(1800))
	if o.from == frugal && s.chance(60) {
		o.cap.SetInt64(pick(s, int64(100), 500, 1_000)) // what exact counts with
		o.tip = o.tip.Rsh(o.tip, 2)
	}
	if s.chance(4) {
		o.tip.SetInt64(0)
	}
	o.call = s.call(o.from)
	if old := s.rival(o); old != nil && s.chance(85) {
		s.outbid(&o, old)
	}
	s.send(s.sign(o))
}

// nonce is mostly the one whose turn it is.
func (s *script) nonce(from int) uint64 {
	next := s.sim.Nonce(text(s.accounts[from]))
	switch n := s.r.IntN(100); {
	case n < 12: // too low, or to be replaced
		return next - min(next, 1)
	case n < 30: // to be replaced, if anything waits
		return next
	case n < 42: // a gap
		return s.free(from, next) + 1 + uint64(s.r.IntN(2))
	}
	return s.free(from, next)
}

func (s *script) free(from int, nonce uint64) uint64 {
	for s.rival(offer{from: from, nonce: nonce}) != nil {
		nonce++
	}
	return nonce
}

// rival is what waits at the same nonce.
func (s *script) rival(o offer) *types.Transaction {
	for _, id := range s.sim.Mempool() {
		tx := s.sent[id]
		if from, err := types.Sender(signer, tx); err == nil && from == s.accounts[o.from] && tx.Nonce() == o.nonce {
			return tx
		}
	}
	return nil
}

// outbid offers about as much more than a rival as nodes ask for.
func (s *script) outbid(o *offer, old *types.Transaction) {
	raise := func(n *big.Int) *big.Int {
		more := new(big.Int).Mul(n, big.NewInt(pick(s, int64(100), 105, 109, 110, 110, 111, 150)))
		more.Div(more, big.NewInt(100))
		return more.Add(more, s.up(2))
	}
	o.tip, o.cap = raise(old.GasTipCap()), raise(old.GasFeeCap())
	if o.cap.Cmp(o.tip) < 0 {
		o.cap.Set(o.tip)
	}
}

func (s *script) sign(o offer) *types.Transaction {
	var data types.TxData = &types.DynamicFeeTx{
		ChainID: big.NewInt(1337), Nonce: o.nonce, GasTipCap: o.tip, GasFeeCap: o.cap, Gas: o.gas, To: &o.to, Value: o.value, Data: o.data,
	}
	switch {
	case s.chance(20):
		data = &types.LegacyTx{Nonce: o.nonce, GasPrice: o.cap, Gas: o.gas, To: &o.to, Value: o.value, Data: o.data}
	case s.chance(10):
		list := types.AccessList{{Address: o.to, StorageKeys: make([]common.Hash, s.r.IntN(2))}}
		data = &types.AccessListTx{
			ChainID: big.NewInt(1337), Nonce: o.nonce, GasPrice: o.cap, Gas: o.gas + uint64(s.r.IntN(3))*3000, To: &o.to, Value: o.value, Data: o.data, AccessList: list,
		}
	}
	tx, err := types.SignNewTx(s.keys[o.from], signer, data)
	require.NoError(s.t, err)
	return tx
}

// someone is any account, those of contracts included.
func (s *script) someone() common.Address { return pick(s, s.accounts...) }

// coins is an amount of native coin that some accounts have and others have not.
func (s *script) coins() *big.Int { return milli(pick(s, int64(0), 1, 2, 3, 3, 5, 20, 50)) }

// plenty is a gas limit in which every call fits, on both chains.
func plenty(data []byte) uint64 { return 200_000 + uint64(len(data))*2_000 }

// call is what an account does next. The frugal one makes no calls, so that its
// fees are the same on both chains, to the wei.
func (s *script) call(from int) call {
	if from == frugal {
		return s.exact()
	}
	switch n := s.r.IntN(100); {
	case n < 10: // to the one that has nothing, so that it has a part in this
		return call{to: s.accounts[4], value: s.coins(), gas: 21_000}
	case n < 30:
		return call{to: s.someone(), value: s.coins(), gas: 21_000}
	case n < 36:
		return s.memo()
	case n < 66:
		return s.transfer()
	case n < 84:
		return s.batch()
	case n < 90:
		to := s.someone()
		return call{to: raw(s.sim.Destructor()), value: s.coins(), data: to[:], gas: plenty(nil)}
	}
	return s.garbage()
}

// exact is a payment of the frugal account: a round one, with data or without, or
// one that takes about what it has, give or take a wei. Nobody who makes calls
// receives that, since the odd rest decides what can be paid.
func (s *script) exact() call {
	switch s.r.IntN(3) {
	case 0:
		return call{to: s.someone(), value: s.coins(), gas: 21_000}
	case 1:
		c := s.memo()
		c.to = pick(s, s.receivers()...)
		return c
	}
	rest := s.sim.BalanceOf(text(s.accounts[frugal]), s.sim.Info().Native).Big()
	rest.Sub(rest, big.NewInt(21_000*pick(s, int64(100), 500, 1_000)))
	rest.Add(rest, big.NewInt(int64(s.r.IntN(3)-1)))
	return call{to: pick(s, s.receivers()...), value: rest.Abs(rest), gas: 21_000}
}

// receivers are the accounts that never send.
func (s *script) receivers() []common.Address { return s.accounts[len(s.keys) : len(s.keys)+3] }

// memo is a payment with data, its gas limit around what that needs at least.
func (s *script) memo() call {
	data := make([]byte, 1+s.r.IntN(40))
	for i := range data {
		data[i] = byte(s.r.IntN(3))
	}
	return call{to: s.someone(), value: s.coins(), data: data, gas: 21_000 + uint64((20+s.r.IntN(40))*len(data))}
}

// some is a token, more often one whose owner meddles.
func (s *script) some() chain.Asset {
	if s.chance(30) {
		return s.token(pick(s, chaintest.TokenRebasing, chaintest.TokenPausable, chaintest.TokenBlacklist))
	}
	return pick(s, s.tokens...)
}

// amount is an amount of a token.
func (s *script) amount() *big.Int {
	return big.NewInt(pick(s, int64(0), 1, 19, 20, 21, 1_000, 333_333, tokenWealth, tokenWealth+1, 1<<62))
}

// transfer moves a token, or tries to.
func (s *script) transfer() call {
	token, to := s.some(), s.someone()
	data := join(common.FromHex("a9059cbb"), common.LeftPadBytes(to[:], 32), word(s.amount()))
	c := call{to: raw(token.Contract), value: new(big.Int), data: data, gas: plenty(nil)}
	switch n := s.r.IntN(100); {
	case n < 5:
		c.value = milli(1) // tokens take none
	case n < 10:
		c.data = data[:len(data)-1-s.r.IntN(40)]
	case n < 15:
		c.data = append(data, 1, 2, 3) // as some wallets mark their payments
	case n < 18:
		c.data[7] = 1 // no address
	case n < 22:
		c.to, c.gas = raw(s.tokens[0].Contract), 23_000 // enough to be taken, not to be executed
	case n < 25:
		c.gas = 21_000 + uint64(s.r.IntN(3_000))
		c.to = raw(s.tokens[0].Contract)
	}
	return c
}

// batch is a call of the splitter.
func (s *script) batch() call {
	c := call{to: raw(s.sim.Splitter()), value: new(big.Int)}
	for range 1 + s.r.IntN(4) {
		var token common.Address
		n := s.amount()
		to := s.someone()
		if s.chance(50) {
			token = raw(s.some().Contract)
		} else {
			n = s.coins()
			c.value.Add(c.value, n)
			to = pick(s, s.accounts[:len(s.accounts)-2]...) // the last ones refuse
		}
		c.data = join(c.data, token[:], to[:], word(n))
	}
	switch s.r.IntN(20) {
	case 0:
		c.data = c.data[1:]
	case 1:
		c.value.Div(c.value, big.NewInt(2)) // less than the parts
	case 2:
		c.data = join(c.data, s.accounts[0][:], s.accounts[1][:], word(big.NewInt(1))) // no token
	}
	c.gas = plenty(c.data)
	return c
}

// garbage is a call that no contract knows.
func (s *script) garbage() call {
	data := make([]byte, s.r.IntN(80))
	for i := range data {
		data[i] = byte(s.r.IntN(256))
	}
	to := raw(pick(s, s.tokens...).Contract)
	if s.chance(40) {
		to = pick(s, raw(s.sim.Rejecter()), raw(s.sim.Destructor()))
	}
	return call{to: to, value: s.coins(), data: data, gas: plenty(data)}
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func word(n *big.Int) []byte { return common.LeftPadBytes(n.Bytes(), 32) }

// rule has the owner of a token do what such owners do: by an edict on the
// simulated chain, by the first transaction of the next block on the EVM.
func (s *script) rule() {
	on := s.chance(60)
	flag := word(big.NewInt(map[bool]int64{true: 1}[on]))
	method := func(signature string) []byte { return crypto.Keccak256([]byte(signature))[:4] }
	switch s.r.IntN(3) {
	case 0:
		a := s.token(chaintest.TokenPausable)
		s.sim.Pause(a, on)
		s.own(a, join(method("pause(bool)"), flag))
	case 1:
		a, who := s.token(chaintest.TokenBlacklist), pick(s, s.accounts[:8]...)
		s.sim.Blacklist(a, text(who), on)
		s.own(a, join(method("blacklist(address,bool)"), word(new(big.Int).SetBytes(who[:])), flag))
	case 2:
		a := s.token(chaintest.TokenRebasing)
		num, den := pick(s, int64(1), 2, 3, 99), pick(s, int64(1), 2, 100)
		s.sim.Rebase(a, uint64(num), uint64(den))
		data := join(method("rebase(uint256,uint256,address[])"), word(big.NewInt(num)), word(big.NewInt(den)), word(big.NewInt(96)), word(big.NewInt(int64(len(s.accounts)))))
		for _, holder := range s.accounts {
			data = join(data, word(new(big.Int).SetBytes(holder[:])))
		}
		s.own(a, data)
	}
}

func (s *script) token(kind chaintest.TokenKind) chain.Asset {
	for i, k := range kinds {
		if k.kind == kind {
			return s.tokens[i]
		}
	}
	panic("no token of kind " + kind)
}

// own sends the owner's transaction, for a tip that puts it first.
func (s *script) own(a chain.Asset, data []byte) {
	to := raw(a.Contract)
	tx, err := types.SignNewTx(s.owner, signer, &types.DynamicFeeTx{
		ChainID: big.NewInt(1337), Nonce: s.owned, GasTipCap: big.NewInt(1e6), GasFeeCap: big.NewInt(1e7), Gas: 2_000_000, To: &to, Data: data,
	})
	require.NoError(s.t, err)
	bytes, err := tx.MarshalBinary()
	require.NoError(s.t, err)
	require.Equal(s.t, taken, s.evm.send(bytes))
	s.note("the owner of %s: %x", a.Contract[:8], data)
	s.owned++
	s.done.edicts++
}
