// Command bursar is the operator's tool beside a gateway that a host runs: it
// audits, explains, migrates, recovers and backs up, and it is the process that has
// the keys where the gateway has none. It reads the gateway's own configuration file;
// docs/cli.md has all commands.
//
// Only its command signer signs. It never sends money, and never prints a secret.
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
