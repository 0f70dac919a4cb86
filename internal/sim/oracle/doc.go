// Package oracle judges what a gateway did. It watches every batch that is
// committed, every answer, every broadcast and every delivery, and says which
// rule was broken first; at the end, when everything has come to rest, it
// compares what is stored with what the simulated chain alone implies.
//
// It knows the words of the gateway (its rows, statuses and kinds of events) and
// none of its logic: the tables, the status function and the postings stand here
// a second time, written from the rules and not from the code. A mistake must
// therefore be made twice to go unnoticed.
//
//	after each step   S1 no address has two owners         addresses.go
//	                  S2 the ledger is appended to, by rule ledger.go, postings.go
//	                  S3 one credit for each transfer       ledger.go
//	                  S4 credits lie deep in a real branch  truth.go
//	                  S5 what is broadcast was written down broadcast.go
//	                  S6 one lock, one intent; one writer   locks.go, sweeps.go
//	                  S7 states move by their tables        payments.go, moves.go, sweeps.go
//	                  S8 no secret leaves                   secrets.go
//	                  S9 fees stay below their caps         locks.go, broadcast.go, sweeps.go
//	                  S10 no verdict before its time        verdict.go
//	                  S11 answers never go backwards        seen.go
//	at rest           Q1 credits are the deposits           bijection.go
//	                  Q2 the ledger is the chain            conserve.go
//	                  Q3 everybody was told                 told.go
//	                  Q4 nothing is left to sweep           rest.go
//	                  Q5 nothing is under way               rest.go
//	                  Q6 the store is what was committed    same.go
//	                  Q7 receivers and statuses agree       told.go, status.go
//
// An Oracle works in its caller's goroutine and is safe for concurrent use.
package oracle
