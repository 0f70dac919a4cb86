// Command treasury shows what it costs to bring payments in a token to the
// treasury. A gateway of its own does it in each of three ways, on one EVM in
// this process:
//
//	classic           each address gets gas first, and then sends its tokens
//	together, first   all addresses in one transaction, in which each delegates
//	                  to the contract of the sweeps (EIP-7702)
//	together, again   the same, of customers' permanent addresses that delegate
//	                  already, at their second deposit
//
//	go run ./examples/treasury               100 payments each way
//	go run ./examples/treasury -payments 12
//
// It ends with a table of the gas, the saving and the treasuries' balances. The
// exit status is 0 only where every payment is in its treasury and the books agree
// with the chain, 1 where something does not, 2 for a bad command line.
//
//	main.go    command line
//	ways.go    the three ways, and what is done in each
//	till.go    a gateway as a host sets it up, with the contract of the sweeps
//	chain.go   the EVM, the token, and somebody who pays
//	table.go   what is printed, and what must hold
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"time"
)

// Exit statuses.
const (
	exitGood  = 0
	exitWrong = 1
	exitUsage = 2
)

// maxPayments is what one transaction surely has room for, so that each way
// together is one transaction; usual is how many there are by default.
const (
	maxPayments = 400
	usual       = 100
)

// timeout ends a run that hangs.
const timeout = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the program without its process, so that a test can run it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	payments, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitGood
	case err != nil:
		fmt.Fprintln(stderr, "treasury:", err)
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := show(ctx, &scene{payments: payments, ways: ways(), log: stderr}, stdout); err != nil {
		fmt.Fprintln(stderr, "treasury:", err)
		return exitWrong
	}
	return exitGood
}

// show makes the payments, prints what became of them, and returns what is wrong.
func show(ctx context.Context, s *scene, out io.Writer) error {
	begin := time.Now()
	title(out, s.payments, s.ways)
	all, err := s.play(ctx)
	if err != nil {
		return err
	}
	if err := table(out, all); err != nil {
		return err
	}
	if err := verdict(all); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\nEvery payment is in its treasury, and blocks, balances and books agree (%.1f s).\n", time.Since(begin).Seconds())
	return err
}

// flagError is a command line that cannot be meant.
type flagError struct {
	flag   string // the flag, empty where it is about none
	reason string
}

// Error implements error.
func (e *flagError) Error() string {
	if e.flag == "" {
		return e.reason + "; -h lists the flags"
	}
	return "-" + e.flag + ": " + e.reason
}

// parse reads the command line: flag.ErrHelp, or a *flagError.
func parse(args []string, stderr io.Writer) (payments int, err error) {
	// Read by hand, because package flag says what is wrong in a text alone.
	text := strconv.Itoa(usual)
	flags := flag.NewFlagSet("treasury", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&text, "payments", text, "`N` payments each way, 1 to "+strconv.Itoa(maxPayments))
	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.Usage()
		return 0, err
	case err != nil:
		return 0, &flagError{reason: err.Error()}
	case flags.NArg() > 0:
		return 0, &flagError{reason: "there are no arguments beside flags"}
	}
	payments, err = strconv.Atoi(text)
	if err != nil || payments < 1 || payments > maxPayments {
		return 0, &flagError{"payments", fmt.Sprintf("want a number from 1 to %d, have %q", maxPayments, text)}
	}
	return payments, nil
}
