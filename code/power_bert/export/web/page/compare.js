// The section "Compare on many texts": texts through several models, compared with a teacher.

import { cosine, haveSameLabels, median, totalVariation } from "./measures.js";
import { element, formatBytes, formatMs, formatShare } from "./view.js";

const SHOWN_TEXTS = 100;

/**
 * Reads texts, one a line, pairs separated by a tab.
 *
 * @returns {string[][]}
 * @throws {Error} A line has another number of texts than the models take.
 */
export function readTexts(text, takesPairs) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  const examples = takesPairs ? lines.map((line) => line.split("\t")) : lines.map((line) => [line]);
  const wrong = examples.findIndex((example) => example.length !== (takesPairs ? 2 : 1));
  if (!examples.length) throw new Error("There are no texts to compare.");
  if (wrong >= 0) throw new Error(`Line ${wrong + 1} has no pair: two texts, separated by a tab.`);
  return examples;
}

/**
 * Runs texts through models in this page, each text through all of them in turn, so that other load affects all alike.
 *
 * @param {{name: string, classifier: object}[]} models
 * @param {number} teacher Index of the teacher.
 * @param {string[][]} examples
 * @param {(done: number) => void} advance Called after each text.
 * @returns {Promise<object>} As the server's answer to /compare.
 * @throws {Error} A model has other labels than the teacher.
 */
export async function compareHere(models, teacher, examples, advance) {
  const labels = models[teacher].classifier.file.labels;
  const other = models.find(({ classifier }) => !haveSameLabels(classifier.file, models[teacher].classifier.file));
  if (other) throw new Error(`${other.name} has other labels than the teacher, ${models[teacher].name}.`);
  const texts = [];
  for (const [first, second] of examples) {
    const results = [];
    for (const { classifier } of models) {
      const { outputs, tokenizeMs = 0, inferenceMs, roundTripMs } = await classifier.classify(first, second ?? "");
      results.push({ outputs: [...outputs], tokenizing_ms: tokenizeMs, inference_ms: roundTripMs ?? inferenceMs });
    }
    texts.push({ input: second === undefined ? first : [first, second], results });
    advance(texts.length);
  }
  const mean = (measure) => texts.reduce((sum, text) => sum + measure(text.results), 0) / texts.length;
  const time = (index, part) => median(texts.map(({ results }) => results[index][part]));
  const total = (index) => median(texts.map(({ results }) => results[index].tokenizing_ms + results[index].inference_ms));
  const against = (index) => {
    const pair = (results) => [results[teacher].outputs, results[index].outputs];
    if (!labels.length) return { difference: mean((results) => Math.abs(pair(results)[0][0] - pair(results)[1][0])) };
    const best = (outputs) => outputs.indexOf(Math.max(...outputs));
    return {
      agreement: mean((results) => Number(best(pair(results)[0]) === best(pair(results)[1]))),
      cosine: mean((results) => cosine(...pair(results))),
      total_variation: mean((results) => totalVariation(...pair(results))),
    };
  };
  const answer = ({ outputs, ...times }) => {
    if (!labels.length) return { score: outputs[0], ...times };
    const probabilities = Object.fromEntries(labels.map((label, index) => [label, outputs[index]]));
    return { label: labels[outputs.indexOf(Math.max(...outputs))], probabilities, ...times };
  };
  return {
    teacher: models[teacher].name,
    models: models.map(({ name, classifier }, index) => ({
      model: name,
      size_bytes: classifier.file.bytes.length,
      tokenizing_ms: time(index, "tokenizing_ms"),
      inference_ms: time(index, "inference_ms"),
      speed_up: total(teacher) / total(index),
      ...against(index),
    })),
    texts: texts.map(({ input, results }) => ({ input, results: results.map(answer) })),
  };
}

/** Makes the table of the models, and that of the texts. */
export function comparisonTables({ teacher, models, texts }) {
  const isRegression = "difference" in models[0];
  const measures = isRegression ? ["Difference"] : ["Agreement", "Cosine", "Total variation"];
  const summary = table(
    ["Model", "Size", "Tokenizer", "Inference", "Speed-up", ...measures],
    models.map((model) => [
      model.model === teacher ? `${model.model} (teacher)` : model.model,
      formatBytes(model.size_bytes),
      formatMs(model.tokenizing_ms),
      formatMs(model.inference_ms),
      `${model.speed_up.toFixed(2)} ×`,
      ...(isRegression
        ? [model.difference.toFixed(3)]
        : [formatShare(model.agreement), model.cosine.toFixed(4), model.total_variation.toFixed(4)]),
    ]),
  );
  const list = table(
    ["Text", ...models.map(({ model }) => model)],
    texts.slice(0, SHOWN_TEXTS).map(({ input, results }) => [
      Array.isArray(input) ? input.join(" | ") : input,
      ...results.map(describe),
    ]),
  );
  const hidden = texts.length - SHOWN_TEXTS;
  return [summary, list, ...(hidden > 0 ? [element("p", { class: "note", text: `${hidden} more in the CSV.` })] : [])];
}

function describe({ label, probabilities, score, tokenizing_ms: tokenizing, inference_ms: inference }) {
  const answer = label === undefined ? score.toFixed(3) : `${label} ${formatShare(probabilities[label])}`;
  return `${answer}, ${formatMs(tokenizing + inference)}`;
}

/** Writes a comparison as CSV: one row for each text and model. */
export function comparisonCsv({ models, texts }) {
  const labels = Object.keys(texts[0].results[0].probabilities ?? {});
  const rows = [["text", "second_text", "model", "label", "score", ...labels, "tokenizing_ms", "inference_ms"]];
  for (const { input, results } of texts) {
    const [first, second = ""] = [input].flat();
    results.forEach(({ label = "", score = "", probabilities = {}, tokenizing_ms, inference_ms }, index) => {
      const values = labels.map((name) => probabilities[name]);
      rows.push([first, second, models[index].model, label, score, ...values, tokenizing_ms, inference_ms]);
    });
  }
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
}

function table(titles, rows) {
  const head = titles.map((title) => element("th", { scope: "col", text: title }));
  const body = rows.map(([first, ...others]) =>
    element("tr", {}, [
      element("th", { scope: "row", text: first }),
      ...others.map((text) => element("td", { text })),
    ]),
  );
  return element("div", { class: "comparison", tabindex: "0" }, [
    element("table", {}, [element("thead", {}, [element("tr", {}, head)]), element("tbody", {}, body)]),
  ]);
}

/** Lets the browser save a text as a file. */
export function download(text, name, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}
