package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"latchkey/authz"
	"latchkey/authz/wire"
	"latchkey/controlplane/store"
)

// tellingActions are those whose decisions tell most about what somebody may do on a
// stack. Whoever may set permissions may give himself SSH and sudo there.
func tellingActions() []authz.Action {
	return []authz.Action{"opsworks:DescribeStacks", "opsworks:CreateDeployment", "opsworks:UpdateStack", setPermissions}
}

const setPermissions = "opsworks:SetPermission"

// ExplainAccess says why a user may, or may not, enter the instances of a stack, with
// all that bears on it. Somebody who sees the stack may ask about himself.
func (c *ControlPlane) ExplainAccess(ctx context.Context, caller Caller, req ExplainAccessRequest) (ExplainAccessResponse, error) {
	stack, err := parseStack(req.StackId)
	if err != nil {
		return ExplainAccessResponse{}, err
	}
	arn, err := parseARN(req.IamUserArn)
	if err != nil {
		return ExplainAccessResponse{}, err
	}
	var out ExplainAccessResponse
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authoriseAbout(ctx, v, who, "latchkey:ExplainAccess", stack, arn); err != nil {
			return err
		}
		out, err = c.explain(ctx, v, stack, arn)
		return err
	})
	return out, err
}

func (c *ControlPlane) explain(ctx context.Context, v store.View, stack authz.StackID, arn authz.ARN) (ExplainAccessResponse, error) {
	st, err := stackNamed(ctx, v, stack)
	if err != nil {
		return ExplainAccessResponse{}, err
	}
	them, err := c.subject(ctx, v, arn)
	if err != nil {
		return ExplainAccessResponse{}, err
	}
	if them.ID.IsZero() {
		return ExplainAccessResponse{}, noUser(arn)
	}
	p, err := v.Permission(ctx, stack, them.ID)
	if err != nil {
		return ExplainAccessResponse{}, err
	}
	why := authz.Explain(them.Profile, p, c.cfg.Now())
	set, err := settings(ctx, v, stack)
	if err != nil {
		return ExplainAccessResponse{}, err
	}
	out := showExplanation(st, set, them.Profile, c.showPermission(p, arn), why)
	if err := c.explainOrigin(ctx, v, &out, p); err != nil {
		return out, err
	}
	if err := c.explainRights(ctx, v, &out, stack, them); err != nil {
		return out, err
	}
	if err := c.explainInstances(ctx, v, &out, st, why); err != nil {
		return out, err
	}
	return out, explainUses(ctx, v, &out, stack, them.ID)
}

func showExplanation(st store.Stack, set wire.Settings, u authz.Profile, worth Permission, why authz.Explanation) ExplainAccessResponse {
	out := ExplainAccessResponse{
		IamUserArn: u.ARN.String(), StackId: st.ID.String(), StackName: st.Name,
		MayEnter: why.May, Text: why.Text, Lines: why.Lines,
		Level: worth.Level, AllowSsh: worth.AllowSsh, AllowSudo: worth.AllowSudo,
		Sudo: why.Grant.Sudo, SudoCommands: worth.SudoCommands, Restricted: worth.Restricted, ExpiresAt: worth.ExpiresAt, Ended: why.Ended,
		SshUsername: u.Username.String(), Uid: int64(u.UID), Keys: []SshKey{}, SelfManagement: u.SelfManagement,
		Settings: showSettings(set),
	}
	if why.Reason != nil {
		out.Reason = why.Reason.Code
	}
	for _, k := range u.Keys {
		out.Keys = append(out.Keys, SshKey{Type: k.Type(), Fingerprint: k.Fingerprint()})
	}
	return out
}

// explainOrigin says who set the permission.
func (c *ControlPlane) explainOrigin(ctx context.Context, v store.View, out *ExplainAccessResponse, p authz.Permission) error {
	origin, err := v.PermissionOrigin(ctx, p.Stack, p.User)
	if err != nil {
		return err
	}
	out.SetBy = origin.By
	if !origin.At.IsZero() {
		out.SetAt = timestamp(origin.At)
	}
	line := "the permission was last set by " + origin.By + " at " + out.SetAt
	switch {
	case p == store.DefaultPermission(p.Stack, p.User):
		line = "nobody has set the permission: it is what every user has"
	case origin.By == "":
		line = "who set the permission is not known"
	case origin.By == out.IamUserArn:
		line = "the permission was last set by the user himself at " + out.SetAt
	}
	out.Lines = append(out.Lines, line)
	return nil
}

// explainRights says what the user may do on the stack by policies and level, as far
// as it depends on no circumstances but the time.
func (c *ControlPlane) explainRights(ctx context.Context, v store.View, out *ExplainAccessResponse, stack authz.StackID, them principal) error {
	var err error
	if out.PermissionsBoundary, err = v.Boundary(ctx, them.ID); err != nil {
		return err
	}
	out.Policies = append([]string{}, them.rights.Origins()...)
	out.Lines = append(out.Lines, rightsLines(out.Policies, out.PermissionsBoundary)...)
	keys, _, err := c.askedKeys(nil, c.cfg.Now())
	if err != nil {
		return err
	}
	if them.context, err = them.context.With(keys); err != nil {
		return err
	}
	on := target{stack: stack}
	p, tags, err := c.facts(ctx, v, them, on)
	if err != nil {
		return err
	}
	out.Decisions = []ActionDecision{}
	for _, action := range tellingActions() {
		r, err := c.request(them, action, on, p, tags)
		if err != nil {
			return err
		}
		d := authz.Decide(r)
		out.Decisions = append(out.Decisions, ActionDecision{Action: string(action), Decision: d.Outcome.String(), Text: d.By})
		out.Lines = append(out.Lines, decisionLine(action, d))
		if action == setPermissions && d.Allowed() {
			out.Lines = append(out.Lines, "so the user may give himself SSH and sudo on the stack")
		}
	}
	return nil
}

func rightsLines(policies []string, boundary string) []string {
	lines := []string{"the user has no policies"}
	if len(policies) > 0 {
		lines[0] = "the user has " + strings.Join(policies, ", ")
	}
	if boundary != "" {
		lines = append(lines, "the user is bounded by permissions boundary "+boundary)
	}
	return lines
}

func decisionLine(action authz.Action, d authz.Decision) string {
	if d.Allowed() {
		return string(action) + " is allowed by " + d.By
	}
	return string(action) + " is denied: " + d.By
}

// explainInstances says what the stack's instances last reported about the user.
func (c *ControlPlane) explainInstances(ctx context.Context, v store.View, out *ExplainAccessResponse, st store.Stack, why authz.Explanation) error {
	instances, err := v.InstancesOf(ctx, st.ID)
	if err != nil {
		return err
	}
	receipts, err := v.NewestReceipts(ctx, st.ID)
	if err != nil {
		return err
	}
	out.Lines = append(out.Lines, settingsLine(out.Settings))
	out.Instances = []InstanceAccess{}
	for _, i := range instances {
		shown := InstanceAccess{
			InstanceId: i.ID.String(), Hostname: shownHostname(i), Serial: st.Serial, Account: accountNone,
		}
		seen := c.sights.last(i.ID, i.LastSeen)
		shown.Status = status(seen, c.cfg.Now())
		if !seen.IsZero() {
			shown.LastSeen = timestamp(seen)
		}
		if r, found := receipts[i.ID]; found {
			if err := c.explainReceipt(&shown, r, out.SshUsername); err != nil {
				return err
			}
		}
		out.Instances = append(out.Instances, shown)
		out.Lines = append(out.Lines, instanceLine(shown, why.May))
	}
	if len(instances) == 0 {
		out.Lines = append(out.Lines, "the stack has no instances")
	}
	return nil
}

// What an instance reported about an account.
const (
	accountNone    = "none"
	accountApplied = "applied"
	accountRefused = "refused"
	accountFailed  = "failed"
)

// explainReceipt reads what a receipt says about an account. One of an earlier epoch
// says nothing that still counts.
func (c *ControlPlane) explainReceipt(shown *InstanceAccess, r store.Receipt, login string) error {
	if r.Epoch != c.epoch {
		return nil
	}
	var said wire.Report
	if err := json.Unmarshal(r.Body, &said); err != nil {
		return fmt.Errorf("receipt of %s: %w", r.Instance, err)
	}
	shown.AppliedSerial, shown.UpToDate = r.Serial, r.Serial == shown.Serial
	shown.Account, shown.AccountReason = accountIn(said, login)
	return nil
}

// accountIn finds an account in a report: among the users that were refused, or in
// steps that did not succeed.
func accountIn(r wire.Report, login string) (state, reason string) {
	for _, u := range r.Refused {
		if u.What == login {
			return accountRefused, u.Error
		}
	}
	for _, s := range r.Steps {
		if s.Error != "" && bearsOn(s.What, login) {
			return accountFailed, s.What + ": " + s.Error
		}
	}
	return accountApplied, ""
}

// bearsOn reports whether a step is about an account or about the whole machine, by
// the words with which the agent prints its steps: an account is "NAME (uid N)", and
// its keys are in authorized_keys/NAME.
func bearsOn(step, login string) bool {
	if _, file, found := strings.Cut(step, "/authorized_keys/"); found {
		name, _, _ := strings.Cut(file, " ") // "NAME: why", if it says why
		return strings.TrimSuffix(name, ":") == login
	}
	return !strings.Contains(step, " (uid ") || strings.Contains(step, " "+login+" (uid ")
}

func settingsLine(s StackSettings) string {
	return "instances are told: keys by " + s.KeysMode + ", accounts on revoke " + s.OnRevoke + ", homes " + s.Homes +
		", keys of others in homes " + s.Unmanaged + ", without the control plane " + s.Stale
}

func instanceLine(i InstanceAccess, may bool) string {
	line := fmt.Sprintf("instance %q is %s", i.Hostname, i.Status)
	if i.Hostname == "" {
		line = "instance " + i.InstanceId + " is " + i.Status
	}
	if i.Account == accountNone {
		return line + " and has reported nothing yet"
	}
	line += fmt.Sprintf(", at serial %d of %d", i.AppliedSerial, i.Serial)
	switch {
	case i.Account == accountRefused, i.Account == accountFailed:
		return line + fmt.Sprintf(", and has the account %s: %q", i.Account, i.AccountReason)
	case !i.UpToDate:
		return line + ", and has not reported on the present state yet"
	case may:
		return line + ", and has the account"
	}
	return line + ", and has the account closed"
}
