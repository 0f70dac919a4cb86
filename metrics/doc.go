// Package metrics shows how a gateway is to Prometheus: a collector that asks
// bursar.Gateway.Health at each scrape and keeps nothing itself.
//
//	registry.MustRegister(metrics.New(gw, metrics.Options{}))
//
// A scrape therefore costs what a call of Health does: a read of the store and, at
// most once a minute while all is well, a small write. Every instance of a fleet has
// its own collector. What lies in the store is the same from all of them; rates,
// problems and the state of providers are what one instance sees.
//
// # Metrics
//
// All are gauges but those that end in _total, and have the labels chain (the CAIP-2
// id) and name (the chain's short name) from bursar_chain_ready on, those of
// providers also provider and operator. Times are Unix seconds; a value that is not
// known is left out, never 0.
//
//	bursar_running, bursar_ready                     the gateway
//	bursar_store_readable, bursar_store_writable     its store
//	bursar_chain_ready, _verified                    payments can be made; the node serves the chain
//	bursar_chain_halted{reason}                      nothing is credited
//	bursar_chain_issuance_halted{reason}             no address is given out
//	bursar_chain_broken, _failing, _unprobed         a rule did not hold; work fails; balances are not compared
//	bursar_chain_head_height, _tip_height, _final_height, _lag_blocks
//	bursar_chain_head_timestamp_seconds, _tip_timestamp_seconds, _updated_timestamp_seconds
//	bursar_chain_scan_blocks_per_second              of the last minute
//	bursar_chain_catch_up_seconds                    left until nothing is behind, at that rate
//	bursar_chain_condition{kind,provider}            what is wrong with the nodes now
//	bursar_provider_aside{fault}                     a provider is not asked
//	bursar_provider_head_height, _final_height, _latency_seconds, _error_ratio
//	bursar_provider_calls_total, _failures_total
//
// Prices, addresses, customers and reasons in free words are in no label: the number
// of series is bounded by the configuration.
package metrics
