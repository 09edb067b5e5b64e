// What compares the outputs and times of two models.

/** Cosine similarity of two outputs. */
export function cosine(one, other) {
  const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
  return dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
}

/** Total variation distance of two probability distributions: half of the sum of the absolute differences. */
export function totalVariation(one, other) {
  return one.reduce((sum, value, index) => sum + Math.abs(value - other[index]), 0) / 2;
}

/** Whether two models give the same labels, so that their outputs can be compared. */
export function haveSameLabels(one, other) {
  return one.labels.length === other.labels.length && one.labels.every((label, index) => label === other.labels[index]);
}

/**
 * @typedef {object} Latency Latency of single texts, tokenizer and model together, in milliseconds.
 * @property {number} p50
 * @property {number} p95
 * @property {number | undefined} tokenizeMs Median of the tokenizer's part; undefined for a model of the server.
 * @property {number} runs Number of runs.
 */

/**
 * Latency of the runs of one model.
 *
 * @param {import("./classifier.js").Classification[]} results Or what `ServerClassifier.classify` returns.
 * @returns {Latency}
 */
export function latencyOf(results) {
  const times = results.map(totalMs).sort((one, other) => one - other);
  const tokenizeMs = results[0].tokens && median(results.map((result) => result.tokenizeMs));
  return { p50: median(times), p95: times[Math.ceil(0.95 * times.length) - 1], tokenizeMs, runs: times.length };
}

/** Duration of one run: tokenizer and model, or for a model of the server the way there and back. */
export function totalMs({ roundTripMs, tokenizeMs, inferenceMs }) {
  return roundTripMs ?? tokenizeMs + inferenceMs;
}

export function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
