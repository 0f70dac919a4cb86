package signer_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/signer"
)

var _ hdwallet.Journal = (*signer.Journal)(nil)

func openJournal(t testing.TB, path string) *signer.Journal {
	t.Helper()
	j, err := signer.OpenJournal(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func records(t testing.TB, j *signer.Journal) (out []string) {
	t.Helper()
	require.NoError(t, j.Records(func(r []byte) error { out = append(out, string(r)); return nil }))
	return out
}

func TestJournalKeepsRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openJournal(t, path)
	require.Empty(t, records(t, j))
	big := strings.Repeat("x", 200_000)
	for _, r := range []string{`{"a":1}`, "two words", big} {
		require.NoError(t, j.Append([]byte(r)))
	}
	want := []string{`{"a":1}`, "two words", big}
	require.Equal(t, want, records(t, j))
	_, err := signer.OpenJournal(path)
	var bad *signer.JournalError
	require.ErrorAs(t, err, &bad, "two processes would each know half")
	require.NoError(t, j.Close())
	require.NoError(t, j.Close())
	require.ErrorAs(t, j.Append([]byte("x")), &bad)
	require.ErrorAs(t, j.Replace(nil), &bad)

	j = openJournal(t, path)
	require.Equal(t, want, records(t, j))
	for _, r := range [][]byte{nil, []byte("a\nb"), []byte("a\x00"), bytes.Repeat([]byte("x"), 4<<20+1)} {
		require.ErrorAs(t, j.Append(r), &bad)
		require.ErrorAs(t, j.Replace([][]byte{r}), &bad)
	}
	require.NoError(t, j.Replace([][]byte{[]byte("kept")}))
	require.NoError(t, j.Append([]byte("new")))
	require.Equal(t, []string{"kept", "new"}, records(t, j))
	require.NoError(t, j.Close())
	j = openJournal(t, path)
	require.Equal(t, []string{"kept", "new"}, records(t, j))
	require.ErrorIs(t, j.Records(func([]byte) error { return os.ErrClosed }), os.ErrClosed)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// TestThreat_F20_AJournalThatCannotBeShortened takes no more records: what is appended
// to a file whose name may be another's by now would be forgotten.
func TestThreat_F20_AJournalThatCannotBeShortened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openJournal(t, path)
	require.NoError(t, j.Append([]byte("old")))
	require.NoError(t, os.Mkdir(path+".new", 0o700))
	var bad *signer.JournalError
	require.ErrorAs(t, j.Replace([][]byte{[]byte("kept")}), &bad)
	require.ErrorAs(t, j.Append([]byte("new")), &bad)
	require.NoError(t, j.Close())
	require.NoError(t, os.Remove(path+".new"))
	j = openJournal(t, path)
	require.Equal(t, []string{"old"}, records(t, j))
	require.NoError(t, j.Append([]byte("new")))
}

// TestThreat_F20_AJournalThatWasCutShort by a crash at any byte of the last line is
// what it was before that line, and goes on.
func TestThreat_F20_AJournalThatWasCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openJournal(t, path)
	require.NoError(t, j.Append([]byte("one")))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, j.Append([]byte("two")))
	require.NoError(t, j.Close())
	full, err := os.ReadFile(path)
	require.NoError(t, err)
	for n := range len(full) {
		cut := filepath.Join(t.TempDir(), "cut")
		require.NoError(t, os.WriteFile(cut, full[:n], 0o600))
		j := openJournal(t, cut)
		if n >= len(whole) {
			require.Equal(t, []string{"one"}, records(t, j), n)
		} else {
			require.Empty(t, records(t, j), n)
		}
		require.NoError(t, j.Append([]byte("next")))
		require.NoError(t, j.Close())
		j = openJournal(t, cut)
		require.Contains(t, records(t, j), "next")
		require.NoError(t, j.Close())
	}
}

// TestThreat_F20_AJournalThatWasChanged is refused, whichever bit of it.
func TestThreat_F20_AJournalThatWasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openJournal(t, path)
	for _, r := range []string{"one", "two", "three"} {
		require.NoError(t, j.Append([]byte(r)))
	}
	require.NoError(t, j.Close())
	full, err := os.ReadFile(path)
	require.NoError(t, err)
	refuse := func(content []byte, what string) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := signer.OpenJournal(path)
		var bad *signer.JournalError
		require.ErrorAs(t, err, &bad, what)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, after, "%s: what is not understood is left alone", what)
	}
	for i := range len(full) - 1 { // without its end the last line was never written
		changed := bytes.Clone(full)
		changed[i] ^= 1
		refuse(changed, fmt.Sprint("bit of ", i))
	}
	lines := strings.SplitAfter(string(full), "\n")
	refuse([]byte(lines[0]+lines[2]+lines[3]), "a line taken out")
	refuse([]byte(lines[0]+lines[2]+lines[1]+lines[3]), "two lines swapped")
	refuse([]byte(lines[0]+lines[1]+lines[1]), "a line twice")
	refuse([]byte("somebody's secret without a line end"), "another file")
	refuse([]byte("another\nfile\n"), "another file")
	_, err = signer.OpenJournal(filepath.Join(path, "below", "a", "file"))
	require.Error(t, err)
}

func TestJournalTakesManyAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openJournal(t, path)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { _ = j.Append(fmt.Append(nil, "record ", i)) })
	}
	wg.Wait()
	require.NoError(t, j.Close())
	require.Len(t, records(t, openJournal(t, path)), 20)
}

// TestThreat_F20_LimitsAndHaltsSurviveTheProcess with the real file, through the wire.
func TestThreat_F20_LimitsAndHaltsSurviveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	coin := chain.AssetID("eip155:31337/slip44:60")
	var file *signer.Journal
	d := newDesk(t, func(d *desk) {
		d.policy.Limits = []hdwallet.Limit{{Asset: coin, Window: 24 * 3600e9, Max: chain.NewAmount(200_000)}}
		file = openJournal(t, path)
		d.policy.Journal = file
		d.policy.Now = d.clock
	})
	again := func() {
		require.NoError(t, file.Close())
		file = openJournal(t, path)
		d.policy.Journal, d.config.Signer = file, nil
		d.advance(1e9)
		d.restart()
	}
	sign := func(nonce uint64) error {
		_, err := d.client.Sign(t.Context(), []chain.SignRequest{d.request(0, nonce, treasury, 50_000)}) // and 42,000 of gas
		return err
	}
	require.NoError(t, sign(1))
	again()
	require.NoError(t, sign(2))
	again()
	refused(t, sign(3), "limit")
	require.NoError(t, sign(2))

	require.NoError(t, d.client.Halt(t.Context(), "stop it"))
	refused(t, sign(1), "halted")
	again()
	require.Equal(t, "stop it", refused(t, sign(1), "halted").Detail)
	st, err := d.client.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, signer.Status{Halted: true, Reason: "stop it"}, st)
	require.NoError(t, d.config.Signer.(*hdwallet.Signer).Resume())
	again()
	require.NoError(t, sign(1))
	d.advance(24 * 3600e9)
	again()
	require.NoError(t, sign(3))
}

func TestThreat_F20_AFileStopsTheSigner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "halt")
	d := newDesk(t)
	inner := d.config.Signer
	s := signer.HaltFile(inner, path)
	request := []chain.SignRequest{d.request(0, 1, treasury, 5)}
	_, err := s.Sign(t.Context(), request)
	require.NoError(t, err)
	for text, reason := range map[string]string{
		"": "there is a halt file", "  moved out\n": "moved out", "a\x1b[2Jb\xff": "a [2Jb", strings.Repeat("x", 1000): strings.Repeat("x", 200),
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err = s.Sign(t.Context(), request)
		require.Equal(t, reason, refused(t, err, "halted").Detail)
		got, halted := s.(signer.Halter).Halted()
		require.True(t, halted)
		require.Equal(t, reason, got)
	}
	require.NoError(t, os.Remove(path))
	_, err = s.Sign(t.Context(), request)
	require.NoError(t, err)
	require.NoError(t, s.(signer.Halter).Halt("inside"))
	reason, halted := s.(signer.Halter).Halted()
	require.True(t, halted)
	require.Equal(t, "inside", reason)

	// What cannot be told counts as halted; a signer without a switch gets none.
	s = signer.HaltFile(inner, filepath.Join(path, "\x00"))
	_, err = s.Sign(t.Context(), request)
	refused(t, err, "halted")
	_, ok := signer.HaltFile(signs(nil), path).(signer.Halter)
	require.False(t, ok)
}

func FuzzJournal(f *testing.F) {
	path := filepath.Join(f.TempDir(), "journal")
	j := openJournal(f, path)
	require.NoError(f, j.Append([]byte("one")))
	require.NoError(f, j.Append([]byte("two")))
	require.NoError(f, j.Close())
	full, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(full)
	f.Add(full[:len(full)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		j, err := signer.OpenJournal(path)
		if err != nil {
			var bad *signer.JournalError
			require.ErrorAs(t, err, &bad)
			return
		}
		before := records(t, j)
		require.NoError(t, j.Append([]byte("more")))
		require.NoError(t, j.Close())
		require.Equal(t, append(before, "more"), records(t, openJournal(t, path)))
	})
}
