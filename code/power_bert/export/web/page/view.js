// The view of a model: a card with its probabilities, a row of the comparison and the tokens that its blocks keep.

import { cosine, totalVariation } from "./measures.js";

const SHOWN_LABELS = 5;

/** Makes an element with attributes (`text`: its text) and children. */
export function element(name, { text, ...attributes } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function formatBytes(bytes) {
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export function formatMs(ms) {
  return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
}

export function formatShare(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** Shows a message until the user dismisses it. */
export function showError(container, message) {
  const dismiss = element("button", { type: "button", text: "Dismiss" });
  const box = element("div", { class: "error" }, [element("p", { text: message }), dismiss]);
  dismiss.addEventListener("click", () => box.remove());
  container.append(box);
}

/** A model's card, its row in the comparison, and the tokens that are left after each of its blocks. */
export class ModelView {
  /**
   * @param {import("./model_file.js").ModelFile} file Or what stands for the file of a model of the server.
   * @param {() => void} onRemove
   */
  constructor(file, onRemove) {
    this.file = file;
    this.bars = element("ol", { class: "bars" });
    this.note = element("p", { class: "note" });
    this.speed = element("p", { class: "note" });
    const remove = element("button", { type: "button", text: "Remove", "aria-label": `Remove ${file.name}` });
    remove.addEventListener("click", onRemove);
    this.card = element("article", { class: "card" }, [
      element("header", {}, [element("h3", { text: file.name }), remove]),
      element("p", { class: "note", text: file.fileName }),
      element("p", { class: "note", text: summary(file) }),
      this.bars,
      this.note,
      this.speed,
      details(file),
    ]);
    this.row = element("tr");
    this.tokens = element("div");
    this.clear();
  }

  /** Shows that there is no text yet. */
  clear() {
    this.bars.replaceChildren();
    this.note.textContent = "No text yet.";
    this.result = null;
    this.tokens.replaceChildren();
    this.fillRow("–");
  }

  /** @param {import("./classifier.js").Classification} result Or what `ServerClassifier.classify` returns. */
  show(result) {
    const { outputs } = result;
    this.result = result;
    this.note.textContent = result.tokens ? steps(result) : `On ${result.backend}`;
    this.tokens.replaceChildren(...survivors(this.file, result));
    if (!this.file.labels.length) {
      const score = outputs[0].toFixed(3);
      this.bars.replaceChildren(element("li", { class: "score", text: score }));
      this.fillRow(score);
      return;
    }
    const ranked = this.file.labels
      .map((label, index) => ({ label, probability: outputs[index] }))
      .sort((one, other) => other.probability - one.probability);
    this.bars.replaceChildren(...ranked.slice(0, SHOWN_LABELS).map(bar), ...rest(ranked.slice(SHOWN_LABELS)));
    this.fillRow(ranked[0].label, formatShare(ranked[0].probability));
  }

  /** @param {string} message Why there is no result. */
  showFailure(message) {
    this.clear();
    this.note.textContent = message;
  }

  /**
   * Shows the latency, and the speed-up over the teacher.
   *
   * @param {import("./measures.js").Latency | null} latency Null shows none.
   * @param {import("./measures.js").Latency | null} taught Latency of the teacher.
   */
  showLatency(latency, taught) {
    this.speed.textContent = latency && describeLatency(latency);
    this.cells.latency.textContent = latency ? formatMs(latency.p50) : "–";
    this.cells.speedUp.textContent = latency && taught ? `${(taught.p50 / latency.p50).toFixed(2)} ×` : "–";
  }

  /**
   * Compares the result with that of the teacher.
   *
   * @param {import("./classifier.js").Classification | null} taught Result of the teacher; null if there is none to compare.
   * @param {boolean} isTeacher
   */
  showAgainst(taught, isTeacher) {
    const { role, cosine: alike, variation } = this.cells;
    role.textContent = isTeacher ? "teacher" : "";
    alike.textContent = variation.textContent = "–";
    if (isTeacher || !taught || !this.result || !this.file.labels.length) return;
    alike.textContent = cosine(taught.outputs, this.result.outputs).toFixed(4);
    variation.textContent = totalVariation(taught.outputs, this.result.outputs).toFixed(4);
  }

  remove() {
    this.card.remove();
    this.row.remove();
    this.tokens.remove();
  }

  fillRow(answer, probability = "") {
    const { name, fileName, bytes, devScore, quantization, retention, fusesDropped } = this.file;
    const number = (text) => element("td", { class: "number", text });
    this.cells = {
      role: element("small"),
      latency: number("–"),
      speedUp: number("–"),
      cosine: number("–"),
      variation: number("–"),
    };
    const { role, ...measured } = this.cells;
    const kept = retentionParts(retention);
    const keptShort = kept.length > 2 ? `${kept[0]} … ${kept.at(-1)}` : kept.join(" ");
    const keptLong = [...kept, ...(fusesDropped ? ["dropped tokens fused"] : [])].join(", ");
    this.row.replaceChildren(
      element("th", { scope: "row", text: name }, [element("small", { text: fileName }), role]),
      element("td", { text: `${answer} ` }, [element("span", { class: "number", text: probability })]),
      ...Object.values(measured),
      element("td", { text: devScore || "–" }),
      number(formatBytes(bytes.length)),
      element("td", { text: quantization === "none" ? "float32" : quantization || "–" }),
      element("td", { class: "short", text: keptShort, title: keptLong }),
    );
  }
}

function describeLatency({ p50, p95, tokenizeMs, runs }) {
  const part = tokenizeMs === undefined ? "with the network" : `tokenizer ${formatMs(tokenizeMs)} of it`;
  return `Latency p50 ${formatMs(p50)} (${part}), p95 ${formatMs(p95)}; ${runs} runs, in turn with the other models`;
}

// What each block keeps: percent of a text's tokens, or a number of tokens; the smallest fraction stands for [CLS]
// alone.
function retentionParts(retention) {
  if (!retention?.length) return [retention ? "all" : "–"];
  const areFractions = retention.every((kept) => kept <= 1);
  const percent = (kept) => (kept < 0.001 ? "[CLS]" : `${Math.round(100 * kept)} %`);
  return retention.map((kept) => (areFractions ? percent(kept) : String(kept)));
}

// The tokens of the text after each block, those that are dropped struck through; nothing if no block drops any.
function survivors({ name, fileName, retention }, { tokens, kept }) {
  if (!kept) {
    const advice = "export it with --surviving-tokens to see which tokens are left after each block.";
    return retention?.length ? [element("p", { class: "note", text: `${name} (${fileName}): ${advice}` })] : [];
  }
  const rows = [tokens.map(() => true), ...kept].map((left, block) =>
    element("tr", {}, [
      element("th", { scope: "row", text: block ? `block ${block}` : "input" }),
      element("td", { class: "number", text: left.filter(Boolean).length }),
      element(
        "td",
        { class: "tokens" },
        tokens.map((token, position) => element(left[position] ? "span" : "s", { text: token })),
      ),
    ]),
  );
  const titles = ["After", "Tokens left", ""].map((text) => element("th", { scope: "col", text }));
  return [
    element("div", { class: "comparison", tabindex: "0" }, [
      element("table", {}, [
        element("caption", { text: `${name} (${fileName}): tokens left after each block` }),
        element("thead", {}, [element("tr", {}, titles)]),
        element("tbody", {}, rows),
      ]),
    ]),
  ];
}

function steps({ tokens, length, cut, backend }) {
  const padded = length > tokens.length ? `, padded to ${length}` : "";
  const lost = cut ? `, ${cut} more cut off` : "";
  return `${tokens.length} tokens${padded}${lost}; on ${backend}`;
}

function bar({ label, probability }) {
  const filled = element("span");
  filled.style.width = `${100 * probability}%`; // a property, because the page's policy forbids style attributes
  return element("li", {}, [
    element("span", { class: "label", text: label }),
    element("span", { class: "value", text: formatShare(probability) }),
    element("span", { class: "bar", "aria-hidden": "true" }, [filled]),
  ]);
}

// Folds away the labels after the most probable ones.
function rest(ranked) {
  if (!ranked.length) return [];
  const list = element("ol", { class: "bars" }, ranked.map(bar));
  return [element("li", {}, [element("details", {}, [element("summary", { text: `${ranked.length} more` }), list])])];
}

function summary({ bytes, labels, signatures, lengths, takesPairs }) {
  const gives = labels.length ? `${labels.length} labels` : "one score";
  const tokens = (lengths ?? signatures.map(({ length }) => length)).join(", ");
  return [formatBytes(bytes.length), gives, `length ${tokens}`, takesPairs ? "pairs" : "single texts"].join(" · ");
}

function details(file) {
  const known = Object.entries(file.facts ?? factsOf(file)).filter(([, fact]) => fact);
  const list = known.flatMap(([name, fact]) => [element("dt", { text: name }), element("dd", { text: fact })]);
  return element("details", {}, [element("summary", { text: "About this model" }), element("dl", {}, list)]);
}

function factsOf(file) {
  const { inputNames, numOutputs } = file.signatures[0];
  return {
    Description: file.description,
    Task: file.task,
    Version: file.version,
    Author: file.author,
    License: file.license,
    Vocabulary: `${file.vocabulary.length} tokens, ${file.tokenizer.lowercase ? "lowercase" : "cased"}`,
    Inputs: Object.entries(inputNames).map(([role, name]) => (role === name ? role : `${role} (${name})`)).join(", "),
    Output: `${numOutputs} × float32`,
    Labels: file.labels.join(", "),
  };
}
