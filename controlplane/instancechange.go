package controlplane

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"latchkey/authz"
	"latchkey/authz/name"
	"latchkey/controlplane/store"
)

// Reasons for refusing a change of an instance.
var (
	errHostname       = name.Refuse("hostname_malformed", "is not 1 to 63 letters, digits and dashes, with no dash at either end")
	errHostnameLong   = name.Refuse("hostname_long", "is longer than the 15 characters of a Windows instance")
	errHostnameTaken  = name.Refuse("hostname_taken", "another instance of the stack has it")
	errNoLayers       = name.Refuse("no_layers", "there are no layers")
	errMachineFact    = name.Refuse("machine_fact", "is a fact of the machine and cannot be set")
	errSettingsLarge  = name.Refuse("settings_large", "is longer than 255 bytes")
	errSettingsText   = name.Refuse("settings_character", "holds a character that cannot be printed")
	errVersionsNeeded = name.Refuse("versions_of_what", "one of them is required")
)

// hostnameForm is RFC 1123's label.
var hostnameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

const maxWindowsHostname = 15 // characters: NetBIOS

// instanceSettings is what UpdateInstance keeps and nothing acts on.
type instanceSettings struct {
	AgentVersion         string `json:",omitempty"`
	InstallUpdatesOnBoot *bool  `json:",omitempty"`
	SshKeyName           string `json:",omitempty"`
}

func settingsOf(i store.Instance) (s instanceSettings, err error) {
	if err := json.Unmarshal(i.Settings, &s); err != nil {
		return s, fmt.Errorf("settings of instance %s: %w", i.ID, err)
	}
	return s, nil
}

// shownHostname is the name an instance was given, or else its own.
func shownHostname(i store.Instance) string { return cmp.Or(i.GivenHostname, i.Facts.Hostname) }

// UpdateInstance changes how an instance is shown. The machine is not touched.
func (c *ControlPlane) UpdateInstance(ctx context.Context, caller Caller, req UpdateInstanceRequest) (Nothing, error) {
	id, err := parseInstance(req.InstanceId)
	if err != nil {
		return Nothing{}, err
	}
	if err := checkInstanceMembers(req); err != nil {
		return Nothing{}, err
	}
	const action = "opsworks:UpdateInstance"
	return Nothing{}, c.write(ctx, caller, action, func(ch *change) error {
		i, err := c.instanceFor(ctx, ch.View, ch.who, action, id)
		if err != nil {
			return err
		}
		if req.Hostname != nil {
			if err := checkHostname(ctx, ch.View, i, *req.Hostname); err != nil {
				return err
			}
			i.GivenHostname = *req.Hostname
		}
		if i.Settings, err = changedSettings(i, req); err != nil {
			return err
		}
		ch.Record(id.String(), map[string]string{"stack": i.Stack.String(), "hostname": shownHostname(i)})
		return ch.UpdateInstance(ctx, i)
	})
}

func checkInstanceMembers(req UpdateInstanceRequest) error {
	if len(req.LayerIds) > 0 {
		return invalid("Layer Ids", errNoLayers)
	}
	for _, m := range []struct {
		attribute string
		given     bool
	}{
		{"Instance Type", req.InstanceType != nil}, {"Auto Scaling Type", req.AutoScalingType != nil}, {"Os", req.Os != nil},
		{"Ami Id", req.AmiId != nil}, {"Architecture", req.Architecture != nil}, {"Ebs Optimized", req.EbsOptimized != nil},
	} {
		if m.given {
			return invalid(m.attribute, errMachineFact)
		}
	}
	if req.Hostname != nil && *req.Hostname != "" && !hostnameForm.MatchString(*req.Hostname) {
		return invalid("Hostname", errHostname)
	}
	if err := checkSetting("Agent Version", req.AgentVersion); err != nil {
		return err
	}
	return checkSetting("Ssh Key Name", req.SshKeyName)
}

func checkSetting(attribute string, text *string) error {
	switch {
	case text == nil:
		return nil
	case len(*text) > maxFact:
		return invalid(attribute, errSettingsLarge)
	case !printable(*text):
		return invalid(attribute, errSettingsText)
	}
	return nil
}

// checkHostname refuses a name that another instance of the stack is shown with.
func checkHostname(ctx context.Context, v store.View, i store.Instance, hostname string) error {
	if hostname == "" {
		return nil
	}
	if i.Facts.OS == "windows" && len(hostname) > maxWindowsHostname {
		return invalid("Hostname", errHostnameLong)
	}
	others, err := v.InstancesOf(ctx, i.Stack)
	for _, other := range others {
		if other.ID != i.ID && strings.EqualFold(shownHostname(other), hostname) {
			return invalid("Hostname", errHostnameTaken)
		}
	}
	return err
}

func changedSettings(i store.Instance, req UpdateInstanceRequest) ([]byte, error) {
	set, err := settingsOf(i)
	if err != nil {
		return nil, err
	}
	if req.AgentVersion != nil {
		set.AgentVersion = *req.AgentVersion
	}
	if req.InstallUpdatesOnBoot != nil {
		set.InstallUpdatesOnBoot = req.InstallUpdatesOnBoot
	}
	if req.SshKeyName != nil {
		set.SshKeyName = *req.SshKeyName
	}
	text, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encode settings of instance %s: %w", i.ID, err)
	}
	return text, nil
}

// DescribeAgentVersions lists the version of the agent that came with this program
// and those that the instances run: of a stack, or, by configuration manager, of
// all that the caller may see.
func (c *ControlPlane) DescribeAgentVersions(
	ctx context.Context, caller Caller, req DescribeAgentVersionsRequest,
) (DescribeAgentVersionsResponse, error) {
	out := DescribeAgentVersionsResponse{AgentVersions: []AgentVersion{}}
	if req.StackId == "" && req.ConfigurationManager == nil {
		return out, invalid("Stack Id, Configuration Manager", errVersionsNeeded)
	}
	var stack authz.StackID
	var err error
	if req.StackId != "" {
		if stack, err = parseStack(req.StackId); err != nil {
			return out, err
		}
	}
	err = c.read(ctx, caller, func(v store.View, who principal) error {
		if err := c.authorise(ctx, v, who, "opsworks:DescribeAgentVersions", stack); err != nil {
			return err
		}
		manager, instances := req.ConfigurationManager, []store.Instance(nil)
		if stack.IsZero() {
			instances, err = v.Instances(ctx)
		} else {
			manager, instances, err = managedInstances(ctx, v, stack)
		}
		for _, version := range c.versions(instances) {
			out.AgentVersions = append(out.AgentVersions, AgentVersion{Version: version, ConfigurationManager: manager})
		}
		return err
	})
	return out, err
}

func managedInstances(ctx context.Context, v store.View, id authz.StackID) (*StackConfigurationManager, []store.Instance, error) {
	st, err := stackNamed(ctx, v, id)
	if err != nil {
		return nil, nil, err
	}
	members, err := decodeMembers(st)
	if err != nil {
		return nil, nil, err
	}
	instances, err := v.InstancesOf(ctx, id)
	return members.ConfigurationManager, instances, err
}

// versions are the different versions, newest first as far as text can tell.
func (c *ControlPlane) versions(instances []store.Instance) []string {
	all := []string{c.cfg.AgentVersion}
	for _, i := range instances {
		all = append(all, i.Facts.Agent)
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
	slices.Reverse(all)
	return all
}

// DescribeOperatingSystems lists the systems that every release is tested on.
func (c *ControlPlane) DescribeOperatingSystems(
	ctx context.Context, caller Caller, _ DescribeOperatingSystemsRequest,
) (DescribeOperatingSystemsResponse, error) {
	err := c.read(ctx, caller, func(v store.View, who principal) error {
		return c.authorise(ctx, v, who, "opsworks:DescribeOperatingSystems", authz.StackID{})
	})
	if err != nil {
		return DescribeOperatingSystemsResponse{}, err
	}
	return DescribeOperatingSystemsResponse{OperatingSystems: []OperatingSystem{{
		Name: "Debian 12", Id: "Debian 12", Type: "Linux", ConfigurationManagers: []StackConfigurationManager{},
		ReportedName: "debian", ReportedVersion: "12", Supported: true,
	}}}, nil
}
