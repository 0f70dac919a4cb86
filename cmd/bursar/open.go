package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/store/postgres"
	"github.com/bursar-go/bursar/store/sqlite"
)

// load reads the configuration.
func (c *call) load() (*config.File, error) {
	f, err := config.Load(c.config, c.env)
	if err != nil {
		return nil, err
	}
	c.secrets.learn(f)
	if !c.presigned {
		f.ForgetAuthorisations() // nothing is signed here, and to verify many takes minutes
	}
	return f, nil
}

// storeError is something wrong with the store that a configuration names.
type storeError struct {
	file, field string
	err         error
}

func (e *storeError) Error() string {
	if e.file == "" {
		return fmt.Sprintf("%s: %v", e.field, e.err)
	}
	return fmt.Sprintf("%s: %s: %v", e.file, e.field, e.err)
}

func (e *storeError) Unwrap() error { return e.err }

func (c *call) storeFault(field string, err error) error {
	return &storeError{file: c.config, field: field, err: err}
}

// openStore opens the store of a configuration as it is: one that is not there, or
// whose tables are not of this release, is refused, because to change it is the
// business of migrate alone. The second result closes all that was opened.
func (c *call) openStore(ctx context.Context, f *config.File) (bursar.Store, func() error, error) {
	state, err := c.schemaOf(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	if len(state.Pending) > 0 {
		return nil, nil, c.storeFault(state.field, fmt.Errorf("the database is at schema %d, this release at %d; run bursar migrate", state.Have, state.Want))
	}
	return c.openAny(ctx, f, true)
}

// openAny opens the store; keep leaves the tables as they are where that is to be
// had.
func (c *call) openAny(ctx context.Context, f *config.File, keep bool) (bursar.Store, func() error, error) {
	switch f.Store.Driver {
	case "sqlite":
		s, err := sqlite.Open(ctx, f.Store.Path)
		if err != nil {
			return nil, nil, c.storeFault("store.path", err)
		}
		return s, s.Close, nil
	case "postgres":
		pool, err := c.openPool(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		s, err := postgres.New(ctx, pool, postgres.Options{Schema: f.Store.Schema, KeepSchema: keep})
		if err != nil {
			pool.Close()
			return nil, nil, c.storeFault("store.dsn", err)
		}
		return s, func() error {
			defer pool.Close()
			return s.Close()
		}, nil
	}
	return nil, nil, c.forgetful()
}

// forgetful refuses a store that only the gateway's own process has.
func (c *call) forgetful() error {
	return c.storeFault("store.driver", errors.New("memory is in the gateway's own process, and nowhere else; this command needs sqlite or postgres"))
}

// poolSize is how many connections the tool takes of a server that others use.
const poolSize = 4

func (c *call) openPool(ctx context.Context, f *config.File) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(f.Store.DSN.Reveal())
	if err != nil {
		// The parser quotes what it was given.
		return nil, c.storeFault("store.dsn", errors.New("not a connection string: want postgres://user@host/database, or host=… dbname=… user=…"))
	}
	if !f.Store.Password.IsZero() {
		cfg.ConnConfig.Password = f.Store.Password.Reveal()
	}
	cfg.MaxConns = poolSize
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, c.storeFault("store.dsn", err)
	}
	return pool, nil
}

// exists reports whether a file is there.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// gateway makes a gateway that is not started; it only reads unless it is told
// otherwise.
func (c *call) gateway(f *config.File, store bursar.Store, noChain bool) (*bursar.Gateway, error) {
	cfg, err := c.build(f, store)
	if err != nil {
		return nil, err
	}
	cfg.Logger = slog.New(slog.DiscardHandler) // what matters comes back as a result
	// Under the host's own name the tool would take a lease away from it.
	cfg.Instance = ""
	if noChain {
		for i := range cfg.Chains {
			cfg.Chains[i].Client = offline{cfg.Chains[i].Client}
		}
	}
	return bursar.New(cfg)
}

// withStore runs fn with the configuration and its store.
func (c *call) withStore(ctx context.Context, fn func(*config.File, bursar.Store) error) (err error) {
	f, err := c.load()
	if err != nil {
		return err
	}
	store, closeAll, err := c.openStore(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	return fn(f, store)
}

// withGateway runs fn with a gateway on the configured store.
func (c *call) withGateway(ctx context.Context, noChain bool, fn func(*bursar.Gateway) error) error {
	return c.withStore(ctx, func(f *config.File, store bursar.Store) error {
		gw, err := c.gateway(f, store, noChain)
		if err != nil {
			return err
		}
		return fn(gw)
	})
}

// offline is a chain whose node is not asked.
type offline struct{ chain.Client }

// errOffline is transient to the library: it notes it, and goes on.
var errOffline = fmt.Errorf("%w: left out by -no-chain", chain.ErrTransient)

// As hides what the client could ask beside the port. What it knows without asking
// stays: without it the configuration of batches would be refused.
func (o offline) As(target any) bool {
	var ok bool
	switch t := target.(type) {
	case *chain.Batcher:
		*t, ok = chain.As[chain.Batcher](o.Client)
	case *chain.WorkEstimator:
		*t, ok = chain.As[chain.WorkEstimator](o.Client)
	}
	return ok
}

// Head implements chain.Reader.
func (offline) Head(context.Context) (chain.Head, error) { return chain.Head{}, errOffline }

// Headers implements chain.Reader.
func (offline) Headers(context.Context, uint64, uint64) ([]chain.BlockRef, error) {
	return nil, errOffline
}

// Transfers implements chain.Reader.
func (offline) Transfers(context.Context, uint64, uint64, chain.Watch) (chain.Page, error) {
	return chain.Page{}, errOffline
}

// Status implements chain.Reader.
func (offline) Status(context.Context, ...chain.TxID) ([]chain.TxStatus, error) {
	return nil, errOffline
}

// explainError adds what is to be done to an error that says only what is wrong.
func explainError(err error) string {
	text, hint := err.Error(), ""
	var schema *bursar.SchemaError
	switch {
	case errors.As(err, &schema) && schema.Have > schema.Want:
		hint = "use the bursar of the release that the gateway runs"
	case errors.Is(err, bursar.ErrNotEmpty):
		hint = "recover fills an empty database only; point store at a new one"
	case errors.Is(err, bursar.ErrLeaseHeld):
		hint = "stop every gateway on this database, and wait for its lease to end"
	case errors.Is(err, context.Canceled):
		hint = "interrupted; nothing that was begun is left half done"
	case errors.Is(err, fs.ErrPermission):
		hint = "run it as the user that the gateway runs as"
	}
	if hint != "" {
		text += "\n  " + hint
	}
	return text
}
