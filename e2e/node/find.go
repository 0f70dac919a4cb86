package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program finds a node's program, or ends the test.
func program(t testing.TB, name, variable string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		if _, err := os.Stat(path); err != nil { //nolint:gosec // whoever runs the tests names the program
			t.Fatalf("%s: %v", variable, err)
		}
		return path
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if path := inTools(name); path != "" {
		return path
	}
	Missing(t, "no "+name+": neither "+variable+", nor in PATH, nor in .tools")
	return ""
}

// Missing skips a test because of something that the machine does not have, or
// fails it where everything must be there (BURSAR_REQUIRE_ALL=1).
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("BURSAR_REQUIRE_ALL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// inTools looks where `make test` installs programs.
func inTools(name string) string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		for _, pattern := range []string{"bin/" + name, "node_modules/@foundry-rs/" + name + "-*/bin/" + name} {
			// The pattern is constant and well formed.
			found, _ := filepath.Glob(filepath.Join(dir, ".tools", pattern))
			if len(found) > 0 {
				return found[0]
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
