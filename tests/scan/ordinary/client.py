import anthropic
import openai
from google.gemma import load

openai.api_key = "unset"
client = anthropic.Anthropic()
message = client.messages.create(model="claude-sonnet-4-5", max_tokens=16)
reply = openai.chat.completions.create(model="gpt-4o-mini", messages=[])
embedding = cohere.embed(texts=["a"], model="embed-english-v3.0")
price = amazon.nova - 2
grok = xai.grok("grok-3")
LOG = logging.getLogger("meta.llama")
