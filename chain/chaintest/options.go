package chaintest

import (
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// Options configures a simulated chain. Its zero value is a useful test chain.
type Options struct {
	// Info overrides the chain's description field by field; what is zero gets
	// its default: id "eip155:1337", name "local", ETH with 18 decimals, coin
	// type 60, blocks of 12 s, 3 confirmations, finality at 6, reorgs of 64,
	// pages of 50 blocks. Testnet is not read, see Mainnet. OnDemandBlocks makes
	// the chain mine a block for each transaction it accepts.
	Info chain.Info
	// Mainnet makes Info.Testnet false. Default: a test network.
	Mainnet bool
	// Start is the time of the genesis block. Default: 2024-01-01 00:00:00 UTC.
	Start time.Time
	// Finalized makes the node report a finalized block: the one that has
	// Info.FinalityDepth confirmations, unless SetFinalized says otherwise.
	Finalized bool
	// Fees sets the fee market.
	Fees Fees
	// PoolLimit is how many transactions the mempool holds. A broadcast beyond it
	// evicts the one that pays its miner least; where that is the newcomer itself,
	// it is refused as underpriced. A reorg may fill the mempool above the limit
	// until the next broadcast. Default: no limit.
	PoolLimit int
	// Sweeper puts the contract that collects from many accounts in one transaction
	// on the chain, as a model, and has the clients prepare such transactions, sent by
	// its sponsor, which it must have. Its code understands batches of accounts that
	// delegate, and no forwarders; a call of such an account itself runs nothing.
	// Default: none, and no client makes a transaction of many sources.
	Sweeper *contracts.Sweeper
	// MaxMoves is what Client.Batching says of a batch. Default: 100.
	MaxMoves int
	// BatchGas is the most gas that Prepare asks for a batch; what needs more is a
	// *chain.TooManyMovesError. Default: contracts.TxGas. About 200,000 and 12,000 for
	// each move, 25,000 more where its account has to delegate, are needed.
	BatchGas uint64
}

// Fees is the simulated fee market, in base units of the native coin per unit
// of gas. It stays as it is until SetFees or WalkFees: no walk by itself, so that
// figures in tests are predictable.
type Fees struct {
	// BaseFee is what every transaction must offer to be mined. Default: 1 gwei.
	BaseFee chain.Amount
	// Tip is what Prepare adds for the miner. Default: 0.1 gwei.
	Tip chain.Amount
	// MinTip is the least tip that the mempool takes. Default: 0.
	MinTip chain.Amount
	// Usual is what EstimateFees tells of the last day. Default: 0, not known.
	Usual chain.Amount
}

const gwei = 1_000_000_000

func (f Fees) withDefaults() Fees {
	if f.BaseFee.IsZero() {
		f.BaseFee = chain.NewAmount(gwei)
	}
	if f.Tip.IsZero() {
		f.Tip = chain.NewAmount(gwei / 10)
	}
	return f
}

func (o Options) withDefaults() Options {
	info := &o.Info
	orDefault(&info.ID, "eip155:1337")
	orDefault(&info.Name, "local")
	orDefault(&info.Curve, chain.Secp256k1)
	orDefault(&info.CoinType, 60)
	orDefault(&info.BlockTime, 12*time.Second)
	orDefault(&info.Confirmations, 3)
	orDefault(&info.FinalityDepth, max(6, info.Confirmations))
	orDefault(&info.MaxReorg, 64)
	orDefault(&info.PageBlocks, 50)
	orDefault(&info.InclusionSlack, time.Hour)
	info.Testnet = !o.Mainnet

	id, err := evm.NativeAssetID(info.ID)
	if err != nil {
		panic(fmt.Sprintf("chaintest: Options.Info.ID: %v", err))
	}
	orDefault(&info.Native.ID, id)
	orDefault(&info.Native.Symbol, "ETH")
	orDefault(&info.Native.Decimals, 18)

	if o.Start.IsZero() {
		o.Start = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	// Block times have whole seconds, as on real chains.
	o.Start = o.Start.UTC().Truncate(time.Second)
	o.Fees = o.Fees.withDefaults()
	orDefault(&o.MaxMoves, 100)
	orDefault(&o.BatchGas, contracts.TxGas)
	if o.Sweeper != nil && o.Sweeper.Params().Sponsor == (contracts.Address{}) {
		panic("chaintest: Options.Sweeper: has no sponsor")
	}
	return o
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// chainNumber is the EIP-155 number of an id that evm.NativeAssetID accepted.
func chainNumber(id chain.ID) *big.Int {
	n, err := strconv.ParseUint(id.Reference(), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("chaintest: Options.Info.ID: %v", err))
	}
	return new(big.Int).SetUint64(n)
}
