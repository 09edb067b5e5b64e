// The section "Compare on many texts": texts through several models, compared with a teacher.

import { cosine, haveSameLabels, median, totalVariation } from "./measures.js";
import { writeCsv } from "./table.js";
import { element, formatBytes, formatMs, formatShare } from "./view.js";

const SHOWN_TEXTS = 100;
// Few texts are run several times, so that each model has at least this many runs.
const FEWEST_RUNS = 30;

/**
 * Runs texts through models in this page, each text through all of them in turn, so that other load affects all alike.
 * The times of a text are the medians of its runs.
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
  const repetitions = Math.ceil(FEWEST_RUNS / examples.length);
  for (const [first, second] of examples) {
    const runs = models.map(() => []);
    for (let run = 0; run < repetitions; run++) {
      for (const [index, { classifier }] of models.entries()) {
        runs[index].push(await classifier.classify(first, second ?? ""));
      }
    }
    const results = runs.map((ofModel) => ({
      outputs: [...ofModel[0].outputs],
      tokenizing_ms: median(ofModel.map(({ tokenizeMs }) => tokenizeMs ?? 0)),
      inference_ms: median(ofModel.map(({ inferenceMs, roundTripMs }) => roundTripMs ?? inferenceMs)),
    }));
    texts.push({ input: second === undefined ? first : [first, second], results });
    advance(texts.length);
  }
  const mean = (measure) => texts.reduce((sum, text) => sum + measure(text.results), 0) / texts.length;
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
      ...against(index),
    })),
    texts: texts.map(({ input, results }) => ({ input, results: results.map(answer) })),
  };
}

/** Makes the table of the models, whose latencies are medians over the texts, and that of the texts. */
export function comparisonTables({ teacher, models, texts }) {
  const isRegression = "difference" in models[0];
  const measures = isRegression ? ["Difference"] : ["Agreement", "Cosine", "Total variation"];
  const latencies = models.map((_, index) => median(texts.map(({ results }) => textMs(results[index]))));
  const taught = latencies[models.findIndex(({ model }) => model === teacher)];
  const summary = table(
    ["Model", "Size", "Latency", "Speed-up", ...measures],
    models.map((model, index) => [
      model.model === teacher ? `${model.model} (teacher)` : model.model,
      formatBytes(model.size_bytes),
      formatMs(latencies[index]),
      `${(taught / latencies[index]).toFixed(2)} ×`,
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
  const note = "Latency: tokenizer and model, median over the texts, the models in turn.";
  const more = hidden > 0 ? ` ${hidden} more texts in the CSV.` : "";
  return [summary, list, element("p", { class: "note", text: note + more })];
}

function textMs({ tokenizing_ms: tokenizing, inference_ms: inference }) {
  return tokenizing + inference;
}

function describe(result) {
  const { label, probabilities, score } = result;
  const answer = label === undefined ? score.toFixed(3) : `${label} ${formatShare(probabilities[label])}`;
  return `${answer}, ${formatMs(textMs(result))}`;
}

/**
 * Writes a comparison as CSV: one row for each text and model, after the columns of the table that the texts come from.
 *
 * @param {object} comparison Result of `compareHere`, or the server's answer.
 * @param {import("./table.js").TextTable} table
 */
export function comparisonCsv({ models, texts }, { columns, rows }) {
  const labels = Object.keys(texts[0].results[0].probabilities ?? {});
  const added = ["model", labels.length ? "label" : "score", ...labels, "tokenizing_ms", "inference_ms"];
  const names = added.map((name) => (columns.includes(name) ? `predicted_${name}` : name));
  const lines = texts.flatMap(({ results }, row) =>
    results.map(({ label, score, probabilities, tokenizing_ms, inference_ms }, index) => {
      const values = labels.map((name) => probabilities[name]);
      return [...rows[row], models[index].model, label ?? score, ...values, tokenizing_ms, inference_ms];
    }),
  );
  return writeCsv([[...columns, ...names], ...lines]);
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
