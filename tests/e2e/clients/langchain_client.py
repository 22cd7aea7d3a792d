"""One conversation with LangChain: a model bound to a tool, its answer, and the same streamed. Prints what its user sees."""

import json
import sys

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@tool
def get_weather(city: str) -> str:
    """Says how the weather is in a city."""
    return f"It is dry in {city}."


def main(what, body):
    model = ChatOpenAI(model=body["model"], temperature=0, max_tokens=body["max_tokens"], max_retries=0)
    asked = [HumanMessage(body["prompt"])]
    if what == "plain":
        answer = model.invoke(asked)
        return {"content": answer.content, "usage": answer.usage_metadata}
    if what == "stream":
        pieces = list(ChatOpenAI(model=body["model"], temperature=0, max_tokens=body["max_tokens"], stream_usage=True).stream(asked))
        whole = pieces[0]
        for piece in pieces[1:]:
            whole += piece
        return {"content": whole.content, "usage": whole.usage_metadata, "chunks": len(pieces)}
    if what == "tool":
        answer = model.bind_tools([get_weather], tool_choice="get_weather").invoke(asked)
        return {"calls": [{"name": call["name"], "args": call["args"]} for call in answer.tool_calls]}
    if what == "embed":
        # As for every server that is not OpenAI's: without this it sends token ids of OpenAI's own tokenizer.
        embeddings = OpenAIEmbeddings(model=body["model"], check_embedding_ctx_length=False)
        return {"dimensions": len(embeddings.embed_query(body["prompt"]))}
    raise ValueError(what)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))))
