package main

// measures lists the figures in the order of the table.
func measures() []measure {
	return []measure{
		{"P1", hookWarm},
		{"P2", hookCold},
		{"P3", wholeLogin},
		{"P4", hookMany},
		{"P7", grantToLogin},
		{"P8", decision},
		{"P9", acknowledged},
		{"P10", firstApply},
		{"P11", oneChange},
		{"P12", idleAgent},
	}
}
