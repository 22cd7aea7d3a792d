"""One request with OpenAI's own Python client; prints as JSON what its user would see."""

import json
import sys

import openai
import pydantic

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
            valid(chunk)
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


def valid(answer):
    """The answer, if it has all that OpenAI's own types require; the client by itself checks nothing."""
    return type(answer).model_validate(answer.model_dump(exclude_unset=True)).model_dump()


def chat(body):
    return valid(client.chat.completions.create(**body))


def chat_stream(body):
    """The answer as the client's own accumulator puts it together."""
    with client.chat.completions.stream(stream_options={"include_usage": True}, **body) as events:
        kinds = [event.type for event in events]
        return {**events.get_final_completion().model_dump(), "events": sorted(set(kinds))}


class City(pydantic.BaseModel):
    name: str
    inhabitants: int


def parse(body):
    """Fills a type, as `parse` promises."""
    choice = client.chat.completions.parse(response_format=City, **body).choices[0]
    return {"parsed": choice.message.parsed.model_dump(), "finish_reason": choice.finish_reason}


def complete(body):
    return valid(client.completions.create(**body))


def complete_stream(body):
    texts, reasons, usage = {}, {}, None
    for chunk in client.completions.create(stream=True, stream_options={"include_usage": True}, **body):
        usage = chunk.usage.model_dump() if chunk.usage else usage
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    return {"texts": [texts[i] for i in sorted(texts)], "reasons": [reasons[i] for i in sorted(reasons)], "usage": usage}


def embed(body):
    return valid(client.embeddings.create(**body))


def respond(body):
    return valid(client.responses.create(**body))


def respond_stream(body):
    """Every event, checked, and the response that the client's own accumulator puts together."""
    kinds, numbers = [], []
    with client.responses.stream(**body) as events:
        for event in events:
            kinds.append(event.type)
            numbers.append(event.sequence_number)
        final = events.get_final_response()
    raw = [valid(event)["type"] for event in client.responses.create(stream=True, **body)]
    return {**final.model_dump(), "output_text": final.output_text, "kinds": kinds, "numbers": numbers, "raw": raw}


def respond_parse(body):
    answer = client.responses.parse(text_format=City, **body)
    return {"parsed": answer.output_parsed.model_dump(), "status": answer.status}


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


CALLS = [plain, stream, chat, chat_stream, parse, complete, complete_stream, embed, models, respond, respond_stream, respond_parse]

try:
    result = {call.__name__: call for call in CALLS}[sys.argv[1]](json.loads(sys.argv[2]))
except openai.APIError as error:
    result = {"error": describe(error)}
print(json.dumps(result))
