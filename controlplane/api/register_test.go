package api

import (
	"strings"
	"testing"

	"latchkey/controlplane"
)

// TestStockRegister is "aws opsworks register" as far as it asks OpsWorks: the stack,
// its provisioning parameters, and the instances, among which the host name is
// found. It goes on, to another service, only where that is not taken.
func TestStockRegister(t *testing.T) {
	t.Parallel()
	need(t, awsProgram, "--version")
	s := newTestServer(t)
	stack := s.stack(t)
	enrolled(t, s.cp, s.admin(t), stack)
	_, errs := s.opsworks(t, "register", "--infrastructure-class", "on-premises", "--stack-id", stack, "--override-hostname", "WEB-1", "--local")
	if !strings.Contains(errs, "Invalid hostname: 'WEB-1'. Hostnames must be unique within a stack.") {
		t.Errorf("register: %s", errs)
	}
	for _, action := range []string{"DescribeStacks", "DescribeStackProvisioningParameters", "DescribeInstances"} {
		if !strings.Contains(s.log.String(), "surface=aws action="+action+" ") {
			t.Errorf("it did not ask %s", action)
		}
	}
	// The agent that it would install calls RegisterInstance.
	_, errs = s.opsworks(t, "register-instance", "--stack-id", stack, "--hostname", "web-2")
	if !strings.Contains(errs, "(ValidationException) when calling the RegisterInstance operation: Register Instance: a machine joins by its own agent") {
		t.Errorf("register-instance: %s", errs)
	}
	out, err := s.cp.DescribeInstances(t.Context(), s.admin(t), controlplane.DescribeInstancesRequest{})
	if err != nil || len(out.Instances) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}
