package metrics_test

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/metrics"
)

func ExampleNew() {
	gw := &bursar.Gateway{} // yours, from bursar.New
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.New(gw, metrics.Options{}))
	// Serve it with promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).
	found, err := registry.Gather()
	fmt.Println(len(found) > 0, err)
	// Output: true <nil>
}
