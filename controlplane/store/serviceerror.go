package store

import (
	"context"
	"fmt"
	"time"

	"latchkey/authz"
)

// ServiceError is something that went wrong on an instance, in its own words.
type ServiceError struct {
	ID            string // a UUID
	Instance      authz.InstanceID
	Stack         authz.StackID // of the instance; read only
	Type, Message string
	CreatedAt     time.Time
}

const selectServiceError = `
	SELECT e.id, e.instance_id, i.stack_id, e.type, e.message, e.created_at
	FROM service_errors e JOIN instances i ON i.id = e.instance_id`

// ServiceError finds a service error, or returns ErrNotFound.
func (v View) ServiceError(ctx context.Context, id string) (ServiceError, error) {
	return one(ctx, v, scanServiceError, selectServiceError+` WHERE e.id = $1`, id)
}

// ServiceErrorsOf returns the service errors of an instance, newest first.
func (v View) ServiceErrorsOf(ctx context.Context, id authz.InstanceID) ([]ServiceError, error) {
	return list(ctx, v, scanServiceError, selectServiceError+` WHERE e.instance_id = $1 ORDER BY e.seq DESC`, id.String())
}

// ServiceErrorsOn returns the service errors of a stack's instances, newest first.
func (v View) ServiceErrorsOn(ctx context.Context, id authz.StackID) ([]ServiceError, error) {
	return list(ctx, v, scanServiceError, selectServiceError+` WHERE i.stack_id = $1 ORDER BY e.seq DESC`, id.String())
}

// ServiceErrors returns all service errors, newest first.
func (v View) ServiceErrors(ctx context.Context) ([]ServiceError, error) {
	return list(ctx, v, scanServiceError, selectServiceError+` ORDER BY e.seq DESC`)
}

func scanServiceError(s scanner) (e ServiceError, err error) {
	var instance, stack string
	var at int64
	if err := s.Scan(&e.ID, &instance, &stack, &e.Type, &e.Message, &at); err != nil {
		return e, err
	}
	e.CreatedAt = time.Unix(at, 0).UTC()
	if e.Instance, err = authz.ParseInstanceID(instance); err != nil {
		return ServiceError{}, fmt.Errorf("%w: service error %s: %v", ErrCorrupt, e.ID, err)
	}
	if e.Stack, err = authz.ParseStackID(stack); err != nil {
		return ServiceError{}, fmt.Errorf("%w: service error %s: %v", ErrCorrupt, e.ID, err)
	}
	return e, nil
}

// PutServiceErrors keeps what went wrong on one instance, in order, and of the
// instance's older ones as many as make keep in all.
func (o Observation) PutServiceErrors(ctx context.Context, id authz.InstanceID, errs []ServiceError, keep int) error {
	for _, e := range errs {
		_, err := o.exec(ctx, `
			INSERT INTO service_errors (id, instance_id, type, message, created_at) VALUES ($1, $2, $3, $4, $5)`,
			e.ID, id.String(), e.Type, e.Message, e.CreatedAt.Unix())
		if err != nil {
			return fmt.Errorf("insert service error of %s: %w", id, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	_, err := o.exec(ctx, `
		DELETE FROM service_errors WHERE instance_id = $1 AND seq NOT IN
			(SELECT seq FROM service_errors WHERE instance_id = $1 ORDER BY seq DESC LIMIT $2)`, id.String(), keep)
	if err != nil {
		return fmt.Errorf("forget old service errors of %s: %w", id, err)
	}
	return nil
}
