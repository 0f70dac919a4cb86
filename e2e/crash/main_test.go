//go:build unix

package crash

import (
	"flag"
	"os"
	"testing"

	"github.com/bursar-go/bursar/internal/pgtest"
)

// servers is the PostgreSQL of all worlds that do not kill theirs. Its commits
// wait for the disk, as in production.
var servers = pgtest.Pool{Config: pgtest.Config{Durable: true}}

func TestMain(m *testing.M) {
	if text := os.Getenv(hostVariable); text != "" {
		os.Exit(runHost(text))
	}
	// Worlds wait most of the time, for deadlines that are a minute away.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(servers.Main(m))
}
