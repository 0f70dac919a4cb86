// Package layering holds the project to its own rules: who may import whom,
// what may stand at package level, what must be documented.
//
// The rules are here because nothing else notices when they break: a scanner
// that imports the gateway compiles as well as one that does not. Its tests run
// them over the whole module, and over small sources that break each rule, so
// that a rule which finds nothing is known to look.
//
//	Imports   the arrows between packages, from the output of go list
//	Source    one package's syntax: state, secrets, documentation, floats, sleeps, length
//
// An exception is an entry of Exceptions with its reason. One that is not
// needed any more is itself a violation.
package layering
