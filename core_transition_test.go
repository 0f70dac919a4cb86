package bursar

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// reach is how the stories come to each status.
func reach() map[Status]string {
	return map[Status]string{
		StatusPending:   "",
		StatusDetected:  "include a 500; deep a;",
		StatusConfirmed: "include a 1000; deep a;",
		StatusSettled:   "include a 1000; deep a; final a; discharge a 1000;",
		StatusUnderpaid: "include a 500; deep a; at 70m; covered;",
		StatusExpired:   "at 70m; covered;",
		StatusCanceled:  "cancel;",
	}
}

// directed is one story for each row of the table and each status that the row
// can start from: row | from | script | to | events | ledger. A script that
// begins with "=" is the whole story; others continue the usual way to the
// status. In the ledger h is the address, p the payment, a tilde a reversal.
const directed = `
T2 | pending   | seen z | pending   | t.detected |
T2 | detected  | seen z | detected  | t.detected |
T2 | confirmed | seen z | confirmed | t.detected |
T2 | settled   | seen z | settled   | t.detected |
T2 | underpaid | seen z | underpaid | t.detected |
T2 | expired   | seen z | expired   | t.detected |
T2 | canceled  | seen z | canceled  | t.detected |
T2 | pending   | seen z; replace z | pending   | t.replaced |
T2 | detected  | seen z; replace z | detected  | t.replaced |
T2 | confirmed | seen z; replace z | confirmed | t.replaced |
T2 | settled   | seen z; replace z | settled   | t.replaced |
T2 | underpaid | seen z; replace z | underpaid | t.replaced |
T2 | expired   | seen z; replace z | expired   | t.replaced |
T2 | canceled  | seen z; replace z | canceled  | t.replaced |
T2 | pending   | seen z; drop z | pending   | t.failed |
T2 | detected  | seen z; drop z | detected  | t.failed |
T2 | confirmed | seen z; drop z | confirmed | t.failed |
T2 | settled   | seen z; drop z | settled   | t.failed |
T2 | underpaid | seen z; drop z | underpaid | t.failed |
T2 | expired   | seen z; drop z | expired   | t.failed |
T2 | canceled  | seen z; drop z | canceled  | t.failed |
T2 | pending   | seen z; revert z | pending   | t.failed |
T2 | detected  | seen z; revert z | detected  | t.failed |
T2 | confirmed | seen z; revert z | confirmed | t.failed |
T2 | settled   | seen z; revert z | settled   | t.failed |
T2 | underpaid | seen z; revert z | underpaid | t.failed |
T2 | expired   | seen z; revert z | expired   | t.failed |
T2 | canceled  | seen z; revert z | canceled  | t.failed |

T14 | pending   | at 3h; include z 7 | pending   | t.detected | L1 U:h/pending:p 7
T14 | detected  | at 3h; include z 7 | detected  | t.detected | L1 U:h/pending:p 7
T14 | underpaid | at 3h; include z 7 | underpaid | t.detected | L1 U:h/pending:p 7
T14 | expired   | at 3h; include z 7 | expired   | t.detected | L1 U:h/pending:p 7
T14 | canceled  | include z 7        | canceled  | t.detected | L1 U:h/pending:p 7
T14 | confirmed | =cancel; include a 1000; deep a; accept; include z 7 | confirmed | t.detected | L1 U:h/pending:p 7
T14 | settled   | =cancel; include a 40; deep a; accept; final a; include z 7 | settled | t.detected | L1 U:h/pending:p 7

T9 | confirmed | include z 7 | confirmed | t.detected | L1 U:h/pending:p 7
T9 | settled   | include z 7 | settled   | t.detected | L1 U:h/pending:p 7

T22 | pending   | =include a 500; orphan a; include a 501 | detected | t.detected p.detected | L1 U:h/pending:p 501
T22 | expired   | =include a 500; orphan a; at 3h; covered; include a 500 | detected | t.detected p.detected | L1 U:h/pending:p 500
T22 | underpaid | =include a 500; include b 300; deep a; deep b; orphan b; at 3h; covered; include b 300 | detected | t.detected p.detected | L1 U:h/pending:p 300
T27 | canceled  | =include a 500; orphan a; cancel; include a 500 | canceled | t.detected | L1 U:h/pending:p 500

T13 | pending   | at 90m; include z 7 | detected | t.detected p.detected p.late | L1 U:h/pending:p 7
T13 | expired   | at 90m; include z 7 | detected | t.detected p.detected p.late | L1 U:h/pending:p 7
T13 | underpaid | at 90m; include z 7 | detected | t.detected p.detected p.late | L1 U:h/pending:p 7
T13 | detected  | at 90m; include z 7 | detected | t.detected p.late | L1 U:h/pending:p 7

T3 | pending   | include z 7 | detected | t.detected p.detected | L1 U:h/pending:p 7
T3 | expired   | =seen z; at 70m; covered; include z 7 | detected | t.detected p.detected | L1 U:h/pending:p 7
T3 | underpaid | =seen z; include a 500; deep a; at 70m; covered; include z 7 | detected | t.detected p.detected | L1 U:h/pending:p 7
T4 | detected  | include z 7 | detected | t.detected | L1 U:h/pending:p 7

T27 | canceled  | =cancel; include a 950; deep a; accept; orphan a; include a 950; deep a | confirmed | t.confirmed p.confirmed | L2 F:h/U:h 950, L2 pending:p/held:p 950, L3 held:p/paid:p 950
T27 | expired   | =at 3h; covered; include a 1200; deep a; accept; orphan a; include a 1200; deep a | confirmed | t.confirmed p.confirmed p.overpaid | L2 F:h/U:h 1200, L2 pending:p/held:p 1200, L3 held:p/paid:p 1000, L3 held:p/excess:p 200
T27 | underpaid | =include b 500; orphan b; at 3h; covered; include a 100; deep a; accept; include b 500; deep b; orphan a; include a 100; deep a | confirmed | t.confirmed p.confirmed | L2 F:h/U:h 100, L2 pending:p/held:p 100, L3 held:p/paid:p 600

T14 | pending   | at 3h; include z 7; deep z | pending   | t.confirmed p.late | L2 F:h/U:h 7, L2 pending:p/held:p 7
T14 | detected  | at 3h; include z 7; deep z | detected  | t.confirmed p.late | L2 F:h/U:h 7, L2 pending:p/held:p 7
T14 | underpaid | at 3h; include z 7; deep z | underpaid | t.confirmed p.late | L2 F:h/U:h 7, L2 pending:p/held:p 7
T14 | expired   | at 3h; include z 7; deep z | expired   | t.confirmed p.late | L2 F:h/U:h 7, L2 pending:p/held:p 7
T14 | canceled  | include z 7; deep z        | canceled  | t.confirmed p.late | L2 F:h/U:h 7, L2 pending:p/held:p 7
T14 | confirmed | other z 7; deep z          | confirmed | t.confirmed        | L2 F:h/U:h 7, L2 pending:h/held:h 7
T14 | settled   | other z 7; deep z          | settled   | t.confirmed        | L2 F:h/U:h 7, L2 pending:h/held:h 7

T9 | confirmed | include z 30; deep z | confirmed | t.confirmed p.overpaid | L2 F:h/U:h 30, L2 pending:p/held:p 30, L3 held:p/excess:p 30
T9 | settled   | include z 9; deep z  | settled   | t.confirmed            | L2 F:h/U:h 9, L2 pending:p/held:p 9, L3 held:p/excess:p 9

T6 | detected | =include a 900; deep a | confirmed | t.confirmed p.confirmed | L2 F:h/U:h 900, L2 pending:p/held:p 900, L3 held:p/paid:p 900
T6 | pending  | =at 3h; covered; include a 950; deep a; accept; halt; orphan a; include a 950; deep a | confirmed | t.confirmed p.confirmed | L2 F:h/U:h 950, L2 pending:p/held:p 950, L3 held:p/paid:p 950
T7 | detected | =include a 1010; deep a | confirmed | t.confirmed p.confirmed p.overpaid | L2 F:h/U:h 1010, L2 pending:p/held:p 1010, L3 held:p/paid:p 1000, L3 held:p/excess:p 10
T7 | detected | =include a 1009; deep a | confirmed | t.confirmed p.confirmed | L2 F:h/U:h 1009, L2 pending:p/held:p 1009, L3 held:p/paid:p 1000, L3 held:p/excess:p 9
T7 | pending  | =at 3h; covered; include a 1010; deep a; accept; halt; orphan a; include a 1010; deep a | confirmed | t.confirmed p.confirmed p.overpaid | L2 F:h/U:h 1010, L2 pending:p/held:p 1010, L3 held:p/paid:p 1000, L3 held:p/excess:p 10
T12 | detected | =include a 500; at 70m; covered; deep a | underpaid | t.confirmed p.underpaid | L2 F:h/U:h 500, L2 pending:p/held:p 500
T5 | detected | =include a 899; deep a | detected | t.confirmed p.partial | L2 F:h/U:h 899, L2 pending:p/held:p 899
T27 | canceled | =include a 500; orphan a; cancel; include a 500; deep a | canceled | t.confirmed | L2 F:h/U:h 500, L2 pending:p/held:p 500

T29 | confirmed | =cancel; include a 40; deep a; accept; final a | settled | p.settled |
T34 | pending   | at 3h; include z 7; deep z; final z | pending | |
T34 | detected  | final a | detected | |
T34 | confirmed | final a | confirmed | |
T34 | settled   | include z 7; deep z; final z | settled | |
T34 | underpaid | final a | underpaid | |
T34 | expired   | at 3h; include z 7; deep z; final z | expired | |
T34 | canceled  | include z 7; deep z; final z | canceled | |

T14 | pending   | other z 7; orphan z | pending   | t.orphaned | ~L1 pending:h/U:h 7
T14 | detected  | other z 7; orphan z | detected  | t.orphaned | ~L1 pending:h/U:h 7
T14 | confirmed | other z 7; deep z; orphan z | confirmed | t.orphaned | ~L2 U:h/F:h 7, ~L2 held:h/pending:h 7, ~L1 pending:h/U:h 7
T14 | settled   | other z 7; orphan z | settled   | t.orphaned | ~L1 pending:h/U:h 7
T14 | underpaid | at 3h; include z 7; orphan z | underpaid | t.orphaned | ~L1 pending:p/U:h 7
T14 | expired   | =at 3h; covered; include a 7; deep a; accept; orphan a; include a 8; orphan a | expired | t.orphaned | ~L1 pending:p/U:h 8
T14 | canceled  | include z 7; deep z; orphan z | canceled | t.orphaned | ~L2 U:h/F:h 7, ~L2 held:p/pending:p 7, ~L1 pending:p/U:h 7

T29 | confirmed | =include a 950; deep a; include b 50; deep b; final a; discharge a 950; orphan b | settled | t.orphaned p.settled | L3 paid:p/held:p 50, ~L2 U:h/F:h 50, ~L2 held:p/pending:p 50, ~L1 pending:p/U:h 50
T23 | confirmed | include b 30; deep b; include c 20; deep c; orphan b | confirmed | t.orphaned p.overpaid | L3 excess:p/held:p 30, ~L2 U:h/F:h 30, ~L2 held:p/pending:p 30, ~L1 pending:p/U:h 30
T23 | settled   | include b 30; deep b; orphan b | settled | t.orphaned | L3 excess:p/held:p 30, ~L2 U:h/F:h 30, ~L2 held:p/pending:p 30, ~L1 pending:p/U:h 30
T26 | confirmed | =cancel; include a 1000; deep a; accept; orphan a | canceled | t.orphaned p.reverted | L3 paid:p/held:p 1000, ~L2 U:h/F:h 1000, ~L2 held:p/pending:p 1000, ~L1 pending:p/U:h 1000
T26 | settled   | =cancel; include a 40; deep a; accept; final a; orphan a | canceled | t.orphaned p.reverted | L3 paid:p/held:p 40, ~L2 U:h/F:h 40, ~L2 held:p/pending:p 40, ~L1 pending:p/U:h 40
T26 | confirmed | =at 3h; covered; include a 7; deep a; accept; orphan a | expired | t.orphaned p.reverted | L3 paid:p/held:p 7, ~L2 U:h/F:h 7, ~L2 held:p/pending:p 7, ~L1 pending:p/U:h 7
T26 | settled   | =at 3h; covered; include a 7; deep a; accept; final a; orphan a | expired | t.orphaned p.reverted | L3 paid:p/held:p 7, ~L2 U:h/F:h 7, ~L2 held:p/pending:p 7, ~L1 pending:p/U:h 7
T26 | confirmed | =include b 500; orphan b; at 3h; covered; include a 7; deep a; accept; include b 500; deep b; orphan a | underpaid | t.orphaned p.reverted | L3 paid:p/held:p 507, ~L2 U:h/F:h 7, ~L2 held:p/pending:p 7, ~L1 pending:p/U:h 7
T26 | settled   | =include b 500; orphan b; at 3h; covered; include a 7; deep a; accept; final a; include b 500; deep b; orphan a | underpaid | t.orphaned p.reverted | L3 paid:p/held:p 507, ~L2 U:h/F:h 7, ~L2 held:p/pending:p 7, ~L1 pending:p/U:h 7
T24 | confirmed | include b 50; orphan a | detected | t.orphaned p.reverted | L3 paid:p/held:p 1000, ~L2 U:h/F:h 1000, ~L2 held:p/pending:p 1000, ~L1 pending:p/U:h 1000
T24 | settled   | include b 50; deep b; lost a 1000; at 2m; final b; discharge a 1000; orphan a | detected | t.orphaned p.reverted | L3 paid:p/held:p 1000, L3 excess:p/held:p 50, ~L2 U:h/F:h 1000, ~L2 held:p/pending:p 1000, ~L1 pending:p/U:h 1000
T25 | confirmed | orphan a | pending | t.orphaned p.reverted | L3 paid:p/held:p 1000, ~L2 U:h/F:h 1000, ~L2 held:p/pending:p 1000, ~L1 pending:p/U:h 1000
T25 | settled   | orphan a | pending | t.orphaned p.reverted | L3 paid:p/held:p 1000, ~L2 U:h/F:h 1000, ~L2 held:p/pending:p 1000, ~L1 pending:p/U:h 1000
T19 | detected  | include b 7; orphan b | detected | t.orphaned | ~L1 pending:p/U:h 7
T20 | detected  | =include a 7; orphan a | pending | t.orphaned p.reverted | ~L1 pending:p/U:h 7
T28 | underpaid | =include a 300; include b 200; deep a; deep b; at 70m; covered; orphan b | detected | t.orphaned p.reverted | ~L2 U:h/F:h 200, ~L2 held:p/pending:p 200, ~L1 pending:p/U:h 200
T28 | underpaid | orphan a | pending | t.orphaned p.reverted | ~L2 U:h/F:h 500, ~L2 held:p/pending:p 500, ~L1 pending:p/U:h 500
T27 | canceled  | =include a 7; orphan a; cancel; include a 7; orphan a | canceled | t.orphaned | ~L1 pending:p/U:h 7

T10 | pending  | at 70m; covered | expired | p.expired |
T12 | detected | at 70m; covered | underpaid | p.underpaid |
T11 | detected | include b 7; at 70m; covered | detected | |
T21 | pending   | at 59m; covered | pending | |
T21 | detected  | at 70m; look | detected | |
T21 | confirmed | at 70m; covered | confirmed | |
T21 | settled   | at 70m; covered | settled | |
T21 | underpaid | covered | underpaid | |
T21 | expired   | covered | expired | |
T21 | canceled  | at 70m; covered | canceled | |

T16 | pending   | cancel | canceled | p.canceled |
T17 | pending   | at 3h; include z 7; cancel | has funds | |
T17 | detected  | cancel | has funds | |
T17 | confirmed | cancel | has funds | |
T17 | settled   | cancel | has funds | |
T17 | expired   | cancel | closed | |
T17 | underpaid | cancel | closed | |
T18 | canceled  | cancel | canceled | |

T15 | expired   | at 3h; include z 7; deep z; final z; discharge z 7; accept | settled | p.confirmed p.settled | L3 held:p/paid:p 7
T15 | underpaid | final a; discharge a 500; accept | settled | p.confirmed p.settled | L3 held:p/paid:p 500
T15 | canceled  | include z 1010; deep z; final z; discharge z 1010; accept | settled | p.confirmed p.settled p.overpaid | L3 held:p/paid:p 1000, L3 held:p/excess:p 10
T15 | expired   | at 3h; include z 7; deep z; accept | confirmed | p.confirmed | L3 held:p/paid:p 7
T15 | underpaid | accept | confirmed | p.confirmed | L3 held:p/paid:p 500
T15 | canceled  | include z 1010; deep z; accept | confirmed | p.confirmed p.overpaid | L3 held:p/paid:p 1000, L3 held:p/excess:p 10
T15 | confirmed | =include a 900; at 3h; include z 1500; deep z; final z; discharge z 1500; deep a; accept | settled | p.settled p.overpaid | L3 held:p/paid:p 100, L3 held:p/excess:p 1400
T15 | confirmed | =include a 900; at 3h; include z 7; deep z; deep a; accept | confirmed | | L3 held:p/paid:p 7
T15 | settled   | =include a 900; at 3h; include z 700; deep z; deep a; final a; discharge a 900; accept | settled | p.overpaid | L3 held:p/paid:p 100, L3 held:p/excess:p 600
T15 | pending   | at 3h; include z 7; deep z; accept | nothing | |
T15 | detected  | accept | nothing | |
T15 | confirmed | accept | nothing | |
T15 | settled   | accept | nothing | |
T15 | expired   | at 3h; include z 7; accept | nothing | |
T15 | canceled  | other z 7; deep z; accept | nothing | |

T29 | confirmed | final a; discharge a 1000 | settled | p.settled |
T29 | pending   | at 3h; include z 7; deep z; final z; discharge z 7 | pending | |
T29 | detected  | final a; discharge a 500 | detected | |
T29 | confirmed | final a; discharge a 950 | confirmed | |
T29 | settled   | include z 7; deep z; final z; discharge z 7 | settled | |
T29 | underpaid | final a; discharge a 500 | underpaid | |
T29 | expired   | at 3h; include z 7; deep z; final z; discharge z 7 | expired | |
T29 | canceled  | include z 7; deep z; final z; discharge z 7 | canceled | |
T30 | settled   | lost a 1000 | confirmed | p.reverted |
T30 | pending   | at 3h; include z 7; deep z; final z; discharge z 7; lost z 7 | pending | |
T30 | detected  | final a; discharge a 500; lost a 500 | detected | |
T30 | confirmed | final a; discharge a 950; lost a 950 | confirmed | |
T30 | settled   | include z 7; deep z; final z; discharge z 7; lost z 7 | settled | |
T30 | underpaid | final a; discharge a 500; lost a 500 | underpaid | |
T30 | expired   | at 3h; include z 7; deep z; final z; discharge z 7; lost z 7 | expired | |
T30 | canceled  | include z 7; deep z; final z; discharge z 7; lost z 7 | canceled | |

T31 | pending   | refund | pending   | p.refunded |
T31 | detected  | refund | detected  | p.refunded |
T31 | confirmed | refund | confirmed | p.refunded |
T31 | settled   | refund | settled   | p.refunded |
T31 | underpaid | refund | underpaid | p.refunded |
T31 | expired   | refund | expired   | p.refunded |
T31 | canceled  | refund | canceled  | p.refunded |

T32 | pending   | other z 7 | pending   | t.detected p.unexpected_asset | L1 U:h/pending:h 7
T32 | detected  | other z 7 | detected  | t.detected p.unexpected_asset | L1 U:h/pending:h 7
T32 | confirmed | other z 7 | confirmed | t.detected p.unexpected_asset | L1 U:h/pending:h 7
T32 | settled   | other z 7 | settled   | t.detected p.unexpected_asset | L1 U:h/pending:h 7
T32 | underpaid | other z 7 | underpaid | t.detected p.unexpected_asset | L1 U:h/pending:h 7
T32 | expired   | other z 7 | expired   | t.detected p.unexpected_asset | L1 U:h/pending:h 7
T32 | canceled  | other z 7 | canceled  | t.detected p.unexpected_asset | L1 U:h/pending:h 7
`

// unreachable are starts of rows that nothing can lead to, with the reason.
func unreachable() map[string]string {
	return map[string]string{
		"T15 accept: nothing confirmed is held, or still open, from underpaid": "underpaid means that a confirmed part is held; once bound, the payment is confirmed",
	}
}

type rowCase struct {
	row, script, to, events, ledger string
	from                            Status
}

func rowCases(t *testing.T) []rowCase {
	var out []rowCase
	for _, line := range strings.Split(strings.TrimSpace(directed), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		parts := strings.Split(line, "|")
		require.Len(t, parts, 6, line)
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		c := rowCase{row: parts[0], from: Status(parts[1]), script: parts[2], to: parts[3], events: parts[4], ledger: parts[5]}
		if whole, ok := strings.CutPrefix(c.script, "="); ok {
			c.script = whole
		} else {
			c.script = reach()[c.from] + c.script
		}
		out = append(out, c)
	}
	return out
}

func shortKinds(ns []notice) string {
	var out []string
	for _, n := range ns {
		out = append(out, strings.NewReplacer("payment.", "p.", "transaction.", "t.").Replace(string(n.kind)))
	}
	return strings.Join(out, " ")
}

func shortEntries(es []Entry) string {
	var out []string
	for _, e := range es {
		mark := ""
		if e.Reverses != "" {
			mark = "~"
		}
		line := fmt.Sprintf("%s%s %s/%s %s", mark, e.Rule, e.Debit, e.Credit, e.Amount)
		out = append(out, strings.NewReplacer(testAddress, "h", testPaymentID, "p").Replace(line))
	}
	return strings.Join(out, ", ")
}

// refusals are how a script names an expected error.
func refusals() map[string]error {
	return map[string]error{"has funds": ErrPaymentHasFunds, "closed": ErrAlreadyClosed, "nothing": ErrNothingToAccept}
}

// runCase plays a case and returns which row the last fact took.
func runCase(t *testing.T, c rowCase) string {
	t.Helper()
	w := newWorld(t, testPayment())
	lines := strings.Split(strings.Trim(strings.TrimSpace(c.script), ";"), ";")
	last := len(lines) - 1
	require.NoError(t, w.run(strings.Join(lines[:last], ";")))
	require.Equal(t, c.from, w.payment.Status, "the story does not start there: %s", c.script)
	err := w.run(lines[last])
	took := fmt.Sprintf("%s %s: %s, from %s", w.rows[w.matched].id, w.rows[w.matched].fact, w.rows[w.matched].when, c.from)
	require.Equal(t, c.row, w.rows[w.matched].id, c.script)
	if want := refusals()[c.to]; want != nil {
		require.ErrorIs(t, err, want, c.script)
		return took
	}
	require.NoError(t, err, c.script)
	require.Equal(t, c.to, string(w.payment.Status), c.script)
	require.Equal(t, c.events, shortKinds(w.last.notices), c.script)
	require.Equal(t, c.ledger, shortEntries(w.last.entries), c.script)
	return took
}

// Every row of the payment table, from every status it names, is taken by a
// story that says what must happen; what cannot be is listed.
func TestPaymentTableRowByRow(t *testing.T) {
	t.Parallel()
	took := map[string]bool{}
	for _, c := range rowCases(t) {
		took[runCase(t, c)] = true
	}
	idle := unreachable()
	for _, row := range paymentTable() {
		for _, from := range row.from {
			name := fmt.Sprintf("%s %s: %s, from %s", row.id, row.fact, row.when, from)
			_, never := idle[name]
			if delete(idle, name); never == took[name] {
				t.Errorf("%s: taken %v, listed as unreachable %v", name, took[name], never)
			}
		}
	}
	require.Empty(t, idle, "listed, and no row of the table")
}

// Each pair of status and fact leads somewhere, or is impossible for a reason.
func TestPaymentStatusAndFact(t *testing.T) {
	t.Parallel()
	want := map[fact]string{
		factSeen:       "pending: T2; detected: T2; confirmed: T2; settled: T2; underpaid: T2; expired: T2; canceled: T2",
		factReplaced:   "pending: T2; detected: T2; confirmed: T2; settled: T2; underpaid: T2; expired: T2; canceled: T2",
		factDropped:    "pending: T2; detected: T2; confirmed: T2; settled: T2; underpaid: T2; expired: T2; canceled: T2",
		factReverted:   "pending: T2; detected: T2; confirmed: T2; settled: T2; underpaid: T2; expired: T2; canceled: T2",
		factIncluded:   "pending: T13 T14 T22 T3; detected: T13 T14 T4; confirmed: T14 T9; settled: T14 T9; underpaid: T13 T14 T22 T3; expired: T13 T14 T22 T3; canceled: T14 T27",
		factDeep:       "pending: T14 T6 T7; detected: T12 T14 T5 T6 T7; confirmed: T14 T9; settled: T14 T9; underpaid: T14 T27; expired: T14 T27; canceled: T14 T27",
		factFinal:      "pending: T34; detected: T34; confirmed: T29 T34; settled: T34; underpaid: T34; expired: T34; canceled: T34",
		factOrphaned:   "pending: T14; detected: T14 T19 T20; confirmed: T14 T23 T24 T25 T26 T29; settled: T14 T23 T24 T25 T26; underpaid: T14 T28; expired: T14; canceled: T14 T27",
		factCovered:    "pending: T10 T21; detected: T11 T12 T21; confirmed: T21; settled: T21; underpaid: T21; expired: T21; canceled: T21",
		factCancel:     "pending: T16 T17; detected: T17; confirmed: T17; settled: T17; underpaid: T17; expired: T17; canceled: T18",
		factAccept:     "pending: T15; detected: T15; confirmed: T15; settled: T15; underpaid: T15; expired: T15; canceled: T15",
		factDischarged: "pending: T29; detected: T29; confirmed: T29; settled: T29; underpaid: T29; expired: T29; canceled: T29",
		factSweepLost:  "pending: T30; detected: T30; confirmed: T30; settled: T30; underpaid: T30; expired: T30; canceled: T30",
		factRefunded:   "pending: T31; detected: T31; confirmed: T31; settled: T31; underpaid: T31; expired: T31; canceled: T31",
		factUnexpected: "pending: T32; detected: T32; confirmed: T32; settled: T32; underpaid: T32; expired: T32; canceled: T32",
		// A payment is made once, by another way than a decision.
		factCreate: "pending: ; detected: ; confirmed: ; settled: ; underpaid: ; expired: ; canceled: ",
	}
	got := map[fact]map[Status][]string{}
	for _, c := range rowCases(t) {
		took := runCase(t, c)
		for _, row := range paymentTable() {
			if took == fmt.Sprintf("%s %s: %s, from %s", row.id, row.fact, row.when, c.from) {
				if got[row.fact] == nil {
					got[row.fact] = map[Status][]string{}
				}
				got[row.fact][c.from] = append(got[row.fact][c.from], row.id)
			}
		}
	}
	for f, line := range want {
		var cells []string
		for _, s := range anyStatus {
			ids := got[f][s]
			slices.Sort(ids)
			cells = append(cells, string(s)+": "+strings.Join(slices.Compact(ids), " "))
		}
		order := []Status{StatusPending, StatusDetected, StatusConfirmed, StatusSettled, StatusUnderpaid, StatusExpired, StatusCanceled}
		require.Equal(t, order, anyStatus)
		require.Equal(t, line, strings.Join(cells, "; "), string(f))
	}
	for f := range got {
		require.Contains(t, want, f)
	}
}

// A fact that no row has is refused before anything changes.
func TestUnknownFact(t *testing.T) {
	t.Parallel()
	for status, script := range reach() {
		w := newWorld(t, testPayment())
		require.NoError(t, w.run(script))
		for _, f := range []fact{factCreate, "no such thing"} {
			c, err := decide(w.env, w.kase, f, "", nil)
			require.ErrorIs(t, err, ErrInvariant, "%s in %s", f, status)
			require.Empty(t, c)
		}
		_, err := decide(w.env, w.kase, factDeep, "nobody", nil)
		require.ErrorIs(t, err, ErrInvariant)
		require.ErrorContains(t, err, "nobody")
	}
}
