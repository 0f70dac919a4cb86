// Package differential keeps the simulated chain of chain/chaintest honest: random
// scripts run on it and on go-ethereum's chain (ethclient/simulated) at once, and
// what both say of them is compared. The tests that simulate years rest on it.
//
// Both chains get the same bytes: the same chain id, keys, nonces, prices and calls.
// The contracts of the simulated chain are models in Go; contracts.sol has their
// like, and the EVM's genesis block has them at the same addresses. A script sends
// coins and tokens of eleven kinds, pays many at once, forces coin on contracts,
// calls nonsense, leaves gaps between nonces, uses nonces twice, replaces for too
// little and for enough, overdraws accounts to the wei, has owners pause, blacklist
// and rebase, makes blocks, forks up to three blocks back, and returns to branches
// that it left.
//
// # What is compared
//
// After each broadcast: the class of the answer, and all that waits in the mempool.
//
// After each block: the base fee; which transactions the block takes; for each of
// them its place, sender, nonce, success, gas price and logs (contract, topics and
// data, in their order); and of each account its nonce, its coin and its tokens.
// The same state is compared at each block that a fork goes back to.
//
// After each script: everything that chaintest's client and evm.Client, on the EVM,
// report as received and as spent on the whole branch.
//
// # What is not, and why
//
//   - Gas of calls to contracts: models use no real gas. That of all other
//     transactions is compared, and so is the fee as gas times price. Coin is
//     compared as if the fees had been the same.
//   - The order within a block is a miner's choice. The EVM's is carried out on both,
//     and compared then. Before, the simulated chain chooses a block of its own, which
//     must take the same transactions; not where an account has more waiting than it
//     can pay for, as then it depends on the order who is paid in time.
//   - What is in a block already and is broadcast again: a node calls its nonce used,
//     the simulated chain says what a chain.Client says, that it is well.
//   - What a fork loses: a geth that takes transactions of a replaced block back
//     refuses those that their account cannot pay at the block where the fork begins,
//     even if what paid for them returns too. The simulated mempool is that of all
//     nodes, and keeps them. The scripts check that nothing else is lost, and drop
//     them.
//   - Deeds of owners are the EVM's transactions, and edicts without a transaction on
//     the simulated chain; they come first in both blocks.
//   - Hashes and times of blocks, grants, doomed transactions, transfer rates, finality,
//     and a full mempool: they are controls of a test, or differ from node to node.
//     Creations of contracts, blobs and delegations are not simulated.
package differential
