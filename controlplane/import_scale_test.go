package controlplane_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"latchkey/controlplane"
)

// Ten million pairs of user and stack: none of them is a row until somebody sets it,
// and each is shown. Under the race detector, which makes the database twenty times
// slower, there are less, unless LATCHKEY_LONG is set.
func TestImportIam_Scale(t *testing.T) {
	users, stacks := 10_000, 1000
	if raced && os.Getenv("LATCHKEY_LONG") == "" {
		users, stacks = 2000, 200
	}
	p := newPlane(t)
	began := time.Now()
	for n := 0; n < users; n += 1000 {
		out, err := p.ImportIam(t.Context(), p.admin, crowd(n, n+1000))
		if err != nil || out.Refused != 0 {
			t.Fatalf("%v, %+v", err, out.Changes[0])
		}
	}
	t.Logf("%d users came in %s", users, time.Since(began))
	began = time.Now()
	for n := range stacks {
		p.stack(t, fmt.Sprintf("stack-%d", n))
	}
	t.Logf("%d stacks came in %s", stacks, time.Since(began))

	late := p.stack(t, "late")
	p.user(t, "latecomer")
	users, stacks = users+2, stacks+1 // with the administrator
	began = time.Now()
	onStack := p.permissions(t, controlplane.DescribePermissionsRequest{StackId: late})
	t.Logf("permissions on a stack came in %s", time.Since(began))
	ofUser := p.permissions(t, controlplane.DescribePermissionsRequest{IamUserArn: arn("latecomer")})
	both := p.permissions(t, controlplane.DescribePermissionsRequest{StackId: late, IamUserArn: arn("user-00007")})
	if len(onStack) != users || len(ofUser) != stacks || len(both) != 1 {
		t.Errorf("%d on a stack, %d of a user, %d of both", len(onStack), len(ofUser), len(both))
	}
	for _, all := range [][]controlplane.Permission{onStack, ofUser, both} {
		for _, perm := range all {
			if perm.Level != "iam_only" || perm.AllowSsh || perm.AllowSudo || perm.ExpiresAt != "" {
				t.Fatalf("%+v", perm)
			}
		}
	}
	if n := p.rows(t, "permissions"); n != 0 {
		t.Errorf("%d rows of permissions", n)
	}
	p.grant(t, late, "user-00007", "show", true, false)
	if n := p.rows(t, "permissions"); n != 1 {
		t.Errorf("%d rows of permissions after one was set", n)
	}
}

// crowd is a listing of users with a boundary, two policies, a group and a tag each.
func crowd(from, to int) controlplane.ImportIamRequest {
	document := json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"opsworks:Describe*","Resource":"*"}]}`)
	policy := func(name string) controlplane.IamPolicyDetail {
		return controlplane.IamPolicyDetail{
			Arn:               "arn:aws:iam::123456789012:policy/" + name,
			PolicyVersionList: []controlplane.IamPolicyVersion{{Document: document, IsDefaultVersion: true}},
		}
	}
	attached := func(names ...string) (all []controlplane.IamAttachedPolicy) {
		for _, n := range names {
			all = append(all, controlplane.IamAttachedPolicy{PolicyName: n, PolicyArn: "arn:aws:iam::123456789012:policy/" + n})
		}
		return all
	}
	req := controlplane.ImportIamRequest{Apply: true}
	req.Policies = []controlplane.IamPolicyDetail{policy("See"), policy("SeeMore"), policy("Bound")}
	for n := range 10 {
		req.GroupDetailList = append(req.GroupDetailList, controlplane.IamGroupDetail{
			GroupName: fmt.Sprintf("team-%d", n), AttachedManagedPolicies: attached("See"),
		})
	}
	for n := from; n < to; n++ {
		req.UserDetailList = append(req.UserDetailList, controlplane.IamUserDetail{
			Arn: arn(fmt.Sprintf("user-%05d", n)), GroupList: []string{fmt.Sprintf("team-%d", n%10)},
			AttachedManagedPolicies: attached("SeeMore"),
			UserPolicyList:          []controlplane.IamInlinePolicy{{PolicyName: "own", PolicyDocument: document}},
			PermissionsBoundary:     &controlplane.IamBoundary{PermissionsBoundaryArn: "arn:aws:iam::123456789012:policy/Bound"},
			Tags:                    []controlplane.IamTag{{Key: "email", Value: fmt.Sprintf("user-%05d@example.com", n)}},
		})
	}
	return req
}

func (p *plane) permissions(t *testing.T, req controlplane.DescribePermissionsRequest) []controlplane.Permission {
	t.Helper()
	out, err := p.DescribePermissions(t.Context(), p.admin, req)
	if err != nil {
		t.Fatal(err)
	}
	return out.Permissions
}

// rows counts those of a table, as they are on the disk.
func (p *plane) rows(t *testing.T, table string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
