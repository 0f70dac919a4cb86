// Package tokens has the init code of small contracts for tests and examples on
// real EVMs: tokens that behave, and tokens that do not. The sources are in
// tokens.sol; compile.js makes the .hex files from them.
//
// The package only makes bytes: deployment and calls go through whatever client
// the test uses. It needs nothing but the standard library.
//
// Anybody can mint these tokens. They are worth nothing anywhere.
package tokens
