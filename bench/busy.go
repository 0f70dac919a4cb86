package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/rlp"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
)

// busyChain is a chain of real blocks with 200 transactions each, in the database
// of a geth that keeps all states. It is made once for all figures that need it.
type busyChain struct {
	dir, geth, anvil string
	about            struct {
		ChainID   uint64
		Blocks    int
		Tokens    []string
		Senders   []string
		Watched   []string
		PaidEvery int
	}
}

// setUpBlocks are the first blocks, which are not busy.
const setUpBlocks = 2

// busy makes the chain, or returns the one that was made before.
func (b *bench) busy() (*busyChain, error) {
	if b.chain != nil {
		return b.chain, nil
	}
	c := &busyChain{}
	var err error
	if c.geth, err = tool("geth", "BURSAR_GETH"); err != nil {
		return nil, err
	}
	if c.anvil, err = tool("anvil", "BURSAR_ANVIL"); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "bursar-bench-"); err != nil {
		return nil, err
	}
	b.ends = append(b.ends, func() error { return os.RemoveAll(c.dir) })
	e2e, err := above("e2e/busychain")
	if err != nil {
		return nil, err
	}
	// The chain is made by another module, which has the whole of go-ethereum
	// at hand.
	build := exec.Command("go", "run", "./busychain", "-blocks", fmt.Sprint(b.busyBlocks), "-dir", c.dir)
	build.Dir = filepath.Dir(e2e)
	for _, step := range []*exec.Cmd{
		build,
		exec.Command(c.geth, "init", "--datadir", c.data(), "--state.scheme", "hash", filepath.Join(c.dir, "genesis.json")),
		exec.Command(c.geth, "import", "--datadir", c.data(), "--gcmode", "archive", "--state.scheme", "hash", filepath.Join(c.dir, "chain.rlp")),
	} {
		if out, err := step.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", step, err, out[max(0, len(out)-2000):])
		}
	}
	text, err := os.ReadFile(filepath.Join(c.dir, "about.json"))
	if err == nil {
		err = json.Unmarshal(text, &c.about)
	}
	if err != nil {
		return nil, err
	}
	// Its first run indexes the logs, which is no part of any measurement.
	node, err := c.startGeth()
	if err != nil {
		return nil, err
	}
	defer node.stop()
	if err := indexed(node); err != nil {
		return nil, err
	}
	b.chain = c
	return c, nil
}

// indexed waits until a geth has indexed its logs. It tells so only where that takes
// it longer than a second.
func indexed(node *running) error {
	begun := time.Now()
	for !node.says("Log index head rendering finished") {
		switch waited := time.Since(begun); {
		case waited > startTimeout:
			return fmt.Errorf("geth has not indexed its logs after %s", startTimeout)
		case waited > 5*time.Second && !node.says("Log index head rendering in progress"):
			return nil
		}
		select {
		case <-node.done:
			return errors.New("geth ended before it had indexed its logs")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (c *busyChain) data() string { return filepath.Join(c.dir, "data") }

// watch is the set of a thousand addresses and two tokens.
func (c *busyChain) watch() (chain.Watch, error) {
	var assets []chain.Asset
	for i, contract := range c.about.Tokens {
		token, err := evm.Token(c.id(), strings.ToLower(contract), fmt.Sprint("TKN", i), 6)
		if err != nil {
			return nil, err
		}
		assets = append(assets, token)
	}
	var addresses []chain.Address
	for _, text := range c.about.Watched {
		address, err := evm.Codec().Parse(strings.ToLower(text))
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	return chaintest.NewWatch(evm.Codec(), assets, addresses...), nil
}

func (c *busyChain) id() chain.ID { return chain.ID(fmt.Sprint("eip155:", c.about.ChainID)) }

// first and last are the heights of the busy blocks; so many of them lie so far
// below the head that they are read as in a catch-up.
func (c *busyChain) first() uint64 { return setUpBlocks + 1 }
func (c *busyChain) last() uint64  { return uint64(c.about.Blocks) }

// payments is how many transfers to watched addresses the blocks have.
func (c *busyChain) payments(from, to uint64) (n int) {
	for h := from; h <= to; h++ {
		// The chain counts its blocks from 0, without the genesis.
		if (h-1)%uint64(c.about.PaidEvery) == 0 {
			n += 2
		}
	}
	return n
}

// startGeth starts a geth on the database; its caches are empty. It looks for
// logs without its index until it has loaded that.
func (c *busyChain) startGeth() (*running, error) {
	return startNode(regexp.MustCompile(`HTTP server started\s+endpoint=(\S+) auth=false`), regexp.MustCompile("Started log indexer"), c.geth,
		"--datadir", c.data(), "--gcmode", "archive", "--state.scheme", "hash", "--networkid", fmt.Sprint(c.about.ChainID),
		"--http", "--http.addr", "127.0.0.1", "--http.port", "0", "--http.api", "eth,net,web3,debug",
		"--port", "0", "--authrpc.port", "0", "--ipcdisable", "--nodiscover", "--maxpeers", "0", "--nat", "none")
}

// startAnvil starts an anvil and has it execute the first n blocks.
func (c *busyChain) startAnvil(n int) (*running, error) {
	r, err := startNode(regexp.MustCompile(`^Listening on (\S+)`), nil, c.anvil, "--host", "127.0.0.1", "--port", "0",
		"--no-mining", "--order", "fifo", "--chain-id", fmt.Sprint(c.about.ChainID), "--gas-limit", "60000000")
	if err != nil {
		return nil, err
	}
	if err := c.fill(r.url, n); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (c *busyChain) fill(url string, n int) error {
	var calls []string
	call := func(method string, params ...any) {
		text, _ := json.Marshal(params) // they are strings and numbers
		calls = append(calls, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, text))
	}
	for _, account := range c.about.Senders {
		call("anvil_setBalance", account, "0x"+strings.Repeat("f", 24))
	}
	blocks, err := os.ReadFile(filepath.Join(c.dir, "chain.rlp"))
	for i := 0; i < n && err == nil; i++ {
		var content, txs []byte
		if content, blocks, err = rlp.SplitList(blocks); err != nil {
			break
		}
		if _, txs, err = rlp.SplitList(content); err != nil {
			break
		}
		if txs, _, err = rlp.SplitList(txs); err != nil {
			break
		}
		for len(txs) > 0 && err == nil {
			var tx []byte
			tx, txs, err = rlp.SplitString(txs)
			call("eth_sendRawTransaction", "0x"+hex.EncodeToString(tx))
		}
		call("anvil_mine", "0x1")
		if err == nil {
			err = post(url, calls)
		}
		calls = calls[:0]
	}
	return err
}

// post sends calls, of which none may fail.
func post(url string, calls []string) error {
	resp, err := http.Post(url, "application/json", strings.NewReader("["+strings.Join(calls, ",")+"]"))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if i := bytes.Index(body, []byte(`"error"`)); err == nil && i >= 0 {
		err = fmt.Errorf("anvil: %s", body[i:min(len(body), i+300)])
	}
	return errors.Join(err, resp.Body.Close())
}
