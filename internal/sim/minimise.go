package sim

// Minimise finds few faults that suffice for a failure: it leaves out ever smaller
// parts of those that happened, as long as the run still breaks a rule. run is
// called at most most times. What is left need not be the least.
func Minimise(r Result, most int, run func(skip map[int]bool) Result) (skip map[int]bool, left Result) {
	skip, left = map[int]bool{}, r
	for part := (len(left.Faults) + 1) / 2; part > 0 && most > 0; {
		smaller := false
		for from := 0; from < len(left.Faults) && most > 0; {
			try := map[int]bool{}
			for n := range skip {
				try[n] = true
			}
			for _, f := range left.Faults[from:min(from+part, len(left.Faults))] {
				try[f.N] = true
			}
			most--
			if got := run(try); got.Err != nil {
				skip, left, smaller = try, got, true
				continue // the list is shorter now: the next part has moved here
			}
			from += part
		}
		if !smaller || part > len(left.Faults) {
			part = min(part, len(left.Faults)) / 2
		}
	}
	return skip, left
}
