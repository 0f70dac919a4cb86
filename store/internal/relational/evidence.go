package relational

// Evidence is what a row tells of a batch that was sent and not answered. The
// batch happened as a whole or not at all, so that one row can speak for all.
type Evidence int

const (
	// Unclear rows were written again since, or may have been removed.
	Unclear Evidence = iota
	// Absent rows cannot be what they are if the batch had happened.
	Absent
	// Alike rows are what the batch wanted. Somebody else may have wanted the same,
	// for example to count from the same number on, so that they prove nothing.
	Alike
	// Present rows are the batch's own: they never change, and nobody else writes
	// one with the same id that is equal in everything.
	Present
)

// Probe asks for a row that a batch wanted to write.
type Probe struct {
	// SQL returns the version of the row (0 where it has none) and whether it is
	// as it was to be written; no row where there is none.
	SQL  string
	Args []any
	// wants is the version that the batch wanted; 0: rows that never change.
	wants int64
	// fleeting rows are removed some day.
	fleeting bool
}

// Missing is what it means that there is no such row.
func (p *Probe) Missing() Evidence {
	if p.fleeting {
		return Unclear
	}
	return Absent
}

// Found is what a row means, by the answer of the probe.
func (p *Probe) Found(version int64, same bool) Evidence {
	switch {
	case p.wants == 0 && same:
		return Present
	case p.wants == 0 || version < p.wants:
		return Absent
	case version > p.wants:
		return Unclear
	case same:
		return Alike
	}
	return Absent
}

// Weigh is what all rows of a batch tell together: Present, Absent or Unclear.
func Weigh(all []Evidence) Evidence {
	weight := Unclear
	for _, e := range all {
		switch e {
		case Absent:
			return Absent
		case Present:
			weight = Present
		}
	}
	return weight
}
