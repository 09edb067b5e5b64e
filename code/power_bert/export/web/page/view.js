// What the page shows of a model: a card with its probabilities and a row of the comparison.

const SHOWN_LABELS = 5;

/** An element with attributes (`text`: its text) and children. */
function element(name, { text, ...attributes } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function formatBytes(bytes) {
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function formatMs(ms) {
  return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
}

function formatShare(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** A message that stays until it is dismissed. */
export function showError(container, message) {
  const dismiss = element("button", { type: "button", text: "Dismiss" });
  const box = element("div", { class: "error" }, [element("p", { text: message }), dismiss]);
  dismiss.addEventListener("click", () => box.remove());
  container.append(box);
}

/** A model's card and its row in the comparison. */
export class ModelView {
  /**
   * @param {import("./model_file.js").ModelFile} file
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
    this.clear();
  }

  /** Shows that there is no text yet. */
  clear() {
    this.bars.replaceChildren();
    this.note.textContent = "No text yet.";
    this.fillRow("–", "–", "–");
  }

  /** @param {import("./classifier.js").Classification} result */
  show(result) {
    const { outputs, numTokens, length, cut, tokenizeMs, inferenceMs, backend } = result;
    const padded = length > numTokens ? `, padded to ${length}` : "";
    const lost = cut ? `, ${cut} more cut off` : "";
    this.note.textContent =
      `${numTokens} word pieces${padded}${lost}; tokenizer ${formatMs(tokenizeMs)}, ` +
      `model ${formatMs(inferenceMs)} on ${backend}`;
    const time = formatMs(tokenizeMs + inferenceMs);
    if (!this.file.labels.length) {
      const score = outputs[0].toFixed(3);
      this.bars.replaceChildren(element("li", { class: "score", text: score }));
      this.fillRow(score, "–", time);
      return;
    }
    const ranked = this.file.labels
      .map((label, index) => ({ label, probability: outputs[index] }))
      .sort((one, other) => other.probability - one.probability);
    this.bars.replaceChildren(...ranked.slice(0, SHOWN_LABELS).map(bar), ...rest(ranked.slice(SHOWN_LABELS)));
    this.fillRow(ranked[0].label, formatShare(ranked[0].probability), time);
  }

  /** @param {string} message Why there is no result. */
  showFailure(message) {
    this.clear();
    this.note.textContent = message;
  }

  /** @param {{median: number, p95: number, runs: number} | null} speed In milliseconds. */
  showSpeed(speed) {
    this.speed.textContent =
      speed && `Model alone, ${speed.runs} runs: median ${formatMs(speed.median)}, 95 % within ${formatMs(speed.p95)}`;
  }

  remove() {
    this.card.remove();
    this.row.remove();
  }

  fillRow(label, probability, time) {
    this.row.replaceChildren(
      element("th", { scope: "row", text: this.file.name }, [element("small", { text: this.file.fileName })]),
      element("td", { class: "number", text: formatBytes(this.file.bytes.length) }),
      element("td", { text: label }),
      element("td", { class: "number", text: probability }),
      element("td", { class: "number", text: time }),
    );
  }
}

function bar({ label, probability }) {
  const filled = element("span");
  filled.style.width = `${100 * probability}%`; // as a property: the page's policy allows no style attributes
  return element("li", {}, [
    element("span", { class: "label", text: label }),
    element("span", { class: "value", text: formatShare(probability) }),
    element("span", { class: "bar", "aria-hidden": "true" }, [filled]),
  ]);
}

// The labels after the most probable ones, folded away.
function rest(ranked) {
  if (!ranked.length) return [];
  const list = element("ol", { class: "bars" }, ranked.map(bar));
  return [element("li", {}, [element("details", {}, [element("summary", { text: `${ranked.length} more` }), list])])];
}

function summary({ bytes, labels, signatures, takesPairs }) {
  const gives = labels.length ? `${labels.length} labels` : "one number";
  const lengths = signatures.map(({ length }) => length).join(", ");
  return [formatBytes(bytes.length), gives, `length ${lengths}`, takesPairs ? "pairs" : "single texts"].join(" · ");
}

function details(file) {
  const { inputNames, numOutputs } = file.signatures[0];
  const facts = {
    Description: file.description,
    Task: file.task,
    Version: file.version,
    Author: file.author,
    Licence: file.licence,
    Vocabulary: `${file.vocabulary.length} word pieces, ${file.tokenizer.lowercase ? "lower-case" : "cased"}`,
    Inputs: Object.entries(inputNames).map(([role, name]) => (role === name ? role : `${role} (${name})`)).join(", "),
    Output: `${numOutputs} × float32`,
    Labels: file.labels.join(", "),
  };
  const known = Object.entries(facts).filter(([, fact]) => fact);
  const list = known.flatMap(([name, fact]) => [element("dt", { text: name }), element("dd", { text: fact })]);
  return element("details", {}, [element("summary", { text: "About this model" }), element("dl", {}, list)]);
}
