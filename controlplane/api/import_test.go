package api

import (
	"os"
	"strings"
	"testing"
)

// What aws iam get-account-authorization-details prints is taken as it is, members
// that nobody reads too.
func TestImportIam_AsItIsPrinted(t *testing.T) {
	s := newTestServer(t)
	text, err := os.ReadFile("../testdata/iam.json")
	if err != nil {
		t.Fatal(err)
	}
	status, answer, _ := s.post(t, plainPath+"ImportIam", string(text), nil)
	const want = `{"Applied":false,"Created":10,"Updated":0,"Unchanged":1,"Refused":0,"Changes":[{"Kind":"policy","Name":"Deployers","Change":"create"},`
	if status != 200 || !strings.HasPrefix(answer, want) {
		t.Errorf("%d %.500s", status, answer)
	}
}
