package hdwallet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// tape is a Journal in memory that can be made to fail.
type tape struct {
	mu      sync.Mutex
	records [][]byte
	fail    error
	kept    int // records that Replace was called with, summed up
}

func (j *tape) Records(fn func([]byte) error) error {
	for _, r := range j.records {
		if err := fn(append([]byte(nil), r...)); err != nil {
			return err
		}
	}
	return nil
}

func (j *tape) Replace(records [][]byte) error {
	if j.fail != nil {
		return j.fail
	}
	j.records, j.kept = records, j.kept+len(records)
	return nil
}

func (j *tape) Append(record []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail != nil {
		return j.fail
	}
	j.records = append(j.records, append([]byte(nil), record...))
	return nil
}

// journaled is a limited desk with a journal, which renew reads again.
func journaled(t testing.TB) (*desk, *tape) {
	d, j := limited(t), &tape{}
	d.policy.Journal = j
	d.renew()
	return d, j
}

// TestThreat_F20_LimitsSurviveARestart: who can make the signer restart must not get
// another window's worth each time.
func TestThreat_F20_LimitsSurviveARestart(t *testing.T) {
	d, _ := journaled(t)
	d.accepted(d.sweep("1", tokenAsset, 60, 0), d.sweep("2", coinAsset, 10, 30))
	d.renew()
	d.refused("limit", d.sweep("3", tokenAsset, 41, 0))
	d.refused("limit", d.sweep("3", coinAsset, 1, 10))
	d.accepted(d.sweep("1", tokenAsset, 60, 0)) // signed again it still counts once
	d.renew()
	d.accepted(d.sweep("3", tokenAsset, 40, 0))
	d.renew()
	d.refused("limit", d.sweep("4", tokenAsset, 1, 0))
	d.now = d.now.Add(time.Hour)
	d.renew()
	d.accepted(d.sweep("4", tokenAsset, 100, 0))
}

// TestThreat_F20_AHaltSurvivesARestart and so does its end.
func TestThreat_F20_AHaltSurvivesARestart(t *testing.T) {
	d, _ := journaled(t)
	for range 3 {
		require.NoError(t, d.signer.Halt("broken into\nat night"))
		d.renew()
		refusal := d.refused("halted", d.sweep("1", tokenAsset, 1, 0))
		require.Equal(t, "broken into\nat night", refusal.Detail)
		require.NoError(t, d.signer.Resume())
		require.NoError(t, d.signer.Resume())
		d.renew()
		d.accepted(d.sweep("1", tokenAsset, 1, 0))
	}
}

// TestThreat_F20_NothingIsSignedThatIsNotRecorded: otherwise a full disk would lift
// every limit at the next start.
func TestThreat_F20_NothingIsSignedThatIsNotRecorded(t *testing.T) {
	d, j := journaled(t)
	j.fail = errors.New("disk full")
	refusal := d.refused("journal", d.sweep("1", tokenAsset, 60, 0))
	require.Contains(t, refusal.Detail, "disk full")
	require.Empty(t, j.records)
	j.fail = nil
	d.refused("limit", d.sweep("2", tokenAsset, 41, 0)) // it may be in the journal all the same
	d.accepted(d.sweep("1", tokenAsset, 60, 0))

	require.NoError(t, d.signer.Halt("one"))
	j.fail = errors.New("disk full")
	var lost *JournalError
	require.ErrorAs(t, d.signer.Resume(), &lost)
	d.refused("halted")
	require.ErrorAs(t, d.signer.Halt("two"), &lost)
	require.Equal(t, "two", d.refused("halted").Detail, "in this process it holds")
	j.fail = nil
	require.NoError(t, d.signer.Resume())
	d.accepted(d.sweep("1", tokenAsset, 60, 0))
}

// TestThreat_F20_AnApprovalPaysThroughOneNonce: a gateway that was taken over holds
// one approved payout and could have it paid a hundred times.
func TestThreat_F20_AnApprovalPaysThroughOneNonce(t *testing.T) {
	d, j := journaled(t)
	pay := func(once string, fee uint64) chain.SignRequest {
		e := chain.Effect{To: fakeStranger, Asset: tokenAsset, Amount: chain.NewAmount(25)}
		r := d.request(chain.Effects{Effects: []chain.Effect{e}, MaxFee: chain.NewAmount(fee), Once: once})
		r.Approval = &chain.Approval{Payout: "po_1", Asset: e.Asset, To: e.To, Amount: e.Amount, NotAfter: d.now.Add(time.Hour)}
		d.sign(r.Approval)
		return r
	}
	first, again := pay("1", 1), pay("2", 1)
	d.accepted(first)
	refusal := d.refused("approval", again)
	require.Contains(t, refusal.Detail, "used up")
	d.accepted(pay("1", 2)) // a replacement shares the nonce
	d.renew()
	d.refused("approval", again)
	again.Key = d.key(d.active, 60, 0, 1)
	d.refused("approval", again)
	first.Key = again.Key
	d.refused("approval", first) // the same nonce of another account is another one

	// A new approval permits a new nonce.
	again = pay("2", 1)
	again.Approval.NotAfter = d.now.Add(2 * time.Hour)
	d.sign(again.Approval)
	d.accepted(again)
	d.now = d.now.Add(3 * time.Hour)
	d.renew()
	require.Empty(t, d.signer.memory.used, "what has ended need not be remembered")
	require.NotEmpty(t, j.records)
}

// TestJournalIsShortened at a start, where most of it is over.
func TestJournalIsShortened(t *testing.T) {
	d, j := journaled(t)
	for i := range 20 {
		d.accepted(d.sweep(fmt.Sprint(i), tokenAsset, 1, 0))
	}
	require.NoError(t, d.signer.Halt("x"))
	d.renew()
	require.Len(t, j.records, 21)
	d.now = d.now.Add(minKeep)
	d.renew()
	require.Len(t, j.records, 1)
	d.refused("halted")
	require.NoError(t, d.signer.Resume())
	d.accepted(d.sweep("x", tokenAsset, 1, 0))
	require.Greater(t, d.signer.memory.seq, uint64(22), "numbers go on")
	d.renew()
	d.accepted(d.sweep("y", tokenAsset, 1, 0))
}

func TestJournalThatIsNotUnderstood(t *testing.T) {
	for name, record := range map[string]string{
		"no JSON": `x`, "two values": `{"v":1,"seq":1,"at":"2026-05-01T12:00:00Z","resumed":true} {}`, "empty": `{}`,
		"version": `{"v":2,"seq":1,"at":"2026-05-01T12:00:00Z","resumed":true}`, "field": `{"v":1,"seq":1,"at":"2026-05-01T12:00:00Z","resumed":true,"x":1}`,
		"no kind": `{"v":1,"seq":1,"at":"2026-05-01T12:00:00Z"}`, "two kinds": `{"v":1,"seq":1,"at":"2026-05-01T12:00:00Z","resumed":true,"halt":"x"}`,
		"no number": `{"v":1,"at":"2026-05-01T12:00:00Z","resumed":true}`, "no time": `{"v":1,"seq":1,"out":[{"key":"x"}]}`,
		"no key": `{"v":1,"seq":1,"at":"2026-05-01T12:00:00Z","out":[{}]}`, "approval": `{"v":1,"seq":1,"at":"2026-05-01T12:00:00Z","out":[{"key":"x","approval":{}}]}`,
		"amount":   `{"v":1,"seq":1,"at":"2026-05-01T12:00:00Z","out":[{"key":"x","amount":{"a":"-1"}}]}`,
		"overflow": fmt.Sprintf(`{"v":1,"seq":1,"at":"2026-05-01T12:00:00Z","out":[{"key":"x","amount":{%q:"%[2]s"}},{"key":"y","amount":{%[1]q:"%[2]s"}}]}`, tokenAsset, "9"+strings.Repeat("9", 76)),
	} {
		d := limited(t)
		d.policy.Journal = &tape{records: [][]byte{[]byte(record)}}
		s, err := NewSigner(d.policy, d.active)
		var bad *JournalError
		require.ErrorAs(t, err, &bad, name)
		require.Nil(t, s, name)
	}
	d, j := journaled(t)
	d.accepted(d.sweep("1", tokenAsset, 1, 0))
	d.accepted(d.sweep("2", tokenAsset, 1, 0))
	d.now = d.now.Add(100 * minKeep)
	j.fail = errors.New("read only")
	_, err := NewSigner(d.policy, d.active)
	require.ErrorContains(t, err, "read only")
}

// panics is a journal of the host's that does not behave.
type panics struct{ tape }

func (*panics) Append([]byte) error { panic("oh") }

func TestJournalThatPanicsIsARefusal(t *testing.T) {
	d := limited(t)
	d.policy.Journal = &panics{}
	d.renew()
	d.refused("journal", d.sweep("1", tokenAsset, 1, 0))
	require.Error(t, d.signer.Halt("x"))
	d.refused("halted")
}

// TestRestartsForgetNothing: a signer that restarts at any time decides as one that
// never does.
func TestRestartsForgetNothing(t *testing.T) {
	one, two := limited(t), limited(t)
	rapid.Check(t, func(t *rapid.T) {
		j := &tape{}
		one.policy.Journal, two.policy.Journal = nil, j
		one.now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		one.renew()
		two.renew()
		for range rapid.IntRange(1, 40).Draw(t, "requests") {
			one.now = one.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "minutes")) * time.Minute)
			two.now = one.now
			if rapid.Bool().Draw(t, "restart") {
				two.renew()
			}
			var batch []chain.SignRequest
			for range rapid.IntRange(1, 3).Draw(t, "batch") {
				batch = append(batch, one.sweep(fmt.Sprint(rapid.IntRange(0, 6).Draw(t, "nonce")),
					rapid.SampledFrom([]chain.AssetID{coinAsset, tokenAsset}).Draw(t, "asset"),
					uint64(rapid.IntRange(0, 60).Draw(t, "amount")), uint64(rapid.IntRange(0, 20).Draw(t, "fee"))))
			}
			_, err1 := one.signer.Sign(context.Background(), batch)
			_, err2 := two.signer.Sign(context.Background(), batch)
			require.Equal(t, err1, err2)
		}
	})
}

func FuzzJournalEntry(f *testing.F) {
	d, j := journaled(f)
	d.accepted(d.sweep("1", tokenAsset, 1, 0))
	require.NoError(f, d.signer.Halt("x"))
	require.NoError(f, d.signer.Resume())
	for _, r := range j.records {
		f.Add(r)
	}
	request := d.sweep("9", tokenAsset, 1, 0)
	f.Fuzz(func(t *testing.T, record []byte) {
		d.policy.Journal = &tape{records: [][]byte{record}}
		s, err := NewSigner(d.policy, d.active)
		var bad *JournalError
		if err != nil {
			require.ErrorAs(t, err, &bad)
			return
		}
		_, _ = s.Sign(context.Background(), []chain.SignRequest{request})
	})
}
