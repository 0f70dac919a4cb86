// Package signer keeps keys in another process than the gateway: a server around any
// chain.Signer, a client that is one, and what both need to be trusted no more than
// they must be.
//
//	Server    an http.Handler around a chain.Signer, normally a *hdwallet.Signer
//	Client    a chain.Signer that asks a Server, and believes nothing it answers
//	Verified  the checks of Client around any chain.Signer: a KMS, an HSM, a library
//	Journal   a file that remembers what a policy signer has signed
//	HaltFile  a kill switch that is a file
//
// # Who trusts whom
//
//	gateway  ── requests, not digests ──▶  server ──▶ policy ──▶ keys
//	   ▲                                                │
//	   └── signatures, each verified ◀── journal ◀──────┘
//
// The server does not trust the gateway: the policy signer behind it decodes every
// payload by itself, and permits what its own configuration permits. Whoever takes the
// gateway over can sweep to the treasury and, with approvals made elsewhere, pay
// approved payouts, up to the limits; and nothing else.
//
// The gateway does not trust the server: a signature counts only where it is one of
// the expected key over the digest that the gateway computed itself. A server that
// lies can refuse to work, and nothing else.
//
// Neither trusts the network: requests and answers carry a MAC of a shared secret, or
// travel through mutual TLS, or both. See Server for what is checked, and
// docs/signers.md for each byte, so that a server can be written in another language.
package signer
