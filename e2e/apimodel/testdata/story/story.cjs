// A day of an administrator with @aws-sdk/client-opsworks, unmodified but for the
// address. On stdin: the folder that holds node_modules, the address, the access
// keys of the administrator and of bob, who has no rights yet, and the stack and the
// id of a machine that has joined.
const assert = require('node:assert/strict')
const { createRequire } = require('node:module')
const { readFileSync } = require('node:fs')
const { folder, url, keys, machines, instance } = JSON.parse(readFileSync(0))
const { OpsWorks, ResourceNotFoundException, ValidationException, OpsWorksServiceException, waitUntilInstanceOnline, waitUntilInstanceTerminated } =
  createRequire(folder + '/')('@aws-sdk/client-opsworks')

const clientOf = (key) => new OpsWorks({
  endpoint: url, region: 'us-east-1', credentials: { accessKeyId: key.ID, secretAccessKey: key.Secret },
})
const client = clientOf(keys.admin)
const bobs = clientOf(keys.bob)
const stranger = clientOf({ ID: 'LKIANOBODY', Secret: 'wrong' })

const user = (name) => 'arn:aws:iam::000000000000:user/' + name
const [admin, alice, bob] = ['admin', 'alice', 'bob'].map(user)
const role = 'arn:aws:iam::000000000000:role/r'
const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII9wK85aDQCFcuZAWPE9sdc+VCp6TUiu8hyF/ekec7E/'

// refused wants a call to be refused with an error of a class and a name.
async function refused(promise, kind, text, name = kind.name) {
  await assert.rejects(promise, (err) => {
    assert.ok(err instanceof kind, `${err} is of another class`)
    assert.equal(err.name, name)
    assert.equal(err.$metadata.httpStatusCode, 400)
    assert.ok(err.$metadata.requestId)
    assert.ok(err.message.includes(text), err.message)
    return true
  })
}

const permission = async (of) => (await client.describePermissions(of)).Permissions
  .map((p) => [p.IamUserArn, p.Level, p.AllowSsh, p.AllowSudo].join(' ')).sort()

async function stacks() {
  const { StackId } = await client.createStack({
    Name: 'web', Region: 'us-east-1', ServiceRoleArn: role, DefaultInstanceProfileArn: 'arn:aws:iam::000000000000:instance-profile/p',
    Attributes: { Color: 'red' }, UseCustomCookbooks: false,
  })
  await client.updateStack({ StackId, Name: 'www' })
  const [shown] = (await client.describeStacks({ StackIds: [StackId] })).Stacks
  assert.equal(typeof shown.CreatedAt, 'string')
  assert.deepEqual([shown.Name, shown.Region, shown.Attributes, shown.UseCustomCookbooks], ['www', 'us-east-1', { Color: 'red' }, false])
  const { StackSummary } = await client.describeStackSummary({ StackId: machines })
  assert.deepEqual(StackSummary.InstancesCount, { Online: 1 })
  await refused(client.describeStacks({ StackIds: ['not an id'] }), ValidationException, 'Stack Id')
  return [StackId, shown.Arn]
}

async function users() {
  await client.createUserProfile({ IamUserArn: alice, SshUsername: 'Al.Ice', SshPublicKey: key })
  await client.updateUserProfile({ IamUserArn: alice, AllowSelfManagement: true })
  assert.deepEqual((await client.describeUserProfiles({ IamUserArns: [alice] })).UserProfiles,
    [{ IamUserArn: alice, Name: 'alice', SshUsername: 'alice', SshPublicKey: key, AllowSelfManagement: true }])
  assert.deepEqual((await client.describeUserProfiles({})).UserProfiles.map((p) => p.Name), ['admin', 'alice', 'bob'])
  await client.updateUserProfile({ IamUserArn: alice, SshPublicKey: '' })
  await client.updateMyUserProfile({ SshPublicKey: key })
  assert.deepEqual((await client.describeMyUserProfile({})).UserProfile, { IamUserArn: admin, Name: 'admin', SshPublicKey: key })
  await refused(client.deleteUserProfile({ IamUserArn: admin }), ValidationException, 'Cannot delete self')
  await refused(client.deleteUserProfile({ IamUserArn: alice + '2' }), ResourceNotFoundException, 'Unable to find user with ARN ' + alice + '2')
}

async function permissions(StackId, arn) {
  const of = { StackId, IamUserArn: alice }
  await client.setPermission({ ...of, Level: 'deploy', AllowSsh: true })
  await client.setPermission({ ...of, AllowSudo: true })
  await client.setPermission({ ...of, Level: 'show' })
  assert.deepEqual(await permission(of), [alice + ' show true true'])
  assert.deepEqual(await permission({ IamUserArn: alice }), [alice + ' iam_only false false', alice + ' show true true'])
  assert.deepEqual(await permission({ StackId }), [admin + ' iam_only false false', alice + ' show true true', bob + ' iam_only false false'])
  await refused(client.setPermission({ StackId, IamUserArn: admin, Level: 'manage' }), ValidationException,
    'Unable to change own permission level. Only AllowSsh and AllowSudo allowed.')
  await client.setPermission({ StackId, IamUserArn: admin, AllowSsh: true })

  const copy = (await client.cloneStack({ SourceStackId: StackId, ServiceRoleArn: role, Name: 'copy', ClonePermissions: true })).StackId
  assert.deepEqual(await permission({ StackId: copy, IamUserArn: alice }), [alice + ' show true true'])
  await client.deleteStack({ StackId: copy })
  await refused(client.describeStacks({ StackIds: [copy] }), ResourceNotFoundException, 'Unable to find stack with ID ' + copy)

  assert.deepEqual((await bobs.describeStacks({})).Stacks, [])
  await client.setPermission({ StackId, IamUserArn: bob, Level: 'show' })
  assert.deepEqual((await bobs.describeStacks({})).Stacks.map((s) => s.Name), ['www'])
  await refused(bobs.deleteStack({ StackId }), OpsWorksServiceException,
    `User: ${bob} is not authorized to perform: opsworks:DeleteStack on resource: ${arn}`, 'AccessDeniedException')
  await refused(stranger.describeStacks({}), OpsWorksServiceException, 'access key', 'UnrecognizedClientException')
}

async function tags(ResourceArn) {
  await client.tagResource({ ResourceArn, Tags: { team: 'a', cost: 'b', tier: 'c' } })
  const page = await client.listTags({ ResourceArn, MaxResults: 2 })
  const rest = await client.listTags({ ResourceArn, MaxResults: 2, NextToken: page.NextToken })
  assert.equal(Object.keys(page.Tags).length, 2)
  assert.equal(rest.NextToken, undefined)
  assert.deepEqual({ ...page.Tags, ...rest.Tags }, { team: 'a', cost: 'b', tier: 'c' })
  await client.untagResource({ ResourceArn, TagKeys: ['team', 'cost'] })
  assert.deepEqual((await client.listTags({ ResourceArn })).Tags, { tier: 'c' })
  await refused(client.listTags({ ResourceArn: 'arn:aws:s3:::bucket' }), ValidationException, 'Resource Arn')
}

async function instances(StackId) {
  const waiting = { client, maxWaitTime: 5, minDelay: 1, maxDelay: 1 }
  await waitUntilInstanceOnline(waiting, { StackId: machines })
  await client.updateInstance({ InstanceId: instance, Hostname: 'front' })
  assert.deepEqual((await client.describeInstances({ StackId: machines })).Instances.map((i) => [i.InstanceId, i.Hostname]), [[instance, 'front']])
  const [command] = (await client.describeCommands({ InstanceId: instance })).Commands
  assert.deepEqual((await client.describeCommands({ CommandIds: [command.CommandId] })).Commands, [command])
  const [fault] = (await client.describeServiceErrors({ InstanceId: instance })).ServiceErrors
  assert.ok(fault.Message.includes('disk is full'))
  assert.ok((await client.describeAgentVersions({ StackId: machines })).AgentVersions.length > 0)
  assert.ok((await client.describeOperatingSystems({})).OperatingSystems.some((s) => s.Type === 'Linux'))
  assert.ok((await client.describeStackProvisioningParameters({ StackId: machines })).Parameters)
  await refused(client.registerInstance({ StackId: machines }), ValidationException, 'joins by its own agent')
  await refused(client.grantAccess({ InstanceId: instance }), OpsWorksServiceException, 'AllowSsh is not set', 'AccessDeniedException')
  await refused(client.startStack({ StackId }), ValidationException, 'StartStack is known but not served')
  await client.deregisterInstance({ InstanceId: instance })
  await waitUntilInstanceTerminated(waiting, { InstanceIds: [instance] })
}

async function day() {
  const [stack, arn] = await stacks()
  await users()
  await permissions(stack, arn)
  await tags(arn)
  await instances(stack)
  for (const IamUserArn of [alice, bob]) await client.deleteUserProfile({ IamUserArn })
  for (const StackId of [stack, machines]) await client.deleteStack({ StackId })
  assert.deepEqual((await client.describeStacks({})).Stacks, [])
  console.log('done')
}

day()
