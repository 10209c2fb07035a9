package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// openAPIName is the document's place below plainPath.
const openAPIName = "openapi.json"

// object is a JSON object; encoding/json prints its members sorted.
type object map[string]any

// OpenAPI returns the document that describes the plain surface: OpenAPI 3.1, as
// JSON, always the same bytes for the same program. It is made from Actions.
func OpenAPI() ([]byte, error) {
	d := document{schemas: object{"Error": errorSchema()}}
	paths := object{}
	for _, a := range Actions() {
		paths[plainPath+a.Name] = object{"post": d.operation(a)}
	}
	text, err := json.Marshal(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Latchkey", "version": "1",
			"description": "Every action is a POST with a JSON object. The actions tagged opsworks are also served at POST / " +
				"to AWS clients, in AWS JSON 1.1.",
		},
		"servers":  []object{{"url": "/"}},
		"security": []object{{"password": []string{}}, {"signature": []string{}}},
		"paths":    paths,
		"components": object{
			"schemas": d.schemas,
			"securitySchemes": object{
				"password":  object{"type": "http", "scheme": "basic", "description": "Access key id and secret."},
				"signature": object{"type": "apiKey", "in": "header", "name": "Authorization", "description": "AWS Signature Version 4."},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %v", err)
	}
	return text, nil
}

// document collects the schemas that operations refer to.
type document struct{ schemas object }

func (d document) operation(a Action) object {
	service, _, _ := strings.Cut(string(a.IAM), ":")
	answer := object{"type": "object", "maxProperties": 0}
	if a.Response != nil {
		answer = d.reference(a.Response, false)
	}
	responses := object{"200": object{"description": "Done.", "content": inJSON(answer)}}
	for status, what := range map[int]string{
		http.StatusBadRequest: "The request is malformed or forbidden.", http.StatusUnauthorized: "Nobody known is calling.",
		http.StatusForbidden: "The caller may not.", http.StatusNotFound: "Something named does not exist.",
		http.StatusConflict: "Another request is in the way.", http.StatusRequestEntityTooLarge: "The body is too large.",
		http.StatusTooManyRequests: "Ask again later.", http.StatusInternalServerError: "A fault of the server.",
	} {
		responses[strconv.Itoa(status)] = object{"description": what, "content": inJSON(object{"$ref": "#/components/schemas/Error"})}
	}
	request := object{"required": a.Request.NumField() > 0, "content": inJSON(d.reference(a.Request, true))}
	if a.MaxBody != MaxBody {
		request["description"] = fmt.Sprintf("At most %d bytes.", a.MaxBody)
	}
	return object{
		"operationId": a.Name, "summary": a.Doc, "tags": []string{service}, "x-iam-action": string(a.IAM),
		"requestBody": request,
		"responses":   responses,
	}
}

func inJSON(schema object) object { return object{plainJSON: object{"schema": schema}} }

func errorSchema() object {
	return object{
		"type": "object", "required": []string{"__type", "message"},
		"properties": object{"__type": object{"type": "string"}, "message": object{"type": "string"}},
	}
}

// reference adds the schema of a struct and returns a reference to it. A request's
// has no members beyond those listed: the plain surface refuses others.
func (d document) reference(t reflect.Type, closed bool) object {
	ref := object{"$ref": "#/components/schemas/" + t.Name()}
	if _, there := d.schemas[t.Name()]; there {
		return ref
	}
	properties, required := object{}, []string{}
	schema := object{"type": "object", "properties": properties}
	d.schemas[t.Name()] = schema
	for _, m := range membersOf(t) {
		property := d.schema(m.kind, closed)
		if m.doc != "" {
			property["description"] = m.doc
		}
		properties[m.name] = property
		if m.required {
			required = append(required, m.name)
		}
	}
	if len(required) > 0 {
		schema["required"] = required
	}
	if closed {
		schema["additionalProperties"] = false
	}
	return ref
}

func (d document) schema(t reflect.Type, closed bool) object {
	if t == anyJSON {
		return object{}
	}
	switch t.Kind() {
	case reflect.Struct:
		return d.reference(t, closed)
	case reflect.Slice:
		return object{"type": "array", "items": d.schema(t.Elem(), closed)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem(), closed)}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int64:
		return object{"type": "integer", "format": "int64"}
	}
	return object{"type": "string"}
}

// member is one member of a request or a response.
type member struct {
	name     string
	kind     reflect.Type // no pointer
	required bool         // of a response: always there
	doc      string
}

// membersOf lists the members of a struct in the order of its source, those of an
// embedded one in its place.
func membersOf(t reflect.Type) (all []member) {
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		kind := f.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		all = append(all, member{
			name: f.Name, kind: kind, doc: f.Tag.Get("doc"), required: !strings.Contains(f.Tag.Get("json"), "omitempty"),
		})
	}
	return all
}

// serveDocument answers GET /api/v1/openapi.json, to those who have an access key: a
// stranger learns nothing about actions (requirement R73).
func (h *handler) serveDocument(w http.ResponseWriter, r *http.Request) {
	began := h.now()
	c := call{surface: plainSurface(), name: openAPIName, caller: newCaller(r)}
	rep, err := h.documentFor(r, &c)
	if err != nil {
		e := outside(err)
		rep = failed(e, c.surface.status(e.Code))
	}
	c.surface.write(w, rep)
	h.logCall(r.Context(), c, rep, h.now().Sub(began))
}

func (h *handler) documentFor(r *http.Request, c *call) (reply, error) {
	p, err := h.auth.authenticate(r, nil, c.surface)
	if err != nil {
		return reply{}, err
	}
	c.caller.ARN, c.caller.AccessKeyID = p.caller.ARN, p.caller.AccessKeyID
	text, err := OpenAPI()
	return reply{status: http.StatusOK, body: string(text)}, err
}
