package wire

// Report is what an instance says it did with a bundle: its receipt. The
// request that carries it is signed by the instance.
type Report struct {
	Epoch   int64    `json:"epoch"`
	Serial  int64    `json:"serial"`
	At      string   `json:"at"`      // RFC 3339
	Steps   []Result `json:"steps"`   // what was done, in order
	Refused []Result `json:"refused"` // users that were not set up, and why
	Facts   Facts    `json:"facts"`
}

// Result is one line of a report: a step's text, or a user's name, and what
// went wrong, empty when nothing did.
type Result struct {
	What  string `json:"what"`
	Code  string `json:"code"`
	Error string `json:"error"`
}
