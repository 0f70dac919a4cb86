package storetest

import (
	"flag"
	"os"
	"testing"
)

// The suite is made to fail here: a failure needs no smaller example and no
// file.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "0s"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
