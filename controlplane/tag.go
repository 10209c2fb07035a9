package controlplane

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// The original's limits: characters of a key and of a value, tags of a resource.
const (
	maxTagKey   = 127
	maxTagValue = 255
	maxTags     = 40
	maxTagPage  = 100
)

// Reasons for refusing what tags are about.
var (
	errResource     = name.Refuse("resource_arn", "not the ARN of a stack or an instance of this control plane")
	errNoTags       = name.Refuse("tags_missing", "is required")
	errTagKeyEmpty  = name.Refuse("tag_key_empty", "a key is empty")
	errTagKeyLong   = name.Refuse("tag_key_long", "a key is longer than 127 characters")
	errTagKeyOwned  = name.Refuse("tag_key_reserved", "a key begins with aws:")
	errTagKeyTwice  = name.Refuse("tag_key_twice", "a key is there twice")
	errTagKeyCase   = name.Refuse("tag_key_case", "a key is there already in another case")
	errTagValueLong = name.Refuse("tag_value_long", "a value is longer than 255 characters")
	errTagText      = name.Refuse("tag_character", "there is a character other than letters, numbers, spaces and + - = . _ : /")
	errTagsMany     = name.Refuse("tags_many", "more than 40 for one resource")
	errMaxResults   = name.Refuse("max_results", "must be 1 to 100")
	errNextToken    = name.Refuse("next_token", "is not one that ListTags gave")
)

// resource is what an ARN names: a stack, or else an instance.
type resource struct {
	stack    authz.StackID
	instance authz.InstanceID
}

// parseResource reads the ARN of a stack, with or without the slash at its end, or
// of an instance.
func (c *ControlPlane) parseResource(arn string) (r resource, err error) {
	kind, id, _ := strings.Cut(strings.TrimPrefix(arn, c.arnPrefix()), "/")
	switch {
	case !strings.HasPrefix(arn, c.arnPrefix()):
		err = errResource
	case kind == "stack":
		r.stack, err = authz.ParseStackID(strings.TrimSuffix(id, "/"))
	case kind == "instance":
		r.instance, err = authz.ParseInstanceID(id)
	default:
		err = errResource
	}
	if err != nil {
		return resource{}, invalid("Resource Arn", errResource)
	}
	return r, nil
}

// tagged authorises an action on a resource, with the tags that the request names,
// and finds it.
func (c *ControlPlane) tagged(
	ctx context.Context, v store.View, who principal, action authz.Action, r resource, on target,
) (store.Tagged, error) {
	if r.stack.IsZero() {
		_, err := c.instanceOn(ctx, v, who, action, r.instance, on)
		return store.OfInstance(r.instance), err
	}
	on.stack = r.stack
	if err := c.authoriseOn(ctx, v, who, action, on); err != nil {
		return store.Tagged{}, err
	}
	_, err := v.Serial(ctx, r.stack)
	if errors.Is(err, store.ErrNotFound) {
		return store.Tagged{}, noStack(r.stack)
	}
	return store.OfStack(r.stack), err
}

// TagResource gives a stack or an instance tags, or its tags other values.
func (c *ControlPlane) TagResource(ctx context.Context, caller Caller, req TagResourceRequest) (Nothing, error) {
	r, err := c.parseResource(req.ResourceArn)
	if err != nil {
		return Nothing{}, err
	}
	tags, err := parseTags(req.Tags)
	if err != nil {
		return Nothing{}, invalid("Tags", err)
	}
	on := target{tags: map[string]string{}}
	for _, tag := range tags {
		on.tags[tag.Key] = tag.Value
	}
	const action = "opsworks:TagResource"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		of, err := c.tagged(ctx, ch.View, ch.who, action, r, on)
		if err != nil {
			return err
		}
		detail := map[string]string{}
		for _, tag := range tags {
			if err := ch.SetTag(ctx, of, tag); err != nil {
				return err
			}
			detail["tag "+tag.Key] = tag.Value
		}
		ch.Record(r.String(), detail)
		all, err := ch.Tags(ctx, of)
		if err != nil {
			return err
		}
		return checkTags(all)
	})
}

// checkTags refuses what no resource may have: too many tags, and two whose keys
// differ in case alone, which policies could not tell from each other.
func checkTags(all []store.Tag) error {
	seen := map[string]bool{}
	for _, tag := range all {
		folded := strings.ToLower(tag.Key)
		if seen[folded] {
			return invalid("Tags", errTagKeyCase)
		}
		seen[folded] = true
	}
	if len(all) > maxTags {
		return invalid("Tags", errTagsMany)
	}
	return nil
}

// UntagResource takes tags away; keys that are not there are passed over.
func (c *ControlPlane) UntagResource(ctx context.Context, caller Caller, req UntagResourceRequest) (Nothing, error) {
	r, err := c.parseResource(req.ResourceArn)
	if err != nil {
		return Nothing{}, err
	}
	if len(req.TagKeys) == 0 {
		return Nothing{}, invalid("Tag Keys", errNoTags)
	}
	keys, err := parseAll(req.TagKeys, parseTagKey)
	if err != nil {
		return Nothing{}, invalid("Tag Keys", err)
	}
	const action = "opsworks:UntagResource"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		of, err := c.tagged(ctx, ch.View, ch.who, action, r, target{tagKeys: keys})
		if err != nil {
			return err
		}
		detail := map[string]string{}
		for _, key := range keys {
			if err := ch.DeleteTag(ctx, of, key); err != nil {
				return err
			}
			detail["tag "+key] = ""
		}
		ch.Record(r.String(), detail)
		return nil
	})
}

// ListTags lists the tags of a stack or an instance by key, all of them or so many
// after those of the answer before.
func (c *ControlPlane) ListTags(ctx context.Context, caller Caller, req ListTagsRequest) (ListTagsResponse, error) {
	out := ListTagsResponse{Tags: map[string]string{}}
	r, err := c.parseResource(req.ResourceArn)
	if err != nil {
		return out, err
	}
	after, err := base64.RawURLEncoding.DecodeString(req.NextToken)
	if err != nil || len(after) > maxTagKey*utf8.UTFMax {
		return out, invalid("Next Token", errNextToken)
	}
	limit := maxTagPage
	if req.MaxResults != nil {
		if *req.MaxResults < 1 || *req.MaxResults > maxTagPage {
			return out, invalid("Max Results", errMaxResults)
		}
		limit = int(*req.MaxResults)
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		of, err := c.tagged(ctx, v, who, "opsworks:ListTags", r, target{})
		if err != nil {
			return err
		}
		all, err := v.Tags(ctx, of)
		rest := slices.DeleteFunc(all, func(t store.Tag) bool { return t.Key <= string(after) })
		for _, tag := range rest[:min(limit, len(rest))] {
			out.Tags[tag.Key] = tag.Value
		}
		if len(rest) > limit {
			out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(rest[limit-1].Key))
		}
		return err
	})
	return out, err
}

// String returns the id of what an ARN names.
func (r resource) String() string {
	if r.stack.IsZero() {
		return r.instance.String()
	}
	return r.stack.String()
}

// parseTags checks tags and sorts them by key. White space around keys and values
// is not part of them, as in the original.
func parseTags(given map[string]string) ([]store.Tag, error) {
	if len(given) == 0 {
		return nil, errNoTags
	}
	var tags []store.Tag
	for _, k := range slices.Sorted(maps.Keys(given)) {
		key, err := parseTagKey(k)
		if err != nil {
			return nil, err
		}
		value := strings.TrimSpace(given[k])
		switch {
		case utf8.RuneCountInString(value) > maxTagValue:
			return nil, errTagValueLong
		case !tagText(value):
			return nil, errTagText
		case slices.ContainsFunc(tags, func(t store.Tag) bool { return t.Key == key }):
			return nil, errTagKeyTwice
		}
		tags = append(tags, store.Tag{Key: key, Value: value})
	}
	return tags, nil
}

func parseTagKey(s string) (string, error) {
	key := strings.TrimSpace(s)
	switch {
	case key == "":
		return "", errTagKeyEmpty
	case utf8.RuneCountInString(key) > maxTagKey:
		return "", errTagKeyLong
	case len(key) >= 4 && strings.EqualFold(key[:4], "aws:"):
		return "", errTagKeyOwned
	case !tagText(key):
		return "", errTagText
	}
	return key, nil
}

// tagText reports whether a text holds the characters of tags only; of the spaces
// only those that can be seen as one.
func tagText(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.Zs, r) && !strings.ContainsRune("+-=._:/", r) {
			return false
		}
	}
	return true
}
