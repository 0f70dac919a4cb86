package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/bursar-go/bursar/chain/evm"
)

// chainNumber is the EIP-155 number of the canned chain.
const chainNumber = 1337

// transferTopic is the hash of Transfer(address,address,uint256).
const transferTopic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

// blockTxs is how many transactions a canned block has: 60 native transfers, 80
// token transfers, 40 swaps with two Transfer logs each, 20 other calls.
const blockTxs = 200

// node answers JSON-RPC from memory, as an http.RoundTripper, with the fields
// and the sizes that geth has. It does as little work as can be, because it
// works in the measured process. Its chain has an empty genesis; each further
// block is as busy as the others.
type node struct {
	token string // the contract of all canned logs

	mu     sync.Mutex
	blocks []cannedBlock // by height
}

// cannedBlock is a block as it is answered: with its transactions in full or by
// hash, and its Transfer logs.
type cannedBlock struct {
	hash               string
	full, hashes, logs []byte
}

// newNode makes a chain with one busy block; the same every time.
func newNode() *node {
	hash, none := "0x"+digest("block", 0), "0x"+strings.Repeat("0", 64)
	genesis := blockObject(0, hash, none, nil)
	n := &node{token: "0x" + digest("token")[:40]}
	n.blocks = []cannedBlock{{hash: hash, full: genesis, hashes: genesis, logs: []byte("[]")}}
	n.mine()
	return n
}

// mine adds a busy block.
func (n *node) mine() {
	n.mu.Lock()
	defer n.mu.Unlock()
	height := len(n.blocks)
	hash, parent := "0x"+digest("block", height), n.blocks[height-1].hash
	var txs, hashes, logs []string
	for i := range blockTxs {
		tx := newCannedTx(height, i, n.token)
		txs = append(txs, tx.object(hash))
		hashes = append(hashes, fmt.Sprintf("%q", tx.hash))
		logs = tx.appendLogs(logs, hash, n.token)
	}
	n.blocks = append(n.blocks, cannedBlock{
		hash: hash, full: blockObject(height, hash, parent, txs), hashes: blockObject(height, hash, parent, hashes),
		logs: []byte("[" + strings.Join(logs, ",") + "]"),
	})
}

// at returns the block of a height.
func (n *node) at(height int) cannedBlock {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.blocks[height]
}

// client is an EVM client of the node.
func (n *node) client() (*evm.Client, error) {
	return evm.New(evm.Config{Preset: evm.Local(chainNumber), URL: "http://canned.invalid", HTTP: &http.Client{Transport: n}})
}

// question is what is read of a request.
type question struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// RoundTrip implements http.RoundTripper.
func (n *node) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	list := bytes.HasPrefix(raw, []byte("["))
	var questions []question
	if list {
		err = json.Unmarshal(raw, &questions)
	} else {
		questions = make([]question, 1)
		err = json.Unmarshal(raw, &questions[0])
	}
	if err != nil {
		return nil, fmt.Errorf("bench: request %q: %w", raw, err)
	}
	size := 2
	answers := make([][]byte, len(questions))
	for i, q := range questions {
		answers[i] = n.answer(q)
		size += len(answers[i]) + 64
	}
	out := make([]byte, 0, size)
	for i, q := range questions {
		out = append(out, "[,"[min(i, 1)])
		out = append(append(append(out, `{"jsonrpc":"2.0","id":`...), q.ID...), `,"result":`...)
		out = append(append(out, answers[i]...), '}')
	}
	out = append(out, ']')
	if !list {
		out = out[1 : len(out)-1]
	}
	return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(len(out)), Body: io.NopCloser(bytes.NewReader(out)), Request: r}, nil
}

// answer returns the result for one question, null for what is not known.
func (n *node) answer(q question) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch q.Method {
	case "eth_chainId":
		return fmt.Appendf(nil, `"0x%x"`, chainNumber)
	case "eth_getBlockTransactionCountByHash":
		return fmt.Appendf(nil, `"0x%x"`, blockTxs)
	case "eth_getLogs":
		var filter struct{ BlockHash string }
		if len(q.Params) != 1 || json.Unmarshal(q.Params[0], &filter) != nil {
			break
		}
		for _, b := range slices.Backward(n.blocks) {
			if b.hash == filter.BlockHash {
				return b.logs
			}
		}
	case "eth_getBlockByNumber":
		if len(q.Params) != 2 {
			break
		}
		at := len(n.blocks) - 1
		if tag := strings.Trim(string(q.Params[0]), `"`); tag != "latest" {
			height, err := strconv.ParseUint(tag, 0, 31)
			if err != nil || int(height) > at {
				break
			}
			at = int(height)
		}
		if string(q.Params[1]) == "true" {
			return n.blocks[at].full
		}
		return n.blocks[at].hashes
	}
	return []byte("null")
}

// cannedTx is one transaction of the busy block.
type cannedTx struct {
	height, index                int
	hash, from, to, value, input string
	logs                         int
}

func newCannedTx(height, i int, token string) cannedTx {
	tx := cannedTx{height: height, index: i, hash: "0x" + digest("tx", height, i), from: address("from", i), to: address("to", i), value: "0x0", input: "0x"}
	switch {
	case i < 60:
		tx.value = fmt.Sprintf("0x%x", 1_000_000_000_000_000_000+uint64(i))
	case i < 140:
		tx.to, tx.input, tx.logs = token, "0xa9059cbb"+word(address("payee", i)[2:])+word("f4240"), 1
	case i < 180:
		tx.input, tx.logs = "0x38ed1739"+strings.Repeat(digest("path", i), 8), 2
	default:
		tx.input = "0x12345678" + strings.Repeat(digest("data", i), 4)
	}
	return tx
}

// object writes the transaction with all fields that geth has, in its order.
func (tx cannedTx) object(block string) string {
	return fmt.Sprintf(`{"blockHash":%q,"blockNumber":"0x%x","blockTimestamp":"0x655f2a10","from":%q,"gas":"0x186a0","gasPrice":"0x3b9aca07",`+
		`"maxFeePerGas":"0x77359400","maxPriorityFeePerGas":"0x3b9aca00","hash":%q,"input":%q,"nonce":"0x1f","to":%q,"transactionIndex":"0x%x",`+
		`"value":%q,"type":"0x2","accessList":[],"chainId":"0x%x","v":"0x1","r":"0x%s","s":"0x%s","yParity":"0x1"}`,
		block, tx.height, tx.from, tx.hash, tx.input, tx.to, tx.index, tx.value, chainNumber, digest("r", tx.index), digest("s", tx.index))
}

// appendLogs adds the transaction's Transfer logs.
func (tx cannedTx) appendLogs(logs []string, block, token string) []string {
	for k := range tx.logs {
		logs = append(logs, fmt.Sprintf(`{"address":%q,"topics":[%q,"0x%s","0x%s"],"data":"0x%s","blockNumber":"0x%x","transactionHash":%q,`+
			`"transactionIndex":"0x%x","blockHash":%q,"blockTimestamp":"0x655f2a10","logIndex":"0x%x","removed":false}`,
			token, transferTopic, word(tx.from[2:]), word(address("payee", tx.index+1000*k)[2:]), word("f4240"), tx.height, tx.hash, tx.index, block, len(logs)))
	}
	return logs
}

// blockObject writes a block with its transactions, given as JSON values.
func blockObject(height int, hash, parent string, txs []string) []byte {
	root := "0x" + digest("root", height)
	return fmt.Appendf(nil, `{"baseFeePerGas":"0x7","blobGasUsed":"0x0","difficulty":"0x0","excessBlobGas":"0x0","extraData":"0x","gasLimit":"0x1c9c380",`+
		`"gasUsed":"0xabcdef","hash":%q,"logsBloom":"0x%s","miner":%q,"mixHash":%q,"nonce":"0x0000000000000000","number":"0x%x",`+
		`"parentBeaconBlockRoot":%q,"parentHash":%q,"receiptsRoot":%q,"sha3Uncles":%q,"size":"0x8000","stateRoot":%q,"timestamp":"0x%x",`+
		`"transactions":[%s],"transactionsRoot":%q,"uncles":[],"withdrawals":[],"withdrawalsRoot":%q}`,
		hash, strings.Repeat("5a", 256), address("miner", 0), root, height, root, parent, root, root, root, 0x655f2a10+height, strings.Join(txs, ","), root, root)
}

// digest makes 64 hex digits that depend on its arguments alone.
func digest(name string, i ...int) string {
	h := sha256.New()
	h.Write([]byte(name))
	for _, n := range i {
		var raw [8]byte
		binary.BigEndian.PutUint64(raw[:], uint64(n))
		h.Write(raw[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func address(name string, i int) string { return "0x" + digest(name, i)[:40] }

// word pads hex digits to 32 bytes.
func word(digits string) string { return strings.Repeat("0", 64-len(digits)) + digits }
