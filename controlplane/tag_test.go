package controlplane_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/controlplane"
)

const arnPrefix = "arn:aws:opsworks:eu-west-1:123456789012:"

func (p *plane) tags(t *testing.T, resource string) map[string]string {
	t.Helper()
	out, err := p.ListTags(t.Context(), p.admin, controlplane.ListTagsRequest{ResourceArn: resource})
	if err != nil || out.NextToken != "" {
		t.Fatalf("%+v, %v", out, err)
	}
	return out.Tags
}

func TestControlPlane_Tags(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	instance, _ := p.instance(t, stack)
	for _, resource := range []string{arnPrefix + "stack/" + stack + "/", arnPrefix + "stack/" + stack, arnPrefix + "instance/" + instance} {
		t.Run(strings.NewReplacer(arnPrefix, "", stack, "id", instance, "id", "/", "-").Replace(resource), func(t *testing.T) {
			expectTags := func(want map[string]string) {
				t.Helper()
				if diff := cmp.Diff(want, p.tags(t, resource)); diff != "" {
					t.Error(diff)
				}
			}
			expectTags(map[string]string{})
			_, err := p.TagResource(t.Context(), p.admin, controlplane.TagResourceRequest{
				ResourceArn: resource, Tags: map[string]string{"Umgebung": " Büro 1/2 ", " a:b+c-d=e._/ ": "", "cost": "1"},
			})
			expectError(t, err, "", "")
			expectTags(map[string]string{"Umgebung": "Büro 1/2", "a:b+c-d=e._/": "", "cost": "1"})
			_, err = p.TagResource(t.Context(), p.admin, controlplane.TagResourceRequest{ResourceArn: resource, Tags: map[string]string{"cost": "2"}})
			expectError(t, err, "", "")
			_, err = p.UntagResource(t.Context(), p.admin, controlplane.UntagResourceRequest{ResourceArn: resource, TagKeys: []string{"Umgebung", "none", " a:b+c-d=e._/ "}})
			expectError(t, err, "", "")
			expectTags(map[string]string{"cost": "2"})
			entries := p.audit(t)
			if e := entries[len(entries)-2]; e.Action != "opsworks:TagResource" || e.Detail["tag cost"] != "2" || !strings.Contains(resource, e.Target) {
				t.Errorf("entry %+v", e)
			}
			_, err = p.UntagResource(t.Context(), p.admin, controlplane.UntagResourceRequest{ResourceArn: resource, TagKeys: []string{"cost"}})
			expectError(t, err, "", "")
		})
	}
}

func TestControlPlane_TagResource_Refuses(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	resource := arnPrefix + "stack/" + stack + "/"
	forty := map[string]string{}
	for n := range 40 {
		forty[fmt.Sprintf("k%02d", n)] = "v"
	}
	more := maps.Clone(forty)
	more["k40"] = ""
	for _, tc := range []struct {
		name     string
		resource string // default: the stack
		tags     map[string]string
		code     controlplane.Code
		message  string
	}{
		{"forty-one", "", more, controlplane.Invalid, "Tags: more than 40 for one resource"},
		{"forty", "", forty, "", ""},
		{"forty-one-in-two", "", map[string]string{"k40": ""}, controlplane.Invalid, "Tags: more than 40 for one resource"},
		{"forty-again", "", forty, "", ""},
		{"none", "", nil, controlplane.Invalid, "Tags: is required"},
		{"empty-key", "", map[string]string{" ": "v"}, controlplane.Invalid, "Tags: a key is empty"},
		{"key-127", "", map[string]string{strings.Repeat("ü", 127): "v"}, controlplane.Invalid, "Tags: more than 40 for one resource"},
		{"key-128", "", map[string]string{strings.Repeat("ü", 128): "v"}, controlplane.Invalid, "Tags: a key is longer than 127 characters"},
		{"value-256", "", map[string]string{"k": strings.Repeat("ü", 256)}, controlplane.Invalid, "Tags: a value is longer than 255 characters"},
		{"reserved", "", map[string]string{"AWS:x": "v"}, controlplane.Invalid, "Tags: a key begins with aws:"},
		{"key-control", "", map[string]string{"a\nb": "v"}, controlplane.Invalid,
			"Tags: there is a character other than letters, numbers, spaces and + - = . _ : /"},
		{"value-script", "", map[string]string{"k": "<b>"}, controlplane.Invalid,
			"Tags: there is a character other than letters, numbers, spaces and + - = . _ : /"},
		{"value-not-utf-8", "", map[string]string{"k": "\xff"}, controlplane.Invalid,
			"Tags: there is a character other than letters, numbers, spaces and + - = . _ : /"},
		{"same-key", "", map[string]string{"k": "1", " k": "2"}, controlplane.Invalid, "Tags: a key is there twice"},
		{"unknown-stack", arnPrefix + "stack/" + noStack + "/", forty, controlplane.NotFound, "Unable to find stack with ID " + noStack},
		{"unknown-instance", arnPrefix + "instance/" + noStack, forty, controlplane.NotFound, "Unable to find instance with ID " + noStack},
		{"layer", arnPrefix + "layer/" + stack + "/", forty, controlplane.Invalid, "Resource Arn: not the ARN of a stack or an instance of this control plane"},
		{"other-account", "arn:aws:opsworks:eu-west-1:000000000000:stack/" + stack + "/", forty, controlplane.Invalid,
			"Resource Arn: not the ARN of a stack or an instance of this control plane"},
		{"two-slashes", resource + "/", forty, controlplane.Invalid, "Resource Arn: not the ARN of a stack or an instance of this control plane"},
		{"bare-id", stack, forty, controlplane.Invalid, "Resource Arn: not the ARN of a stack or an instance of this control plane"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.resource == "" {
				tc.resource = resource
			}
			_, err := p.TagResource(t.Context(), p.admin, controlplane.TagResourceRequest{ResourceArn: tc.resource, Tags: tc.tags})
			expectError(t, err, tc.code, tc.message)
		})
	}
	if diff := cmp.Diff(forty, p.tags(t, resource)); diff != "" {
		t.Error(diff)
	}
	_, err := p.UntagResource(t.Context(), p.admin, controlplane.UntagResourceRequest{ResourceArn: resource})
	expectError(t, err, controlplane.Invalid, "Tag Keys: is required")
	_, err = p.UntagResource(t.Context(), p.admin, controlplane.UntagResourceRequest{ResourceArn: resource, TagKeys: []string{""}})
	expectError(t, err, controlplane.Invalid, "Tag Keys: a key is empty")
}

func TestControlPlane_ListTags_Pages(t *testing.T) {
	p := newPlane(t)
	resource := arnPrefix + "stack/" + p.stack(t, "stack") + "/"
	want := map[string]string{"ä": "1", "b": "2", "c d": "3", "e": "4", "Z": "5"}
	_, err := p.TagResource(t.Context(), p.admin, controlplane.TagResourceRequest{ResourceArn: resource, Tags: want})
	expectError(t, err, "", "")
	for _, size := range []int64{1, 2, 4, 5, 6, 100} {
		got, pages, token := map[string]string{}, int64(0), ""
		for pages == 0 || token != "" {
			out, err := p.ListTags(t.Context(), p.admin, controlplane.ListTagsRequest{ResourceArn: resource, MaxResults: &size, NextToken: token})
			if err != nil || pages > 5 || int64(len(out.Tags)) > size {
				t.Fatalf("%+v, %v", out, err)
			}
			maps.Copy(got, out.Tags)
			token = out.NextToken
			pages++
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != (5+size-1)/size {
			t.Errorf("pages of %d: %d\n%s", size, pages, diff)
		}
	}
	for _, tc := range []struct {
		name    string
		req     controlplane.ListTagsRequest
		message string
	}{
		{"zero", controlplane.ListTagsRequest{MaxResults: ptr(int64(0))}, "Max Results: must be 1 to 100"},
		{"too-many", controlplane.ListTagsRequest{MaxResults: ptr(int64(101))}, "Max Results: must be 1 to 100"},
		{"token", controlplane.ListTagsRequest{NextToken: "!"}, "Next Token: is not one that ListTags gave"},
		{"long-token", controlplane.ListTagsRequest{NextToken: strings.Repeat("A", 1000)}, "Next Token: is not one that ListTags gave"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.ResourceArn = resource
			_, err := p.ListTags(t.Context(), p.admin, tc.req)
			expectError(t, err, controlplane.Invalid, tc.message)
		})
	}
}

func TestControlPlane_Tags_EndWithTheirOwner(t *testing.T) {
	p := newPlane(t)
	stack := p.stack(t, "stack")
	instance, _ := p.instance(t, stack)
	for _, resource := range []string{arnPrefix + "stack/" + stack + "/", arnPrefix + "instance/" + instance} {
		_, err := p.TagResource(t.Context(), p.admin, controlplane.TagResourceRequest{ResourceArn: resource, Tags: map[string]string{"k": "v"}})
		expectError(t, err, "", "")
	}
	_, err := p.DeregisterInstance(t.Context(), p.admin, controlplane.DeregisterInstanceRequest{InstanceId: instance})
	expectError(t, err, "", "")
	_, err = p.DeleteStack(t.Context(), p.admin, controlplane.DeleteStackRequest{StackId: stack})
	expectError(t, err, "", "")
	_, err = p.ListTags(t.Context(), p.admin, controlplane.ListTagsRequest{ResourceArn: arnPrefix + "instance/" + instance})
	expectError(t, err, controlplane.NotFound, "Unable to find instance with ID "+instance)
}
