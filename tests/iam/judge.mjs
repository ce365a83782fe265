// Judges requests by an evaluator of IAM policies that is not this project's: @cloud-copilot/iam-simulate.
// Reads a list of cases from standard input and writes a list of verdicts, one per request, for each case.
import { readFileSync } from "node:fs";
import { runSimulation, runUnsafeSimulation } from "@cloud-copilot/iam-simulate";
import { validateIdentityPolicy, validateServiceControlPolicy, validateTrustPolicy } from "@cloud-copilot/iam-policy";

const ALLOW_ALL = { Version: "2012-10-17", Statement: { Effect: "Allow", Action: "*", Resource: "*" } };

function validated(validate, policy) {
  const errors = validate(policy);
  if (errors.length > 0) throw new Error(JSON.stringify({ errors, policy }));
  return policy;
}

// case: {identity?: [policy], levels?: [[policy]], requests: [{principal, action, resource, context}]}, or
// {trust: policy, requests}: whether a role's trust policy lets a principal take it on. Only its keys of issuers that the
// evaluator knows count, such as accounts.google.com.
function judge({ identity, levels, trust, requests }) {
  if (trust) return judgeTrust(validated(validateTrustPolicy, trust), requests);
  const identityPolicies = (identity ?? [ALLOW_ALL]).map((policy, index) => ({
    name: `identity ${index}`,
    policy: validated(validateIdentityPolicy, policy),
  }));
  const serviceControlPolicies = (levels ?? [[ALLOW_ALL]]).map((level, index) => ({
    orgIdentifier: `level ${index}`,
    policies: level.map((policy, number) => ({
      name: `scp ${index}.${number}`,
      policy: validated(validateServiceControlPolicy, policy),
    })),
  }));
  return requests.map(({ principal, action, resource, context }) =>
    runUnsafeSimulation(
      {
        request: {
          principal,
          action,
          resource: { resource, accountId: principal.split(":")[4] },
          contextVariables: { "aws:PrincipalArn": principal, ...context },
        },
        identityPolicies,
        serviceControlPolicies,
        resourceControlPolicies: [],
      },
      {},
    ),
  );
}

async function judgeTrust(resourcePolicy, requests) {
  const verdicts = [];
  for (const { principal, action, resource, context } of requests) {
    const result = await runSimulation(
      {
        request: { principal, action, resource: { resource, accountId: resource.split(":")[4] }, contextVariables: context },
        identityPolicies: [{ name: "identity", policy: ALLOW_ALL }],
        serviceControlPolicies: [],
        resourceControlPolicies: [],
        resourcePolicy,
      },
      {},
    );
    if (!result.overallResult) throw new Error(JSON.stringify(result));
    verdicts.push(result.overallResult);
  }
  return verdicts;
}

process.stdout.write(JSON.stringify(await Promise.all(JSON.parse(readFileSync(0, "utf8")).map(judge))));
