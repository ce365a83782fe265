import os

MODEL = os.environ.get("MODEL_ID", "eu.amazon.nova-lite-v1:0")
URL = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/eu.amazon.nova-lite-v1%3A0/converse"
OLD = "anthropic.claude-v2:1"
