locals {
  model   = "anthropic.claude-${var.version}"
  profile = "${var.geography}.amazon.nova-${var.size}-v1:0"
}

resource "aws_iam_policy" "bedrock" {
  name = "global.bedrock"
  policy = templatefile("policy.json", { region = "eu-west-1", domain = "eu.internal.example.com" })
}

data "aws_ssm_parameter" "ami" {
  name = "/aws/service/eks/optimized-ami/1.33/amazon-linux-2023/x86_64/standard/recommended/image_id"
}
