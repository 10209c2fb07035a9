# A day of an administrator with boto3, unmodified but for the address. Arguments:
# the address, the stack and the id of a machine that has joined, and the access key
# of bob, who has no rights yet.
import sys
import boto3

url, machines, instance, bob_key, bob_secret = sys.argv[1:]
c = boto3.client('opsworks', endpoint_url=url)
bobs = boto3.client('opsworks', endpoint_url=url, aws_access_key_id=bob_key, aws_secret_access_key=bob_secret)
stranger = boto3.client('opsworks', endpoint_url=url, aws_access_key_id='LKIANOBODY', aws_secret_access_key='wrong')

USER = 'arn:aws:iam::000000000000:user/'
admin, alice, bob = USER + 'admin', USER + 'alice', USER + 'bob'
ROLE = 'arn:aws:iam::000000000000:role/r'
PROFILE = 'arn:aws:iam::000000000000:instance-profile/p'
KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII9wK85aDQCFcuZAWPE9sdc+VCp6TUiu8hyF/ekec7E/'


def equal(got, want):
    assert got == want, f'got  {got}\nwant {want}'


def refused(kind, text, call, **request):
    try:
        call(**request)
    except kind as e:
        equal(e.response['ResponseMetadata']['HTTPStatusCode'], 400)
        assert e.response['ResponseMetadata']['RequestId']
        assert text in e.response['Error']['Message'], e
        return e.response['Error']['Code']
    raise SystemExit(f'{call.__name__} was accepted: {request}')


def permission(**of):
    return [(p['IamUserArn'], p['Level'], p['AllowSsh'], p['AllowSudo']) for p in c.describe_permissions(**of)['Permissions']]


invalid, missing, denied = c.exceptions.ValidationException, c.exceptions.ResourceNotFoundException, c.exceptions.ClientError

# Stacks.
web = c.create_stack(Name='web', Region='us-east-1', ServiceRoleArn=ROLE, DefaultInstanceProfileArn=PROFILE,
                     Attributes={'Color': 'red'}, UseCustomCookbooks=False, CustomJson='{"a": "é"}')['StackId']
c.update_stack(StackId=web, Name='www', DefaultOs='Debian 12')
shown = c.describe_stacks(StackIds=[web])['Stacks'][0]
arn = shown['Arn']
assert isinstance(shown.pop('CreatedAt'), str)
equal(shown, {'StackId': web, 'Arn': f'arn:aws:opsworks:us-east-1:000000000000:stack/{web}/', 'Name': 'www', 'Region': 'us-east-1',
              'ServiceRoleArn': ROLE, 'DefaultInstanceProfileArn': PROFILE, 'Attributes': {'Color': 'red'}, 'UseCustomCookbooks': False,
              'CustomJson': '{"a": "é"}', 'DefaultOs': 'Debian 12'})
equal(c.describe_stack_summary(StackId=machines)['StackSummary']['InstancesCount'], {'Online': 1})
refused(invalid, 'Stack Id', c.describe_stacks, StackIds=['not an id'])
refused(invalid, 'Name: is longer than 64', c.update_stack, StackId=web, Name='x' * 65)

# Users.
equal(c.create_user_profile(IamUserArn=alice, SshUsername='Al.Ice', SshPublicKey=KEY)['IamUserArn'], alice)
equal(c.describe_user_profiles(IamUserArns=[alice])['UserProfiles'],
      [{'IamUserArn': alice, 'Name': 'alice', 'SshUsername': 'alice', 'SshPublicKey': KEY, 'AllowSelfManagement': False}])
c.update_user_profile(IamUserArn=alice, SshUsername='al', AllowSelfManagement=True)
got = c.describe_user_profiles()['UserProfiles']
equal([(u['Name'], u.get('SshUsername'), u['AllowSelfManagement']) for u in got],
      [('admin', None, False), ('alice', 'al', True), ('bob', 'bob', False)])
c.update_user_profile(IamUserArn=alice, SshPublicKey='')
c.update_my_user_profile(SshPublicKey=KEY)
equal(c.describe_my_user_profile()['UserProfile'], {'IamUserArn': admin, 'Name': 'admin', 'SshPublicKey': KEY})
refused(invalid, 'already has a profile', c.create_user_profile, IamUserArn=alice)
refused(invalid, 'Cannot delete self', c.delete_user_profile, IamUserArn=admin)
refused(missing, f'Unable to find user with ARN {alice}2', c.delete_user_profile, IamUserArn=alice + '2')

# Permissions. Four times as fast as it can, which within one second repeats a
# signature, since botocore does not sign its invocation id: it is told to come again,
# and does.
for level in 'show', 'deny', 'show', 'manage':
    c.set_permission(StackId=web, IamUserArn=alice, Level=level)
    equal(permission(StackId=web, IamUserArn=alice), [(alice, level, False, False)])
c.set_permission(StackId=web, IamUserArn=alice, AllowSsh=True)
c.set_permission(StackId=web, IamUserArn=alice, AllowSudo=True)
c.set_permission(StackId=web, IamUserArn=alice, Level='deploy')
equal(permission(StackId=web), [(admin, 'iam_only', False, False), (alice, 'deploy', True, True), (bob, 'iam_only', False, False)])
equal(sorted(permission(IamUserArn=alice)), [(alice, 'deploy', True, True), (alice, 'iam_only', False, False)])
refused(invalid, 'Unable to change own permission level. Only AllowSsh and AllowSudo allowed.',
        c.set_permission, StackId=web, IamUserArn=admin, Level='manage')
c.set_permission(StackId=web, IamUserArn=admin, AllowSsh=True)
refused(invalid, 'Level: ', c.set_permission, StackId=web, IamUserArn=alice, Level='all')
refused(missing, 'Unable to find user with ARN', c.set_permission, StackId=web, IamUserArn=alice + '2', AllowSsh=True)

# A clone has the permissions of its source.
copy = c.clone_stack(SourceStackId=web, ServiceRoleArn=ROLE, Name='copy', ClonePermissions=True)['StackId']
equal(permission(StackId=copy, IamUserArn=alice), [(alice, 'deploy', True, True)])
c.delete_stack(StackId=copy)
refused(missing, f'Unable to find stack with ID {copy}', c.describe_stacks, StackIds=[copy])

# Another user sees what he may.
equal(bobs.describe_stacks()['Stacks'], [])
equal(refused(denied, f'User: {bob} is not authorized to perform: opsworks:DescribeStackSummary on resource: {arn}',
              bobs.describe_stack_summary, StackId=web), 'AccessDeniedException')
c.set_permission(StackId=web, IamUserArn=bob, Level='show')
equal([s['Name'] for s in bobs.describe_stacks()['Stacks']], ['www'])
equal(refused(denied, 'is not authorized', bobs.set_permission, StackId=web, IamUserArn=bob, AllowSudo=True), 'AccessDeniedException')
equal(refused(denied, 'is not authorized', bobs.update_my_user_profile, SshPublicKey=''), 'AccessDeniedException')
equal(refused(denied, 'access key', stranger.describe_stacks), 'UnrecognizedClientException')

# Tags.
c.tag_resource(ResourceArn=arn, Tags={'team': 'a', 'cost': 'b', 'tier': 'c'})
tags, page = {}, c.list_tags(ResourceArn=arn, MaxResults=2)
equal(len(page['Tags']), 2)
tags.update(page['Tags'])
page = c.list_tags(ResourceArn=arn, MaxResults=2, NextToken=page['NextToken'])
assert 'NextToken' not in page
tags.update(page['Tags'])
equal(tags, {'team': 'a', 'cost': 'b', 'tier': 'c'})
c.untag_resource(ResourceArn=arn, TagKeys=['team', 'cost'])
equal(c.list_tags(ResourceArn=arn)['Tags'], {'tier': 'c'})
refused(invalid, 'Resource Arn', c.list_tags, ResourceArn='arn:aws:s3:::bucket')

# Instances.
wait = {'Delay': 1, 'MaxAttempts': 1}
c.get_waiter('instance_online').wait(StackId=machines, WaiterConfig=wait)
c.update_instance(InstanceId=instance, Hostname='front')
equal([(i['InstanceId'], i['Hostname'], i['Status'], i['StackId']) for i in c.describe_instances(StackId=machines)['Instances']],
      [(instance, 'front', 'online', machines)])
command = c.describe_commands(InstanceId=instance)['Commands'][-1]
equal(c.describe_commands(CommandIds=[command['CommandId']])['Commands'], [command])
equal(command['Type'], 'sync_remote_users')
fault = c.describe_service_errors(StackId=machines)['ServiceErrors'][0]
equal((fault['InstanceId'], fault['Type'], 'disk is full' in fault['Message']), (instance, 'step_failed', True))
assert c.describe_agent_versions(StackId=machines)['AgentVersions']
assert any(s['Type'] == 'Linux' for s in c.describe_operating_systems()['OperatingSystems'])
assert c.describe_stack_provisioning_parameters(StackId=machines)['Parameters']
equal(refused(denied, 'AllowSsh is not set', c.grant_access, InstanceId=instance), 'AccessDeniedException')
c.set_permission(StackId=machines, IamUserArn=admin, AllowSsh=True)
c.update_user_profile(IamUserArn=admin, SshUsername='boss')
refused(invalid, 'only Windows instances have temporary passwords', c.grant_access, InstanceId=instance, ValidForInMinutes=60)
refused(invalid, 'machine joins by its own agent', c.register_instance, StackId=machines)
refused(invalid, 'StartStack is known but not served', c.start_stack, StackId=web)
refused(invalid, 'stack still holds instances', c.delete_stack, StackId=machines)
c.deregister_instance(InstanceId=instance)
c.get_waiter('instance_terminated').wait(InstanceIds=[instance], WaiterConfig=wait)
refused(missing, f'Unable to find instance with ID {instance}', c.describe_instances, InstanceIds=[instance])

# The end.
c.delete_user_profile(IamUserArn=bob)
equal(refused(denied, '', bobs.describe_stacks), 'UnrecognizedClientException')
c.delete_user_profile(IamUserArn=alice)
for stack in web, machines:
    c.delete_stack(StackId=stack)
equal(c.describe_stacks()['Stacks'], [])
print('done')
