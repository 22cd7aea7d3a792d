"""One request with Anthropic's own Python client; prints as JSON what its user would see."""

import inspect
import json
import sys

import anthropic

client = anthropic.Anthropic(max_retries=0, timeout=120)


def valid(answer):
    """The answer, if it has all that Anthropic's own types require; the client by itself checks nothing."""
    return type(answer).model_validate(answer.model_dump(exclude_unset=True)).model_dump(by_alias=True)


def asked(method, body):
    """The body as arguments; what the client has no word for (any more) goes beside."""
    words = inspect.signature(method).parameters
    known = {name: value for name, value in body.items() if name in words}
    return {**known, "extra_body": {name: value for name, value in body.items() if name not in words}}


def message(body):
    return valid(client.messages.create(**asked(client.messages.create, body)))


def message_stream(body):
    """The answer as the client's own accumulator puts it together, and every event, checked."""
    with client.messages.stream(**asked(client.messages.stream, body)) as events:
        texts = "".join(events.text_stream)
        final = events.get_final_message()
    raw = [valid(event)["type"] for event in client.messages.create(stream=True, **asked(client.messages.create, body))]
    return {**final.model_dump(), "texts": texts, "raw": raw}


def count(body):
    return client.messages.count_tokens(**asked(client.messages.count_tokens, body)).model_dump()


try:
    result = {call.__name__: call for call in [message, message_stream, count]}[sys.argv[1]](json.loads(sys.argv[2]))
except anthropic.APIError as error:
    result = {
        "error": {
            "class": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "request_id": getattr(error, "request_id", None),
            "body": getattr(error, "body", None),
        }
    }
print(json.dumps(result))
