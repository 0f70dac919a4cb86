// Package differential keeps the simulated chain of chain/chaintest honest: random
// scripts run on it and on go-ethereum's chain (ethclient/simulated) at once, with
// the same signed transactions, and what both say is compared.
package differential
