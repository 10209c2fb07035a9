package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"unicode/utf8"

	"latchkey/controlplane"
)

// unknown says what happens to a member that a request's type does not have.
type unknown bool

const (
	// ignoreUnknown is what the AWS services do, so that an old service goes on
	// serving newer clients.
	ignoreUnknown unknown = false
	// refuseUnknown catches a mistyped member, which would otherwise be an omitted
	// one: on SetPermission that keeps the old value.
	refuseUnknown unknown = true
)

// decode reads one JSON object into the struct that v points to. It is stricter
// than encoding/json where leniency could make two readers of one request
// disagree: member names are compared exactly, none may come twice, text is
// UTF-8, nothing follows the object. An empty body is an empty object, and null
// is an absent member, as on the AWS services.
func decode(body []byte, v any, u unknown) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return refuse(Malformed, "the body is not UTF-8")
	}
	if !json.Valid(body) {
		return refuse(Malformed, "the body is not one JSON document")
	}
	return decodeValue(body, reflect.ValueOf(v).Elem(), "", u)
}

// anyJSON is a member whose form is the use case's to check: a policy document. It
// is kept as it was sent.
var anyJSON = reflect.TypeFor[json.RawMessage]()

func decodeValue(raw json.RawMessage, v reflect.Value, path string, u unknown) error {
	if string(raw) == "null" && path != "" {
		return nil
	}
	if v.Type() == anyJSON {
		v.SetBytes(raw)
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return decodeValue(raw, p.Elem(), path, u)
	case reflect.Struct:
		return eachMember(raw, path, func(name string, value json.RawMessage) error {
			return decodeMember(value, v, path, name, u)
		})
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		return eachMember(raw, path, func(name string, value json.RawMessage) error {
			e := reflect.New(v.Type().Elem()).Elem()
			err := decodeValue(value, e, join(path, name), u)
			v.SetMapIndex(reflect.ValueOf(name), e)
			return err
		})
	case reflect.Slice:
		return eachElement(raw, path, func(place string, value json.RawMessage) error {
			e := reflect.New(v.Type().Elem()).Elem()
			err := decodeValue(value, e, place, u)
			v.Set(reflect.Append(v, e))
			return err
		})
	}
	if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
		return refuse(Malformed, "%s: %s is wanted, %s was given", path, kindWords(v.Kind()), jsonWords(raw))
	}
	return nil
}

func decodeMember(value json.RawMessage, v reflect.Value, path, name string, u unknown) error {
	// Exact: FieldByName would also find promoted fields, which no request has.
	field, ok := v.Type().FieldByName(name)
	switch {
	case ok && field.IsExported():
		return decodeValue(value, v.FieldByIndex(field.Index), join(path, name), u)
	case u == refuseUnknown:
		return refuse(controlplane.Invalid, "%q is not a member of this request", clip(join(path, name)))
	}
	return nil
}

func eachMember(raw json.RawMessage, path string, do func(string, json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if first, _ := dec.Token(); first != json.Delim('{') {
		return refuse(Malformed, "%s: an object is wanted, %s was given", orBody(path), jsonWords(raw))
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		name := key.(string)
		if seen[name] {
			return refuse(Malformed, "%q is given twice", clip(join(path, name)))
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := do(name, value); err != nil {
			return err
		}
	}
	return nil
}

func eachElement(raw json.RawMessage, path string, do func(string, json.RawMessage) error) error {
	var all []json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return refuse(Malformed, "%s: a list is wanted, %s was given", path, jsonWords(raw))
	}
	for i, value := range all {
		place := path + "[" + strconv.Itoa(i) + "]"
		if string(value) == "null" {
			return refuse(Malformed, "%s: a list holds null", place)
		}
		if err := do(place, value); err != nil {
			return err
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orBody(path string) string {
	if path == "" {
		return "the body"
	}
	return path
}

func kindWords(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "a whole number"
	}
	return "a string"
}

func jsonWords(raw json.RawMessage) string {
	switch raw = bytes.TrimSpace(raw); raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// encode prints a response. HTML characters stay readable: nothing of this
// surface is ever shown as a page (nosniff, and the content type says JSON).
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
