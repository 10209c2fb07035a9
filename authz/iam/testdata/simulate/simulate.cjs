// Answers questions with @cloud-copilot/iam-simulate: one JSON question a line on
// stdin, one word a line on stdout. The argument is the folder that holds
// node_modules.
const { createRequire } = require('node:module')
const readline = require('node:readline')
const { runUnsafeSimulation } = createRequire(process.argv[2] + '/')('@cloud-copilot/iam-simulate')

const words = { Allowed: 'allowed', ExplicitlyDenied: 'explicitDeny', ImplicitlyDenied: 'implicitDeny' }

// A key with one value is single-valued to the simulator, any other is a list.
function contextOf(values) {
  const context = {}
  for (const [key, list] of Object.entries(values)) {
    context[key] = list.length === 1 ? list[0] : list
  }
  return context
}

function answer(question) {
  const named = (policy, i) => ({ name: String(i), policy })
  const result = runUnsafeSimulation({
    request: {
      principal: 'arn:aws:iam::111122223333:user/ann',
      action: question.action,
      resource: { resource: question.resource, accountId: '111122223333' },
      contextVariables: contextOf(question.context),
    },
    identityPolicies: question.policies.map(named),
    permissionBoundaryPolicies: question.boundary ? [named(question.boundary, 'boundary')] : undefined,
    serviceControlPolicies: [],
    resourceControlPolicies: [],
  }, {})
  return words[result] ?? JSON.stringify(result)
}

let out = []
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  let word
  try {
    word = answer(JSON.parse(line))
  } catch (err) {
    word = 'threw ' + String(err.message).replaceAll('\n', ' ')
  }
  out.push(word)
  if (out.length === 1000) {
    process.stdout.write(out.join('\n') + '\n')
    out = []
  }
}).on('close', () => process.stdout.write(out.map((word) => word + '\n').join('')))
