package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/config"
)

// What a client may take, in time and bytes, before it is known who it is; and how long
// what was asked has to be answered when the signer is told to end.
const (
	headerTime = 10 * time.Second
	headerSize = 16 << 10
	idleTime   = 2 * time.Minute
	graceTime  = 40 * time.Second // longer than a call may last
)

func signerCommand() *command {
	return &command{
		name: "signer", short: "holds the keys, and signs what the configuration permits",
		long: `Runs the process that has the keys, for a gateway that has none: it listens where
signer.serve says and signs with the mnemonics of the configuration. It permits what a
gateway's own signer permits: sweeps to the treasuries of this file, gas for addresses of
its own, and payouts that one of the approvers has signed, up to each chain's max_fee and
the limits of signer.serve. The gateway's file has the wallet's xpubs, and under signer
the url, the secret and the treasuries once more.

Store, webhooks and nodes of the file are not opened: the signer needs no network but its
own address. It writes the journal, and a line for each call to the standard error. It
ends on SIGTERM or an interrupt, when it has answered what it was asked, and then exits
with 0. docs/signers.md has the rest.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			resume := fs.Bool("resume", false, "end a halt that a client asked for, which the journal remembers, before it listens")
			return func(ctx context.Context, c *call) error { return c.signer(ctx, *resume) }
		},
	}
}

// noStore is the store of a process that has none.
type noStore struct{ bursar.Store }

func (c *call) signer(ctx context.Context, resume bool) (err error) {
	f, err := c.load()
	if err != nil {
		return err
	}
	cfg, err := c.build(f, noStore{})
	if err != nil {
		return err
	}
	options := &slog.HandlerOptions{Level: f.Level()}
	log := slog.New(slog.NewTextHandler(c.live, options))
	if c.json {
		log = slog.New(slog.NewJSONHandler(c.live, options))
	}
	srv, err := f.SigningServer(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	if resume {
		if err := srv.Resume(); err != nil {
			return err
		}
	}
	if reason, halted := srv.Halted(); halted {
		log.WarnContext(ctx, "signer is halted, and refuses everything", "reason", reason)
	}
	return c.serve(ctx, srv, log)
}

// serve listens until ctx ends, and then answers what was asked.
func (c *call) serve(ctx context.Context, srv *config.SigningServer, log *slog.Logger) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", srv.Listen)
	if err != nil {
		return &config.Error{File: c.config, Field: "signer.serve.listen", Code: bursar.CodeInvalid, Reason: "cannot be listened on", Err: err}
	}
	server := &http.Server{
		Handler: srv.Handler, TLSConfig: srv.TLS, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerSize,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	log.InfoContext(ctx, "signer listens", "address", listener.Addr().String(), "tls", srv.TLS != nil)
	ended := make(chan error, 1)
	go func() {
		if srv.TLS == nil {
			ended <- server.Serve(listener)
			return
		}
		ended <- server.ServeTLS(listener, "", "") // TLSConfig has the certificate
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// What was asked before the end is still answered: it may be in the journal already.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	err = server.Shutdown(grace)
	if closed := <-ended; !errors.Is(closed, http.ErrServerClosed) {
		err = errors.Join(err, closed)
	}
	log.InfoContext(grace, "signer has ended")
	return err
}
