// OpenAI's client for Node as its users write it: node ask.mjs URL MODEL prints what came back, as JSON.
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0 });
const question = { model, messages: [{ role: "user", content: "Hello, who are you?" }], max_tokens: 6, temperature: 0 };

const whole = await client.chat.completions.create(question);

const pieces = [];
let usage = null;
for await (const chunk of await client.chat.completions.create({
  ...question,
  stream: true,
  stream_options: { include_usage: true },
})) {
  pieces.push(...chunk.choices.map((choice) => choice.delta.content ?? ""));
  usage = chunk.usage ?? usage;
}

const models = [];
for await (const entry of client.models.list()) models.push(entry.id);

let failure = null;
try {
  await client.chat.completions.create({ ...question, model: "nobody:1" });
} catch (error) {
  failure = { status: error.status, code: error.code, message: error.message, kind: error.constructor.name };
}

console.log(
  JSON.stringify({ whole: whole.choices[0].message.content, streamed: pieces.join(""), tokens: usage.completion_tokens, models, failure }),
);
