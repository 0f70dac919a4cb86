package bursar_test

import (
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// audited checks that an audit finds nothing, and returns what it looked at.
func (f *flow) audited() bursar.Report {
	f.t.Helper()
	report, err := f.Gateway.Verify(f.ctx())
	require.NoError(f.t, err)
	require.True(f.t, report.Clean(), "%s", report)
	return report
}
