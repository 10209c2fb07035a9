package api

// holdingsMatrix: no level lets anybody near what users and groups hold.
func holdingsMatrix() map[string]string {
	rows := map[string]string{}
	for _, a := range holdings() {
		rows[a.Name] = "- - - - - - - +"
	}
	return rows
}
