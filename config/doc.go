// Package config makes a bursar.Config from a YAML file and the environment.
//
//	file, err := config.Load("bursar.yaml", os.Environ())
//	store, err := sqlite.Open(ctx, file.Store.Path)     // whichever file.Store.Driver names
//	cfg, err := file.Build(store)
//	cfg.Notify = append(cfg.Notify, bursar.NotifyFunc("orders", onEvent))
//	gw, err := bursar.New(cfg)
//
// Which field is which, with units, ranges and defaults, stands at the fields of
// File; docs/configuration.md is made from them. A module of its own keeps the
// YAML library out of programs that configure in Go.
//
// # Strict
//
// A configuration decides where money goes, so that nothing in it is guessed:
// unknown and repeated keys, values of another type, floats for amounts, empty
// values, anchors, aliases, tags and a second document are errors. All errors
// are reported at once, each an *Error with file, line and field, joined.
//
// # The environment
//
// Each field can be set, or replaced, by a variable: BURSAR_ and the path of
// the field in capitals, with _ for dots and for whatever is neither letter nor
// digit. chains.ethereum.url is BURSAR_CHAINS_ETHEREUM_URL; lists are separated
// by commas. A BURSAR_ variable that is no field is an error, because it is a
// field misspelt; filter the slice where other programs use the prefix too. An
// entry of a map that the file does not have can be made by the environment
// where its name has no _ in it.
//
// # Several nodes
//
// A chain has one node, url, or several providers, of which the quorum section says
// how many must tell the same. Its client is then a *quorum.Client.
//
// # Sweeping many addresses together
//
// A chain's sweeper section makes the contract that sweeps many addresses by one
// transaction, of the chain's treasury, the wallet's sponsor and an owner, and every
// client of the chain gets it. File.Installations tells it before there is a gateway,
// which does not start until it is deployed.
//
// # Keys elsewhere
//
// With signer.url the gateway has a *signer.Client in its configuration, and xpubs as its
// wallet. signer.serve describes the process at that address: File.SigningServer makes
// it, and the command bursar signer runs it.
//
// # Secrets
//
// Mnemonics, passphrases, passwords and webhook secrets never stand in the
// file. They come from a file of their own, mnemonic: {file: /run/secrets/seed},
// or from the environment, BURSAR_WALLET_MNEMONIC or, with the path of a file,
// BURSAR_WALLET_MNEMONIC_FILE. One line end at the end of such a file is not
// part of the secret; paths are relative to the configuration's folder. Once
// read they are of type Secret, which shows itself to nobody, and no error
// repeats the value that it is about.
package config
