"""Checks the stand-in for CloudWatch Logs and CloudTrail with AWS's own client.

aws_client.py URL   asks the server at this URL, which has the records of tests/it/served/live.rs
"""

import datetime
import sys
import time

import boto3
import botocore.config
import botocore.exceptions

GROUP = "/aws/bedrock/invocations"


def client(url, service):
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def expect_error(name, call):
    try:
        call()
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == name, error.response
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, error.response
        return
    raise AssertionError(f"no {name}")


def query(since, until):
    return (
        "fields jsonParse(@message) as record"
        f" | filter toMillis(@timestamp) >= {since * 1000} and toMillis(@timestamp) < {until * 1000}"
        ' | filter record.schemaType = "ModelInvocationLog"'
        " and (ispresent(record.inferenceRegion) or not ispresent(record.errorCode))"
        " | stats count(*) as requests by record.modelId, record.region, record.inferenceRegion | limit 10000"
    )


def check_logs(url):
    logs = client(url, "logs")
    [group] = logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    assert group["logGroupName"] == GROUP and group["storedBytes"] == 7000, group
    until = int(time.time()) + 1
    asked = {"logGroupName": GROUP, "startTime": until - 3600, "endTime": until, "limit": 10000}

    def run(text):
        started = logs.start_query(queryString=text, **asked)["queryId"]
        while True:
            found = logs.get_query_results(queryId=started)
            if found["status"] not in ("Scheduled", "Running"):
                return found

    found = run(query(until - 3600, until))
    assert found["status"] == "Complete", found
    assert found["statistics"]["bytesScanned"] == 6000.0, found
    rows = [{field["field"]: field["value"] for field in row} for row in found["results"]]
    assert [row["requests"] for row in rows] == ["1", "3"], rows
    assert "record.inferenceRegion" not in rows[0], rows
    [[estimate]] = run(query(until - 3600, until) + " | estimate")["results"]
    assert float(estimate["value"]) == 6000, estimate

    started = logs.start_query(queryString=query(until - 3600, until), **asked)["queryId"]
    assert logs.stop_query(queryId=started)["success"]
    assert logs.get_query_results(queryId=started)["status"] == "Cancelled"
    expect_error("ResourceNotFoundException", lambda: logs.start_query(queryString="x", **{**asked, "logGroupName": "/none"}))
    expect_error("MalformedQueryException", lambda: logs.start_query(queryString="x", **asked))
    expect_error("ResourceNotFoundException", lambda: logs.get_query_results(queryId="none"))


def check_cloudtrail(url):
    trail = client(url, "cloudtrail")
    now = datetime.datetime.now(datetime.timezone.utc)
    asked = {
        "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "Converse"}],
        "StartTime": now - datetime.timedelta(hours=1),
        "EndTime": now,
        "MaxResults": 2,
    }
    first = trail.lookup_events(**asked)
    second = trail.lookup_events(NextToken=first["NextToken"], **asked)
    assert [len(first["Events"]), len(second["Events"])] == [2, 1], (first, second)
    assert "NextToken" not in second, second
    assert first["Events"][0]["EventTime"] > second["Events"][0]["EventTime"], (first, second)
    assert '"inferenceRegion"' in first["Events"][0]["CloudTrailEvent"], first
    expect_error("ThrottlingException", lambda: trail.lookup_events(**asked))


if __name__ == "__main__":
    check_logs(sys.argv[1])
    check_cloudtrail(sys.argv[1])
