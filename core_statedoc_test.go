package bursar

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateStateDoc = flag.Bool("update", false, "write docs/state_machine.md anew")

const stateDoc = "docs/state_machine.md"

// docRow is a row of any machine as the page shows it.
type docRow struct {
	id, fact, when, to string
	from               []string
	events, ledger     string
	refused            bool
}

// stateMachine is one machine of the page.
type stateMachine struct {
	title, text, start string
	columns            []string
	rows               []docRow
}

func strs[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func paymentMachine() stateMachine {
	m := stateMachine{
		title: "Payment", start: "new", columns: []string{"#", "from", "fact", "when", "to", "events", "ledger"},
		text: "The status is a function of totals: `E` what was asked for, `R` what is enough after tolerance, `C` confirmed and `U`\n" +
			"unconfirmed money that counts, `A` confirmed money that the host accepted. The first line that holds decides:\n\n" +
			"```\n" +
			"C >= R or A > 0                  settled if what pays was delivered, else confirmed\n" +
			"canceled                         canceled\n" +
			"U > 0                            detected\n" +
			"deadline covered, no hold        underpaid if C > 0, else expired\n" +
			"otherwise                        detected if C > 0, else pending\n" +
			"```\n\n" +
			"A deadline is covered once the chain was scanned past it by blocks as deep as the payment asks for. After a reorg a\n" +
			"counting transfer that is out of the chain puts the verdict on hold until it is back, or an hour (or twice the\n" +
			"confirmations, if that is longer) was covered. In one status the first row that fits a fact is taken; where `to` is\n" +
			"empty the status stays. `payment.overpaid` is told where the excess reaches the policy's minimum and was not told\n" +
			"yet; `payment.late` where the asset is the one that was asked for. While a chain is halted nothing gets deeper, final\n" +
			"or covered.",
		rows: []docRow{{id: "T1", from: []string{"new"}, fact: string(factCreate), when: "valid request", to: string(StatusPending), events: string(PaymentCreated)}},
	}
	for _, r := range paymentTable() {
		row := docRow{id: r.id, from: strs(r.from), fact: string(r.fact), when: r.when, to: string(r.to), events: strings.Join(strs(r.events), ", "), ledger: r.ledger}
		if len(r.from) == len(anyStatus) {
			row.from = []string{"any"}
		}
		if r.err != nil {
			row.refused, row.to = true, "refused: "+strings.TrimPrefix(r.err.Error(), "bursar: ")
		}
		m.rows = append(m.rows, row)
	}
	return m
}

func transactionMachine() stateMachine {
	m := stateMachine{
		title: "Transaction", start: "new", columns: []string{"from", "fact", "when", "to", "reason", "event"},
		text: "One row is one transfer identity: one movement of one asset inside one on-chain transaction. It keeps its identity\n" +
			"when the transaction is mined again in another block, with another amount even.",
	}
	for _, r := range transactionTable() {
		m.rows = append(m.rows, docRow{from: named(strs(r.from)), fact: string(r.fact), when: r.when, to: string(r.to), ledger: r.reason, events: string(r.event)})
	}
	return m
}

func payoutMachine() stateMachine {
	m := stateMachine{
		title: "Payout", start: "new", columns: []string{"from", "fact", "when", "to", "event", "ledger"},
		text: "A payout is one outgoing movement with all its attempts: a sweep, a top-up of gas, a refund, a withdrawal. All attempts\n" +
			"of a group share a nonce or outpoint, so that at most one of them can happen.",
	}
	for _, r := range payoutTable() {
		m.rows = append(m.rows, docRow{from: named(strs(r.from)), fact: string(r.fact), when: r.when, to: string(r.to), events: string(r.event), ledger: r.ledger})
	}
	return m
}

func deliveryMachine() stateMachine {
	m := stateMachine{
		title: "Delivery", start: "new", columns: []string{"from", "fact", "to"},
		text: fmt.Sprintf("A delivery is one event on its way to one notifier. Events of one subject go out in order: a pending one holds up later\n"+
			"ones, a parked one, whose next try lies beyond %s after its first, does not.", parkAfter),
	}
	for _, r := range deliveryTable() {
		m.rows = append(m.rows, docRow{from: named(strs(r.from)), fact: r.fact, to: string(r.to)})
	}
	return m
}

// named writes "new" for what is not there yet.
func named(from []string) []string {
	for i, s := range from {
		if s == "" {
			from[i] = "new"
		}
	}
	return from
}

// diagram draws the rows that change a status.
func (m stateMachine) diagram() string {
	type edge struct{ from, to string }
	var order []edge
	labels := map[edge][]string{}
	for _, r := range m.rows {
		for _, from := range r.from {
			e := edge{from, r.to}
			if r.to == "" || r.refused || from == r.to {
				continue
			}
			if labels[e] == nil {
				order = append(order, e)
			}
			label := strings.ReplaceAll(strings.TrimSpace(r.id+" "+r.fact), ",", "")
			if !slices.Contains(labels[e], label) {
				labels[e] = append(labels[e], label)
			}
		}
	}
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, e := range order {
		from := e.from
		if from == m.start {
			from = "[*]"
		}
		fmt.Fprintf(&b, "    %s --> %s : %s\n", from, e.to, strings.Join(labels[e], ", "))
	}
	b.WriteString("```\n")
	return b.String()
}

func (m stateMachine) table() string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(m.columns)
	b.WriteString(strings.Repeat("|---", len(m.columns)) + "|\n")
	for _, r := range m.rows {
		cell := map[string]string{
			"#": r.id, "from": strings.Join(r.from, ", "), "fact": r.fact, "when": r.when, "to": r.to,
			"events": r.events, "event": r.events, "ledger": r.ledger, "reason": r.ledger,
		}
		cells := make([]string, len(m.columns))
		for i, c := range m.columns {
			cells[i] = cell[c]
		}
		line(cells)
	}
	return b.String()
}

func renderStateDoc() string {
	var b strings.Builder
	b.WriteString("# State machines\n\n" +
		"This page is generated from the tables in `transition.go`, which the gateway itself follows; a test compares the two.\n" +
		"After a change of the tables run `go test -run TestStateMachineDoc -update .`.\n")
	for _, m := range []stateMachine{paymentMachine(), transactionMachine(), payoutMachine(), deliveryMachine()} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s\n%s", m.title, m.text, m.diagram(), m.table())
	}
	return b.String()
}

// The page says what the tables say.
func TestStateMachineDoc(t *testing.T) {
	t.Parallel()
	want := renderStateDoc()
	if *updateStateDoc {
		require.NoError(t, os.MkdirAll(filepath.Dir(stateDoc), 0o755))
		require.NoError(t, os.WriteFile(stateDoc, []byte(want), 0o644))
	}
	got, err := os.ReadFile(stateDoc)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run go test -run TestStateMachineDoc -update .")
}

// Every status and every fact stands in the page.
func TestStateMachineDocIsComplete(t *testing.T) {
	t.Parallel()
	page := renderStateDoc()
	words := append(strs(anyStatus), strs(allTransactionStatuses())...)
	words = append(append(words, strs(allPayoutStatuses())...), strs(allPayoutFacts())...)
	words = append(append(words, strs(allTransactionFacts())...), string(DeliveryPending), string(DeliveryParked), string(DeliveryDone), string(DeliveryDead))
	for _, row := range paymentTable() {
		words = append(words, "| "+row.id+" |", string(row.fact))
	}
	for _, w := range words {
		require.Contains(t, page, w)
	}
	require.Equal(t, 4, strings.Count(page, "stateDiagram-v2"))
}
