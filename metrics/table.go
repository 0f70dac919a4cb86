package metrics

// metric is how one is described.
type metric struct {
	name, help string
	labels     []string
}

// table has every metric once.
func table() []metric {
	ofChain := []string{"chain", "name"}
	ofProvider := []string{"chain", "name", "provider", "operator"}
	return []metric{
		{"running", "1 between Start and Stop of the gateway.", nil},
		{"ready", "1 where payments can be made and are credited on every chain.", nil},
		{"store_readable", "1 where the store answered.", nil},
		{"store_writable", "1 where the store takes writes.", nil},

		{"chain_ready", "1 where payments can be made on the chain.", ofChain},
		{"chain_verified", "1 where the node proved to serve the configured chain and tokens.", ofChain},
		{"chain_broken", "1 where a rule of the gateway's own did not hold: this instance works on the chain no more.", ofChain},
		{"chain_failing", "1 where this instance's last work on the chain failed.", ofChain},
		{"chain_unprobed", "1 where balances could not be compared at the last page.", ofChain},
		{"chain_halted", "1 where nothing is credited, and why.", []string{"chain", "name", "reason"}},
		{"chain_issuance_halted", "1 where no addresses are given out, and why.", []string{"chain", "name", "reason"}},
		{"chain_condition", "1 for each thing that is wrong with the chain's nodes now.", []string{"chain", "name", "kind", "provider"}},
		{"chain_head_height", "Height of the newest block that the node told of.", ofChain},
		{"chain_tip_height", "Height of the newest scanned block.", ofChain},
		{"chain_final_height", "Highest final height.", ofChain},
		{"chain_lag_blocks", "Blocks between the newest one and the newest that is scanned.", ofChain},
		{"chain_head_timestamp_seconds", "Time of the newest block, in Unix seconds.", ofChain},
		{"chain_tip_timestamp_seconds", "Time of the newest scanned block, in Unix seconds.", ofChain},
		{"chain_updated_timestamp_seconds", "When the cursor was last written, in Unix seconds.", ofChain},
		{"chain_scan_blocks_per_second", "Blocks that this instance scanned in a second, over the last minute.", ofChain},
		{"chain_catch_up_seconds", "Seconds until nothing is behind, at the present rate.", ofChain},

		{"provider_aside", "1 where the provider is not asked, and the class of its fault.", append(ofProvider[:4:4], "fault")},
		{"provider_head_height", "Height of the newest block that the provider told of.", ofProvider},
		{"provider_final_height", "Height of the newest block that the provider called final.", ofProvider},
		{"provider_latency_seconds", "Smoothed time of the provider's answers.", ofProvider},
		{"provider_error_ratio", "Share of calls that failed of late, 0 to 1.", ofProvider},
		{"provider_calls_total", "Calls that ended.", ofProvider},
		{"provider_failures_total", "Calls without an answer.", ofProvider},
	}
}
