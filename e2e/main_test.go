package e2e

import (
	"os"
	"testing"

	"github.com/bursar-go/bursar/e2e/node"
)

// nodes are started by the first test that needs them, and ended after the last.
var nodes node.Pool

func TestMain(m *testing.M) { os.Exit(nodes.Main(m)) }
