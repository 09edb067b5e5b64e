// Inference with LiteRT.js: the runtime on one backend, and models compiled for it.

import { Tensor, isWebGPUSupported, loadAndCompile, loadLiteRt, supportsFeature, unloadLiteRt } from "@litertjs/core";

import { WordPieceTokenizer } from "./tokenizer.js";

const WASM_FOLDER = new URL("./vendor/@litertjs/core/wasm/", import.meta.url).href;
// More threads do not reduce the latency of one sentence.
const MOST_THREADS = 4;
// The runtime's WebGPU kernels compute some graphs wrongly without an error, so each model is compared with WebAssembly
// on these texts.
const CHECK_TEXTS = ["", "The quick brown fox jumps over the lazy dog.", "No! It is not good, 3 of 10: avoid."];
const LARGEST_DIFFERENCE = 0.01;
// The probabilities of a quantized model do not sum to exactly 1.
const SUM_TOLERANCE = 0.2;

/** Backends of this browser: always "wasm" (the CPU), and "webgpu" if there is an adapter. */
export async function availableBackends() {
  const adapter = isWebGPUSupported() ? await navigator.gpu.requestAdapter().catch(() => null) : null;
  return adapter ? ["wasm", "webgpu"] : ["wasm"];
}

/** The runtime, loaded for one backend at a time. The next `load` invalidates all compiled models. */
export class Runtime {
  /** @param {"wasm" | "webgpu"} backend */
  static async load(backend) {
    unloadLiteRt();
    const features = await Promise.all(["threads", "relaxedSimd", "jspi"].map((name) => supportsFeature(name)));
    const [threads, relaxedSimd, jspi] = features;
    // Threads need a cross-origin isolated page, for which `power_bert.export.web.serve` sends the headers.
    const threaded = backend === "wasm" && globalThis.crossOriginIsolated && threads && relaxedSimd;
    // With JSPI, a model may run partly on WebGPU.
    await loadLiteRt(WASM_FOLDER, { threads: threaded, jspi: backend === "webgpu" && jspi && relaxedSimd });
    const numThreads = threaded ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
    return new Runtime(backend, numThreads);
  }

  constructor(backend, numThreads) {
    this.backend = backend;
    this.numThreads = numThreads;
  }

  /** Description for the user. */
  get description() {
    if (this.backend === "webgpu") return "WebGPU";
    return `WebAssembly, ${this.numThreads} ${this.numThreads === 1 ? "thread" : "threads"}`;
  }

  /**
   * @param {Uint8Array} bytes The model file.
   * @param {"wasm" | "webgpu"} backend The loaded backend, or "wasm", which is always available.
   * @throws {Error} The runtime cannot run the model.
   */
  compile(bytes, backend = this.backend) {
    return loadAndCompile(bytes, {
      accelerator: backend,
      cpuOptions: { numThreads: this.numThreads },
      gpuOptions: { precision: "fp32" },
    });
  }
}

/**
 * @typedef {object} Classification
 * @property {Float32Array} outputs Probabilities in the order of the labels, or the score of a regression.
 * @property {string[]} tokens Tokens of the text, with [CLS] and [SEP].
 * @property {boolean[][] | null} kept Whether each token is left after each block; null if the model does not tell.
 * @property {number} length Sequence length of the signature that ran, in tokens, with padding.
 * @property {number} cut Number of truncated tokens.
 * @property {number} tokenizeMs
 * @property {number} inferenceMs
 * @property {string} backend Description of the backend, for the user.
 */

/** A compiled model with its tokenizer. */
export class Classifier {
  /**
   * @param {import("./model_file.js").ModelFile} file
   * @param {Runtime} runtime
   * @throws {Error} The runtime cannot run the model, or computes it wrongly.
   */
  static async load(file, runtime) {
    const tokenizer = new WordPieceTokenizer(file.vocabulary, file.tokenizer);
    const classifier = new Classifier(file, tokenizer, runtime, await runtime.compile(file.bytes));
    // The first run of each signature allocates memory and takes many times as long as later ones.
    for (const signature of file.signatures) checkOutputs(file, (await classifier.run(signature, [], [])).outputs);
    if (runtime.backend !== "wasm") await classifier.compareWithProcessor();
    return classifier;
  }

  constructor(file, tokenizer, runtime, model) {
    this.file = file;
    this.tokenizer = tokenizer;
    this.runtime = runtime;
    this.model = model;
  }

  /** Description of the backend that runs the model, for the user. */
  get backend() {
    const { backend, description } = this.runtime;
    return backend === "webgpu" && !this.model.isFullyAccelerated ? `${description}, partly WebAssembly` : description;
  }

  /**
   * @param {string} first
   * @param {string} second Ignored by models of single texts.
   * @returns {Promise<Classification>}
   */
  async classify(first, second) {
    const start = performance.now();
    const { signatures, takesPairs, maxLength } = this.file;
    const longest = Math.min(maxLength, signatures.at(-1).length);
    const { ids, segmentIds, cut } = this.tokenizer.encode(first, takesPairs ? second : null, longest);
    const tokenized = performance.now();
    const signature = signatures.find(({ length }) => length >= ids.length);
    const { outputs, kept } = await this.run(signature, ids, segmentIds);
    const ended = performance.now();
    return {
      outputs,
      tokens: ids.map((id) => this.file.vocabulary[id]),
      kept,
      length: signature.length,
      cut,
      tokenizeMs: tokenized - start,
      inferenceMs: ended - tokenized,
      backend: this.backend,
    };
  }

  async run({ key, length, inputNames, outputName, survivorsName }, ids, segmentIds) {
    const { padId } = this.tokenizer;
    const inputs = {
      [inputNames.ids]: paddedTensor(ids, length, padId),
      [inputNames.mask]: paddedTensor(ids.map(() => 1), length, 0),
      [inputNames.segment_ids]: paddedTensor(segmentIds, length, 0),
    };
    const outputs = await (key ? this.model.run(key, inputs) : this.model.run(inputs));
    const found = {
      outputs: Float32Array.from(await outputs[outputName].data()),
      kept: survivorsName && rowsOf(await outputs[survivorsName].data(), length, ids.length),
    };
    // JavaScript does not collect the runtime's memory.
    [...Object.values(inputs), ...Object.values(outputs)].forEach((tensor) => tensor.delete());
    return found;
  }

  async compareWithProcessor() {
    const model = await this.runtime.compile(this.file.bytes, "wasm");
    const reference = new Classifier(this.file, this.tokenizer, this.runtime, model);
    const differences = [];
    for (const text of CHECK_TEXTS) {
      const { outputs: expected } = await reference.classify(text, text);
      const { outputs } = await this.classify(text, text);
      differences.push(...outputs.map((output, index) => Math.abs(output - expected[index])));
    }
    reference.delete();
    const difference = Math.max(...differences);
    if (!(difference <= LARGEST_DIFFERENCE)) {
      this.delete();
      throw new Error(`its results differ by ${difference.toFixed(3)} from those of WebAssembly`);
    }
  }

  /** Frees the memory of the model. */
  delete() {
    this.model.delete();
  }
}

// The runtime continues without an error if it cannot compute an operation.
function checkOutputs(file, outputs) {
  const sum = outputs.reduce((total, output) => total + output, 0);
  const fits = file.labels.length > 1 ? Math.abs(sum - 1) <= SUM_TOLERANCE : Number.isFinite(sum);
  if (!fits) throw new Error("its outputs are no probabilities");
}

// Splits the surviving tokens, one block after the other, into rows without padding.
function rowsOf(values, length, numTokens) {
  const blocks = Array.from({ length: values.length / length }, (_, block) => block * length);
  return blocks.map((start) => Array.from(values.subarray(start, start + numTokens), Boolean));
}

function paddedTensor(values, length, filling) {
  const data = new Int32Array(length).fill(filling);
  data.set(values);
  return new Tensor(data, [1, length]);
}
