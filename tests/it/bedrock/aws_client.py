"""Checks the stand-in servers, and listings that were exported, with AWS's own client.

aws_client.py server URL         calls Bedrock, which has the profiles and models of tests/it/bedrock
aws_client.py faults URL         calls Bedrock, which fails first as tests/it/bedrock/faults.rs has scripted
aws_client.py sts URL            calls STS, which fails first as tests/it/bedrock/roles.rs has scripted
aws_client.py sso URL            calls IAM Identity Center, which knows the token `signed-in`
aws_client.py credentials ID     obtains credentials from the environment, which have this access key ID
aws_client.py listing FILE       checks a file against the service model of ListInferenceProfiles
"""

import json
import re
import sys

import boto3
import botocore.config
import botocore.exceptions
import botocore.session

NOVA = "eu.amazon.nova-lite-v1:0"
NOVA_ARN = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/" + NOVA


def client(url, service="bedrock"):
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def expect_error(name, status, call, exception=None):
    try:
        call()
    except botocore.exceptions.ClientError as error:
        assert type(error).__name__ == (exception or name), (name, error)
        assert error.response["Error"]["Code"] == name, error.response
        assert error.response["Error"]["Message"], error.response
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
        return
    raise AssertionError(f"no {name}")


def check_server(url):
    bedrock = client(url)
    pages = list(bedrock.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["inferenceProfileSummaries"]) for page in pages] == [2, 2, 1], pages
    profiles = [profile for page in pages for profile in page["inferenceProfileSummaries"]]
    assert all(profile["type"] == "SYSTEM_DEFINED" for profile in profiles), profiles
    assert profiles[0]["createdAt"].year == 2025, profiles[0]
    applications = bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    assert [profile["type"] for profile in applications] == ["APPLICATION"], applications

    for identifier in (NOVA, NOVA_ARN):
        profile = bedrock.get_inference_profile(inferenceProfileIdentifier=identifier)
        assert profile["inferenceProfileId"] == NOVA, profile
        assert profile["models"], profile

    missing = lambda: bedrock.get_inference_profile(inferenceProfileIdentifier="eu.a.b")
    expect_error("ResourceNotFoundException", 404, missing)
    expect_error("ValidationException", 400, lambda: bedrock.list_inference_profiles(nextToken="nonsense"))

    models = {model["modelId"]: model for model in bedrock.list_foundation_models()["modelSummaries"]}
    legacy = models["amazon.nova-lite-v1:0"]
    assert legacy["modelLifecycle"]["endOfLifeTime"].isoformat().startswith("2026-12-01T00:00:00"), legacy
    assert legacy["inferenceTypesSupported"] == ["ON_DEMAND", "PROVISIONED"], legacy
    available = bedrock.get_foundation_model_availability(modelId="amazon.nova-lite-v1:0")
    assert available["agreementAvailability"]["status"] == "AVAILABLE", available
    assert available["authorizationStatus"] == "AUTHORIZED", available
    unknown = lambda: bedrock.get_foundation_model_availability(modelId="a.b")
    expect_error("ResourceNotFoundException", 404, unknown)


def check_faults(url):
    listing = client(url).list_inference_profiles
    expect_error("ThrottlingException", 429, listing)
    expect_error("ThrottlingException", 429, listing)
    expect_error("AccessDeniedException", 403, listing)
    expect_error("InternalServerException", 500, listing)
    expect_error("ServiceUnavailableException", 503, listing)
    # Not in the service model: boto3 has no class for these.
    for code in "UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException", "RequestTimeTooSkewed":
        expect_error(code, 403, listing, exception="ClientError")
    expect_error("502", 502, listing, exception="ClientError")
    # boto3 takes a cut-off document for an empty one.
    assert "inferenceProfileSummaries" not in listing()
    try:
        listing()
    except botocore.exceptions.HTTPClientError:
        pass
    else:
        raise AssertionError("no broken connection")
    assert listing()["inferenceProfileSummaries"]


def check_sts(url):
    sts = client(url, "sts")
    role = {"RoleArn": "arn:aws:iam::444455556666:role/discovery", "RoleSessionName": "session"}
    expect_error("AccessDenied", 403, lambda: sts.assume_role(**role), exception="ClientError")
    token = lambda: sts.assume_role_with_web_identity(WebIdentityToken="a.b.c.d", **role)
    expect_error("ExpiredTokenException", 400, token)
    for answer in (sts.assume_role(**role), token()):
        assert answer["Credentials"]["AccessKeyId"] == "ASIAXXXXXXXXDISCOVERY", answer
        assert answer["Credentials"]["Expiration"].tzinfo, answer
        assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::444455556666:assumed-role/discovery/session", answer
    caller = sts.get_caller_identity()
    assert caller["Account"] == "111122223333", caller
    assert caller["Arn"] == "arn:aws:sts::111122223333:assumed-role/discovery/session", caller
    expect_error("ValidationError", 400, sts.get_session_token, exception="ClientError")


def check_sso(url):
    sso = client(url, "sso")
    call = lambda token, role: lambda: sso.get_role_credentials(accessToken=token, accountId="111122223333", roleName=role)
    expect_error("UnauthorizedException", 401, call("old", "Reader"))
    expect_error("ForbiddenException", 403, call("signed-in", "Nobody"), exception="ClientError")
    credentials = call("signed-in", "Reader")()["roleCredentials"]
    assert credentials["accessKeyId"] == "ASIAXXXXXXXXSSO", credentials
    assert credentials["expiration"] > 1_700_000_000_000, credentials


def check_credentials(access_key_id):
    credentials = boto3.Session().get_credentials()
    assert credentials and credentials.access_key == access_key_id, credentials
    assert credentials.token == "token", credentials


def check_shape(shape, value, where):
    kind = shape.type_name
    if kind == "structure":
        assert isinstance(value, dict), (where, value)
        unknown = set(value) - set(shape.members)
        assert not unknown, (where, unknown)
        missing = set(shape.required_members) - set(value)
        assert not missing, (where, missing)
        for key, member in value.items():
            check_shape(shape.members[key], member, f"{where}.{key}")
    elif kind == "list":
        assert isinstance(value, list), (where, value)
        for index, member in enumerate(value):
            check_shape(shape.member, member, f"{where}[{index}]")
    elif kind == "string":
        assert isinstance(value, str), (where, value)
        assert len(value) >= shape.metadata.get("min", 0), (where, value)
        assert value in (shape.enum or [value]), (where, value)
        # AWS's own answers do not keep to the patterns of model ARNs (a global one has no region) and names ("4.5").
        kept = where.endswith((".inferenceProfileArn", ".inferenceProfileId"))
        pattern = shape.metadata.get("pattern") if kept else None
        assert pattern is None or re.fullmatch(pattern, value), (where, value, pattern)
    else:
        raise AssertionError(f"{where}: unexpected {kind}")


def check_listing(path):
    operation = botocore.session.get_session().get_service_model("bedrock").operation_model("ListInferenceProfiles")
    with open(path, encoding="utf-8") as file:
        listing = json.load(file)
    assert listing["inferenceProfileSummaries"], path
    check_shape(operation.output_shape, listing, path)


if __name__ == "__main__":
    checks = {
        "server": check_server,
        "faults": check_faults,
        "sts": check_sts,
        "sso": check_sso,
        "credentials": check_credentials,
        "listing": check_listing,
    }
    checks[sys.argv[1]](sys.argv[2])
