"""One request with OpenAI's own Python client; prints as JSON what its user would see."""

import json
import sys

import openai

client = openai.OpenAI(max_retries=0, timeout=120)


def plain(body):
    answer = client.chat.completions.create(**body)
    choice = answer.choices[0]
    return {
        "object": answer.object,
        "model": answer.model,
        "content": choice.message.content,
        "role": choice.message.role,
        "finish_reason": choice.finish_reason,
        "usage": answer.usage.model_dump(),
    }


def stream(body):
    seen = {"content": "", "chunks": 0, "finish_reason": None, "usage": None, "role": None, "object": None}
    try:
        for chunk in client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **body):
            seen["chunks"] += 1
            seen["object"] = chunk.object
            if chunk.usage:
                seen["usage"] = chunk.usage.model_dump()
            for choice in chunk.choices:
                seen["role"] = seen["role"] or choice.delta.role
                seen["content"] += choice.delta.content or ""
                seen["finish_reason"] = choice.finish_reason or seen["finish_reason"]
    except openai.APIError as error:
        seen["error"] = describe(error)
    return seen


def models(_body):
    return {"ids": [model.id for model in client.models.list()]}


def describe(error):
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "type": getattr(error, "type", None),
        "code": getattr(error, "code", None),
        "message": str(error),
    }


try:
    result = {"plain": plain, "stream": stream, "models": models}[sys.argv[1]](json.loads(sys.argv[2]))
except openai.APIError as error:
    result = {"error": describe(error)}
print(json.dumps(result))
