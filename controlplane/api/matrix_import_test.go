package api

func importMatrix() map[string]string {
	return map[string]string{
		"ImportIam":   "- - - - - - - +",
		"ImportUsers": "- - - - - - - +",
	}
}
