// Package e2e runs bursar against real EVM nodes: go-ethereum's chain in this
// process, anvil, geth --dev, and a geth that makes blocks when it is told to, each
// over HTTP on the loopback. Package node starts them. What is not on the machine is
// skipped, or fails where BURSAR_REQUIRE_ALL=1.
package e2e
