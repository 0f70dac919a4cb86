// Package node starts real EVM nodes for tests and drives them: anvil and geth
// as child processes, go-ethereum's simulated backend in this process. geth comes in
// its development mode, which makes a block for each transaction, and with this process
// as its consensus: then it makes the blocks it is told to, and what offers too little
// stays in its pool. All of them are reached through JSON-RPC over HTTP on the loopback,
// on ports that the system chose.
//
// A Pool starts each node once and ends all of them:
//
//	var nodes node.Pool
//
//	func TestMain(m *testing.M) { os.Exit(nodes.Main(m)) }
//
//	func TestX(t *testing.T) { network := nodes.Anvil(t) … }
//
// A node whose program is not there skips the test, unless BURSAR_REQUIRE_ALL
// is 1: then it fails. Programs are looked for in BURSAR_ANVIL and BURSAR_GETH,
// in PATH, and in a folder .tools above the working directory.
package node
