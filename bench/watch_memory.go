package main

import "fmt"

// watchMemory is how much larger a gateway's live heap is with a million
// watched addresses, in units of 1,000,000 bytes.
func watchMemory(b *bench) (reading, error) {
	sets, err := b.sets()
	if err != nil {
		return reading{}, err
	}
	// The first block of addresses was there before: charge for the rest.
	value := float64(sets.heap) / 1e6 * float64(b.many) / float64(sets.count)
	return reading{value, fmt.Sprintf("%d addresses took %d bytes", sets.count, sets.heap)}, nil
}
