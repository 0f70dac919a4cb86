// Command bursar is the operator's tool beside a gateway that a host runs: it
// audits, explains, migrates, recovers and backs up. It reads the gateway's own
// configuration file; docs/cli.md has all commands.
//
// It never signs, never sends money, and never prints a secret.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := standard().run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
