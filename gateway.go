package bursar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/internal/lifecycle"
	"github.com/bursar-go/bursar/scanner"
	"github.com/bursar-go/bursar/sweeper"
)

// Gateway accepts payments. Make one with New, Start it, and Stop it. All
// methods are safe for concurrent use; its zero value answers ErrNotStarted.
type Gateway struct {
	cfg   Config
	store Store
	log   *slog.Logger
	live  bool
	table []transition
	ids   *idSource
	// creations are spare ones; see creation.
	creations sync.Pool
	books     map[uint32]*book // by coin type
	nets      map[chain.ID]*network
	order     []*network      // as configured
	names     map[string]bool // of chains
	pumps     []*pump
	group     *lifecycle.Group
	guard     guard
	writes    *writeWatch

	mu      sync.Mutex
	state   gatewayState
	stepped sync.Mutex // one manual Step at a time
	// directory has the endpoints; nil where there can be none.
	directory *directory
}

type gatewayState int

const (
	stateZero gatewayState = iota
	stateNew
	stateRunning
	stateStopped
)

// New checks a configuration and returns a gateway that has not started
// anything. A bad field is a *FieldError with its path.
func New(cfg Config) (*Gateway, error) {
	cfg, err := cfg.prepared()
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg: cfg, log: cfg.Logger, table: paymentTable(), ids: &idSource{random: cfg.Rand},
		live:  !cfg.Chains[0].Client.Info().Testnet,
		books: map[uint32]*book{}, nets: map[chain.ID]*network{}, names: map[string]bool{}, state: stateNew,
		guard: newGuard(cfg.Store, cfg.SkipAhead), writes: &writeWatch{},
	}
	g.writes.prove = g.proveStore
	g.store = &watchedStore{Store: cfg.Store, watch: g.writes}
	if g.cfg.Instance == "" {
		random, err := g.ids.draw()
		if err != nil {
			return nil, err
		}
		g.cfg.Instance = fmt.Sprintf("bursar-%x", random[:])
	} else if !validName(cfg.Instance) {
		return nil, fieldErr("Config.Instance", CodeInvalid, "%q: want 1 to 64 of a-z, A-Z, 0-9, . _ and -", cfg.Instance)
	}
	wallets := append([]*hdwallet.Wallet{cfg.Wallet}, cfg.Retired...)
	for i, c := range cfg.Chains {
		if err := g.addChain(i, c, wallets); err != nil {
			return nil, err
		}
	}
	if err := g.addWorkers(wallets); err != nil {
		return nil, err
	}
	for _, n := range cfg.Notify {
		dice, err := g.ids.dice()
		if err != nil {
			return nil, err
		}
		g.pumps = append(g.pumps, newPump(g, n, dice))
	}
	if cfg.Endpoints != nil {
		if g.directory, err = newDirectory(g, *cfg.Endpoints); err != nil {
			return nil, err
		}
	}
	g.group = lifecycle.New(lifecycle.Config{Name: "bursar", Lanes: g.lanes(), Report: g.laneFailed})
	return g, nil
}

func (g *Gateway) addChain(i int, c Chain, wallets []*hdwallet.Wallet) error {
	info := c.Client.Info()
	b := g.books[info.CoinType]
	if b == nil {
		var err error
		if b, err = newBook(g.store, c.Client.Codec(), info.CoinType, wallets, g.cfg.SkipAhead); err != nil {
			return err
		}
		b.check, b.mend = g.checkOrigin, g.secure
		g.books[info.CoinType] = b
	}
	net, err := newNetwork(c, b)
	if err != nil {
		return err
	}
	if c.Treasury != "" {
		if _, ours := b.own(c.Treasury); ours {
			return fieldErr(fmt.Sprintf("Config.Chains[%d].Treasury", i), CodeInvalid, "%s is an account of the gateway's own wallet", c.Treasury)
		}
	}
	g.nets[info.ID] = net
	g.order = append(g.order, net)
	if g.names[info.Name] {
		return fieldErr(fmt.Sprintf("Config.Chains[%d].Client", i), CodeDuplicate, "the name %s stands twice; chain names must differ", info.Name)
	}
	g.names[info.Name] = true
	return nil
}

// addWorkers makes the scanner and the sweeper of each chain.
func (g *Gateway) addWorkers(wallets []*hdwallet.Wallet) error {
	signer := g.cfg.Signer
	if signer == nil && !g.cfg.Wallet.WatchOnly() {
		own, err := g.ownSigner(wallets)
		if err != nil {
			return err
		}
		signer = own
	}
	for i, net := range g.order {
		path := fmt.Sprintf("Config.Chains[%d]", i)
		dice, err := g.ids.dice()
		if err != nil {
			return err
		}
		if net.scanner, err = scanner.New(scanner.Config{Client: net.client, Sink: &sink{g, net}, Poll: net.cfg.Poll, Logger: g.log, Rand: dice}); err != nil {
			return &FieldError{Field: path, Code: CodeInvalid, Reason: "scanner", Err: err}
		}
		sponsor, err := net.book.sponsor()
		if err != nil {
			return err
		}
		floats, err := net.book.floats()
		if err != nil {
			return err
		}
		use := signer
		if net.cfg.Sweep == SweepOff {
			use = nil
		}
		work := &journal{g, net}
		policy := net.cfg.sweepPolicy(sponsor.account(), floats, use)
		net.offline = policy.Offline
		net.batches = policy.MaxBatch
		net.sweeper, err = sweeper.New(sweeper.Config{
			Client: net.client, Journal: work, Holds: work.holds, Known: work.known, Signer: use, Logger: g.log, Interval: net.cfg.Poll,
			Policy: policy,
		})
		if err != nil {
			return sweepErr(path, err)
		}
	}
	return nil
}

// ownSigner is the signer of wallets in this process. It holds its own copy of
// the treasuries, from the configuration and from nowhere else.
func (g *Gateway) ownSigner(wallets []*hdwallet.Wallet) (chain.Signer, error) {
	policy := hdwallet.Policy{Approvers: g.cfg.Approvers, Codecs: map[chain.ID]chain.Codec{}, Treasury: map[chain.ID][]chain.Address{}, MaxFee: map[chain.ID]chain.Amount{}}
	for _, net := range g.order {
		policy.Codecs[net.info.ID] = net.codec
		if net.cfg.Treasury != "" {
			policy.Treasury[net.info.ID] = []chain.Address{net.cfg.Treasury}
		}
		if !net.cfg.MaxFee.IsZero() {
			policy.MaxFee[net.info.ID] = net.cfg.MaxFee
		}
	}
	keyed := make([]*hdwallet.Wallet, 0, len(wallets))
	for _, w := range wallets {
		if !w.WatchOnly() {
			keyed = append(keyed, w)
		}
	}
	signer, err := hdwallet.NewSigner(policy, keyed...)
	if err != nil {
		return nil, &FieldError{Field: "Config.Wallet", Code: CodeInvalid, Reason: "no signer", Err: err}
	}
	return signer, nil
}

// Start proves that the gateway can work and begins to: it checks the store
// and each chain's node, and sets the cursor of chains that are new. ctx bounds
// the start alone.
//
// A wrong answer (another chain id, other decimals of a token, a store of
// another wallet) is an error, and nothing runs. A chain that cannot be reached
// starts degraded: nothing is credited on it until it was verified, and Health
// says so.
func (g *Gateway) Start(ctx context.Context) error {
	if g == nil || g.group == nil {
		return ErrNotStarted
	}
	err := g.group.Start(ctx, g.setup)
	switch {
	case errors.Is(err, lifecycle.ErrStarted):
		return ErrStarted
	case errors.Is(err, lifecycle.ErrStopped):
		return ErrStopped
	}
	return err
}

// Stop ends all work and waits for it, at any time, any number of times. Where
// ctx ends first its error is returned; the work ends all the same, and another
// Stop waits for it. The store stays open: it is the host's.
func (g *Gateway) Stop(ctx context.Context) error {
	if g == nil || g.group == nil {
		return nil
	}
	g.setState(stateStopped)
	if err := g.group.Stop(ctx); err != nil {
		return err
	}
	g.release(ctx)
	return nil
}

// release gives the chains' leases up, so that another instance, or this one
// after a restart, need not wait for their end.
func (g *Gateway) release(ctx context.Context) {
	for _, net := range g.order {
		net.mu.Lock()
		held := net.fence.Name != ""
		net.fence = Fence{}
		net.mu.Unlock()
		if !held {
			continue
		}
		if _, err := g.store.Acquire(ctx, leaseName(net), g.cfg.Instance, 0); err != nil && !errors.Is(err, ErrLeaseHeld) {
			g.log.WarnContext(ctx, "lease not given up", "chain", string(net.info.ID), "err", err)
		}
	}
}

func leaseName(net *network) string { return "chain/" + string(net.info.ID) }

// Run starts the gateway, works until ctx ends, and stops.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.Lease)
	defer cancel()
	return g.Stop(patience)
}

func (g *Gateway) setState(s gatewayState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s > g.state {
		g.state = s
	}
}

// running reports why a call cannot be served, if so.
func (g *Gateway) running() error {
	if g == nil {
		return ErrNotStarted
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case stateRunning:
		return nil
	case stateStopped:
		return ErrStopped
	}
	return ErrNotStarted
}

// read runs fn on a snapshot of the store. Reading is possible from New on and
// after Stop too, as long as the store is open.
func (g *Gateway) read(ctx context.Context, fn func(Reader) error) error {
	if g == nil || g.store == nil {
		return ErrNotStarted
	}
	return g.store.Read(ctx, fn)
}

// asset finds an asset that is configured or was added; one that is neither any
// longer is shown in base units.
func (g *Gateway) asset(id chain.AssetID) chain.Asset {
	if net := g.nets[id.Chain()]; net != nil {
		if a, ok := net.known().all[id]; ok {
			return a
		}
	}
	return chain.Asset{ID: id}
}

func (g *Gateway) newID(kind string, now time.Time) (string, error) {
	random, err := g.ids.draw()
	if err != nil {
		return "", err
	}
	return random.id(livePrefix(kind, g.live), now), nil
}

// SponsorOf returns what Gateway.Sponsor will on a chain, before there is a gateway:
// contracts that only the sponsor may call have its address in their code. The error is
// hdwallet.ErrNoAccount where the wallet has no account of the chain's coin type.
func SponsorOf(w *hdwallet.Wallet, info chain.Info, codec chain.Codec) (chain.Address, error) {
	if w == nil || codec == nil {
		return "", fieldErr("SponsorOf", CodeRequired, "needs a wallet and a codec")
	}
	account, err := w.Account(info.CoinType)
	if err != nil {
		return "", err
	}
	public, err := account.PublicKey(changeOwn, indexSponsor)
	if err != nil {
		return "", err
	}
	raw, err := codec.FromPublicKey(nil, public)
	if err != nil {
		return "", err
	}
	return codec.Format(raw)
}

// Sponsor returns the account that pays the gas of token sweeps on a chain: the
// operator keeps it funded with the chain's coin. It is derived from the active
// wallet, at change level 1, index 0.
func (g *Gateway) Sponsor(id ChainID) (chain.Address, error) {
	if g == nil || g.nets[id] == nil {
		return "", fieldErr("Sponsor.ID", CodeUnknown, "chain %q is not configured", id)
	}
	it, err := g.nets[id].book.sponsor()
	return it.address, err
}
