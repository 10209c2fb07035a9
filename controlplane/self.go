package controlplane

import (
	"context"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

// DescribeMyUserProfile shows the caller's own profile.
func (c *ControlPlane) DescribeMyUserProfile(
	ctx context.Context, caller Caller, _ DescribeMyUserProfileRequest,
) (DescribeMyUserProfileResponse, error) {
	var out DescribeMyUserProfileResponse
	err := c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authorise(ctx, v, who, "opsworks:DescribeMyUserProfile", authz.StackID{}); err != nil {
			return err
		}
		shown := showProfile(who.Profile)
		out.UserProfile = SelfUserProfile{
			IamUserArn: shown.IamUserArn, Name: shown.Name, SshUsername: shown.SshUsername, SshPublicKey: shown.SshPublicKey,
		}
		return nil
	})
	return out, err
}

// UpdateMyUserProfile changes the caller's own key, and nothing else of him.
func (c *ControlPlane) UpdateMyUserProfile(ctx context.Context, caller Caller, req UpdateMyUserProfileRequest) (Nothing, error) {
	wish := profileWish{arn: caller.ARN}
	if req.SshPublicKey != nil {
		keys, err := parseKeys(*req.SshPublicKey)
		if err != nil {
			return Nothing{}, invalid("Ssh Public Key", err)
		}
		wish.keys = &keys
	}
	const action = "opsworks:UpdateMyUserProfile"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		if err := c.authorise(ctx, ch.View, ch.who, action, authz.StackID{}); err != nil {
			return err
		}
		return c.updateUser(ctx, ch, wish)
	})
}
