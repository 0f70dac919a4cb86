// Command busychain makes a chain of busy blocks for measurements: a genesis
// for geth and the blocks after it, as `geth import` reads them.
//
// Each block but the first two has 200 transactions: 60 of native coin, 80 of two
// tokens, 20 of a contract that pays three receivers each, and 40 of a contract
// that moves both tokens and writes five more logs, as an exchange does. Every
// 25th block pays two of the watched addresses.
//
//	go run ./busychain -blocks 500 -dir DIR
//
// writes genesis.json, chain.rlp and about.json into DIR.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/beacon"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"

	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
)

// About describes the chain for who measures with it.
type About struct {
	// ChainID is the EIP-155 number, Blocks the number of blocks with the first
	// two, in which everything is set up.
	ChainID uint64
	Blocks  int // Blocks is the height of the last block.
	// Tokens are the contracts of the two tokens.
	Tokens []common.Address
	// Senders signed the transactions, and must be rich.
	Senders []common.Address
	// Watched are addresses of which a few are paid, two transfers in every
	// block of PaidEvery.
	Watched   []common.Address
	PaidEvery int // PaidEvery is the distance of blocks with payments.
}

const (
	chainID   = 1337
	senders   = 20
	watched   = 1000
	others    = 20_000 // receivers that nobody watches
	paidEvery = 25
	gas       = 400_000
)

func main() {
	blocks := flag.Int("blocks", 500, "number of blocks")
	dir := flag.String("dir", ".", "where to write")
	flag.Parse()
	if err := run(*blocks, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "busychain:", err)
		os.Exit(1)
	}
}

func run(blocks int, dir string) error {
	w := newWorld()
	_, made, _ := core.GenerateChainWithGenesis(w.genesis, beacon.New(ethash.NewFaker()), blocks, func(i int, b *core.BlockGen) {
		b.SetPoS()
		if i < 2 {
			w.setUp(b, i)
			return
		}
		w.busy(b, i)
	})
	genesis, err := json.MarshalIndent(w.genesis, "", " ")
	if err != nil {
		return err
	}
	about := About{ChainID: chainID, Blocks: blocks, Tokens: []common.Address{w.a, w.b}, PaidEvery: paidEvery}
	for _, key := range w.keys {
		about.Senders = append(about.Senders, crypto.PubkeyToAddress(key.PublicKey))
	}
	for i := range watched {
		about.Watched = append(about.Watched, named("watched", i))
	}
	text, err := json.Marshal(about)
	if err != nil {
		return err
	}
	var chain bytes.Buffer
	for _, b := range made {
		if err := b.EncodeRLP(&chain); err != nil {
			return err
		}
	}
	for name, content := range map[string][]byte{"genesis.json": genesis, "about.json": text, "chain.rlp": chain.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// world is what the transactions are about.
type world struct {
	genesis           *core.Genesis
	keys              []*ecdsa.PrivateKey
	nonces            []uint64
	a, b, swap, payer common.Address
}

func newWorld() *world {
	w := &world{nonces: make([]uint64, senders)}
	zero := uint64(0)
	config := *params.AllEthashProtocolChanges
	config.ChainID = big.NewInt(chainID)
	config.ArrowGlacierBlock, config.GrayGlacierBlock = nil, nil
	config.TerminalTotalDifficulty, config.ShanghaiTime = new(big.Int), &zero
	w.genesis = &core.Genesis{Config: &config, GasLimit: 60_000_000, BaseFee: big.NewInt(1e9), Difficulty: new(big.Int), Alloc: types.GenesisAlloc{}}
	for i := range senders {
		key, err := crypto.ToECDSA(crypto.Keccak256(fmt.Append(nil, "busychain sender ", i)))
		if err != nil {
			panic(err) // the names are constant
		}
		w.keys = append(w.keys, key)
		w.genesis.Alloc[crypto.PubkeyToAddress(key.PublicKey)] = types.Account{Balance: new(big.Int).Lsh(big.NewInt(1), 100)}
	}
	return w
}

// named makes an address of a name.
func named(name string, i int) common.Address {
	return common.BytesToAddress(crypto.Keccak256(fmt.Append(nil, "busychain ", name, i)))
}

func (w *world) send(b *core.BlockGen, from int, to *common.Address, value int64, data []byte, limit uint64) {
	tx, err := types.SignNewTx(w.keys[from], types.LatestSignerForChainID(big.NewInt(chainID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(chainID), Nonce: w.nonces[from], To: to, Value: big.NewInt(value), Data: data, Gas: limit,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1000e9),
	})
	if err != nil {
		panic(err) // the transaction is made here
	}
	w.nonces[from]++
	b.AddTx(tx)
}

func (w *world) setUp(b *core.BlockGen, i int) {
	if i == 0 {
		deploy := func(code []byte) common.Address {
			at := crypto.CreateAddress(crypto.PubkeyToAddress(w.keys[0].PublicKey), w.nonces[0])
			w.send(b, 0, nil, 0, code, 3_000_000)
			return at
		}
		w.a, w.b = deploy(tokens.Plain("AAA", 6)), deploy(tokens.Plain("BBB", 18))
		w.swap, w.payer = deploy(creation(swapCode(w.a, w.b))), deploy(creation(payerCode()))
		return
	}
	plenty := new(big.Int).Lsh(big.NewInt(1), 128)
	for _, token := range []common.Address{w.a, w.b} {
		w.send(b, 0, &token, 0, tokens.Mint(w.swap, plenty), gas)
		for i := range w.keys {
			w.send(b, 0, &token, 0, tokens.Mint(crypto.PubkeyToAddress(w.keys[i].PublicKey), plenty), gas)
		}
	}
}

// busy adds the 200 transactions. The kinds are mixed, as they are in real
// blocks.
func (w *world) busy(b *core.BlockGen, i int) {
	paid := i%paidEvery == 0
	for k := range 200 {
		n := i*200 + k
		from, to := k%senders, named("other", n*7919%others)
		token := &w.a
		if n%2 == 1 {
			token = &w.b
		}
		switch kind := k % 10; {
		case kind < 3:
			if paid && k == 0 {
				to = named("watched", i%watched)
			}
			w.send(b, from, &to, int64(n+1), nil, 21_000)
		case kind < 7:
			if paid && k == 4 {
				to = named("watched", i%watched)
			}
			w.send(b, from, token, 0, tokens.Transfer(to, big.NewInt(int64(n+1))), gas)
		case kind < 8:
			var data []byte
			for j := range 3 {
				data = append(data, common.LeftPadBytes(named("other", (n+j)*31%others).Bytes(), 32)...)
			}
			w.send(b, from, &w.payer, 3, data, gas)
		default:
			data := append(tokens.Transfer(to, big.NewInt(int64(n+1))), tokens.Transfer(named("other", n*17%others), big.NewInt(int64(n+1)))...)
			w.send(b, from, &w.swap, 0, data, gas)
		}
	}
}

// creation makes the code that leaves another one behind.
func creation(code []byte) []byte {
	return append([]byte{0x61, byte(len(code) >> 8), byte(len(code)), 0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3}, code...)
}

// payerCode pays one wei to each of three addresses in the input.
func payerCode() (code []byte) {
	for i := range byte(3) {
		code = append(code, 0x5f, 0x5f, 0x5f, 0x5f, 0x60, 0x01, 0x60, 32*i, 0x35, 0x5a, 0xf1, 0x50)
	}
	return append(code, 0x00)
}

// swapCode calls the two tokens with 68 bytes of the input each, and writes five
// logs.
func swapCode(a, b common.Address) []byte {
	code := []byte{0x60, 136, 0x5f, 0x5f, 0x37}
	for i, token := range []common.Address{a, b} {
		code = append(code, 0x5f, 0x5f, 0x60, 68, 0x60, byte(68*i), 0x5f, 0x73)
		code = append(append(code, token.Bytes()...), 0x5a, 0xf1, 0x50)
	}
	for range 5 {
		code = append(code, 0x33, 0x33, 0x73)
		code = append(append(code, a.Bytes()...), 0x60, 0x60, 0x5f, 0xa3)
	}
	return append(code, 0x00)
}
