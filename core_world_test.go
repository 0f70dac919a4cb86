package bursar

import (
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

const (
	testChain     = chain.ID("eip155:31337")
	ownAsset      = chain.AssetID("eip155:31337/erc20:0x5FbDB2315678afecb367f032d93F642f64180aa3")
	otherAsset    = chain.AssetID("eip155:31337/slip44:60")
	testPaymentID = "pay_test_1"
	testAddress   = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
)

// testStart is when every test payment was made. It expires an hour later.
func testStart() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func testAssets(id chain.AssetID) chain.Asset {
	if id == ownAsset {
		return chain.Asset{ID: ownAsset, Symbol: "USDC", Decimals: 2, Contract: "0x5FbDB2315678afecb367f032d93F642f64180aa3", SweepMinimum: chain.NewAmount(50)}
	}
	return chain.Asset{ID: otherAsset, Symbol: "ETH", Decimals: 18}
}

// testPayment asks for 1000 units; 900 are enough; an hour's grace.
func testPayment() Payment {
	p := Payment{
		ID: testPaymentID, Version: 1, Status: StatusPending, Asset: testAssets(ownAsset), Amount: chain.NewAmount(1000),
		RequiredConfirmations: 3, Address: testAddress, AddressID: "addr_1", Metadata: map[string]string{"order": "7"}, Attempt: 1,
		Policy:    AmountPolicy{Tolerance: chain.NewAmount(100), Grace: time.Hour, OverpaidMin: chain.NewAmount(10)},
		CreatedAt: testStart(), ExpiresAt: testStart().Add(time.Hour), Deadline: testStart().Add(time.Hour),
	}
	p.Required, _ = p.Policy.required(p.Amount)
	return p
}

type ledgerKey struct {
	asset   chain.AssetID
	account Account
}

// world runs facts through decide and holds every step to the oracle, to the
// table and to the ledger's own laws.
type world struct {
	t testing.TB
	kase
	env     *env
	rows    []transition
	matched int // the row that the last fact took
	scanned time.Time
	height  uint64
	facts   []string // the story so far, for messages

	oracle *oracle // nil: amounts beyond its reach, only the ledger is checked

	sums     map[ledgerKey]*big.Int
	entries  map[string]Entry
	reversed map[string]bool
	live     map[string]string
	eventIDs map[string]bool

	last change // what the last fact did
}

func newWorld(t testing.TB, p Payment) *world {
	w := &world{
		t: t, kase: kase{payment: p}, height: 100,
		sums: map[ledgerKey]*big.Int{}, entries: map[string]Entry{}, reversed: map[string]bool{}, live: map[string]string{}, eventIDs: map[string]bool{},
	}
	w.rows = paymentTable()
	table := slices.Clone(w.rows)
	for i := range table {
		guard := table[i].guard
		table[i].guard = func(s *step) bool {
			if guard != nil && !guard(s) {
				return false
			}
			w.matched = i
			return true
		}
	}
	w.env = &env{
		table: table, now: testStart().Add(time.Minute), slack: time.Hour, blockTime: 12 * time.Second,
		native: testAssets(otherAsset), asset: testAssets,
		coveredTo: func(k uint64) time.Time {
			require.Equal(t, p.RequiredConfirmations, k, "a deadline is covered by blocks as deep as the payment asks for")
			return w.scanned
		},
	}
	w.oracle = &oracle{
		expected: p.Amount.Big().Int64(), required: p.Required.Big().Int64(), overpaidMin: max(1, p.Policy.OverpaidMin.Big().Int64()),
		sweepMin: p.Asset.SweepMinimum.Big().Int64(), expires: p.ExpiresAt, grace: p.Policy.Grace, slack: time.Hour, wait: time.Hour, status: StatusPending,
	}
	return w
}

func (w *world) at(d time.Duration) { w.env.now = testStart().Add(d) }

// add puts the row of a transfer on the table, as an observer does.
func (w *world) add(id string, asset chain.AssetID) {
	if w.tx(id) != nil {
		return
	}
	w.txs = append(slices.Clone(w.txs), Transaction{
		ID: id, Chain: testChain, Transfer: chain.TransferID{Tx: chain.TxID("0x" + id), Ordinal: "n"}, Type: TypeIncoming, Via: chain.ViaDirect,
		Asset: asset, From: "0xstranger", To: testAddress, AddressID: "addr_1", PaymentID: testPaymentID, CreatedAt: w.env.now,
	})
	if w.oracle != nil {
		w.oracle.coins = append(w.oracle.coins, &coin{id: id, own: asset == ownAsset})
	}
}

// include observes a transfer in the next block, which has that time.
func (w *world) include(id string, asset chain.AssetID, amount chain.Amount, block time.Time) error {
	w.add(id, asset)
	w.height++
	height := w.height
	what := factIncluded
	if asset != ownAsset {
		what = factUnexpected
	}
	h := happening{fact: what, id: id, block: block, height: height}
	if w.oracle != nil {
		h.amount = amount.Big().Int64()
	}
	return w.do(h, func(t *Transaction) {
		t.Status, t.FailureReason = TxConfirming, ""
		t.Inclusion++
		t.Amount, t.Block, t.BlockHash, t.BlockTime = amount, height, chain.BlockHash("0xb"+strconv.FormatUint(height, 10)), block
		t.Required, t.ConfirmAt = 3, height+2
	})
}

// fact applies one that needs no more than a transfer and an amount.
func (w *world) fact(what fact, id string, amount int64) error {
	n := chain.NewAmount(uint64(amount))
	return w.do(happening{fact: what, id: id, amount: amount}, func(t *Transaction) {
		switch what {
		case factSeen:
			t.Status, t.SeenAt = TxPending, w.env.now
		case factDeep:
			t.Status, t.ConfirmedAt = TxConfirmed, w.env.now
		case factFinal:
			t.Final = true
		case factOrphaned:
			// The scripts and the generator orphan live transfers only. An amount
			// stands for a transfer that is back in the mempool.
			lost := map[bool]transactionFact{false: txOrphaned, true: txReturned}[amount > 0]
			if _, err := t.advance(lost); err != nil {
				panic(err)
			}
		case factReplaced:
			t.Status = TxReplaced
		case factDropped:
			t.Status, t.FailureReason = TxFailed, ReasonDropped
		case factReverted:
			t.Status, t.FailureReason = TxFailed, ReasonReverted
		case factDischarged:
			t.Discharged = sum(t.Discharged, n)
		case factSweepLost:
			t.Discharged = t.Discharged.SubFloor(n)
		}
	})
}

// do runs one fact and checks all that can be checked of any fact.
func (w *world) do(h happening, apply func(*Transaction)) error {
	w.t.Helper()
	h.now, h.scanned = w.env.now, w.scanned
	w.env.tip = w.height
	w.facts = append(w.facts, fmt.Sprintf("%s %s %d @%s", h.fact, h.id, h.amount, h.now.Sub(testStart())))
	before := kase{w.payment, slices.Clone(w.txs)}
	before.payment.Metadata = maps.Clone(w.payment.Metadata)
	c, err := decide(w.env, w.kase, h.fact, h.id, apply)
	if !reflect.DeepEqual(before, w.kase) {
		w.t.Fatalf("decide changed its input: %v", w.facts)
	}
	var events []Kind
	if w.oracle != nil {
		var refusal error
		if events, refusal = w.oracle.step(h); refusal != nil || err != nil {
			require.ErrorIs(w.t, err, refusal, "%v: %v", err, w.facts)
			if refusal == nil {
				w.t.Fatalf("%v: %v", err, w.facts)
			}
			return err
		}
	}
	if err != nil {
		return err
	}
	w.last, w.kase = c, c.kase
	w.followsTable(before.payment.Status, h.fact)
	w.post(c.entries)
	w.tell(c.notices)
	if w.oracle != nil {
		w.agrees(events)
	}
	return nil
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter %s", fmt.Sprintf(format, args...), strings.Join(w.facts, "; "))
}

// followsTable: what happened is what the row says that was taken.
func (w *world) followsTable(from Status, what fact) {
	row := w.rows[w.matched]
	to := row.to
	if to == "" {
		to = from
	}
	if row.fact != what || !slices.Contains(row.from, from) || to != w.payment.Status || row.err != nil {
		w.fail("row %s (%s) does not lead from %s to %s by %s", row.id, row.when, from, w.payment.Status, what)
	}
	var told []Kind
	for _, n := range w.last.notices {
		told = append(told, n.kind)
	}
	rest := told
	for _, k := range row.events {
		switch {
		case len(rest) > 0 && rest[0] == k:
			rest = rest[1:]
		case k == PaymentOverpaid, k == PaymentLate:
			// told only where the amount is worth it, or the asset is the one asked for
		default:
			w.fail("row %s tells %v, told were %v", row.id, row.events, told)
		}
	}
	if len(rest) > 0 {
		w.fail("row %s tells %v, told were %v", row.id, row.events, told)
	}
	for _, e := range w.last.entries {
		rule := e.Rule
		if e.Reverses != "" {
			rule = "reverse"
		}
		if !strings.Contains(row.ledger, rule) {
			w.fail("row %s posts %q, posted was %+v", row.id, row.ledger, e)
		}
	}
}

// post books entries as a store does, by the ledger's laws.
func (w *world) post(entries []Entry) {
	for _, e := range entries {
		switch {
		case e.Amount.IsZero(), e.Debit == e.Credit, e.ID == "", e.Rule == "", e.Subject != testPaymentID, e.Chain != testChain:
			w.fail("bad entry %+v", e)
		case !e.At.Equal(w.env.now):
			w.fail("entry of another time %+v", e)
		case w.entries[e.ID].ID != "":
			w.fail("entry id twice: %+v and %+v", e, w.entries[e.ID])
		}
		w.entries[e.ID] = e
		if e.Reverses != "" {
			w.reverse(e)
		}
		if e.Live != "" {
			if w.live[e.Live] != "" {
				w.fail("%s is credited twice", e.Live)
			}
			w.live[e.Live] = e.ID
		}
		w.balance(e.Asset, e.Debit).Add(w.balance(e.Asset, e.Debit), e.Amount.Big())
		w.balance(e.Asset, e.Credit).Sub(w.balance(e.Asset, e.Credit), e.Amount.Big())
	}
}

func (w *world) reverse(e Entry) {
	old, known := w.entries[e.Reverses]
	if !known || w.reversed[e.Reverses] || old.Reverses != "" {
		w.fail("entry %+v reverses nothing that stands", e)
	}
	if old.Debit != e.Credit || old.Credit != e.Debit || old.Amount != e.Amount || old.Asset != e.Asset {
		w.fail("%+v is no reversal of %+v", e, old)
	}
	w.reversed[e.Reverses] = true
	delete(w.live, old.Live)
}

func (w *world) balance(asset chain.AssetID, account Account) *big.Int {
	key := ledgerKey{asset, account}
	if w.sums[key] == nil {
		w.sums[key] = new(big.Int)
	}
	return w.sums[key]
}

// tell takes events as an outbox does: every id once.
func (w *world) tell(notices []notice) {
	for _, n := range notices {
		id := hashID("evt_", testPaymentID, string(n.kind), n.cause)
		if w.eventIDs[id] {
			w.fail("event %s with cause %q a second time", n.kind, n.cause)
		}
		w.eventIDs[id] = true
		if n.data.Status != w.payment.Status {
			w.fail("event %s carries the status %s of a payment that is %s", n.kind, n.data.Status, w.payment.Status)
		}
	}
}

// agrees: payment, events and ledger are what the oracle says.
func (w *world) agrees(events []Kind) {
	o, p := w.oracle, w.payment
	var told []Kind
	for _, n := range w.last.notices {
		told = append(told, n.kind)
	}
	if !slices.Equal(events, told) {
		w.fail("told %v, want %v", told, events)
	}
	if p.Status != o.status {
		w.fail("status %s, want %s", p.Status, o.status)
	}
	received := o.total(func(c *coin) bool { return c.counting || c.accepted })
	held := o.total(func(c *coin) bool { return c.deep && !c.counting && !c.accepted })
	got := fmt.Sprint(p.Received, p.Confirmed, p.Held, p.Shortfall, p.Excess, p.ConfirmationNo, p.SettleNo, p.Late, p.Canceled(), p.HoldUntil.Equal(o.hold))
	want := fmt.Sprint(received, o.booked(), held, max(0, o.expected-o.booked()), max(0, o.booked()-o.expected), o.confirmations, o.settlements, o.late, o.canceled, true)
	if got != want {
		w.fail("received, confirmed, held, shortfall, excess, confirmations, settlements, late, canceled, hold:\n%s, want\n%s", got, want)
	}
	w.stamped()
	w.booked()
}

// stamped: the times and reasons that go with a status.
func (w *world) stamped() {
	o, p := w.oracle, w.payment
	reason := map[Status]string{StatusExpired: "expired", StatusUnderpaid: "underpaid", StatusCanceled: "canceled"}[p.Status]
	var due time.Time
	if (p.Status == StatusPending || p.Status == StatusDetected) && o.unconfirmed() == 0 {
		if due = o.expires; o.hold.After(due) {
			due = o.hold
		}
	}
	var block uint64
	final := false
	for _, c := range o.coins {
		if c.own && c.live && (c.counting || c.accepted) {
			final = (final || block == 0) && c.final
			block = max(block, c.height)
		}
	}
	got := fmt.Sprint(p.FailureReason, p.Deadline, !p.ConfirmedAt.IsZero(), !p.SettledAt.IsZero(), p.Block, p.Final)
	want := fmt.Sprint(reason, due, o.isPaid(), p.Status == StatusSettled, block, final)
	if got != want {
		w.fail("reason, deadline, confirmed at, settled at, block, final:\n%s, want\n%s", got, want)
	}
}

func (w *world) booked() {
	want := w.oracle.ledger()
	for key, sum := range w.sums {
		if !sum.IsInt64() || sum.Int64() != want[key] {
			w.fail("%s holds %s, want %d", key.account, sum, want[key])
		}
		if claim := !strings.HasPrefix(string(key.account), "U:") && !strings.HasPrefix(string(key.account), "F:"); sum.Sign() != 0 && claim == (sum.Sign() > 0) {
			w.fail("%s has the wrong sign: %s", key.account, sum)
		}
	}
	for key, n := range want {
		if n != 0 && w.sums[key] == nil {
			w.fail("%s was never posted, want %d", key.account, n)
		}
	}
}

// run plays a script: facts apart by semicolons, "include a 100; deep a". The
// clock stands at one minute until "at 90m" moves it. "block 10m" gives the
// next blocks another time than now, "scan" covers the chain up to now, "halt"
// nothing. What the last fact said is returned; earlier ones must not fail.
func (w *world) run(script string) error {
	w.t.Helper()
	var err error
	for _, line := range strings.Split(script, ";") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		require.NoError(w.t, err, script)
		err = w.play(words)
	}
	return err
}

func (w *world) play(words []string) error {
	id, amount := "", int64(0)
	if len(words) > 1 {
		id = words[1]
	}
	if len(words) > 2 {
		var err error
		amount, err = strconv.ParseInt(words[2], 10, 64)
		require.NoError(w.t, err)
	}
	switch words[0] {
	case "at":
		d, err := time.ParseDuration(words[1])
		require.NoError(w.t, err)
		w.at(d)
		return nil
	case "scan":
		w.scanned = w.env.now
		return nil
	case "halt":
		w.scanned = time.Time{}
		return nil
	case "include":
		return w.include(id, ownAsset, chain.NewAmount(uint64(amount)), w.env.now)
	case "other":
		return w.include(id, otherAsset, chain.NewAmount(uint64(amount)), w.env.now)
	case "seen":
		w.add(id, ownAsset)
		return w.fact(factSeen, id, 0)
	case "covered":
		w.scanned = w.env.now
	}
	what, ok := map[string]fact{
		"deep": factDeep, "final": factFinal, "orphan": factOrphaned, "covered": factCovered, "cancel": factCancel, "accept": factAccept,
		"discharge": factDischarged, "lost": factSweepLost, "refund": factRefunded, "look": factCovered,
		"replace": factReplaced, "drop": factDropped, "revert": factReverted,
	}[words[0]]
	require.True(w.t, ok, words[0])
	return w.fact(what, id, amount)
}

// play runs a script on a fresh test payment; it must end well.
func play(t testing.TB, script string) *world {
	t.Helper()
	w := newWorld(t, testPayment())
	require.NoError(t, w.run(script), script)
	return w
}

// told are the kinds of the last fact's events, in the order of delivery.
func (w *world) told() []Kind {
	var out []Kind
	for _, n := range ordered(slices.Clone(w.last.notices)) {
		out = append(out, n.kind)
	}
	return out
}

// event finds one of the last fact's events.
func (w *world) event(k Kind) EventData {
	w.t.Helper()
	for _, n := range w.last.notices {
		if n.kind == k {
			return n.data
		}
	}
	w.fail("no %s", k)
	return EventData{}
}
