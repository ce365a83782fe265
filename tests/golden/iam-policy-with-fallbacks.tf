data "aws_iam_policy_document" "bedrock_workload" {
  version = "2012-10-17"

  statement {
    sid    = "GeographicProfiles"
    effect = "Allow"

    actions = [
      "bedrock:InvokeModel",
      "bedrock:InvokeModelWithResponseStream",
    ]

    resources = [
      "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-5-5",
    ]
  }

  statement {
    sid    = "GeographicModels"
    effect = "Allow"

    actions = [
      "bedrock:InvokeModel",
      "bedrock:InvokeModelWithResponseStream",
    ]

    resources = [
      "arn:aws:bedrock:eu-central-1::foundation-model/anthropic.claude-sonnet-5-5",
      "arn:aws:bedrock:eu-north-1::foundation-model/anthropic.claude-sonnet-5-5",
      "arn:aws:bedrock:eu-south-1::foundation-model/anthropic.claude-sonnet-5-5",
      "arn:aws:bedrock:eu-south-2::foundation-model/anthropic.claude-sonnet-5-5",
      "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-sonnet-5-5",
      "arn:aws:bedrock:eu-west-3::foundation-model/anthropic.claude-sonnet-5-5",
    ]

    condition {
      test     = "StringEquals"
      variable = "bedrock:InferenceProfileArn"

      values = [
        "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-5-5",
      ]
    }
  }

  statement {
    sid    = "GlobalProfiles"
    effect = "Allow"

    actions = [
      "bedrock:InvokeModel",
      "bedrock:InvokeModelWithResponseStream",
    ]

    resources = [
      "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.anthropic.claude-sonnet-5-5",
    ]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"

      values = [
        "eu-west-1",
      ]
    }
  }

  statement {
    sid    = "GlobalModelsInSource"
    effect = "Allow"

    actions = [
      "bedrock:InvokeModel",
      "bedrock:InvokeModelWithResponseStream",
    ]

    resources = [
      "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-sonnet-5-5",
    ]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"

      values = [
        "eu-west-1",
      ]
    }

    condition {
      test     = "StringEquals"
      variable = "bedrock:InferenceProfileArn"

      values = [
        "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.anthropic.claude-sonnet-5-5",
      ]
    }
  }

  statement {
    sid    = "GlobalModelsAnywhere"
    effect = "Allow"

    actions = [
      "bedrock:InvokeModel",
      "bedrock:InvokeModelWithResponseStream",
    ]

    resources = [
      "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-5-5",
    ]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"

      values = [
        "unspecified",
      ]
    }

    condition {
      test     = "StringEquals"
      variable = "bedrock:InferenceProfileArn"

      values = [
        "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.anthropic.claude-sonnet-5-5",
      ]
    }
  }
}
