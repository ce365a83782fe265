"""Prints what LiteLLM makes of configuration files: a line of JSON for each model, with the provider, and with the path and the region
of the request that it sends for it. The server that it is sent to is of this process.
"""

import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

os.environ.update(
    AWS_ACCESS_KEY_ID="AKIDEXAMPLE",
    AWS_SECRET_ACCESS_KEY="secret",
    AWS_EC2_METADATA_DISABLED="true",
    # Prices and models come with the package, and are not fetched.
    LITELLM_LOCAL_MODEL_COST_MAP="True",
)

import litellm  # noqa: E402
import yaml  # noqa: E402

requests = []


class Refusing(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        requests.append((self.path, self.headers["Authorization"]))
        self.send_response(400)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Refusing)
threading.Thread(target=server.serve_forever, daemon=True).start()


def read(path):
    with open(path, encoding="utf-8") as file:
        models = yaml.safe_load(file)["model_list"]
    for model in models:
        parameters = model["litellm_params"]
        parameters["aws_bedrock_runtime_endpoint"] = f"http://127.0.0.1:{server.server_port}"
    router = litellm.Router(model_list=models, num_retries=0)
    for model in models:
        _, provider, _, _ = litellm.get_llm_provider(model["litellm_params"]["model"])
        try:
            router.completion(model["model_name"], [{"role": "user", "content": "Which city?"}])
        except litellm.exceptions.BadRequestError:
            pass
        path, signature = requests.pop()
        region = re.search(r"Credential=[^/]+/[0-9]+/([^/]+)/bedrock/", signature)[1]
        print(json.dumps({"name": model["model_name"], "provider": provider, "path": path, "region": region}))


for path in sys.argv[1:]:
    read(path)
