// One request with OpenAI's own Node client; prints as JSON what its user would see.

import { createRequire } from "node:module";

const [folder, what, text] = process.argv.slice(2);
const OpenAI = createRequire(`${folder}/package.json`)("openai").default;
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

async function models() {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  return { ids };
}

let result;
try {
  result = await { plain, stream, models }[what]();
} catch (error) {
  result = { error: describe(error) };
}
console.log(JSON.stringify(result));
