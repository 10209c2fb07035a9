package apimodel

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"latchkey/controlplane/api"
)

// TestOpenAPI lets a validator that nobody here wrote look at the document, and
// holds answers of the plain surface against it. The validator knows OpenAPI 3.0 of
// old; what the document uses means the same in 3.1.
func TestOpenAPI(t *testing.T) {
	text, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, string(text)); err != nil {
		t.Error(err)
	}
	for name, broken := range map[string]string{
		"reference": strings.Replace(string(text), "schemas/DeleteStackRequest", "schemas/Nothing", 1),
		"type":      strings.Replace(string(text), `"type":"boolean"`, `"type":"bool"`, 1),
		"responses": strings.Replace(string(text), `"responses":{`, `"replies":{`, 1),
	} {
		if broken == string(text) || validate(t, broken) == nil {
			t.Errorf("a document with a broken %s is found sound", name)
		}
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	made := w.call(t, "CreateStack", members{"Name": "web", "Region": region, "ServiceRoleArn": "r", "DefaultInstanceProfileArn": "p"})
	instance := w.instance(t, made["StackId"].(string))
	for action, request := range map[string]members{
		"DescribeStacks": {}, "DescribeInstances": {}, "DescribeUserProfiles": {}, "DescribePermissions": {"StackId": made["StackId"]},
		"DescribeCommands": {"InstanceId": instance}, "DescribeServiceErrors": {}, "DescribeStackSummary": {"StackId": made["StackId"]},
		"CreateJoinToken": {"StackId": made["StackId"]}, "SetPermission": {"StackId": made["StackId"], "IamUserArn": w.admin.ARN.String(), "AllowSsh": true},
		"DeleteStack": {"StackId": "x"}, "DescribeMyUserProfile": {},
	} {
		status, body := w.plain(t, action, request)
		response := doc.Paths.Find("/api/v1/" + action).Post.Responses.Status(status)
		if response == nil {
			t.Errorf("%s: %d is not in the document", action, status)
			continue
		}
		var answer any
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		if err := response.Value.Content.Get("application/json").Schema.Value.VisitJSON(answer); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
}

func validate(t *testing.T, text string) error {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		return err
	}
	return doc.Validate(t.Context())
}
