// Package chaintest holds a simulated blockchain for tests, and the conformance
// suite that every chain.Client passes.
//
// # The simulated chain
//
// New returns a Chain in memory that behaves like an EVM network: real signed
// transactions, nonces, a mempool with its replacement rule, fees, blocks linked
// by hash, tokens, reorganisations. Its Client implements the whole port and the
// optional capabilities beside it; addresses and payloads are those of
// evm.Codec, so wallets and policy signers work on it unchanged.
//
//	sim := chaintest.New(chaintest.Options{})
//	usdc := sim.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
//	sim.Pay("alice", to, usdc, chain.NewAmount(25_000_000))
//	sim.Mine(1)
//	sim.Reorg(1)
//
// Beyond what a miner does by itself there are the controls of a test: which
// transactions a block leaves out (MineWith), what becomes of them in a reorg
// (Reorg, Rewind, Return, Drop), how fees walk (WalkFees), what a node sees (Lag,
// Pin) and answers (Fail, Lie), and what the owners of tokens do (Pause, Blacklist,
// Rebase).
//
// With Options.Sweeper its clients collect from many accounts in one transaction
// (chain.Batcher), as evm.Client does: accounts delegate by authorisations that use
// up their nonces, a reorg takes both back, and an entry that fails keeps no other
// one back.
//
// It is deterministic: no goroutines, no wall clock, no randomness. The same
// calls give the same hashes. Time passes only by blocks and AdvanceTime.
//
// Tokens are models written in Go, not EVM bytecode: the calldata of real
// transactions is interpreted by them. What is simulated is what a gateway can
// observe: receipts, logs, balances, nonces, and how they change in a reorg. By
// random scripts, package e2e/differential compares that with go-ethereum's chain.
//
// Controls of a test panic where they are misused, as with a malformed address
// or a reorg below the first block: a test with a wrong script must not pass.
// Nothing that comes through the Client panics.
//
// # The conformance suite
//
// Run checks a Client against the contract of the port, one subtest for each
// MUST. It needs a Harness: the client and a few controls of the network behind
// it. It runs on this simulation, on in-process EVMs and on real nodes over
// HTTP alike; what a network cannot do is left out of the Harness, and the
// subtests that need it are skipped with the reason.
package chaintest
