package signer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// journalHeader is the first line of a journal, and what the first checksum is over.
const journalHeader = "bursar signer journal v1"

const (
	// sumSize is the length of a line's checksum in hex digits.
	sumSize = 32
	// maxRecord bounds a record in bytes.
	maxRecord = 4 << 20
)

// JournalError reports a journal file that cannot be used. Nothing is signed with one:
// a signer must know what it has signed.
type JournalError struct {
	// Path is the file's, Line the line at fault, counted from 1; 0 where it is none.
	Path string
	Line int // Line is the line at fault.
	// Reason is what is wrong, Err what the system said, if it did.
	Reason string
	Err    error // Err is what the system said.
}

// Error tells what went wrong, without secrets.
func (e *JournalError) Error() string {
	text := "signer: journal " + e.Path
	if e.Line > 0 {
		text += fmt.Sprintf(", line %d", e.Line)
	}
	text += ": " + e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns what the system said.
func (e *JournalError) Unwrap() error { return e.Err }

// Journal is a hdwallet.Journal in a file: one line for each record, which is on the
// disk before Append returns. Each line begins with a checksum over itself and all
// lines before it, so that one that was changed, moved or taken out is noticed; lines
// that were cut off at the end are not. A line without an end, as a crash leaves it,
// was never acknowledged and is dropped.
//
// The file is this process's alone, by a lock next to it where the system has such. It
// grows until the next start. It is safe for concurrent use. Make one with OpenJournal.
type Journal struct {
	path string

	mu   sync.Mutex
	file *os.File
	lock *os.File
	// sum is the last line's checksum, size where the next one begins.
	sum  string
	size int64
	// broken is why nothing more is written: what is on the disk is not known.
	broken error
}

// OpenJournal opens the journal at a path, or begins one there, readable by its owner
// alone. It must be on a local disk. Errors are *JournalError: a line that is not as it
// was written, another process that has the file, the system's.
func OpenJournal(path string) (*Journal, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, &JournalError{Path: path, Reason: "another process has it, or it cannot be locked", Err: err}
	}
	j := &Journal{path: path, lock: lock}
	if err := j.open(); err != nil {
		_ = lock.Close() // the error at hand says more
		return nil, err
	}
	return j, nil
}

func (j *Journal) open() error {
	file, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return &JournalError{Path: j.path, Reason: "cannot be opened", Err: err}
	}
	sum, size, err := readJournal(file, j.path, nil)
	if err == nil && size == 0 {
		sum, size, err = j.begin(file)
	}
	if err == nil {
		err = j.cut(file, size)
	}
	if err != nil {
		_ = file.Close() // the error at hand says more
		return err
	}
	j.file, j.sum, j.size = file, sum, size
	return nil
}

// begin writes the first line. Nothing has been acknowledged before it is whole; but
// what does not even begin like it is somebody else's file.
func (j *Journal) begin(file *os.File) (sum string, size int64, err error) {
	sum = firstSum()
	line := sum + " " + journalHeader + "\n"
	there, err := io.ReadAll(io.NewSectionReader(file, 0, int64(len(line))+1))
	if err == nil && !strings.HasPrefix(line, string(there)) {
		return "", 0, &JournalError{Path: j.path, Line: 1, Reason: "no journal of this kind"}
	}
	if err != nil {
		return "", 0, &JournalError{Path: j.path, Reason: "cannot be read", Err: err}
	}
	if _, err = file.WriteAt([]byte(line), 0); err == nil {
		err = errors.Join(file.Truncate(int64(len(line))), file.Sync(), syncFolder(j.path))
	}
	if err != nil {
		return "", 0, &JournalError{Path: j.path, Reason: "cannot be begun", Err: err}
	}
	return sum, int64(len(line)), nil
}

// cut drops what a crash left behind the last whole line.
func (j *Journal) cut(file *os.File, size int64) error {
	info, err := file.Stat()
	if err == nil && info.Size() > size {
		err = errors.Join(file.Truncate(size), file.Sync())
	}
	if err != nil {
		return &JournalError{Path: j.path, Reason: "cannot be cut to its last whole line", Err: err}
	}
	return nil
}

// Records implements hdwallet.Journal.
func (j *Journal) Records(fn func(record []byte) error) error {
	file, err := os.Open(j.path)
	if err != nil {
		return &JournalError{Path: j.path, Reason: "cannot be read", Err: err}
	}
	defer func() { _ = file.Close() }() // it was only read
	_, _, err = readJournal(file, j.path, fn)
	return err
}

// Append implements hdwallet.Journal. After an error the record is not there, or the
// journal takes no more records at all.
func (j *Journal) Append(record []byte) error {
	if reason := badRecord(record); reason != "" {
		return &JournalError{Path: j.path, Reason: reason}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return &JournalError{Path: j.path, Reason: "closed"}
	}
	if j.broken != nil {
		return j.broken
	}
	sum := nextSum(j.sum, record)
	line := sum + " " + string(record) + "\n"
	if _, err := j.file.WriteAt([]byte(line), j.size); err != nil {
		failed := &JournalError{Path: j.path, Reason: "cannot be written", Err: err}
		if err := errors.Join(j.file.Truncate(j.size), j.file.Sync()); err != nil {
			j.broken = failed
		}
		return failed
	}
	if err := j.file.Sync(); err != nil {
		// After a failed sync nobody knows what is on the disk, and another one may
		// report success for what was lost. Only reading it anew helps.
		j.broken = &JournalError{Path: j.path, Reason: "cannot be made durable; start again", Err: err}
		return j.broken
	}
	j.sum, j.size = sum, j.size+int64(len(line))
	return nil
}

// Replace implements hdwallet.Journal: a new file takes the old one's name. After an
// error the journal takes no more records.
func (j *Journal) Replace(records [][]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return &JournalError{Path: j.path, Reason: "closed"}
	}
	sum := firstSum()
	var b bytes.Buffer
	b.WriteString(sum + " " + journalHeader + "\n")
	for _, r := range records {
		if reason := badRecord(r); reason != "" {
			return &JournalError{Path: j.path, Reason: reason}
		}
		sum = nextSum(sum, r)
		b.WriteString(sum + " " + string(r) + "\n")
	}
	file, err := j.swap(b.Bytes())
	if err != nil {
		// The name may be the new file's already: what is appended to the old one would
		// be gone at the next start.
		j.broken = &JournalError{Path: j.path, Reason: "cannot be written anew; start again", Err: err}
		return j.broken
	}
	_ = j.file.Close() // its name is another's now
	j.file, j.sum, j.size, j.broken = file, sum, int64(b.Len()), nil
	return nil
}

// swap writes a file next to the journal and gives it the journal's name.
func (j *Journal) swap(content []byte) (*os.File, error) {
	file, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err == nil {
		err = syncFolder(j.path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Close gives the file up. Nothing can be appended afterwards.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Close(), j.lock.Close())
	j.file = nil
	return err
}

func badRecord(record []byte) string {
	switch {
	case len(record) == 0:
		return "an empty record"
	case len(record) > maxRecord:
		return fmt.Sprintf("a record of more than %d bytes", maxRecord)
	case bytes.ContainsAny(record, "\n\x00"):
		return "a record with a line break or a NUL"
	}
	return ""
}

func firstSum() string { return nextSum("", []byte(journalHeader)) }

// nextSum is a line's checksum: over the one before it and its own record.
func nextSum(before string, record []byte) string {
	h := sha256.New()
	_, _ = io.WriteString(h, before+" ") // a hash never fails
	_, _ = h.Write(record)
	return hex.EncodeToString(h.Sum(nil))[:sumSize]
}

// readJournal goes through a journal's lines, and returns the last checksum and where
// the last whole line ends. fn may be nil. An empty file is one that was never begun.
func readJournal(in io.Reader, path string, fn func(record []byte) error) (sum string, size int64, err error) {
	lines := bufio.NewReaderSize(in, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF):
			return sum, size, nil
		case err != nil:
			return "", 0, &JournalError{Path: path, Line: n, Reason: "cannot be read", Err: err}
		}
		got, record, ok := strings.Cut(string(line), " ")
		switch {
		case !ok || got != nextSum(sum, []byte(record)):
			return "", 0, &JournalError{Path: path, Line: n, Reason: "the checksum is not right: the file was changed or damaged"}
		case n == 1 && record != journalHeader:
			return "", 0, &JournalError{Path: path, Line: n, Reason: "no journal of this kind"}
		}
		sum, size = got, size+int64(len(line))+1
		if n > 1 && fn != nil {
			if err := fn([]byte(record)); err != nil {
				return "", 0, err
			}
		}
	}
}

// readLine returns the next line without its end; io.EOF where there is no whole one.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxRecord+sumSize+2:
			return nil, errors.New("too long")
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		}
		return line[:len(line)-1], nil
	}
}

// syncFolder makes a file's name durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
