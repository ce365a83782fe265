"""Asks a model on Amazon Bedrock a question, with the inference profile ID that the operator wrote.

converse.py [--every SECONDS] [QUESTION]

Read from the environment, which a binding's ConfigMap fills:

BEDROCK_INFERENCE_PROFILE_ID  what to give as model ID
BEDROCK_SOURCE_REGION         region to call Bedrock in
BEDROCK_DESTINATION_REGIONS   named in a message where access is denied
"""

import argparse
import os
import re
import signal
import sys
import time

import boto3
import botocore.config
import botocore.exceptions


def setting(name):
    value = os.environ.get(name, "")
    if not value:
        sys.exit(f"{name} is not set: read the ConfigMap of an InferenceProfileBinding with envFrom, or set it by hand.")
    return value


def explain(error, model, region):
    """Returns one sentence on what an error of Bedrock means and what to do."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code == "ValidationException" and "on-demand throughput" in message:
        return (
            f"{model} is the ID of a model that {region} serves only through an inference profile: give the ID of a "
            "profile, which the binding's ConfigMap has as BEDROCK_INFERENCE_PROFILE_ID."
        )
    if code == "ValidationException" and "model identifier is invalid" in message:
        return (
            f"{model} can't be called from {region}: call it from a region that lists it, or set sourceRegion of the "
            f"binding to {region}, so that its status says which profile {region} has."
        )
    if code == "AccessDeniedException":
        denied = re.search(r"arn:[^:]+:bedrock:([a-z0-9-]+)::foundation-model/", message)
        where = denied[1] if denied else "a region"
        destinations = os.environ.get("BEDROCK_DESTINATION_REGIONS", "see the binding's status")
        return (
            f"AWS denies {model} in {where}: allow bedrock:InvokeModel on its model there and in every other region that "
            f"may serve the request ({destinations}), in IAM and in service control policies; AWS said: {message}"
        )
    return f"{model} did not answer in {region}: {code}: {message}"


def main():
    parser = argparse.ArgumentParser(description="Asks a model on Amazon Bedrock a question.")
    parser.add_argument("question", nargs="?", default="Which planet is the largest? Answer in one word.")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="ask again and again, with this pause")
    arguments = parser.parse_args()
    model, region = setting("BEDROCK_INFERENCE_PROFILE_ID"), setting("BEDROCK_SOURCE_REGION")
    # The first process of a container gets no SIGTERM that it has not asked for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    config = botocore.config.Config(
        connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 3}
    )
    try:
        bedrock = boto3.client("bedrock-runtime", region_name=region, config=config)
        while True:
            answer = bedrock.converse(
                modelId=model,
                messages=[{"role": "user", "content": [{"text": arguments.question}]}],
                inferenceConfig={"maxTokens": 200},
            )
            content = answer["output"]["message"]["content"]
            print("".join(block.get("text", "") for block in content), flush=True)
            if arguments.every is None:
                return
            time.sleep(arguments.every)
    except botocore.exceptions.ClientError as error:
        sys.exit(explain(error, model, region))
    except botocore.exceptions.BotoCoreError as error:
        sys.exit(f"{model} was not asked in {region}: {error}")


if __name__ == "__main__":
    main()
