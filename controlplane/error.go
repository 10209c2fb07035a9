package controlplane

import (
	"fmt"

	"latchkey/authz"
)

// Code is the API's word for a kind of error, as a client's program reads it.
type Code string

// The codes this package gives. BadSignature is for package api, which checks
// signatures; it is here so that there is one list.
const (
	Invalid         Code = "ValidationException"         // a malformed or forbidden request
	NotFound        Code = "ResourceNotFoundException"   // something named does not exist
	Denied          Code = "AccessDeniedException"       // the caller may not
	Unauthenticated Code = "UnrecognizedClientException" // nobody known is calling
	BadSignature    Code = "InvalidSignatureException"   // the caller did not prove it
)

// Error is a use case's answer when it did not do what was asked: Code for
// programs, Message for people, Err for the log. Any other error that a use case
// returns is a fault of this program or its machine: its text is not for callers.
type Error struct {
	Code    Code
	Message string
	// Err is the reason, often an *authz.Refusal; nil when Message says it all.
	Err error
}

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// invalid refuses one member of a request, in the original's style of
// "Attribute Name: reason".
func invalid(attribute string, reason error) *Error {
	return &Error{Code: Invalid, Message: attribute + ": " + reason.Error(), Err: reason}
}

func refused(format string, args ...any) *Error {
	return &Error{Code: Invalid, Message: fmt.Sprintf(format, args...)}
}

func noUser(arn authz.ARN) *Error {
	return &Error{Code: NotFound, Message: "Unable to find user with ARN " + arn.String()}
}

func noStack(id authz.StackID) *Error {
	return &Error{Code: NotFound, Message: "Unable to find stack with ID " + id.String()}
}

func noInstance(id authz.InstanceID) *Error {
	return &Error{Code: NotFound, Message: "Unable to find instance with ID " + id.String()}
}

// unauthenticated is the same for every cause, and in the words of the original.
func unauthenticated(why error) *Error {
	return &Error{Code: Unauthenticated, Message: "The security token included in the request is invalid.", Err: why}
}
