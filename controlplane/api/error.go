package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"latchkey/controlplane"
)

// Codes of what goes wrong before a use case is reached, beside those of package
// controlplane. The words are those of the AWS services.
const (
	UnknownOperation controlplane.Code = "UnknownOperationException"
	Malformed        controlplane.Code = "SerializationException"
	NoCredentials    controlplane.Code = "MissingAuthenticationTokenException"
	BadCredentials   controlplane.Code = "IncompleteSignatureException"
	Conflict         controlplane.Code = "ConflictException"
	TooLarge         controlplane.Code = "RequestEntityTooLargeException"
	TooMany          controlplane.Code = "ThrottlingException"
	Internal         controlplane.Code = "InternalFailure"
)

func refuse(code controlplane.Code, format string, args ...any) *controlplane.Error {
	return &controlplane.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// honestStatus is the plain surface's HTTP status of a code.
func honestStatus(code controlplane.Code) int {
	switch code {
	case controlplane.Unauthenticated, controlplane.BadSignature, NoCredentials, BadCredentials:
		return http.StatusUnauthorized
	case controlplane.Denied:
		return http.StatusForbidden
	case controlplane.NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case TooMany:
		return http.StatusTooManyRequests
	case Internal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// awsStatus is the AWS surface's: 400 for everything that is the caller's, as the
// original service answered.
func awsStatus(code controlplane.Code) int {
	if code == Internal {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// outside is what a caller is shown of an error: an *Error as it is, anything
// else as an internal error without its text.
func outside(err error) *controlplane.Error {
	var e *controlplane.Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &controlplane.Error{Code: Internal, Message: "the request was not finished in time", Err: err}
	}
	return &controlplane.Error{Code: Internal, Message: "internal error", Err: err}
}

// clip shortens foreign text that goes back in a message; use it with %q.
func clip(s string) string {
	if len(s) > 128 {
		return s[:128] + "…"
	}
	return s
}

// WriteError answers with err in the form and with the status of the plain
// surface, and returns what was shown: for the surfaces beside this package's
// own. challenge is the scheme by which one authenticates there. An error that is
// no *controlplane.Error is shown as an internal one; its text is in the returned
// error's Err, for the log.
func WriteError(w http.ResponseWriter, err error, challenge string) *controlplane.Error {
	e, s := outside(err), plainSurface()
	s.challenge = challenge
	s.write(w, failed(e, s.status(e.Code)))
	return e
}
