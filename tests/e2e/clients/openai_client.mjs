// One request with OpenAI's own Node client; prints as JSON what its user would see.

import { createRequire } from "node:module";

const [folder, what, text] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const OpenAI = require("openai").default;
const { makeParseableResponseFormat } = require("openai/lib/parser");
const client = new OpenAI({ maxRetries: 0, timeout: 120_000 });
const body = JSON.parse(text);

const describe = (error) => ({
  class: error.constructor.name,
  status: error.status ?? null,
  type: error.type ?? null,
  code: error.code ?? null,
  message: error.message,
});

async function plain() {
  const answer = await client.chat.completions.create(body);
  const choice = answer.choices[0];
  return {
    object: answer.object,
    model: answer.model,
    content: choice.message.content,
    role: choice.message.role,
    finish_reason: choice.finish_reason,
    usage: answer.usage,
  };
}

async function stream() {
  const seen = { content: "", chunks: 0, finish_reason: null, usage: null, role: null, object: null };
  try {
    const chunks = await client.chat.completions.create({ ...body, stream: true, stream_options: { include_usage: true } });
    for await (const chunk of chunks) {
      seen.chunks += 1;
      seen.object = chunk.object;
      seen.usage = chunk.usage ?? seen.usage;
      for (const choice of chunk.choices) {
        seen.role ??= choice.delta.role;
        seen.content += choice.delta.content ?? "";
        seen.finish_reason = choice.finish_reason ?? seen.finish_reason;
      }
    }
  } catch (error) {
    seen.error = describe(error);
  }
  return seen;
}

const chat = () => client.chat.completions.create(body);

// The answer as the client's own accumulator puts it together.
async function chat_stream() {
  const events = new Set();
  const answer = client.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
  for (const kind of ["chunk", "content", "tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"]) {
    answer.on(kind, () => events.add(kind));
  }
  return { ...(await answer.finalChatCompletion()), events: [...events].sort() };
}

const city = {
  type: "object",
  properties: { name: { type: "string" }, inhabitants: { type: "integer" } },
  required: ["name", "inhabitants"],
  additionalProperties: false,
};

// Fills a type, as `parse` promises.
async function parse() {
  const format = { type: "json_schema", json_schema: { name: "City", strict: true, schema: city } };
  const response_format = makeParseableResponseFormat(format, JSON.parse);
  const choice = (await client.chat.completions.parse({ ...body, response_format })).choices[0];
  return { parsed: choice.message.parsed, finish_reason: choice.finish_reason };
}

const complete = () => client.completions.create(body);

async function complete_stream() {
  const seen = { texts: [], reasons: [], usage: null };
  const chunks = await client.completions.create({ ...body, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of chunks) {
    seen.usage = chunk.usage ?? seen.usage;
    for (const choice of chunk.choices) {
      seen.texts[choice.index] = (seen.texts[choice.index] ?? "") + choice.text;
      seen.reasons[choice.index] = choice.finish_reason ?? seen.reasons[choice.index] ?? null;
    }
  }
  return seen;
}

const embed = () => client.embeddings.create(body);

const respond = () => client.responses.create(body);

async function respond_stream() {
  const [kinds, numbers] = [[], []];
  const events = client.responses.stream(body);
  for await (const event of events) {
    kinds.push(event.type);
    numbers.push(event.sequence_number);
  }
  return { ...(await events.finalResponse()), kinds, numbers };
}

async function models() {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  return { ids };
}

let result;
try {
  result = await { plain, stream, chat, chat_stream, parse, complete, complete_stream, embed, models, respond, respond_stream }[what]();
} catch (error) {
  result = { error: describe(error) };
}
console.log(JSON.stringify(result));
