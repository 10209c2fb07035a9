package controlplane

import (
	"context"
	"errors"
	"regexp"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/datadir"
	"latchkey/controlplane/store"
)

// maxAccessKeys is IAM's: access keys of a user, two so that one can replace the
// other.
const maxAccessKeys = 2

// Reasons for refusing what access keys are about.
var (
	errKeyID      = name.Refuse("access_key_id", "is not 16 to 128 of A-Z 0-9")
	errKeyStatus  = name.Refuse("access_key_status", "is neither Active nor Inactive")
	errKeysMany   = name.Refuse("access_keys_many", "the user has 2 access keys, which is the most; delete one first")
	errKeyCalling = name.Refuse("access_key_calling", "is the key that signs this request; make another one and call with that")
)

// keyIDForm is IAM's for ids of access keys, which have no small letters.
var keyIDForm = regexp.MustCompile(`^[A-Z0-9]{16,128}$`)

// The two states of an access key, in IAM's words.
const (
	keyActive   = "Active"
	keyInactive = "Inactive"
)

// parseOwner reads the user whose keys are meant: by default the caller.
func parseOwner(given string, caller Caller) (authz.ARN, error) {
	if given == "" {
		return caller.ARN, nil
	}
	return parseARN(given)
}

func parseKeyID(s string) (string, error) {
	if !keyIDForm.MatchString(s) {
		return "", invalid("Access Key Id", errKeyID)
	}
	return s, nil
}

// CreateAccessKey makes an access key for a user, and shows its secret this once: it
// is stored sealed with a key that is not in the database (requirement R119). Who
// makes one for somebody else can act as him, so he must be able to do as much.
func (c *ControlPlane) CreateAccessKey(ctx context.Context, caller Caller, req CreateAccessKeyRequest) (CreateAccessKeyResponse, error) {
	arn, err := parseOwner(req.IamUserArn, caller)
	if err != nil {
		return CreateAccessKeyResponse{}, err
	}
	k := datadir.NewAccessKey()
	out := CreateAccessKeyResponse{
		AccessKeyId: k.ID, SecretAccessKey: k.Secret, IamUserArn: arn.String(), Status: keyActive,
	}
	err = c.alter(ctx, caller, "latchkey:CreateAccessKey", target{user: arn}, func(a alteration) error {
		u, err := knownUser(ctx, a.View, arn)
		if err != nil {
			return err
		}
		if err := c.mayActAs(ctx, a.change, u); err != nil {
			return err
		}
		all, err := a.AccessKeysOf(ctx, u.ID)
		if err != nil {
			return err
		}
		if len(all) >= maxAccessKeys {
			return invalid("Iam User Arn", errKeysMany)
		}
		out.CreatedAt = timestamp(a.Now())
		a.Record(arn.String(), map[string]string{"access_key": k.ID})
		sealed := c.cfg.Secrets.Seal([]byte(k.Secret), secretPurpose(k.ID))
		return a.InsertAccessKey(ctx, store.AccessKey{ID: k.ID, User: u.ID, Secret: sealed})
	})
	if err != nil {
		return CreateAccessKeyResponse{}, err
	}
	return out, nil
}

// ListAccessKeys lists the access keys of a user, without their secrets.
func (c *ControlPlane) ListAccessKeys(ctx context.Context, caller Caller, req ListAccessKeysRequest) (ListAccessKeysResponse, error) {
	out := ListAccessKeysResponse{AccessKeys: []AccessKey{}}
	arn, err := parseOwner(req.IamUserArn, caller)
	if err != nil {
		return out, err
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authoriseOn(ctx, v, who, "latchkey:ListAccessKeys", target{user: arn}); err != nil {
			return err
		}
		u, err := knownUser(ctx, v, arn)
		if err != nil {
			return err
		}
		out.AccessKeys, err = showKeys(ctx, v, u)
		return err
	})
	return out, err
}

func showKeys(ctx context.Context, v store.View, u authz.Profile) ([]AccessKey, error) {
	all, err := v.AccessKeysOf(ctx, u.ID)
	shown := make([]AccessKey, len(all))
	for i, k := range all {
		shown[i] = AccessKey{AccessKeyId: k.ID, Status: keyInactive, CreatedAt: timestamp(k.CreatedAt)}
		if k.Active {
			shown[i].Status = keyActive
		}
	}
	return shown, err
}

// UpdateAccessKey makes an access key prove something again, or nothing. Who brings
// back the key of somebody else must be able to do as much as he.
func (c *ControlPlane) UpdateAccessKey(ctx context.Context, caller Caller, req UpdateAccessKeyRequest) (Nothing, error) {
	if req.Status != keyActive && req.Status != keyInactive {
		return Nothing{}, invalid("Status", errKeyStatus)
	}
	active := req.Status == keyActive
	const action = "latchkey:UpdateAccessKey"
	return Nothing{}, c.alterKey(ctx, caller, action, req.IamUserArn, req.AccessKeyId, func(a alteration, u authz.Profile, key string) error {
		switch {
		case active:
			if err := c.mayActAs(ctx, a.change, u); err != nil {
				return err
			}
		case key == a.caller.AccessKeyID:
			return invalid("Access Key Id", errKeyCalling)
		}
		a.Record(u.ARN.String(), map[string]string{"access_key": key, "status": req.Status})
		return a.SetAccessKeyActive(ctx, key, active)
	})
}

// DeleteAccessKey ends an access key for good.
func (c *ControlPlane) DeleteAccessKey(ctx context.Context, caller Caller, req DeleteAccessKeyRequest) (Nothing, error) {
	const action = "latchkey:DeleteAccessKey"
	return Nothing{}, c.alterKey(ctx, caller, action, req.IamUserArn, req.AccessKeyId, func(a alteration, u authz.Profile, key string) error {
		if key == a.caller.AccessKeyID {
			return invalid("Access Key Id", errKeyCalling)
		}
		a.Record(u.ARN.String(), map[string]string{"access_key": key})
		return a.DeleteAccessKey(ctx, key)
	})
}

// alterKey runs f for a key of a user. The key of somebody else is as little there as
// one that nobody has.
func (c *ControlPlane) alterKey(
	ctx context.Context, caller Caller, action authz.Action, owner, given string, f func(alteration, authz.Profile, string) error,
) error {
	arn, err := parseOwner(owner, caller)
	if err != nil {
		return err
	}
	id, err := parseKeyID(given)
	if err != nil {
		return err
	}
	return c.alter(ctx, caller, action, target{user: arn}, func(a alteration) error {
		u, err := knownUser(ctx, a.View, arn)
		if err != nil {
			return err
		}
		k, err := a.AccessKey(ctx, id)
		if errors.Is(err, store.ErrNotFound) || err == nil && k.User != u.ID {
			return &Error{Code: NotFound, Message: "Unable to find access key with ID " + id + " of user " + arn.String()}
		}
		if err != nil {
			return err
		}
		return f(a, u, id)
	})
}
