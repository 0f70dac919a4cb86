// Command bench prints the figures by which bursar is judged, each against a
// peer or a floor that is measured in the same run:
//
//	go run ./bench                       all figures
//	go run ./bench -only scan_vs_json    one, or several with commas
//	go run ./bench -list                 what there is, with the bound of each
//	go run ./bench -check                exit 1 where a figure misses its bound
//	go run ./bench -quick                short rounds and small sets: proves
//	                                     that the figures work, not what they are
//
// A figure is a line "NAME VALUE UNIT", and behind a # how it was measured:
// GOMAXPROCS, rounds, and the two costs of which it is the ratio.
//
// Ratios are used because they travel between machines; seconds do not. The two
// sides of a ratio are measured alternately, a round of each, so that a slower
// phase of the machine meets both, and the median of the rounds' ratios is
// printed. Where a figure speaks of CPU it is the time of the whole process,
// with the garbage collector's share, as the operating system counts it.
//
// The figures sweep_gas_WAY_TOKEN_N are no ratios: gas is the same on every machine.
// They say what each of N payments costs that reach the treasury together, from the
// receipts of a real geth:
//
//	7702fresh, 7702reused              accounts that delegate to the contract of the
//	                                   sweeps, for the first time or since before
//	forwarder_first, forwarder_later   forwarders, deployed by the sweep or before
//	topup                              no contract: gas is sent to each account, which
//	                                   then sends the token; for comparison, no bound
//
// The client makes the transactions, but for those of forwarders, which it does not
// make yet. TOKEN is oz, usdt or usdc, what is like them in the gas of a transfer; N
// is 1, 10 or 100, with -quick at most 2.
package main
