"""Runs what `served-regions --athena` prints in DuckDB.

Arguments: the SQL, model invocation logs as JSON lines, a file of CloudTrail. Prints the rows of the query as JSON.
"""

import json
import sys

import duckdb
import sqlglot
from sqlglot import exp

sql, logs, trail = sys.argv[1:]
with open(sql) as file:
    # One at a time, as Athena takes them: tables are defined in Hive's dialect, and queries are in Trino's.
    statements = [sqlglot.parse_one(text, read="athena") for text in file.read().split(";\n") if text.strip()]
kinds = [type(statement) for statement in statements]
# What the parser does not understand becomes a Command.
assert kinds == [exp.Create, exp.Create, exp.Select], kinds
for table in statements[:2]:
    properties = {
        str(p.this.this if isinstance(p.this, exp.Literal) else p.this).strip("'"): p.args["value"].name
        for p in table.find_all(exp.Property)
        if isinstance(p.args.get("value"), exp.Literal)
    }
    assert properties["projection.enabled"] == "true", properties
    # Every partition column is projected, and stands in the location.
    partitions = [c.name for c in table.find(exp.PartitionedByProperty).find_all(exp.ColumnDef)]
    assert len(partitions) == 3, partitions
    for name in partitions:
        assert f"projection.{name}.type" in properties, (name, properties)
        assert "${" + name + "}" in properties["storage.location.template"], (name, properties)

database = duckdb.connect()
database.execute(
    f"""
    CREATE TABLE bedrock_invocation_logs AS
    SELECT schemaType AS schematype, "timestamp", region, requestId AS requestid, modelId AS modelid,
      errorCode AS errorcode, input, output, inferenceRegion AS inferenceregion, accountId AS account, region AS source,
      strftime("timestamp"::TIMESTAMP, '%Y/%m/%d/%H') AS hour, filename AS "$path"
    FROM read_json('{logs}', format = 'newline_delimited', filename = true, columns = {{
      schemaType: 'VARCHAR', "timestamp": 'VARCHAR', region: 'VARCHAR', requestId: 'VARCHAR', modelId: 'VARCHAR',
      errorCode: 'VARCHAR', accountId: 'VARCHAR', inferenceRegion: 'VARCHAR',
      input: 'STRUCT(inputTokenCount BIGINT, cacheReadInputTokenCount BIGINT, cacheWriteInputTokenCount BIGINT)',
      output: 'STRUCT(outputTokenCount BIGINT)'}})
    """
)
database.execute(
    f"""
    CREATE TABLE bedrock_cloudtrail AS
    SELECT r.eventTime AS eventtime, r.eventSource AS eventsource, r.eventName AS eventname, r.awsRegion AS awsregion,
      r.errorCode AS errorcode, r.requestParameters::VARCHAR AS requestparameters,
      r.additionalEventData::VARCHAR AS additionaleventdata, r.requestID AS requestid,
      r.recipientAccountId AS account, r.awsRegion AS source, strftime(r.eventTime::TIMESTAMP, '%Y/%m/%d') AS day
    FROM (SELECT unnest(Records) AS r FROM read_json('{trail}', maximum_object_size = 1000000000, columns = {{
      Records: 'STRUCT(eventTime VARCHAR, eventSource VARCHAR, eventName VARCHAR, awsRegion VARCHAR, errorCode VARCHAR,
        requestParameters JSON, additionalEventData JSON, requestID VARCHAR, recipientAccountId VARCHAR)[]'}}))
    """
)
# The test's tables have the columns that the definitions have.
for name, table in zip(["bedrock_invocation_logs", "bedrock_cloudtrail"], statements):
    defined = {c.name for c in table.find_all(exp.ColumnDef) if not c.find_ancestor(exp.DataType)}
    here = {row[0] for row in database.execute(f"DESCRIBE {name}").fetchall()}
    assert defined == here - {"$path"}, defined ^ here
query = database.execute(statements[2].sql(dialect="duckdb"))
names = [column[0] for column in query.description]
print(json.dumps([dict(zip(names, row)) for row in query.fetchall()]))
