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
package main
