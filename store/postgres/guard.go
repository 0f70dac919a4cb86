package postgres

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/bursar-go/bursar/store/internal/relational"
)

// guards are statements that fail where they do not touch as many rows as they
// must, so that a batch can be sent in one pipeline together with its COMMIT: a
// statement that fails makes the server skip what follows. They divide by the
// number of rows, which is a feature of every SQL database.
type guards struct {
	mu sync.RWMutex
	of map[guard]string
}

type guard struct {
	sql   string
	want  int64
	reads bool
}

func newGuards() *guards { return &guards{of: map[guard]string{}} }

// guard returns the guarded statement of an op and its arguments. There are a few
// dozen.
func (g *guards) guard(op *relational.Op) (string, []any) {
	if op.Want < 0 || op.Sum != nil {
		return op.SQL, op.Args
	}
	if plain, ok := strings.CutSuffix(op.SQL, " ON CONFLICT DO NOTHING"); ok {
		return plain, op.Args // it fails by itself where the row is there
	}
	if op.Want > 1 {
		// The number is an argument, so that there is one text for all numbers.
		last := strconv.Itoa(len(op.Args) + 1)
		return "WITH touched AS (" + op.SQL + " RETURNING 1) SELECT 1/(CASE WHEN count(*) = $" + last + "::bigint THEN 1 ELSE 0 END) FROM touched",
			append(slices.Clone(op.Args), op.Want)
	}
	return g.text(op), op.Args
}

func (g *guards) text(op *relational.Op) string {
	key := guard{op.SQL, op.Want, op.Select}
	g.mu.RLock()
	text, ok := g.of[key]
	g.mu.RUnlock()
	if ok {
		return text
	}
	divisor := "count(*)"
	if op.Want == 0 {
		divisor = "(CASE WHEN count(*) = 0 THEN 1 ELSE 0 END)"
	}
	returning := " RETURNING 1"
	if op.Select {
		returning = ""
	}
	text = "WITH touched AS (" + op.SQL + returning + ") SELECT 1/" + divisor + " FROM touched"
	g.mu.Lock()
	defer g.mu.Unlock()
	g.of[key] = text
	return text
}
