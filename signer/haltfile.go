package signer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/bursar-go/bursar/chain"
)

// maxHaltReason bounds what is read of a file.
const maxHaltReason = 200

// haltFile is a signer with a kill switch.
type haltFile struct {
	inner chain.Signer
	path  string
}

// HaltFile returns a signer that refuses everything while there is a file at a path,
// with a *chain.PolicyError of the rule "halted". What the file says is the reason. It
// needs no program and no credentials but the machine's own: touch stops it, rm starts
// it. Where it cannot be told whether the file is there, it is.
//
// Put it around the policy signer, in the process that has the keys. Where that signer
// is a Halter, so is the one that is returned.
func HaltFile(s chain.Signer, path string) chain.Signer {
	f := &haltFile{s, path}
	if h, ok := s.(Halter); ok {
		return &haltFileHalter{f, h}
	}
	return f
}

// Sign implements chain.Signer.
func (f *haltFile) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	if reason, halted := f.halted(); halted {
		return nil, &chain.PolicyError{Rule: "halted", Detail: reason}
	}
	return f.inner.Sign(ctx, requests)
}

// Offline implements chain.OfflineSigner by what the inner signer says.
func (f *haltFile) Offline(key chain.KeyRef) bool { return offline(f.inner, key) }

func (f *haltFile) halted() (reason string, halted bool) {
	file, err := os.Open(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false
	case err != nil:
		return "whether there is a halt file cannot be told", true
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxHaltReason))
	if err != nil {
		return "there is a halt file, which cannot be read", true
	}
	reason = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), "")))
	if reason == "" {
		reason = "there is a halt file"
	}
	return reason, true
}

type haltFileHalter struct {
	*haltFile
	halter Halter
}

// Halt halts the signer inside; the file is left alone.
func (f *haltFileHalter) Halt(reason string) error { return f.halter.Halt(reason) }

// Halted tells of either.
func (f *haltFileHalter) Halted() (reason string, halted bool) {
	if reason, halted = f.halted(); halted {
		return reason, true
	}
	return f.halter.Halted()
}
