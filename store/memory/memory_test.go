package memory_test

import (
	"testing"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

func TestThreat_D18_Conformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) bursar.Store { return memory.New() })
}
