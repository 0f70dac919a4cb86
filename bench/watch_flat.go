package main

import "fmt"

// watchFlat compares a page of one busy block with a million watched addresses
// and with a thousand. The sets are those that gateways hand to their clients;
// the client filters by itself, whatever the number.
func watchFlat(b *bench) (reading, error) {
	sets, err := b.sets()
	if err != nil {
		return reading{}, err
	}
	large, small := sets.large.client, sets.small.client
	c, err := b.compare(byCPU, scan(large.Client, large.watch()), scan(small.Client, small.watch()))
	if err != nil {
		return reading{}, err
	}
	return reading{c.ratio, c.how(fmt.Sprint(large.watch().Len()), fmt.Sprint(small.watch().Len()))}, nil
}
