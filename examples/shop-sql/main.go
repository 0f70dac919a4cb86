// Command shop-sql is a shop with an orders table in its own SQL database, and
// a gateway whose tables are in the same one. Each direction is one transaction:
//
//	order  → payment   the shop's transaction makes its order and the payment:
//	                   both are there after the commit, or neither is
//	payment → order    the gateway's transaction that marks an event as told
//	                   runs the shop's handler: the order changes exactly once
//
//	go run ./examples/shop-sql                  SQLite, in a file that is removed
//	go run ./examples/shop-sql -postgres DSN    PostgreSQL, in a database of its
//	                                            own there, which is dropped
//
// One order is rolled back, one is asked for twice at a time, a handler fails and
// the gateway is restarted before it has succeeded. In the end there is a table,
// and checks of everything that must hold; the exit status is 0 only where all of
// them do, 1 where one does not, 2 for a bad command line.
//
//	shop.go                 what a host writes: orders, payments, the handler
//	database.go             what it needs of its database, whichever it is
//	sqlite.go, postgres.go  where the transactions begin and end
//	demo.go, check.go       what happens here, and what must come of it
//	chain.go                the chain and the customers
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// Exit statuses.
const (
	exitGood  = 0
	exitWrong = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// options are the command line.
type options struct {
	postgres string
	keep     bool
	timeout  time.Duration
}

// run is the program without its process, so that a test can run it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitGood
	case err != nil:
		fmt.Fprintln(stderr, "shop-sql:", err)
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if err := play(ctx, o, newReport(stdout)); err != nil {
		fmt.Fprintln(stderr, "shop-sql:", err)
		return exitWrong
	}
	return exitGood
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("shop-sql", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.postgres, "postgres", "", "`DSN` of a PostgreSQL server, of a role that may create databases; empty: SQLite")
	flags.BoolVar(&o.keep, "keep", false, "keep the database, and say where it is")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "give up after this time")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.Usage()
		return o, err
	case err != nil:
		// The text repeats the value, which may be a DSN with a password in it.
		return o, errors.New("bad command line; -h lists the flags")
	case flags.NArg() > 0:
		return o, errors.New("there are no arguments beside flags; -h lists them")
	case o.timeout <= 0:
		return o, errors.New("-timeout must be above zero")
	}
	return o, nil
}
