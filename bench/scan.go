package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
)

// scanAgainstJSON compares a page of one busy block, from the request to the
// checked result, with encoding/json on the block and its logs. None of the
// watched addresses is paid in it, as in most blocks.
func scanAgainstJSON(b *bench) (reading, error) {
	n := newNode()
	busy := n.at(1)
	client, err := n.client()
	if err != nil {
		return reading{}, err
	}
	token, err := evm.Token(client.Info().ID, n.token, "TKN", 6)
	if err != nil {
		return reading{}, err
	}
	c, err := b.compare(byCPU, scan(client, assets{token}), decode(busy))
	if err != nil {
		return reading{}, err
	}
	return reading{c.ratio, c.how("scan", "encoding/json") + fmt.Sprintf(", %d bytes", len(busy.full)+len(busy.logs))}, nil
}

// scan reads the busy block; a unit is a block.
func scan(client chain.Client, w chain.Watch) work {
	return func(n int) (func() error, error) {
		return func() error {
			for range n {
				page, err := client.Transfers(context.Background(), 1, 1, w)
				if err != nil {
					return err
				}
				if len(page.Blocks) != 1 || len(page.Transfers) != 0 {
					return fmt.Errorf("a page of %d blocks and %d transfers", len(page.Blocks), len(page.Transfers))
				}
			}
			return nil
		}, nil
	}
}

// fewFields are what a scanner needs of a block.
type fewFields struct {
	Number, Hash, ParentHash, Timestamp string
	Transactions                        []struct{ Hash, From, To, Value, BlockHash string }
}

// fewLogFields are what it needs of a log.
type fewLogFields struct {
	Address, Data, BlockHash, TransactionHash, LogIndex string
	Topics                                              []string
}

// decode reads the bytes of the block and its logs with encoding/json, without
// the envelopes and without looking at what was read.
func decode(busy cannedBlock) work {
	return func(times int) (func() error, error) {
		return func() error {
			for range times {
				var block fewFields
				if err := json.Unmarshal(busy.full, &block); err != nil {
					return err
				}
				var logs []fewLogFields
				if err := json.Unmarshal(busy.logs, &logs); err != nil {
					return err
				}
				if len(block.Transactions) != blockTxs || len(logs) != 160 {
					return fmt.Errorf("%d transactions and %d logs", len(block.Transactions), len(logs))
				}
			}
			return nil
		}, nil
	}
}
