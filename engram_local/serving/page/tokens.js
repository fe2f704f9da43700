// Tokens coloured by how far the gates of the Engram layers opened, and what a token's rows are.

const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;

// How far the gate opened, 0 to 1: of one layer, or of the one that opened furthest.
export function opened(token, layer) {
  const gates = token.gates ?? {};
  const chosen = layer ? [gates[layer]].filter(Boolean) : Object.values(gates);
  return chosen.length ? Math.max(...chosen.map(mean)) : 0;
}

function shown(text) {
  return text.replaceAll("\n", "⏎");
}

export class TokenView {
  // `layers`: [{id, orders: [{order, heads}]}]; `inspector`: the element that tells of a token.
  constructor(element, inspector, layers, before = []) {
    this.element = element;
    this.inspector = inspector;
    this.layers = layers;
    this.tokens = [...before]; // what the n-grams look back on
    element.classList.add("tokens");
    element.tabIndex = 0;
    element.addEventListener("pointerover", (event) => this.tell(event.target));
    element.addEventListener("focusin", (event) => this.tell(event.target));
    element.addEventListener("keydown", (event) => this.move(event));
  }

  add(token, layer) {
    const span = document.createElement("span");
    span.className = "token";
    span.textContent = token.text;
    span.tabIndex = -1;
    span.dataset.index = this.tokens.length;
    this.tokens.push(token);
    this.paint(span, layer);
    this.element.append(span);
  }

  paint(span, layer) {
    const gate = opened(this.tokens[span.dataset.index], layer);
    span.style.setProperty("--gate", gate.toFixed(3));
    span.dataset.gate = gate.toFixed(3);
  }

  colourBy(layer) {
    for (const span of this.element.children) this.paint(span, layer);
  }

  move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const spans = [...this.element.querySelectorAll(".token")];
    const at = spans.indexOf(document.activeElement);
    const next = spans[at < 0 ? 0 : Math.min(spans.length - 1, Math.max(0, at + step))];
    next?.focus();
    event.preventDefault();
  }

  tell(span) {
    if (!span.classList.contains("token")) return;
    const index = Number(span.dataset.index);
    const token = this.tokens[index];
    const lines = [`token ${token.id} ${JSON.stringify(token.token)}`];
    if (!token.gates) lines.push("no gate: the memory is off, or the model never read this token");
    for (const { id, orders } of this.layers) {
      if (!token.gates?.[id]) continue;
      lines.push(`layer ${id}: gate ${token.gates[id].map((x) => x.toFixed(2)).join(", ")}`);
      let first = 0;
      for (const { order, heads } of orders) {
        const rows = token.rows[id].slice(first, first + heads);
        const gram = this.tokens.slice(Math.max(0, index + 1 - order), index + 1);
        lines.push(`  ${order}-gram “${shown(gram.map((x) => x.token).join(""))}”: rows ${rows.join(", ")}`);
        first += heads;
      }
    }
    this.inspector.textContent = lines.join("\n");
    this.inspector.hidden = false;
  }
}
