// Package cutproxy is a proxy for PostgreSQL connections that fails on purpose:
// it cuts a connection right after a COMMIT was passed on, or instead of that,
// refuses clients, and stalls.
//
//	proxy, err := cutproxy.New(cutproxy.Options{
//		Server: cluster.Socket(),
//		Plan:   cutproxy.AfterCommit(cutproxy.Every(3)),
//	})
//	…
//	dsn := cluster.DSNVia(proxy.Addr(), "shop")
//
// It knows of the protocol (version 3, chapter "Frontend/Backend Protocol" of
// PostgreSQL's manual) where messages begin and end, and which of them commit:
//
//	Query 'Q'               whose text has a statement COMMIT or END
//	Execute 'E'             of a statement that was parsed from such a text
//	CommandComplete 'C'     COMMIT, the server's word that it is done
//
// A statement outside of a transaction block commits as well, without any of
// these. A Plan that means those looks at Message.Type itself.
//
// # What a cut means
//
// The client's connection is closed, and nothing of what the server still
// answers reaches it. What was passed on before the cut does reach the server:
// its side is closed for writing only, and its answers are read and dropped. So
// AfterCommit leaves a client that cannot know of a transaction that is
// committed, and BeforeCommit one that cannot know of one that is not.
//
// Encrypted connections cannot be looked into; a server that agrees to encrypt
// has its client cut, and Stats says so.
package cutproxy
