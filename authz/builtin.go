package authz

// Names of the managed policies that every control plane has.
const (
	// OpsWorksFullAccess is the original's policy of an administrator.
	OpsWorksFullAccess = "AWSOpsWorks_FullAccess"
	// OpsWorksInstanceRegistration is the original's policy of who registers machines.
	OpsWorksInstanceRegistration = "AWSOpsWorksInstanceRegistration"
	// FullAccess is our administrator's: every action on everything.
	FullAccess = "LatchkeyFullAccess"
	// ReadOnly sees everything and changes nothing.
	ReadOnly = "LatchkeyReadOnly"
)

// BuiltinPolicies returns the names of the built-in managed policies, sorted.
func BuiltinPolicies() []string {
	return []string{OpsWorksInstanceRegistration, OpsWorksFullAccess, FullAccess, ReadOnly}
}

// BuiltinPolicy returns the document of a built-in managed policy, or "" where the
// name is none's. Names compare exactly.
//
// The original's two grant what their documentation says: actions of other services
// among it mean something only to a tool that asks about them.
func BuiltinPolicy(name string) string { return builtinDocuments[name] }

// builtinDocuments never change under their names: what a name grants here is what
// somebody was given.
var builtinDocuments = map[string]string{
	FullAccess: `{
  "Version": "2012-10-17",
  "Statement": [{"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}]
}`,
	ReadOnly: `{
  "Version": "2012-10-17",
  "Statement": [{
    "Sid": "Read",
    "Effect": "Allow",
    "Action": [
      "opsworks:Describe*", "opsworks:ListTags", "latchkey:Describe*", "latchkey:List*", "latchkey:ExplainAccess",
      "latchkey:Authorize", "latchkey:BatchAuthorize", "latchkey:SimulatePolicy"
    ],
    "Resource": "*"
  }]
}`,
	OpsWorksFullAccess: `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "cloudwatch:GetMetricStatistics",
        "ec2:DescribeAccountAttributes", "ec2:DescribeAvailabilityZones", "ec2:DescribeInstances", "ec2:DescribeKeyPairs",
        "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
        "elasticloadbalancing:DescribeInstanceHealth", "elasticloadbalancing:DescribeLoadBalancers",
        "iam:GetRolePolicy", "iam:ListInstanceProfiles", "iam:ListRoles", "iam:ListUsers",
        "opsworks:*"
      ],
      "Resource": "*"
    },
    {
      "Effect": "Allow",
      "Action": "iam:PassRole",
      "Resource": "*",
      "Condition": {"StringEquals": {"iam:PassedToService": "opsworks.amazonaws.com"}}
    }
  ]
}`,
	OpsWorksInstanceRegistration: `{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Action": ["opsworks:DescribeStackProvisioningParameters", "opsworks:DescribeStacks", "opsworks:RegisterInstance"],
    "Resource": "*"
  }]
}`,
}
