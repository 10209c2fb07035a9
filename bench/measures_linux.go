package main

// measures lists the figures in the order of the table.
func measures() []measure {
	return []measure{
		{"P1", hookWarm},
		{"P2", hookCold},
		{"P7", grantToLogin},
		{"P8", decision},
		{"P9", acknowledged},
		{"P10", firstApply},
	}
}
