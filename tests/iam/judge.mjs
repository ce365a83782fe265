// Judges requests by an evaluator of IAM policies that is not this project's: @cloud-copilot/iam-simulate.
// Reads a list of cases from standard input and writes a list of verdicts, one per request, for each case.
import { readFileSync } from "node:fs";
import { runUnsafeSimulation } from "@cloud-copilot/iam-simulate";
import { validateIdentityPolicy, validateServiceControlPolicy } from "@cloud-copilot/iam-policy";

const ALLOW_ALL = { Version: "2012-10-17", Statement: { Effect: "Allow", Action: "*", Resource: "*" } };

function validated(validate, policy) {
  const errors = validate(policy);
  if (errors.length > 0) throw new Error(JSON.stringify({ errors, policy }));
  return policy;
}

// case: {identity?: [policy], levels?: [[policy]], requests: [{principal, action, resource, context}]}
function judge({ identity, levels, requests }) {
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

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(judge)));
