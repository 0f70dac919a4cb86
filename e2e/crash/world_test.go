//go:build unix

package crash

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the world's own look at PostgreSQL
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// lease is that of all hosts: short, so that take-overs are many.
const lease = 2 * time.Second

// options make a world.
type options struct {
	driver string
	// dsn is the database as the world reaches it; via as the hosts do, where
	// that differs.
	dsn, via string
	// hosts is how many there are, rate how many orders they get in a second.
	hosts, rate int
	// plans weighs what customers do; see ways.
	plans map[string]int
	// calm leaves reorgs out.
	calm bool
}

// point is a moment at which the world hears of a host: before or after the
// effect of what it asked for.
type point struct {
	what  string
	after bool
}

// trap is set for the next host that comes by a point.
type trap struct {
	at   point
	who  string // empty: anybody
	left int    // how many are let by
	do   func(who string)
	done chan struct{}
}

// world is everything that a fleet of hosts has to do with.
type world struct {
	options
	*fleet
	sim      *chaintest.Chain
	client   *chaintest.Client
	eth      chain.Asset
	usdc     chain.Asset
	treasury chain.Address
	url      string
	db       *sql.DB
	jobs     chan job
	rnd      *rand.Rand // of the world's own clockwork
	dice     *rand.Rand // of the test's faults

	mu      sync.Mutex
	trap    *trap
	orders  []*order
	closed  bool // no further orders
	still   bool // no further blocks
	bells   map[string]int
	rung    map[string]int64 // by subject, the newest sequence number heard
	sent    map[chain.TxID]string
	trouble []string
	over    []time.Duration // how long take-overs took
	looked  []time.Duration // the same by the world's own looks; see takenOver
	lead    time.Duration   // see closeIn
}

// seed is what the choices follow from.
func seed(t testing.TB) uint64 {
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("BURSAR_CRASH_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("BURSAR_CRASH_SEED=%d", n)
	return n
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	if o.via == "" {
		o.via = o.dsn
	}
	n := seed(t)
	w := &world{
		options: o, fleet: newFleet(t), sim: chaintest.New(simulation()), jobs: make(chan job),
		rnd: rand.New(rand.NewPCG(n, 1)), dice: rand.New(rand.NewPCG(n, 2)),
		bells: map[string]int{}, rung: map[string]int64{}, sent: map[chain.TxID]string{},
		lead: 600 * time.Millisecond,
	}
	w.fleet.seed = n
	w.stage("beginning")
	w.client, w.eth, w.treasury = w.sim.Client(), w.sim.Info().Native, w.sim.Payer("treasury")
	w.eth.SweepMinimum = chain.NewAmount(1e15) // what is left for gas stays where it is
	w.usdc = w.sim.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	w.openDatabase()
	sponsor, err := w.auditor(nil).Sponsor(w.sim.Info().ID)
	require.NoError(t, err)
	w.sim.Fund(sponsor, chain.NewAmount(9e18))
	w.sim.Mine(8)
	w.serve()
	w.turn()
	for _, name := range w.all() {
		w.launch(name)
	}
	return w
}

// all are the names of the hosts there should be.
func (w *world) all() (out []string) {
	for i := range w.hosts {
		out = append(out, fmt.Sprintf("host-%d", i+1))
	}
	return out
}

func (w *world) hostConfig(name string) hostConfig {
	return hostConfig{
		Instance: name, URL: w.url, Driver: w.driver, DSN: w.via, Lease: lease, Workers: 4,
		Assets: []chain.Asset{w.usdc, w.eth}, Treasury: w.treasury,
	}
}

func (w *world) launch(name string) { w.start(w.hostConfig(name)) }

// openDatabase makes the tables and opens the world's own look at them, which
// of SQLite is read-only and ends with each query: a database that somebody has
// open need not be recovered.
func (w *world) openDatabase() {
	w.t.Helper()
	b, err := openBooks(w.t.Context(), w.driver, w.dsn, "world")
	require.NoError(w.t, err)
	require.NoError(w.t, b.close())
	driver, dsn := "pgx", w.dsn
	if w.driver == "sqlite" {
		driver, dsn = "sqlite", "file:"+w.dsn+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(w.t, err)
	_, err = db.ExecContext(w.t.Context(), shopTables(w.driver))
	require.NoError(w.t, err)
	if w.driver == "sqlite" {
		require.NoError(w.t, db.Close())
		db, err = sql.Open(driver, dsn+"&mode=ro")
		require.NoError(w.t, err)
		db.SetMaxIdleConns(-1)
	}
	w.db = db
	w.t.Cleanup(func() { require.NoError(w.t, db.Close()) })
}

// table is the name of one of the store's tables.
func (w *world) table(name string) string {
	if w.driver == "sqlite" {
		return "bursar_" + name
	}
	return "bursar." + name
}

// mark is a place for an argument in a query.
func (w *world) mark() string {
	if w.driver == "sqlite" {
		return "?"
	}
	return "$1"
}

// serve opens the world's door.
func (w *world) serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /chain/{method}", w.serveChain)
	mux.HandleFunc("POST /work", w.serveWork)
	mux.HandleFunc("POST /done", func(out http.ResponseWriter, r *http.Request) {
		var d done
		if w.read(out, r, &d) {
			w.at(point{"done", false}, r.Header.Get("Instance"))
			w.confirm(d)
			w.at(point{"done", true}, r.Header.Get("Instance"))
		}
	})
	mux.HandleFunc("POST /bell", func(out http.ResponseWriter, r *http.Request) {
		var e told
		if w.read(out, r, &e) {
			w.ring(e)
			w.at(point{"bell", true}, r.Header.Get("Instance"))
		}
	})
	mux.HandleFunc("POST /inside", func(out http.ResponseWriter, r *http.Request) {
		var e told
		if w.read(out, r, &e) {
			w.at(point{"inside", true}, r.Header.Get("Instance"))
		}
	})
	mux.HandleFunc("POST /write/{moment}", func(_ http.ResponseWriter, r *http.Request) {
		w.at(point{r.PathValue("moment"), false}, r.Header.Get("Instance"))
	})
	server := httptest.NewServer(mux)
	w.url = server.URL
	w.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
}

func (w *world) read(out http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(r.Body).Decode(into)
	if err != nil { // a host that died while it spoke
		http.Error(out, err.Error(), http.StatusBadRequest)
	}
	return err == nil
}

// write answers; a host that is gone by now hears nothing.
func (w *world) write(out http.ResponseWriter, value any) { _ = json.NewEncoder(out).Encode(value) }

// serveWork gives a host something to do, as soon as there is something.
func (w *world) serveWork(out http.ResponseWriter, r *http.Request) {
	w.at(point{"work", false}, r.Header.Get("Instance"))
	var j job
	select {
	case j = <-w.jobs:
	case <-time.After(2 * time.Second):
	case <-r.Context().Done():
	}
	w.write(out, j)
}

// at is called whenever a host comes by.
func (w *world) at(p point, who string) {
	w.mu.Lock()
	t := w.trap
	if t == nil || t.at != p || t.who != "" && t.who != who {
		w.mu.Unlock()
		return
	}
	if t.left--; t.left >= 0 {
		w.mu.Unlock()
		return
	}
	w.trap = nil
	w.mu.Unlock()
	t.do(who)
	close(t.done)
}

// lay sets a trap and leaves it there.
func (w *world) lay(t *trap) {
	t.done = make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trap = t
}

// over reports whether a trap was sprung, and has done what it does.
func (t *trap) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// set sets a trap, and springs it by itself on who where nobody comes by in time.
func (w *world) set(t *trap, patience time.Duration) {
	w.lay(t)
	select {
	case <-t.done:
		return
	case <-time.After(patience):
	}
	w.mu.Lock()
	mine := w.trap == t
	if mine {
		w.trap = nil
	}
	w.mu.Unlock()
	if !mine {
		<-t.done
		return
	}
	who := t.who
	if who == "" {
		who = w.all()[0]
	}
	t.do(who)
}

// moments are the points that are worth a fault.
func moments() []point {
	return []point{
		{string(chaintest.MethodTransfers), true}, {string(chaintest.MethodHead), true},
		{string(chaintest.MethodPrepare), true}, {string(chaintest.MethodPrepare), true},
		{string(chaintest.MethodBroadcast), false}, {string(chaintest.MethodBroadcast), true}, {string(chaintest.MethodBroadcast), true},
		{"done", false}, {"done", true}, {"bell", true}, {"inside", true}, {"inside", true}, {"work", false},
		{pointSign, false}, {pointSent, false}, {pointOrder, false}, {pointOrder, false},
	}
}

// moment picks one of them by chance, and how many go by before.
func (w *world) moment(who string, do func(string)) *trap {
	all := moments()
	return &trap{at: all[w.dice.IntN(len(all))], who: who, left: w.dice.IntN(6), do: do}
}

// complain notes what must not be.
func (w *world) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = append(w.trouble, fmt.Sprintf(format, args...))
}

// broadcast checks that what a host sends out is in the database already: a
// transaction that is not could be made again, with another nonce.
func (w *world) broadcast(ctx context.Context, who string, s chain.Signed) error {
	rows, err := lines(ctx, w.db, "SELECT payout_id FROM "+w.table("attempts")+" WHERE tx_id = "+w.mark(), string(s.ID))
	if err != nil {
		return fmt.Errorf("%w: nobody can look it up: %w", chain.ErrTransient, err)
	}
	if len(rows) != 1 {
		w.complain("%s broadcast %s, which is %d times in the database", who, s.ID, len(rows))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[s.ID] = who
	return nil
}

// ring counts what a host's bell told. Whatever else is told again, the first
// time comes in order.
func (w *world) ring(e told) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bells[e.ID]++
	if w.bells[e.ID] > 1 {
		return
	}
	if e.Seq != w.rung[e.Subject]+1 {
		w.trouble = append(w.trouble, fmt.Sprintf("event %d of %s was first told after %d", e.Seq, e.Subject, w.rung[e.Subject]))
	}
	w.rung[e.Subject] = e.Seq
}

// holder is who has the chain's lease, and its epoch.
func (w *world) holder() (who, epoch string) {
	rows, err := lines(w.t.Context(), w.db, "SELECT holder, epoch FROM "+w.table("leases"))
	if err != nil || len(rows) != 1 {
		return "", "" // nobody yet, or no database
	}
	return rows[0][0], rows[0][1]
}

// soon is how long the world waits for what comes in a moment, on a machine that
// has other things to do.
const soon = 3 * time.Minute

// tick is how often the world looks at what it waits for.
const tick = 20 * time.Millisecond

// await waits for something that comes soon, even on a busy machine.
func (w *world) await(what string, ok func() bool) {
	w.t.Helper()
	w.stage("waiting: " + what)
	require.Eventually(w.t, ok, soon, tick, what)
}

// takenOver waits until another host than the victim has the lease, and notes
// how long that took since: by the clock, and by how often the world looked
// meanwhile. A machine that is too busy for the one look is so for those of the
// hosts too.
func (w *world) takenOver(victim string, since time.Time) {
	w.t.Helper()
	looks := 0
	w.await("nobody takes the chain over from "+victim, func() bool {
		looks++
		who, _ := w.holder()
		return who != "" && who != victim
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = append(w.over, time.Since(since))
	w.looked = append(w.looked, time.Duration(looks)*tick)
}

// litePath is a place for an SQLite database.
func litePath(t *testing.T) string { return filepath.Join(t.TempDir(), "shop.db") }
