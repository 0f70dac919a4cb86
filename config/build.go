package config

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
)

// Build makes the wallets, clients and webhooks of the file and a configuration
// of them, checked as bursar.New checks it. Nothing is contacted. Chains,
// webhooks and retired wallets come in the order of their names. The host may
// change the result: add notifiers, a signer or a logger.
//
// The error joins an *Error for each thing that is wrong; after Load there are
// none but those that a change of the File made.
func (f *File) Build(store bursar.Store) (bursar.Config, error) {
	r := newReport(f.name, f.places)
	if store == nil {
		r.add("store", bursar.CodeRequired, "the host opens the store and gives it to Build")
	}
	cfg, _ := f.assemble(r, store)
	if len(r.errs) == 0 {
		f.presign(r, &cfg)
	}
	if err := r.err(); err != nil {
		return bursar.Config{}, err
	}
	return cfg, nil
}

// assemble checks all fields and makes the configuration of those that are
// right, and the contracts in it.
func (f *File) assemble(r *report, store bursar.Store) (cfg bursar.Config, installed []Installation) {
	f.Store.check(r)
	f.checkPlain(r)
	cfg = bursar.Config{
		Store: store, TTL: f.TTL, Lease: f.Lease, Instance: f.Instance,
		Policy: bursar.AmountPolicy{ToleranceBps: f.Policy.ToleranceBps, Grace: f.Policy.Grace, Final: f.Policy.Final},
	}
	cfg.Wallet = f.Wallet.open(r, "wallet")
	for _, name := range sorted(f.Retired) {
		cfg.Retired = append(cfg.Retired, f.Retired[name].open(r, join("retired", shown(name))))
	}
	cfg.Approvers = f.approvers(r)
	if len(f.Chains) == 0 {
		r.add("chains", bursar.CodeRequired, "at least one")
	}
	for _, name := range sorted(f.Chains) {
		b := &chainBuilder{report: r, name: name, path: join("chains", shown(name)), from: f.Chains[name], wallet: cfg.Wallet}
		cfg.Chains = append(cfg.Chains, b.build())
		if b.contract != nil {
			installed = append(installed, Installation{Name: name, Chain: b.id, Contract: b.contract, Nodes: b.nodes})
		}
	}
	for _, name := range sorted(f.Webhooks) {
		if n := f.Webhooks[name].build(r, name); n != nil {
			cfg.Notify = append(cfg.Notify, n)
		}
	}
	if f.Endpoints != nil {
		cfg.Endpoints = f.Endpoints.build(r)
	}
	if f.Signer != nil {
		if f.Signer.check(r); f.Signer.Serve != nil && len(r.errs) == 0 {
			f.Signer.Serve.limits(r, cfg)
		}
		if remote := f.Signer.connect(r, cfg); remote != nil {
			cfg.Signer = remote
		}
	}
	if len(r.errs) == 0 {
		crossCheck(r, cfg, sorted(f.Chains))
	}
	return cfg, installed
}

// crossCheck asks the library for what concerns several fields at once, and
// tells its answer in the file's words.
func crossCheck(r *report, cfg bursar.Config, chains []string) {
	_, err := bursar.New(cfg)
	var field *bursar.FieldError
	switch {
	case err == nil:
	case errors.As(err, &field):
		r.wrap(filePath(field.Field, chains), field.Code, field.Err, "%s", field.Reason)
	default:
		r.wrap("", bursar.CodeInvalid, err, "refused")
	}
}

// filePath translates the path of a field in Go: Config.Chains[1].Treasury.
func filePath(field string, chains []string) string {
	field = strings.TrimPrefix(field, "Config.")
	if rest, ok := strings.CutPrefix(field, "Endpoints."); ok {
		switch {
		case strings.HasPrefix(rest, "Sender."):
			return "endpoints." + sendPath(strings.TrimPrefix(rest, "Sender."))
		case strings.HasPrefix(rest, "Keys"):
			return "endpoints.key"
		}
		return "endpoints." + snake(rest)
	}
	parts := regexp.MustCompile(`^Chains\[(\d+)\](?:\.([A-Za-z]+))?`).FindStringSubmatch(field)
	if parts == nil {
		head, _, _ := strings.Cut(field, ".")
		head, _, _ = strings.Cut(head, "[")
		return snake(head)
	}
	i, err := strconv.Atoi(parts[1])
	if err != nil || i >= len(chains) {
		return "chains"
	}
	path := join("chains", shown(chains[i]))
	switch parts[2] {
	case "", "Client":
		return path
	case "MaxBatch", "Gather":
		path = join(path, "sweeper") // max_batch of a chain is that of requests
	}
	return join(path, snake(parts[2]))
}

// snake writes a Go name of plain words as the file does: MaxTopUp, max_top_up.
func snake(name string) string {
	if name == strings.ToUpper(name) {
		return strings.ToLower(name)
	}
	words := regexp.MustCompile(`[A-Z][a-z0-9]*`).FindAllString(name, -1)
	return strings.ToLower(strings.Join(words, "_"))
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// check validates the store's description.
func (s Store) check(r *report) {
	switch s.Driver {
	case "":
		r.add("store.driver", bursar.CodeRequired, "want memory, sqlite or postgres")
	case "sqlite":
		if s.Path == "" {
			r.add("store.path", bursar.CodeRequired, "sqlite needs a file")
		}
	case "postgres":
		if s.DSN.IsZero() {
			r.add("store.dsn", bursar.CodeRequired, "postgres needs a connection string")
		}
		if s.Schema != "" && !regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`).MatchString(s.Schema) {
			r.add("store.schema", bursar.CodeInvalid, "want up to 63 of a-z, 0-9 and _, no digit first")
		}
	case "memory":
	default:
		r.add("store.driver", bursar.CodeUnknown, "want memory, sqlite or postgres")
	}
	// A setting without effect is one that somebody believes in.
	if s.Path != "" && s.Driver != "sqlite" {
		r.add("store.path", bursar.CodeMismatch, "is for sqlite")
	}
	for _, field := range []struct {
		name string
		set  bool
	}{{"dsn", !s.DSN.IsZero()}, {"password", !s.Password.IsZero()}, {"schema", s.Schema != ""}} {
		if field.set && s.Driver != "postgres" {
			r.add("store."+field.name, bursar.CodeMismatch, "is for postgres")
		}
	}
}

// approvers reads the keys that approve refunds.
func (f *File) approvers(r *report) (out []ed25519.PublicKey) {
	for i, text := range f.Approvers {
		key, err := hex.DecodeString(text)
		if err != nil || len(key) != ed25519.PublicKeySize {
			r.add(fmt.Sprintf("approvers[%d]", i), bursar.CodeInvalid, "want the %d hex digits of an Ed25519 public key", 2*ed25519.PublicKeySize)
			continue
		}
		out = append(out, key)
	}
	return out
}

// checkPlain validates the single values at the top of the file.
func (f *File) checkPlain(r *report) {
	if f.TTL != 0 {
		checkSpan(r, "ttl", f.TTL, bursar.MinTTL, bursar.MaxTTL)
	}
	if f.Lease != 0 && f.Lease < time.Second {
		r.add("lease", bursar.CodeOutOfRange, "want at least 1s")
	}
	if f.Instance != "" && !plainName(f.Instance) {
		r.add("instance", bursar.CodeInvalid, "want 1 to 64 of a-z, A-Z, 0-9, ., _ and -")
	}
	if f.Policy.ToleranceBps > 10_000 {
		r.add("policy.tolerance_bps", bursar.CodeOutOfRange, "want 0 to 10000")
	}
	checkSpan(r, "policy.grace", f.Policy.Grace, 0, bursar.MaxGrace)
	oneOf(r, "log_level", f.LogLevel, "debug", "info", "warn", "error")
}

func checkSpan(r *report, field string, d, least, most time.Duration) {
	if d < least || d > most {
		r.add(field, bursar.CodeOutOfRange, "want %s to %s", least, most)
	}
}

// oneOf refuses what is neither empty nor one of the words.
func oneOf(r *report, field, value string, words ...string) {
	if value != "" && !slices.Contains(words, value) {
		r.add(field, bursar.CodeUnknown, "want one of %s", strings.Join(words, ", "))
	}
}

func plainName(s string) bool { return regexp.MustCompile(`^[a-zA-Z0-9._-]{1,64}$`).MatchString(s) }

// open makes a wallet; nil where it cannot.
func (w Wallet) open(r *report, path string) *hdwallet.Wallet {
	own := w.one(r, path)
	if w.Deposits == nil {
		return own
	}
	deposits := w.Deposits.open(r, join(path, "deposits"))
	if own == nil || deposits == nil {
		return nil
	}
	both, err := hdwallet.Combine(deposits, own)
	if err != nil {
		r.wrap(join(path, "deposits"), bursar.CodeInvalid, err, "cannot be used")
		return nil
	}
	return both
}

// one makes a wallet of one mnemonic, or of its xpubs.
func (w Wallet) one(r *report, path string) *hdwallet.Wallet {
	switch {
	case r.failed(path):
		return nil
	case w.Mnemonic.IsZero() && !w.Passphrase.IsZero():
		r.add(path+".passphrase", bursar.CodeMismatch, "is for a mnemonic, and there is none")
	case w.Mnemonic.IsZero() && len(w.XPubs) == 0:
		r.add(path+".mnemonic", bursar.CodeRequired, "want a mnemonic, or xpubs to watch only")
	case !w.Mnemonic.IsZero() && len(w.XPubs) > 0:
		r.add(path+".xpubs", bursar.CodeMismatch, "want a mnemonic or xpubs, not both")
	case len(w.XPubs) > 0:
		return w.watch(r, path)
	default:
		wallet, err := hdwallet.FromMnemonic(w.Mnemonic.Reveal(), w.Passphrase.Reveal())
		if err != nil {
			r.wrap(path+".mnemonic", bursar.CodeInvalid, err, "cannot be used")
		}
		return wallet
	}
	return nil
}

// failed reports whether something in a field was refused already, so that what
// is missing there is no news.
func (r *report) failed(path string) bool {
	for field := range r.seen {
		if field == path || strings.HasPrefix(field, path+".") {
			return true
		}
	}
	return false
}

func (w Wallet) watch(r *report, path string) *hdwallet.Wallet {
	var keys []hdwallet.XPub
	for _, coin := range sorted(w.XPubs) {
		number, err := strconv.ParseUint(coin, 10, 31)
		if err != nil || !wholeNumber(coin) {
			r.add(path+".xpubs", bursar.CodeInvalid, "the names are SLIP-44 coin types, 60 for EVM chains")
			return nil
		}
		keys = append(keys, hdwallet.XPub{CoinType: uint32(number), Key: w.XPubs[coin].Reveal()})
	}
	wallet, err := hdwallet.FromXPub(keys...)
	if err != nil {
		r.wrap(path+".xpubs", bursar.CodeInvalid, err, "cannot be used")
	}
	return wallet
}

// units reads an amount of a coin; empty is zero.
func (r *report) units(field string, u Units, decimals uint8) chain.Amount {
	if u == "" {
		return chain.Amount{}
	}
	n, err := chain.ParseAmount(string(u), decimals)
	if err != nil {
		reason := "want a number such as 0.5"
		var format *chain.FormatError
		if errors.As(err, &format) {
			reason = fmt.Sprintf("%s, with up to %d decimals: %s", reason, decimals, format.Reason)
		}
		r.add(field, bursar.CodeInvalid, "%s", reason)
	}
	return n
}
