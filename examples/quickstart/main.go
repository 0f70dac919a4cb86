// Command quickstart shows the whole job of a payment gateway on one screen:
// customers pay to addresses of their own, the gateway follows the chain, tells
// the shop what happened, and brings the money to the treasury.
//
//	go run ./examples/quickstart               in-process EVM, with a reorg
//	go run ./examples/quickstart -rpc URL      a running anvil or geth --dev
//	go run ./examples/quickstart -db PATH      keep the database, to look into it
//
// It ends with a table of all payments and with checks of everything that must
// hold; the exit status is 0 only where all of them do, 1 where one does not,
// 2 for a bad command line.
//
//	main.go              command line
//	scenario.go          the payments, and what must become of each: data
//	play.go, shop.go     the scenes, and the gateway with its shop
//	world*.go            the chain: in-process, or behind a URL
//	store.go, clock.go   where everything is kept: SQLite, with a clock of its own
//	receiver.go          the shop's end of the webhooks
//	report.go, check.go  what is printed, and what must hold
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
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
	rpc     string
	db      string
	timeout time.Duration
	pace    time.Duration
}

// run is the program without its process, so that a test can run it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitGood
	case err != nil:
		fmt.Fprintln(stderr, "quickstart:", err)
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if err := play(ctx, o, newReport(stdout)); err != nil {
		fmt.Fprintln(stderr, "quickstart:", redacted(err, o.rpc))
		return exitWrong
	}
	return exitGood
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.rpc, "rpc", "", "`URL` of a running anvil or geth --dev; empty: an EVM in this process")
	flags.StringVar(&o.db, "db", "", "`PATH` of a new SQLite file to keep; empty: a file that is removed")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "give up after this time")
	flags.DurationVar(&o.pace, "pace", 250*time.Millisecond, "least time between two blocks")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.Usage()
		return o, err
	case err != nil:
		// The text repeats the value, which may be a URL with a key in it.
		return o, errors.New("bad command line; -h lists the flags")
	case flags.NArg() > 0:
		return o, errors.New("there are no arguments beside flags; -h lists them")
	case o.timeout <= 0 || o.pace < 0:
		return o, errors.New("-timeout must be above zero and -pace not below")
	}
	return o, checkURL(o.rpc)
}

// checkURL refuses what is no HTTP endpoint, without repeating it.
func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("-rpc: want a URL such as http://127.0.0.1:8545")
	}
	return nil
}

// redacted is an error's text with nothing of the node's URL but its host:
// providers put the access key into path, query or user.
func redacted(err error, secret string) string {
	text := err.Error()
	u, parseErr := url.Parse(secret)
	if secret == "" || parseErr != nil {
		return text
	}
	host := u.Scheme + "://" + u.Host
	// net/http hides a password of the URL, and nothing else.
	var of *url.Error
	if errors.As(err, &of) && of.URL != "" {
		text = strings.ReplaceAll(text, of.URL, host)
	}
	for _, form := range []string{secret, u.String(), u.Redacted()} {
		text = strings.ReplaceAll(text, form, host)
	}
	return text
}
