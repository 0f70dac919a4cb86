package layering

import (
	"fmt"

	"strings"
)

// Module is the path of the module whose packages are ours.
const Module = "github.com/bursar-go/bursar"

// Violation is one broken rule.
type Violation struct {
	// Where is a package, or a file and line; What the name at fault, if any.
	Where, What string
	// Rule says what must not be.
	Rule string
}

// String returns all of it in one line.
func (v Violation) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s: %s %s", v.Where, v.What, v.Rule))
}

// Package is what the rules need of go list's answer.
type Package struct {
	// ImportPath and Name are the package's; Dir is where its files are.
	ImportPath, Name, Dir string
	// Imports are the direct imports of its code without tests.
	Imports []string
	// GoFiles, TestGoFiles and XTestGoFiles are file names in Dir.
	GoFiles, TestGoFiles, XTestGoFiles []string
}

// Rel returns the path below the module, "" for the root package; false where
// the package is not ours.
func Rel(importPath string) (string, bool) {
	if importPath == Module {
		return "", true
	}
	return strings.CutPrefix(importPath, Module+"/")
}

// simulation is the folder of the deterministic simulation, which is run as a
// test and belongs to no program.
const simulation = "internal/sim"

// ForTests reports whether a package serves tests only: its name, or that of a
// folder above it, ends in "test", or it is part of the simulation.
func ForTests(importPath string) bool {
	rel, ours := Rel(importPath)
	if !ours {
		return false
	}
	if below(rel, simulation) {
		return true
	}
	for part := range strings.SplitSeq(rel, "/") {
		if strings.HasSuffix(part, "test") {
			return true
		}
	}
	return false
}

// mechanisms are the folders of packages that do one thing, know the words of
// chain/, and nothing of each other or of payments.
func mechanisms() []string {
	return []string{"scanner", "sweeper", "hdwallet", "signer", "webhook", "rates"}
}

// ethereum is the library whose licence (LGPL-3.0) is kept to one adapter.
const ethereum = "github.com/ethereum/go-ethereum"

// Imports returns the arrows of p that must not be.
func Imports(p Package) (out []Violation) {
	from, ours := Rel(p.ImportPath)
	if !ours {
		return nil
	}
	for _, target := range p.Imports {
		if rule := forbidden(from, p.ImportPath, target); rule != "" {
			out = append(out, Violation{Where: p.ImportPath, What: "imports " + target + ":", Rule: rule})
		}
	}
	return out
}

// forbidden returns why the package at from must not import target, or "".
func forbidden(from, fromPath, target string) string {
	to, ours := Rel(target)
	switch {
	case !ours:
		return forbiddenLibrary(from, fromPath, target)
	case ForTests(target) && !ForTests(fromPath):
		return "only tests use packages for tests"
	case from == "chain":
		return "chain imports nothing of ours"
	case below(from, "chain"):
		if !below(to, "chain") {
			return "an adapter knows the words of chain and nothing else of ours"
		}
	case from == "webhook":
		return "a receiver of webhooks imports webhook alone"
	case below(from, "webhook"):
		if !below(to, "webhook") {
			return "the sender of webhooks knows webhook only"
		}
	case mechanismOf(from) != "":
		switch {
		case to == "":
			return "a mechanism never imports the root package"
		case mechanismOf(to) != "" && mechanismOf(to) != mechanismOf(from):
			return "a mechanism never imports another one"
		case mechanismOf(to) == "" && !below(to, "chain"):
			return "a mechanism knows the words of chain and nothing else of ours"
		}
	case from == "" && below(to, "store"):
		return "the root package knows its Store port and no store"
	case from == "" && (below(to, "examples") || below(to, "e2e") || below(to, "bench")):
		return "the root package is below programs"
	}
	return ""
}

// forbiddenLibrary is the same for packages that are not ours.
func forbiddenLibrary(from, fromPath, target string) string {
	switch {
	case below(target, "testing"), below(target, "github.com/stretchr/testify"), below(target, "pgregory.net/rapid"), below(target, "go.uber.org/goleak"):
		if !ForTests(fromPath) {
			return "what is not for tests does not import what is"
		}
	case below(target, ethereum):
		if !below(from, "chain/evm") && from != "chain/chaintest" && !below(from, simulation) && !program(from) {
			return "go-ethereum is confined to chain/evm, programs and tests"
		}
	case from == "webhook" && strings.Contains(strings.SplitN(target, "/", 2)[0], "."):
		return "webhook is standard library only"
	}
	return ""
}

// program reports whether a folder holds programs in modules of their own.
func program(rel string) bool {
	return below(rel, "examples") || below(rel, "e2e") || below(rel, "bench")
}

// mechanismOf returns the mechanism that a package is part of, or "".
func mechanismOf(rel string) string {
	for _, m := range mechanisms() {
		if below(rel, m) {
			return m
		}
	}
	return ""
}

// below reports whether path is folder or something in it.
func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// Reach returns what the packages that an importer reaches, directly or not,
// must not be: the root package and the mechanisms stay free of go-ethereum,
// and webhook of every library.
func Reach(importPath string, deps []string) (out []Violation) {
	from, ours := Rel(importPath)
	if !ours || below(from, "chain") || ForTests(importPath) || program(from) {
		return nil
	}
	for _, dep := range deps {
		standard := !strings.Contains(strings.SplitN(dep, "/", 2)[0], ".")
		switch {
		case dep == importPath:
		case below(dep, ethereum):
			out = append(out, Violation{Where: importPath, What: "reaches " + dep + ":", Rule: "go-ethereum is confined to chain/evm"})
		case from == "webhook" && !standard:
			out = append(out, Violation{Where: importPath, What: "reaches " + dep + ":", Rule: "webhook is standard library only"})
		}
	}
	return out
}
