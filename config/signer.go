package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/signer"
)

// defaultClient is the name of a secret that has none.
const defaultClient = "gateway"

// SigningServer is the process that has the keys: what a file's signer.serve says,
// around a policy signer of its wallets. It listens once the host has it do so:
//
//	srv, err := file.SigningServer(cfg, slog.Default())
//	server := &http.Server{Handler: srv.Handler, TLSConfig: srv.TLS, ReadHeaderTimeout: 10 * time.Second}
//
// Close it when nothing uses Handler any more.
type SigningServer struct {
	// Listen is the address, host and port.
	Listen string
	// TLS is the server's side of it; nil where Listen is on the loopback and the
	// section has no certificate.
	TLS *tls.Config
	// Handler answers. It is safe for concurrent use.
	Handler http.Handler

	journal *signer.Journal
	keys    *hdwallet.Signer
	guarded signer.Halter
}

// Halted returns the reason of a halt, and whether there is one: what the journal
// remembers, or a file at halt_file.
func (s *SigningServer) Halted() (reason string, halted bool) { return s.guarded.Halted() }

// Resume ends a halt that the journal remembers. One by a file ends with the file.
func (s *SigningServer) Resume() error { return s.keys.Resume() }

// Close gives the journal back. No signature is made afterwards.
func (s *SigningServer) Close() error { return s.journal.Close() }

// SigningServer opens the journal and makes the server of the section signer.serve. cfg
// is what Build made of the file: its wallets sign what its treasuries, approvers and
// highest fees permit, by the codecs of its chains. Nothing is contacted, and cfg.Signer
// is not asked. log gets a line for each call; nil is slog.Default().
//
// Errors are *Error, joined: the section is missing, or the wallet can only watch; and
// what signer and hdwallet say of the journal.
func (f *File) SigningServer(cfg bursar.Config, log *slog.Logger) (*SigningServer, error) {
	r := newReport(f.name, f.places)
	if f.Signer == nil || f.Signer.Serve == nil {
		r.add("signer.serve", bursar.CodeRequired, "says where the signer listens")
		return nil, r.err()
	}
	f.Signer.check(r) // it may have been changed since Load
	s := f.Signer.Serve
	out := &SigningServer{Listen: s.Listen, TLS: s.secure(r)}
	with := signer.ServerConfig{Logger: log}
	if !f.Signer.Secret.IsZero() {
		with.Secrets = map[string]signer.Secret{f.Signer.client(): f.Signer.shared(r)}
	}
	if !s.Authorities.IsZero() {
		// Whom the authority gave a certificate is let in: TLS has verified it.
		with.Certificate = func(*x509.Certificate) bool { return true }
	}
	wallets := keyed(r, cfg)
	policy := policyOf(cfg)
	policy.Limits = s.limits(r, cfg)
	if err := r.err(); err != nil {
		return nil, err
	}
	var err error
	if out.journal, err = signer.OpenJournal(s.Journal); err != nil {
		r.wrap("signer.serve.journal", bursar.CodeInvalid, err, "cannot be opened")
		return nil, r.err()
	}
	policy.Journal = out.journal
	if out.keys, err = hdwallet.NewSigner(policy, wallets...); err == nil {
		err = out.serve(with, s.HaltFile)
	}
	if err != nil {
		r.wrap("signer.serve", bursar.CodeInvalid, err, "refused")
		return nil, errors.Join(r.err(), out.Close())
	}
	return out, nil
}

// serve puts the halt file and the protocol around the keys.
func (s *SigningServer) serve(cfg signer.ServerConfig, haltFile string) (err error) {
	cfg.Signer, s.guarded = s.keys, s.keys
	if haltFile != "" {
		cfg.Signer = signer.HaltFile(s.keys, haltFile)
		if h, ok := cfg.Signer.(signer.Halter); ok {
			s.guarded = h
		}
	}
	s.Handler, err = signer.NewServer(cfg)
	return err
}

// policyOf is what a configuration permits, as a gateway's own signer does.
func policyOf(cfg bursar.Config) hdwallet.Policy {
	p := hdwallet.Policy{
		Approvers: cfg.Approvers, Codecs: map[chain.ID]chain.Codec{}, Treasury: map[chain.ID][]chain.Address{}, MaxFee: map[chain.ID]chain.Amount{},
	}
	for _, c := range cfg.Chains {
		id := c.Client.Info().ID
		p.Codecs[id] = c.Client.Codec()
		if c.Treasury != "" {
			p.Treasury[id] = []chain.Address{c.Treasury}
		}
		if !c.MaxFee.IsZero() {
			p.MaxFee[id] = c.MaxFee
		}
	}
	return p
}

// keyed are the wallets that can sign. The active one must.
func keyed(r *report, cfg bursar.Config) []*hdwallet.Wallet {
	if cfg.Wallet.WatchOnly() {
		r.add("wallet.mnemonic", bursar.CodeRequired, "a signer has the keys; xpubs only watch")
	}
	return signing(cfg)
}

// check tells what is wrong with the section by itself.
func (s *Signer) check(r *report) {
	const at = "signer"
	if s.URL == "" && s.Serve == nil {
		r.add(at+".url", bursar.CodeRequired, "where the gateway asks for signatures; or serve, for the signer itself")
	}
	if s.Client != "" && !plainName(s.Client) {
		r.add(at+".client", bursar.CodeInvalid, "want 1 to 64 of a-z, A-Z, 0-9, ., _ and -")
	}
	if s.Client != "" && s.Secret.IsZero() {
		r.add(at+".client", bursar.CodeMismatch, "names the secret, and there is none")
	}
	if s.URL == "" {
		for _, f := range []struct {
			name string
			set  bool
		}{{"authorities", !s.Authorities.IsZero()}, {"certificate", !s.Certificate.IsZero()}, {"private_key", !s.PrivateKey.IsZero()}} {
			if f.set {
				r.add(join(at, f.name), bursar.CodeMismatch, "is for url; the signer's own are under serve")
			}
		}
	}
	s.shared(r)
	pair(r, at, s.Certificate, s.PrivateKey)
	authorities(r, at, s.Authorities)
	if s.URL != "" && s.Secret.IsZero() && s.Certificate.IsZero() {
		r.add(at+".secret", bursar.CodeRequired, "want one, or a certificate")
	}
	if s.Serve != nil {
		s.Serve.check(r, !s.Secret.IsZero())
	}
}

func (s *SignerServe) check(r *report, secret bool) {
	const at = "signer.serve"
	host, _, err := net.SplitHostPort(s.Listen)
	switch {
	case s.Listen == "":
		r.add(at+".listen", bursar.CodeRequired, "a host and a port: 127.0.0.1:8443")
	case err != nil:
		r.add(at+".listen", bursar.CodeInvalid, "want a host and a port: 127.0.0.1:8443")
	case s.Certificate.IsZero() && !loopback(host):
		r.add(at+".certificate", bursar.CodeRequired, "without TLS the loopback alone is listened on")
	}
	if s.Journal == "" {
		r.add(at+".journal", bursar.CodeRequired, "a file that remembers what was signed")
	}
	switch {
	case !s.Authorities.IsZero() && s.Certificate.IsZero():
		r.add(at+".authorities", bursar.CodeMismatch, "are for TLS, which needs a certificate")
	case !secret && s.Authorities.IsZero():
		r.add("signer.secret", bursar.CodeRequired, "want one, or serve.authorities: a signer for everybody is none")
	}
	s.secure(r)
}

// loopback reports whether a host is this machine alone, whatever a resolver says.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// client is the name of the secret.
func (s *Signer) client() string {
	if s.Client == "" {
		return defaultClient
	}
	return s.Client
}

// shared reads the secret; zero where there is none, or where it is wrong.
func (s *Signer) shared(r *report) signer.Secret {
	if s.Secret.IsZero() {
		return signer.Secret{}
	}
	raw, err := base64.StdEncoding.DecodeString(s.Secret.Reveal())
	if err != nil {
		r.add("signer.secret", bursar.CodeInvalid, "want base64 of at least %d random bytes", signer.MinSecret)
		return signer.Secret{}
	}
	secret, err := signer.NewSecret(raw)
	if err != nil {
		r.add("signer.secret", bursar.CodeInvalid, "want base64 of at least %d random bytes, not of %d", signer.MinSecret, len(raw))
	}
	return secret
}

// connect makes the gateway's client of a signer; nil where it has none.
func (s *Signer) connect(r *report, cfg bursar.Config) chain.Signer {
	if s.URL == "" || cfg.Wallet == nil || len(r.errs) > 0 {
		return nil
	}
	keys := signer.AnyKeys{cfg.Wallet}
	for _, w := range cfg.Retired {
		keys = append(keys, w)
	}
	with := signer.ClientConfig{URL: s.URL, Codecs: policyOf(cfg).Codecs, Keys: keys}
	if !s.Secret.IsZero() {
		with.KeyID, with.Secret = s.client(), s.shared(r)
	}
	own := pair(r, "signer", s.Certificate, s.PrivateKey)
	if roots := authorities(r, "signer", s.Authorities); own != nil || roots != nil {
		with.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
		if own != nil {
			with.TLS.Certificates = []tls.Certificate{*own}
		}
	}
	client, err := signer.NewClient(with)
	var field *signer.ConfigError
	switch {
	case err == nil:
		return client
	case errors.As(err, &field):
		at := map[string]string{"URL": "signer.url", "Secret": "signer.secret", "KeyID": "signer.client"}[field.Field]
		if at == "" {
			at = "signer"
		}
		r.add(at, bursar.CodeInvalid, "%s", field.Reason)
	default:
		r.wrap("signer", bursar.CodeInvalid, err, "refused")
	}
	return nil
}

// secure is the server's side of TLS; nil where there is no certificate.
func (s *SignerServe) secure(r *report) *tls.Config {
	own := pair(r, "signer.serve", s.Certificate, s.PrivateKey)
	roots := authorities(r, "signer.serve", s.Authorities)
	if own == nil {
		return nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*own}}
	if roots != nil {
		out.ClientCAs, out.ClientAuth = roots, tls.RequireAndVerifyClientCert
	}
	return out
}

// pair reads a certificate with its key; nil where there is none.
func pair(r *report, at string, certificate, key Secret) *tls.Certificate {
	switch {
	case certificate.IsZero() && key.IsZero():
	case certificate.IsZero():
		r.add(at+".certificate", bursar.CodeRequired, "that of private_key")
	case key.IsZero():
		r.add(at+".private_key", bursar.CodeRequired, "that of certificate")
	default:
		own, err := tls.X509KeyPair([]byte(certificate.Reveal()), []byte(key.Reveal()))
		if err == nil {
			return &own
		}
		r.add(at+".certificate", bursar.CodeInvalid, "want a certificate in PEM, and under private_key its key")
	}
	return nil
}

// authorities reads certificates; nil where there are none.
func authorities(r *report, at string, text Secret) *x509.CertPool {
	if text.IsZero() {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text.Reveal())) {
		r.add(at+".authorities", bursar.CodeInvalid, "want certificates in PEM")
	}
	return pool
}

// limits reads what may leave the wallets within a time.
func (s *SignerServe) limits(r *report, cfg bursar.Config) (out []hdwallet.Limit) {
	for i, text := range s.Limits {
		at, words := fmt.Sprintf("signer.serve.limits[%d]", i), strings.Fields(text)
		if len(words) != 3 {
			r.add(at, bursar.CodeInvalid, "want an asset, an amount and a time: ethereum/USDC 50000 24h")
			continue
		}
		asset, known := assetOf(cfg, words[0])
		if !known {
			r.add(at, bursar.CodeUnknown, "no such asset; the first word is a chain and a symbol: ethereum/USDC")
			continue
		}
		most := r.units(at, Units(words[1]), asset.Decimals)
		window, err := time.ParseDuration(words[2])
		switch {
		case err != nil:
			r.add(at, bursar.CodeInvalid, "want a time with its unit, such as 24h or 90m, behind the amount")
		case window < time.Second:
			r.add(at, bursar.CodeOutOfRange, "want a time of at least 1s")
		case most.IsZero() && !r.failed(at):
			r.add(at, bursar.CodeOutOfRange, "want an amount above zero")
		default:
			out = append(out, hdwallet.Limit{Asset: asset.ID, Max: most, Window: window})
		}
	}
	return out
}

// assetOf finds an asset by the name that payments call it by.
func assetOf(cfg bursar.Config, name string) (chain.Asset, bool) {
	for _, c := range cfg.Chains {
		info := c.Client.Info()
		for _, a := range append([]chain.Asset{info.Native}, c.Assets...) {
			if info.Name+"/"+a.Symbol == name {
				return a, true
			}
		}
	}
	return chain.Asset{}, false
}
