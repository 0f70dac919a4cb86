// Package contracts_test runs the Sweeper on go-ethereum's EVM: what sweeping costs,
// and what those who attack it achieve.
package contracts_test
