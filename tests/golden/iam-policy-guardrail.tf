data "aws_iam_policy_document" "bedrock_guardrail" {
  version = "2012-10-17"

  statement {
    sid    = "DenyModelsOutsideLimit"
    effect = "Deny"

    actions = [
      "bedrock:CreateModelInvocationJob",
      "bedrock:InvokeModel*",
    ]

    resources = [
      "*",
    ]

    condition {
      test     = "StringNotEquals"
      variable = "aws:RequestedRegion"

      values = [
        "ap-northeast-1",
        "ap-northeast-3",
      ]
    }
  }

  statement {
    sid    = "DenyGlobalProfiles"
    effect = "Deny"

    actions = [
      "bedrock:CreateModelInvocationJob",
      "bedrock:InvokeModel*",
    ]

    resources = [
      "arn:*:bedrock:::foundation-model/*",
    ]
  }
}
