package api

func questionsMatrix() map[string]string {
	return map[string]string{
		"Authorize":               "- - - - - - - +",
		"BatchAuthorize":          "- - - - - - - +",
		"SimulatePolicy":          "- - - - - - - +",
		"ExplainAccess":           "- - - - + - - +",
		"ListAccess":              "- - - - + - - +",
		"ListLastUses":            "- - - - - - - +",
		"DescribeUnmanagedAccess": "- - - - + - - +",
	}
}
