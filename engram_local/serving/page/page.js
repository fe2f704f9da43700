// The chat: turns, what is sent, and what is shown. All text goes in through textContent.

import { chat, count, models } from "./client.js";
import { TokenView } from "./tokens.js";

const $ = (id) => document.getElementById(id);
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "max_tokens"];

let layers = [];
let limit = Infinity; // tokens that a chat stays below
let turns = []; // {text, answers: [Answer]}
let running = null; // AbortController
const views = new Set();

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(text, onClick) {
  const made = element("button", "small", text);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

// One answer to one turn, with or without memory.
class Answer {
  constructor(memory) {
    this.memory = memory;
    this.content = "";
    this.thought = "";
    this.prompt = [];
    this.element = element("article", "answer");
    this.element.setAttribute("aria-label", memory ? "Answer with memory" : "Answer without memory");
    this.title = element("p", "title", memory ? "with memory" : "without memory");
    this.thoughts = element("details", "thoughts");
    this.thoughts.append(element("summary", "", "Thoughts"), element("p", "text"));
    this.thoughts.hidden = true;
    this.text = element("p", "text");
    this.text.dir = "auto";
    this.inspector = element("pre", "inspector");
    this.inspector.hidden = true;
    this.strip = element("details", "prompt");
    this.strip.append(element("summary", "", "The prompt, token by token"), element("p", "text"));
    this.strip.hidden = true;
    this.figures = element("p", "figures");
    this.element.append(this.title, this.thoughts, this.text, this.strip, this.inspector, this.figures);
    this.view = null;
  }

  take(chunk, started) {
    const choice = chunk.choices[0];
    if (!choice) return;
    const { content = "", reasoning_content: thought = "" } = choice.delta;
    if ((content || thought) && this.firstAfter === undefined) this.firstAfter = (performance.now() - started) / 1000;
    this.content += content ?? "";
    this.thought += thought ?? "";
    if (this.thought) {
      this.thoughts.hidden = false;
      this.thoughts.lastChild.textContent = this.thought;
    }
    const tokens = choice.engram?.tokens ?? [];
    const layer = $("layer").value;
    for (const token of tokens.filter((x) => x.in_prompt)) {
      this.promptView ??= this.watch(this.strip.lastChild, []);
      this.promptView.add(token, layer);
      this.prompt.push(token);
      this.strip.hidden = false;
    }
    const own = tokens.filter((x) => !x.in_prompt);
    if (own.length && own.map((x) => x.text).join("") === content) {
      this.view ??= this.watch(this.text, this.prompt);
      for (const token of own) this.view.add(token, layer);
    } else if (content) {
      this.text.append(content);
    }
    if (choice.finish_reason) this.end(choice.engram, chunk, choice.finish_reason);
  }

  watch(place, before) {
    const view = new TokenView(place, this.inspector, layers, before);
    views.add(view);
    return view;
  }

  end(engram) {
    this.parts = [
      `${engram.tokens_per_second} tokens/s`,
      `first token after ${(this.firstAfter ?? 0).toFixed(2)} s`,
      `${engram.rows_read} table rows read`,
    ];
    this.figures.textContent = this.parts.join(" · ");
  }

  fail(message) {
    this.element.append(element("p", "error", message));
  }
}

class Turn {
  constructor(text) {
    this.text = text;
    this.answers = [];
    this.element = element("section", "turn");
    this.question = element("article", "question");
    this.question.setAttribute("aria-label", "Your message");
    this.question.append(element("p", "text", text));
    this.answersElement = element("div", "answers");
    const bar = element("div", "bar");
    bar.append(
      button("Regenerate", () => answer(this)),
      button("Edit", () => edit(this)),
    );
    this.note = element("p", "note");
    this.element.append(this.question, this.note, this.answersElement, bar);
  }

  // What later turns go on from: the first answer, which is the one with memory where there are two.
  said() {
    return this.answers[0]?.content ?? "";
  }
}

function settings(memory) {
  const body = { memory, gates: $("gates").checked };
  for (const name of NUMBERS) if ($(name).value !== "") body[name] = Number($(name).value);
  if ($("thinking").value) body.template_args = { enable_thinking: $("thinking").value === "true" };
  return body;
}

// The messages up to a turn, without the oldest turns where those and a quarter of the context no longer fit: as
// engram-local chat drops them, until half of it is free.
async function fitting(turn) {
  const args = settings(true).template_args;
  const tokens = (first) => count(messagesUpTo(turn, first), args, $("key").value);
  const last = turns.indexOf(turn);
  let first = 0;
  if ((await tokens(first)) > limit - limit / 4) {
    while (first < last && (await tokens(first)) > limit / 2) first += 1;
  }
  turn.note.textContent = first ? `answered without the ${first} oldest of its turns: the context is full` : "";
  return messagesUpTo(turn, first);
}

function messagesUpTo(turn, first = 0) {
  const messages = $("system").value.trim() ? [{ role: "system", content: $("system").value }] : [];
  for (const earlier of turns.slice(first)) {
    messages.push({ role: "user", content: earlier.text });
    if (earlier === turn) return messages;
    if (earlier.said().trim()) messages.push({ role: "assistant", content: earlier.said().trim() });
  }
  return messages;
}

// Answer a turn anew; what came after it goes.
async function answer(turn) {
  if (running) return;
  forgetAfter(turn);
  const memories = $("both").checked ? [true, false] : [$("memory").checked];
  turn.answers = memories.map((memory) => new Answer(memory));
  turn.answersElement.replaceChildren(...turn.answers.map((x) => x.element));
  running = new AbortController();
  const { signal } = running;
  busy(true);
  const fitted = fitting(turn);
  await Promise.all(
    turn.answers.map(async (one) => {
      const started = performance.now();
      const onChunk = (chunk) => {
        one.take(chunk, started);
        follow();
      };
      try {
        const messages = await fitted;
        await chat({ messages, ...settings(one.memory) }, { key: $("key").value, signal, onChunk });
      } catch (error) {
        one.fail(error.name === "AbortError" ? "stopped" : error.message);
      }
    }),
  );
  running = null;
  busy(false);
  $("said").textContent = turn.said();
}

function forgetAfter(turn) {
  const at = turns.indexOf(turn);
  for (const later of turns.slice(at + 1)) later.element.remove();
  turns = turns.slice(0, at + 1);
}

function edit(turn) {
  if (running) return;
  const at = turns.indexOf(turn);
  $("text").value = turn.text;
  for (const later of turns.slice(at)) later.element.remove();
  turns = turns.slice(0, at);
  $("text").focus();
}

function send(event) {
  event?.preventDefault();
  const text = $("text").value;
  if (running || !text.trim()) return;
  const turn = new Turn(text);
  turns.push(turn);
  $("log").append(turn.element);
  $("text").value = "";
  answer(turn);
}

function busy(on) {
  $("send").hidden = on;
  $("stop").hidden = !on;
  document.body.classList.toggle("busy", on);
  if (!on) $("text").focus();
}

function follow() {
  const log = $("log");
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 160) log.scrollTop = log.scrollHeight;
}

async function begin() {
  try {
    const [model] = await models($("key").value);
    layers = model.engram.layers;
    limit = model.engram.chat_limit;
    $("model").textContent = model.id;
    document.title = `${model.id} · engram_local`;
    $("about").textContent = `${model.engram.backend}, context ${model.max_model_len}, ${model.engram.rows_per_token} rows a token`;
    $("thinking-label").hidden = !model.engram.thinking;
    $("layer").replaceChildren(new Option("strongest layer", ""), ...layers.map((x) => new Option(`layer ${x.id}`, x.id)));
    if (!model.engram.chat) $("about").textContent += "; it has no chat template";
  } catch (error) {
    $("about").textContent = error.message;
  }
}

$("composer").addEventListener("submit", send);
$("stop").addEventListener("click", () => running?.abort());
$("new").addEventListener("click", () => {
  running?.abort();
  turns = [];
  views.clear();
  $("log").replaceChildren();
  $("text").focus();
});
$("settings-button").addEventListener("click", () => {
  const hidden = $("settings").toggleAttribute("hidden");
  $("settings-button").setAttribute("aria-expanded", String(!hidden));
});
$("settings").addEventListener("submit", (event) => event.preventDefault());
$("key").addEventListener("change", begin);
$("both").addEventListener("change", () => ($("memory").disabled = $("both").checked));
$("layer").addEventListener("change", () => views.forEach((x) => x.colourBy($("layer").value)));
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
begin();
