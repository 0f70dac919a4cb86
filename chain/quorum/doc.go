// Package quorum presents several providers of one chain as one chain.Client:
// if one is away, another answers; if one lies, others contradict it.
//
//	q, err := quorum.New(quorum.Config{
//		Providers: []quorum.Provider{
//			{Name: "own", Client: own},
//			{Name: "a-eu", Operator: "a", Client: a, Rate: 20},
//			{Name: "b", Client: b, Rate: 20},
//		},
//		Agree: 2,
//	})
//
// # How many must agree
//
//	own node alone                Agree 1            you trust your own node
//	own node, one paid spare      Agree 1, Sample    the spare finds out where the own one
//	                                                 errs; work goes on with either of them
//	two paid ones                 Agree 2            neither can invent or hide money; work
//	                                                 stops while one of them is away
//	three or more                 Agree 2            one may lie or be away, and work goes on
//	five or more, large sums      Agree 3            two may
//
// What counts is distinct operators: two URLs of one company fail and lie together.
// Whoever controls Agree operators is believed, and whoever controls all but
// Agree-1 of them can stop the work, but not steal: where no Agree operators say
// the same, the answer is an error, nothing is credited, and it is asked again.
//
// # What is compared
//
//	Transfers   each block with its parent and time, each transfer and each spend,
//	            field by field; a page is returned as far as enough agree on it
//	Headers     each block                  Status     what is in a block, completely
//	Head        newest and final block      Balances   all amounts, at one block
//	Inspect     decimals, symbol, code      DryRun     whether it succeeds
//	Internal    each movement               Prepare    the locks; and, among up to
//	                                                   three, the price against the median
//
// The providers' clients must be configured alike. One that reports more than
// another contradicts it: a node that is traced shows coin that contracts send in
// its pages, and one that is not does not. So pin evm.Config.Native to the same in
// all of them, "trace" where all nodes can, or else "raw" or "full", which show
// the same.
//
// Answers are what a chain.Client made of a node's response. That hashes and roots
// fit the data they name is for that client to check, where its node tells enough
// (evm.Config.Verify); whoever tells what does not is put aside at once. Here, others
// must have said the same.
//
// # Who is asked
//
//	healthy ──failure──► asked later ──FailAfter in a row──► aside ──cool-down──►
//	   ▲                                                                        │
//	   └──────────── chain id, genesis and checkpoints are right ◄──────────────┘
//
// Providers are asked in the order of the Config, those without a recent failure
// first. Where one takes longer than it usually does, another one is asked as well
// (a hedge) and the first good answer counts. The one that lost is cancelled and
// waited for, 100 ms at most: a client that ignores its context may stay behind
// that long and longer. Except for that, no goroutine outlives a call.
//
// Head alone asks all providers that are in, each time: that is how those that are
// behind, on another branch or back again are known.
//
// Each provider has a budget of calls. A provider that lies, serves another chain,
// takes finality back or wants to be left alone is put aside at once; one that
// fails, after some failures in a row. The cool-down doubles with each time, and
// ends with a look at its chain id, genesis and checkpoints: one attempt, by one
// call. Where all others fail, those that were merely away are tried again each
// Config.Cooldown, so that after an outage of all of them work soon goes on.
//
// Providers, View and Config.OnCondition tell all of that.
//
// # Heads
//
// A head does not go back because another provider answers: see Client.Head. The
// final block never falls.
package quorum
