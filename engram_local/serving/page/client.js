// Talks to the server: requests, and the events of a stream. Knows nothing of the page.

function headers(key) {
  const all = { "Content-Type": "application/json" };
  if (key) all.Authorization = `Bearer ${key}`;
  return all;
}

async function failure(response) {
  let message = `the server answers ${response.status}`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // not its own words, then
  }
  const wait = response.headers.get("Retry-After");
  return new Error(wait ? `${message} (in ${wait} s)` : message);
}

export async function models(key) {
  const response = await fetch("v1/models", { headers: headers(key) });
  if (!response.ok) throw await failure(response);
  return (await response.json()).data;
}

// Tokens of a prompt made of messages.
export async function count(messages, templateArgs, key) {
  const response = await fetch("tokenize", {
    method: "POST",
    headers: headers(key),
    body: JSON.stringify({ messages, template_args: templateArgs }),
  });
  if (!response.ok) throw await failure(response);
  return (await response.json()).count;
}

// Calls `onChunk` with every chunk of a chat answer.
export async function chat(body, { key, signal, onChunk }) {
  const response = await fetch("v1/chat/completions", {
    method: "POST",
    headers: headers(key),
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw await failure(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      onChunk(chunk);
    }
  }
}
