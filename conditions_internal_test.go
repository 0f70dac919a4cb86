package bursar

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

// board is the outbox as far as conditions go: what was chosen, by time.
type board struct {
	past []Event
	told toldConditions
	now  time.Time
}

// look tells what is news of a list, and returns it.
func (b *board) look(list ...chain.Condition) []chain.Condition {
	if b.told == nil {
		b.told = readTold(b.past, list)
	}
	if !b.told.anyNews(list) {
		return nil
	}
	out := b.told.choose(list, b.past, b.now)
	for _, c := range out {
		b.past = append(b.past, Event{Kind: conditionEvent(c), Time: b.now, Data: EventData{Reason: c.Reason, Condition: &ConditionData{Kind: c.Kind, Provider: c.Provider}}})
	}
	return out
}

func down(name string, times uint64) chain.Condition {
	return chain.Condition{Kind: chain.ConditionProviderDown, Provider: name, Active: true, Times: times}
}

func back(name string, times uint64) chain.Condition {
	c := down(name, times)
	c.Active = false
	return c
}

func newBoard() *board { return &board{now: time.Unix(1_800_000_000, 0)} }

// TestConditionsAreToldOnce: begin and end, and nothing in between.
func TestConditionsAreToldOnce(t *testing.T) {
	b := newBoard()
	require.Len(t, b.look(down("a", 1), down("b", 1)), 2)
	require.Empty(t, b.look(down("a", 1), down("b", 1)))
	require.Equal(t, []chain.Condition{back("a", 1)}, b.look(back("a", 1), down("b", 1)))
	require.Empty(t, b.look(back("a", 1), down("b", 1)))
}

// TestConditionBetweenTwoLooks: what came and went unseen is told by its number.
func TestConditionBetweenTwoLooks(t *testing.T) {
	b := newBoard()
	require.Empty(t, b.look(back("a", 0)))
	require.Equal(t, []chain.Condition{back("a", 3)}, b.look(back("a", 3)))
	require.Empty(t, b.look(back("a", 3)))
}

// TestFlappingProviderIsBounded: whatever a provider does, its events are few, and
// the last one tells how it is and how often that happened.
func TestFlappingProviderIsBounded(t *testing.T) {
	b, rnd := newBoard(), rand.New(rand.NewPCG(1, 2))
	state, end := back("a", 0), b.now.Add(24*time.Hour)
	for b.now.Before(end) {
		if state.Active = !state.Active; state.Active {
			state.Times++
		}
		b.look(state, down("steady", 1))
		b.now = b.now.Add(time.Duration(rnd.IntN(60_000)) * time.Millisecond)
	}
	require.LessOrEqual(t, len(b.past), 2*24*6+2+1)
	require.Greater(t, len(b.past), 24*6)
	steady := 0
	for i, e := range b.past {
		if e.Data.Condition.Provider == "steady" {
			steady++
		}
		if i >= 4 {
			require.GreaterOrEqual(t, e.Time.Sub(b.past[i-3].Time), conditionPause-time.Minute, "no three within the pause")
		}
	}
	require.Equal(t, 1, steady, "the neighbour's noise is not its own")
	b.now = b.now.Add(conditionPause)
	state.Active, state.Times = true, state.Times+1
	require.Equal(t, []chain.Condition{state}, b.look(state), "how it is, and how often")
}

// TestConditionsAfterARestart: what holds and was told is not told again, what was
// told and does not hold ends.
func TestConditionsAfterARestart(t *testing.T) {
	b := newBoard()
	b.look(down("a", 4), down("b", 1), chain.Condition{Kind: chain.ConditionDiverged, Active: true, Times: 1}, down("gone", 2))
	b.told, b.now = nil, b.now.Add(time.Hour)
	require.Empty(t, b.look(down("a", 1)), "another process counts from one")
	require.Equal(t, []chain.Condition{down("a", 2)}, b.look(down("a", 2)), "this one is news")

	list := []chain.Condition{down("a", 2)}
	providers := []chain.ProviderReport{{Name: "a", Aside: true}, {Name: "b", Operator: "x"}}
	require.Equal(t, []string{"gone"}, providersOf(b.told.outlived(list, providers, false)), "of b and of the dispute nothing is known yet")
	providers[1].Head.Hash = "0x1"
	ended := b.told.outlived(list, providers, true)
	require.Equal(t, []string{"", "b", "gone"}, providersOf(ended))
	require.Equal(t, chain.ConditionDiverged, ended[0].Kind)
	require.Equal(t, "x", ended[1].Operator)
	require.Len(t, b.look(append(list, ended...)...), 3)
	require.Empty(t, b.told.outlived(list, providers, true))
}

func providersOf(list []chain.Condition) []string {
	out := []string{}
	for _, c := range list {
		out = append(out, c.Provider)
	}
	return out
}

// TestDisputeAtTheTip: two sides of a fresh block are no news; a dispute that holds
// at two looks is, and a new one while another is told is not lost.
func TestDisputeAtTheTip(t *testing.T) {
	a := &alarms{told: toldConditions{}}
	at := func(active bool, times uint64) int {
		list, told := a.look([]chain.Condition{{Kind: chain.ConditionDiverged, Active: active, Times: times}}, 0)
		news := told.choose(list, nil, time.Unix(1, 0))
		a.took(told, 0)
		return len(news)
	}
	for i := range uint64(5) {
		require.Zero(t, at(true, i+1), "each of them is another one")
		require.Zero(t, at(false, i+1))
	}
	require.Zero(t, at(true, 6))
	require.Equal(t, 1, at(true, 6))
	require.Zero(t, at(true, 6))
	require.Equal(t, 1, at(true, 7), "it ended and began again between two looks")
	require.Equal(t, 1, at(false, 7))
	require.Zero(t, at(true, 8))
	require.Zero(t, at(true, 9))
}

// TestAlarmsForgetWithTheTerm: another instance may have told something meanwhile.
func TestAlarmsForgetWithTheTerm(t *testing.T) {
	a := &alarms{}
	a.took(toldConditions{{kind: chain.ConditionStalled}: {active: true}}, 0)
	_, told := a.look(nil, 0)
	require.NotNil(t, told)
	_, told = a.look(nil, 1)
	require.Nil(t, told)
	a.took(toldConditions{}, 0)
	_, told = a.look(nil, 1)
	require.Nil(t, told, "what was told in an earlier term says nothing of this one")
}

// TestScannerConditionsBecomeAlarms: each kind, with what it says.
func TestScannerConditionsBecomeAlarms(t *testing.T) {
	a := &alarms{}
	at := time.Unix(1, 0)
	for _, c := range []scanner.Condition{
		{Kind: scanner.Lagging, Active: true}, {Kind: scanner.Failing, Active: true, Err: fmt.Errorf("no node"), At: at}, {Kind: scanner.Failing, At: at.Add(1)},
		{Kind: scanner.Failing, Active: true, Err: fmt.Errorf("no store"), At: at.Add(2)}, {Kind: scanner.Stalled, At: at}, {Kind: scanner.FinalityStalled, Active: true, Head: 7, At: at},
	} {
		a.hear(c)
	}
	require.Equal(t, []chain.Condition{
		{Kind: chain.ConditionFailing, Active: true, Times: 2, Reason: "no store", Since: at.Add(2)},
		{Kind: chain.ConditionStalled, Since: at},
		{Kind: chain.ConditionFinalityStalled, Active: true, Times: 1, Reason: "no new final block, the newest block is 7", Since: at},
	}, a.scanner)
}

// TestEveryConditionHasAnEvent: also at its end; a kind of a client's own has none.
func TestEveryConditionHasAnEvent(t *testing.T) {
	for _, kind := range []chain.ConditionKind{chain.ConditionProviderDown, chain.ConditionDiverged, chain.ConditionFailing, chain.ConditionStalled, chain.ConditionFinalityStalled} {
		begin, end := conditionEvent(chain.Condition{Kind: kind, Active: true}), conditionEvent(chain.Condition{Kind: kind})
		require.True(t, conditionBegins(begin))
		require.False(t, conditionBegins(end))
		require.Contains(t, conditionKinds(), begin)
		require.Contains(t, conditionKinds(), end)
	}
	require.Empty(t, conditionEvent(chain.Condition{Kind: "lonely", Active: true}))
	a := &alarms{told: toldConditions{}}
	list, _ := a.look([]chain.Condition{{Kind: "lonely", Active: true}}, 0)
	require.Empty(t, list)
}
