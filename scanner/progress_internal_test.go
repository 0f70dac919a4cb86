package scanner

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPace(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds int, tip, head uint64) sample {
		return sample{begin.Add(time.Duration(seconds) * time.Second), tip, head}
	}
	for name, c := range map[string]struct {
		samples []sample
		rate    uint64
		left    time.Duration
	}{
		"nothing yet":                     {nil, 0, 0},
		"one moment":                      {[]sample{at(0, 100, 1000)}, 0, 0},
		"no time passed":                  {[]sample{at(0, 100, 1000), at(0, 200, 1000)}, 0, 0},
		"catching up":                     {[]sample{at(0, 100, 1000), at(10, 200, 1000)}, 600, 80 * time.Second},
		"the chain grows meanwhile":       {[]sample{at(0, 100, 1000), at(10, 200, 1050)}, 600, 170 * time.Second},
		"as fast as the chain":            {[]sample{at(0, 100, 1000), at(10, 200, 1100)}, 600, 0},
		"slower than the chain":           {[]sample{at(0, 100, 1000), at(10, 110, 1100)}, 60, 0},
		"at the head":                     {[]sample{at(0, 100, 100), at(10, 101, 101)}, 6, 0},
		"a node behind us":                {[]sample{at(0, 100, 90), at(10, 101, 80)}, 6, 0},
		"a reorg begins anew":             {[]sample{at(0, 100, 1000), at(10, 200, 1000), at(11, 150, 1000)}, 0, 0},
		"what is long ago does not count": {[]sample{at(0, 0, 9000), at(100, 10, 9000), at(160, 610, 9000), at(170, 710, 9000)}, 600, 829 * time.Second},
	} {
		var s samples
		for _, moment := range c.samples {
			s = s.add(moment)
		}
		rate, left := s.pace()
		require.Equal(t, c.rate, rate, name)
		require.Equal(t, c.left, left, name)
	}
	var s samples
	for i := range 10_000 {
		s = s.add(at(i, uint64(i), 20_000))
	}
	require.LessOrEqual(t, len(s), 62, "a minute of them, whatever happened before")
	require.LessOrEqual(t, cap(s), 4*62)
}
