CREATE EXTERNAL TABLE IF NOT EXISTS bedrock_invocation_logs (
  schematype string,
  `timestamp` string,
  region string,
  requestid string,
  modelid string,
  errorcode string,
  input struct<inputtokencount:bigint, cachereadinputtokencount:bigint, cachewriteinputtokencount:bigint>,
  output struct<outputtokencount:bigint>,
  inferenceregion string
)
PARTITIONED BY (account string, source string, hour string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('ignore.malformed.json' = 'true')
LOCATION 's3://logs-111122223333/bedrock/AWSLogs/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.account.type' = 'enum',
  'projection.account.values' = '111122223333',
  'projection.source.type' = 'enum',
  'projection.source.values' = 'eu-west-1,us-east-1',
  'projection.hour.type' = 'date',
  'projection.hour.format' = 'yyyy/MM/dd/HH',
  'projection.hour.range' = '2023/09/28/00,NOW',
  'projection.hour.interval' = '1',
  'projection.hour.interval.unit' = 'HOURS',
  'storage.location.template' = 's3://logs-111122223333/bedrock/AWSLogs/${account}/BedrockModelInvocationLogs/${source}/${hour}/'
);
CREATE EXTERNAL TABLE IF NOT EXISTS bedrock_cloudtrail (
  eventtime string,
  eventsource string,
  eventname string,
  awsregion string,
  errorcode string,
  requestparameters string,
  additionaleventdata string,
  requestid string
)
PARTITIONED BY (account string, source string, day string)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS INPUTFORMAT 'com.amazon.emr.cloudtrail.CloudTrailInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
LOCATION 's3://trail-111122223333/AWSLogs/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.account.type' = 'enum',
  'projection.account.values' = '111122223333',
  'projection.source.type' = 'enum',
  'projection.source.values' = 'eu-west-1,us-east-1',
  'projection.day.type' = 'date',
  'projection.day.format' = 'yyyy/MM/dd',
  'projection.day.range' = '2023/09/28,NOW',
  'projection.day.interval' = '1',
  'projection.day.interval.unit' = 'DAYS',
  'storage.location.template' = 's3://trail-111122223333/AWSLogs/${account}/CloudTrail/${source}/${day}/'
);

WITH records AS (
  SELECT requestid, modelid, region AS source_region, inferenceregion AS served_in, "timestamp" AS seen,
    input.inputtokencount AS input_tokens, output.outputtokencount AS output_tokens,
    input.cachereadinputtokencount AS cache_read_input_tokens, input.cachewriteinputtokencount AS cache_write_input_tokens
  FROM bedrock_invocation_logs
  WHERE hour BETWEEN '2026/04/14/00' AND '2026/04/14/23'
    AND "$path" NOT LIKE '%/BedrockModelInvocationLogs/%/data/%'
    AND schematype = 'ModelInvocationLog'
    AND (errorcode IS NULL OR inferenceregion IS NOT NULL)
  UNION ALL
  SELECT requestid, json_extract_scalar(requestparameters, '$.modelId') AS modelid, awsregion AS source_region,
    json_extract_scalar(additionaleventdata, '$.inferenceRegion') AS served_in, eventtime AS seen,
    CAST(NULL AS bigint) AS input_tokens, CAST(NULL AS bigint) AS output_tokens,
    CAST(NULL AS bigint) AS cache_read_input_tokens, CAST(NULL AS bigint) AS cache_write_input_tokens
  FROM bedrock_cloudtrail
  WHERE day BETWEEN '2026/04/14' AND '2026/04/14'
    AND eventsource = 'bedrock.amazonaws.com' AND eventname IN ('Converse', 'ConverseStream', 'InvokeModel', 'InvokeModelWithResponseStream')
    AND (errorcode IS NULL OR json_extract_scalar(additionaleventdata, '$.inferenceRegion') IS NOT NULL)
), requests AS (
  SELECT requestid,
    max(regexp_replace(modelid, '^arn:[^:]*:bedrock:[^:]*:[^:]*:(inference-profile|foundation-model)/', '')) AS profile,
    max(source_region) AS source_region, max(served_in) AS served_in, min(seen) AS first_seen, max(seen) AS last_seen,
    max(input_tokens) AS input_tokens, max(output_tokens) AS output_tokens,
    max(cache_read_input_tokens) AS cache_read_input_tokens, max(cache_write_input_tokens) AS cache_write_input_tokens
  FROM records
  WHERE requestid <> '' AND modelid <> '' AND source_region <> ''
  GROUP BY requestid
)
SELECT profile, source_region, served_in, count(*) AS requests,
  coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
  coalesce(sum(cache_read_input_tokens), 0) AS cache_read_input_tokens,
  coalesce(sum(cache_write_input_tokens), 0) AS cache_write_input_tokens,
  min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM requests
GROUP BY profile, source_region, served_in
ORDER BY profile, source_region, served_in;
