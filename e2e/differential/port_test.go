package differential

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"

	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
)

// inside answers HTTP requests by a node in this process, without a socket.
type inside struct{ node *rpc.Client }

func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	var message json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		return nil, err
	}
	var body []byte
	var err error
	if message[0] == '[' {
		var calls []json.RawMessage
		if err = json.Unmarshal(message, &calls); err != nil {
			return nil, err
		}
		answers := make([]json.RawMessage, len(calls))
		for k, call := range calls {
			if answers[k], err = i.answer(r, call); err != nil {
				return nil, err
			}
		}
		body, err = json.Marshal(answers)
	} else {
		body, err = i.answer(r, message)
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r}, err
}

// answer makes one call.
func (i inside) answer(r *http.Request, message json.RawMessage) (json.RawMessage, error) {
	var call struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params []any           `json:"params"`
	}
	if err := json.Unmarshal(message, &call); err != nil {
		return nil, err
	}
	out := map[string]any{"jsonrpc": "2.0", "id": call.ID}
	var result json.RawMessage
	var refusal rpc.Error
	switch err := i.node.CallContext(r.Context(), &result, call.Method, call.Params...); {
	case errors.As(err, &refusal):
		out["error"] = map[string]any{"code": refusal.ErrorCode(), "message": refusal.Error()}
	case err != nil:
		return nil, err
	case result == nil:
		out["result"] = json.RawMessage("null")
	default:
		out["result"] = result
	}
	return json.Marshal(out)
}

// comparePorts compares what the clients of both chains report of everything that
// happened: all transfers to all accounts, and all that the senders spent.
func (p *pair) comparePorts() {
	p.t.Helper()
	listed := p.listed()
	client, err := evm.New(evm.Config{Preset: evm.Local(1337), URL: "http://inside", HTTP: &http.Client{Transport: inside{p.evm.rpc}}, Tokens: listed})
	require.NoError(p.t, err)
	var addresses []chain.Address
	for _, a := range p.accounts {
		addresses = append(addresses, text(a))
	}
	watch := chaintest.NewWatch(p.view.Codec(), listed, addresses...)
	there, here := p.read(client, watch), p.read(p.view, watch)
	p.translate(&there)
	require.Equal(p.t, there.Transfers, here.Transfers, "what the clients report as received")
	require.Len(p.t, here.Spends, len(there.Spends))
	for i := range there.Spends {
		require.Equal(p.t, there.Spends[i], here.Spends[i], "what the clients report as spent")
	}
	p.done.transfers += len(here.Transfers)
}

// listed leaves out what a gateway would not list.
func (p *pair) listed() (out []chain.Asset) {
	for i, a := range p.tokens {
		if k := kinds[i].kind; k != chaintest.TokenLookAlike && k != chaintest.TokenSpoofer {
			out = append(out, a)
		}
	}
	return out
}

// read pages through the whole branch.
func (p *pair) read(c chain.Client, w chain.Watch) (all chain.Page) {
	p.t.Helper()
	for height, top := uint64(1), uint64(len(p.blocks)-1); height <= top; {
		page, err := c.Transfers(p.t.Context(), height, top, w)
		require.NoError(p.t, err)
		all.Blocks = append(all.Blocks, page.Blocks...)
		all.Transfers = append(all.Transfers, page.Transfers...)
		all.Spends = append(all.Spends, page.Spends...)
		height = page.Last().Height + 1
	}
	return all
}

// translate puts into the EVM's report what differs for a reason: hashes and times
// of blocks, places in a block that the owner's transactions take first, and the
// gas of calls.
func (p *pair) translate(page *chain.Page) {
	p.t.Helper()
	place := func(at *chain.BlockHash, index *uint32, height uint64) {
		b := p.blocks[height]
		require.Equal(p.t, chain.BlockHash(b.header.Hash().Hex()), *at)
		*at = p.like[b.header.Hash()]
		*index -= uint32(len(b.txs) - len(p.strangers(b.txs)))
	}
	for i := range page.Transfers {
		t := &page.Transfers[i]
		place(&t.Hash, &t.TxIndex, t.Block)
	}
	for i := range page.Spends {
		s := &page.Spends[i]
		height := s.Block.Height
		place(&s.Block.Hash, &s.TxIndex, height)
		mine := p.sim.Transactions(height)[s.TxIndex]
		require.Equal(p.t, mine.ID, s.ID)
		paid := new(big.Int).Mul(s.GasPrice.Big(), new(big.Int).SetUint64(s.GasUsed))
		require.Equal(p.t, paid.String(), s.Fee.String())
		s.Block, s.Fee, s.GasUsed = mine.Block, mine.Fee, mine.GasUsed
		for k := range s.Transfers {
			t := &s.Transfers[k]
			place(&t.Hash, &t.TxIndex, height)
		}
	}
}
