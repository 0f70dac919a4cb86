package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/config"
)

// What the program exits with.
const (
	exitOK     = 0
	exitFailed = 1 // it failed, or found something that is not as it must be
	exitUsage  = 2 // it was called in a way that cannot be
)

// errFound ends a command that worked and found something, which it has told.
var errFound = errors.New("findings")

// usageError is a call that cannot be.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

func misuse(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// program is the tool. Tests put another chain under it.
type program struct {
	commands []*command
	// build makes a gateway's configuration of a file.
	build func(*config.File, bursar.Store) (bursar.Config, error)
}

// standard is the program as it is installed.
func standard() *program {
	return &program{
		commands: []*command{
			verifyCommand(), explainCommand(), preflightCommand(), migrateCommand(), backupCommand(), recoverCommand(), addressesCommand(), sweeperCommand(),
			sweepsCommand(), deliveriesCommand(), resendCommand(), endpointsCommand(), signerCommand(), authoriseCommand(), xpubCommand(),
		},
		build: (*config.File).Build,
	}
}

// command is one subcommand.
type command struct {
	// name and args make the usage line, short is one line of the overview, long
	// the text of its help.
	name, args, short, long string
	// operands is how many arguments it takes beside its flags.
	operands int
	// prepare defines the flags, and returns what runs once they are read.
	prepare func(*flag.FlagSet) func(context.Context, *call) error
}

// call is one run of a command.
type call struct {
	*program
	operands []string
	config   string
	json     bool
	env      []string
	out      io.Writer
	// live is the standard error at once, for a command that goes on: each write is
	// searched for secrets by itself.
	live io.Writer
	// presigned has the authorisations read that a gateway has.
	presigned bool
	// secrets are what must not be seen, known once the file was read.
	secrets *secrets
}

// run runs the command that the arguments name, and returns the exit code. What is
// printed is held back until the end, so that it can be searched for secrets; what a
// command writes while it goes on is searched by each line.
func (p *program) run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	var out, errs bytes.Buffer
	hidden := &secrets{}
	code := p.dispatch(ctx, args, env, &out, &errs, &scrubber{stderr, hidden}, hidden)
	_, first := stdout.Write(hidden.scrub(out.Bytes()))
	_, second := stderr.Write(hidden.scrub(errs.Bytes()))
	if first != nil || second != nil {
		return exitFailed // nobody is left to tell
	}
	return code
}

func (p *program) dispatch(ctx context.Context, args, env []string, out, errs, live io.Writer, hidden *secrets) int {
	if len(args) == 0 {
		_, _ = io.WriteString(errs, p.overview()) // a buffer takes all
		return exitUsage
	}
	name, rest := args[0], args[1:]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		return p.help(rest, out, errs)
	}
	cmd := p.find(name)
	if cmd == nil {
		_, _ = fmt.Fprintf(errs, "bursar: there is no command %q; bursar help lists them\n", name)
		return exitUsage
	}
	c := &call{program: p, env: env, out: out, live: live, secrets: hidden}
	err := cmd.call(ctx, c, rest)
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(out, cmd.help())
		return exitOK
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(errs, "bursar %s: %v\nbursar help %s tells how it is called\n", name, err, name)
		return exitUsage
	case !errors.Is(err, errFound):
		_, _ = fmt.Fprintf(errs, "bursar %s: %s\n", name, explainError(err))
	}
	return exitFailed
}

func (p *program) find(name string) *command {
	for _, c := range p.commands {
		if c.name == name {
			return c
		}
	}
	return nil
}

// call reads the flags and runs the command.
func (cmd *command) call(ctx context.Context, c *call, args []string) error {
	fs, run := cmd.flags(c)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return misuse("%v", err)
	}
	c.operands = fs.Args()
	if len(c.operands) != cmd.operands {
		return misuse("want %d arguments after the flags, got %d", cmd.operands, len(c.operands))
	}
	return run(ctx, c)
}

func (cmd *command) flags(c *call) (*flag.FlagSet, func(context.Context, *call) error) {
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are told once, by dispatch
	fs.StringVar(&c.config, "config", "", "the gateway's configuration `FILE`; without it the environment alone (docs/configuration.md)")
	fs.BoolVar(&c.json, "json", false, "print JSON, for programs")
	return fs, cmd.prepare(fs)
}

// help prints the overview, or how one command is called.
func (p *program) help(args []string, out, errs io.Writer) int {
	if len(args) == 0 {
		_, _ = io.WriteString(out, p.overview())
		return exitOK
	}
	cmd := p.find(args[0])
	if cmd == nil {
		_, _ = fmt.Fprintf(errs, "bursar help: there is no command %q\n", args[0])
		return exitUsage
	}
	_, _ = io.WriteString(out, cmd.help())
	return exitOK
}

func (p *program) overview() string {
	var b strings.Builder
	b.WriteString("bursar looks after the store of a payment gateway.\n\nusage: bursar COMMAND [flags] [arguments]\n\n")
	for _, c := range p.commands {
		fmt.Fprintf(&b, "  %-10s %s\n", c.name, c.short)
	}
	b.WriteString("  help       tells how a command is called: bursar help COMMAND\n\n" +
		"It exits with 0 when all is well, 1 when it failed or found something, 2 when it was called wrongly.\n")
	return b.String()
}

func (cmd *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: bursar %s [flags] %s", cmd.name, cmd.args)
	text := strings.TrimRight(b.String(), " ") + "\n\n" + cmd.long + "\n\nflags:\n"
	b.Reset()
	fs, _ := cmd.flags(&call{})
	fs.SetOutput(&b)
	fs.PrintDefaults()
	return text + strings.ReplaceAll(b.String(), "\t", "    ")
}

// print writes a result: for people its text, for programs the value.
func (c *call) print(value any, text string) error {
	if !c.json {
		_, err := io.WriteString(c.out, text)
		return err
	}
	in := json.NewEncoder(c.out)
	in.SetEscapeHTML(false)
	in.SetIndent("", "  ")
	return in.Encode(value)
}
