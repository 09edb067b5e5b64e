// Reads a .tflite classifier: signatures from the model, name and description from its metadata, vocabulary and labels
// from the archive at its end.

import { Table } from "./flatbuffer.js";
import { readTokenizerSettings } from "./tokenizer_settings.js";
import { readAppendedZip } from "./zip.js";

const [FLOAT32, INT32] = [0, 2];
const TYPE_NAMES = { 0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 9: "int8" };
const [LABELS_FILE, VOCABULARY_FILE] = [2, 5];
// Positions of the fields in the schemas tensorflow/compiler/mlir/lite/schema/schema.fbs and metadata_schema.fbs.
const MODEL = { operatorCodes: 1, subgraphs: 2, buffers: 4, metadata: 6, signatures: 7 };
const OPERATOR_CODE = { customCode: 1, builtinCode: 3 };
const CUSTOM = 32;
const SUBGRAPH = { tensors: 0, inputs: 1, outputs: 2 };
const TENSOR = { shape: 0, type: 1, name: 3, shapeSignature: 7 };
const SIGNATURE = { inputs: 0, outputs: 1, key: 2, subgraph: 4 };
const TENSOR_MAP = { name: 0, tensor: 1 };
const ENTRY = { name: 0, buffer: 1 };
const METADATA = { name: 0, description: 1, version: 2, subgraphs: 3, author: 4, license: 5, files: 6 };
const SUBGRAPH_METADATA = { inputs: 2, outputs: 3, files: 4, inputProcessUnits: 5 };
const TENSOR_METADATA = { name: 0, processUnits: 4, files: 6 };
const ASSOCIATED_FILE = { name: 0, type: 2 };
const PROCESS_UNIT = { options: 1 };
const TOKENIZER_OPTIONS = { vocabularyFiles: 0 };
// Name of the output that `export --surviving-tokens` adds.
const SURVIVING_TOKENS = "surviving_tokens";

// Limits that only damaged or malicious files exceed: offsets in a FlatBuffer, tokens of an input, length of a message.
const MOST_BYTES = 2 ** 31 - 1;
const MOST_TOKENS = 65536;
const LONGEST_MESSAGE = 600;
// Setting that the page uses → description and check of its value.
const SETTINGS = {
  task: ["text", (value) => typeof value === "string"],
  pairs: ["true or false", (value) => typeof value === "boolean"],
  regression: ["true or false", (value) => typeof value === "boolean"],
  lowercase: ["true or false", (value) => typeof value === "boolean"],
  max_length: ["a positive whole number", (value) => Number.isSafeInteger(value) && value > 0],
  model_sha256: ["text", (value) => typeof value === "string"],
  quantization: ["text", (value) => typeof value === "string"],
  retention: ["a list of numbers", (value) => value === null || (Array.isArray(value) && value.every(Number.isFinite))],
  fuse_dropped: ["true or false", (value) => typeof value === "boolean"],
  dev: ["scores by length", (value) => typeof value === "object"],
};

const EXPORT_ADVICE = "Export one with: bash run.sh export RUN --out model.tflite";

/** An error in a model file, with a message for the user. */
export class ModelFileError extends Error {
  constructor(message) {
    super(message.length > LONGEST_MESSAGE ? `${message.slice(0, LONGEST_MESSAGE)}…` : message);
  }
}

/**
 * @typedef {object} Signature A signature of the model.
 * @property {string} key
 * @property {number} length Sequence length of its inputs, in tokens.
 * @property {Record<"ids" | "mask" | "segment_ids", string>} inputNames Role of an input → its name.
 * @property {string} outputName Name of the output with the probabilities, or the score.
 * @property {number} numOutputs Number of probabilities.
 * @property {string | null} survivorsName Name of the output with the tokens that are left after each block; null if
 *   there is none.
 */

/**
 * @typedef {object} ModelFile
 * @property {Uint8Array} bytes
 * @property {string} fileName
 * @property {string} name
 * @property {string} description
 * @property {string} version
 * @property {string} author
 * @property {string} license
 * @property {string[]} vocabulary
 * @property {string[]} labels Empty for a regression.
 * @property {object} tokenizer Settings of the tokenizer, see `readTokenizerSettings`.
 * @property {boolean} takesPairs Whether the model classifies pairs of texts.
 * @property {number} maxLength Max length of an example, in tokens.
 * @property {string} task
 * @property {string} quantization
 * @property {number[]} retention What each block keeps; empty if nothing is eliminated.
 * @property {boolean} fusesDropped Whether the tokens that a block drops are fused into one.
 * @property {string} devScore Dev score of the file, as text; empty if unknown.
 * @property {Signature[]} signatures In ascending order of length.
 */

/**
 * Reads and checks a model file.
 *
 * @param {Uint8Array} bytes The whole file.
 * @param {string} fileName Name for messages.
 * @returns {Promise<ModelFile>}
 * @throws {ModelFileError} The page cannot run the file; the message says why and what to do.
 */
export async function readModelFile(bytes, fileName) {
  try {
    return await read(bytes, fileName);
  } catch (error) {
    if (error instanceof ModelFileError) throw error;
    throw new ModelFileError(`${fileName}: the file is damaged (${error.message}). Download or export it again.`);
  }
}

async function read(bytes, fileName) {
  if (bytes.length > MOST_BYTES) throw new ModelFileError(`${fileName}: over 2 GiB, which no .tflite file is.`);
  if (new TextDecoder("latin1").decode(bytes.subarray(4, 8)) !== "TFL3") {
    throw new ModelFileError(`${fileName}: not a .tflite file. ${EXPORT_ADVICE}`);
  }
  const model = Table.root(bytes);
  checkOperations(model, fileName);
  const metadata = findMetadata(model, fileName);
  const { files, start } = await readAppendedZip(bytes);
  if (!files.size) {
    throw new ModelFileError(
      `${fileName}: vocabulary and labels are missing at its end: it was cut off, or another program made it. ` +
        `Download it again. ${EXPORT_ADVICE}`,
    );
  }
  const extra = readExtra(files);
  await checkWeights(bytes.subarray(0, start), extra.model_sha256);
  const signatures = readSignatures(model, metadata, fileName);
  const labels = extra.regression ? [] : readLabels(metadata, files, signatures, fileName);
  return {
    bytes,
    fileName,
    name: metadata.string(METADATA.name) || fileName.replace(/\.tflite$/, ""),
    description: metadata.string(METADATA.description),
    version: metadata.string(METADATA.version),
    author: metadata.string(METADATA.author),
    license: metadata.string(METADATA.license),
    vocabulary: readVocabulary(metadata, files, fileName),
    labels,
    tokenizer: readTokenizerSettings(extra),
    takesPairs: extra.pairs ?? false,
    maxLength: extra.max_length ?? signatures.at(-1).length,
    task: extra.task ?? "",
    quantization: extra.quantization ?? "",
    retention: extra.retention ?? [],
    fusesDropped: extra.fuse_dropped ?? false,
    devScore: formatDevScore(extra.dev),
    signatures,
  };
}

// The first score of the longest input: dev is {length: {scores: {metric: fraction, …}}}.
function formatDevScore(dev) {
  const [metric, score] = Object.entries(Object.values(dev ?? {}).at(-1)?.scores ?? {})[0] ?? [];
  return typeof score === "number" ? `${metric} ${(100 * score).toFixed(2)}` : "";
}

// The browser's runtime would skip a custom operation without an error.
function checkOperations(model, fileName) {
  const custom = model.tables(MODEL.operatorCodes).filter((code) => code.int32(OPERATOR_CODE.builtinCode) === CUSTOM);
  if (custom.length) {
    const names = custom.map((code) => code.string(OPERATOR_CODE.customCode)).join(", ");
    throw new ModelFileError(
      `${fileName}: the browser's runtime lacks operations of this model: ${names}. Export it with built-in ` +
        "operations only, as bash run.sh export does.",
    );
  }
}

function findMetadata(model, fileName) {
  const entry = model.tables(MODEL.metadata).find((table) => table.string(ENTRY.name) === "TFLITE_METADATA");
  if (!entry) {
    throw new ModelFileError(
      `${fileName}: the file has no metadata, so its vocabulary and labels are unknown. ${EXPORT_ADVICE}`,
    );
  }
  const buffer = at(model.tables(MODEL.buffers), entry.int32(ENTRY.buffer), "buffer");
  const metadata = Table.root(buffer.bytes(0) ?? new Uint8Array());
  at(metadata.tables(METADATA.subgraphs), 0, "subgraph in the metadata");
  return metadata;
}

// Returns an entry of a list by an index from the file.
function at(list, index, what) {
  if (!(index in list)) throw new Error(`there is no ${what} ${index}`);
  return list[index];
}

// Reads the settings that the metadata schema has no field for; a file of another program has none.
function readExtra(files) {
  const content = files.get("power_bert.json");
  if (!content) return {};
  const settings = JSON.parse(decode(content, "power_bert.json"));
  if (settings === null || typeof settings !== "object" || Array.isArray(settings)) {
    throw new Error("power_bert.json holds no settings");
  }
  for (const [name, [expected, fits]] of Object.entries(SETTINGS)) {
    if (name in settings && !fits(settings[name])) {
      throw new Error(`${name} in power_bert.json is ${JSON.stringify(settings[name]).slice(0, 60)}, not ${expected}`);
    }
  }
  return settings;
}

// The runtime itself checks little. Browsers can hash only on secure pages (https, localhost).
async function checkWeights(model, expected) {
  if (expected === undefined || !globalThis.crypto?.subtle) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", model));
  const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== expected) throw new Error("its weights are not those that were written (sha256)");
}

function decode(content, name) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    throw new Error(`${name} is not UTF-8`);
  }
}

function readSignatures(model, metadata, fileName) {
  const subgraphs = model.tables(MODEL.subgraphs);
  const declared = model.tables(MODEL.signatures);
  const signatures = declared.length
    ? declared.map((table) => readSignature(table, subgraphs, metadata, fileName))
    : [readPlainSubgraph(at(subgraphs, 0, "subgraph"), metadata, fileName)];
  return signatures.sort((one, other) => one.length - other.length);
}

function readSignature(table, subgraphs, metadata, fileName) {
  const index = table.int32(SIGNATURE.subgraph);
  const names = new Map();
  for (const entry of [...table.tables(SIGNATURE.inputs), ...table.tables(SIGNATURE.outputs)]) {
    names.set(entry.int32(TENSOR_MAP.tensor), entry.string(TENSOR_MAP.name));
  }
  return describe(table.string(SIGNATURE.key), at(subgraphs, index, "subgraph"), index, names, metadata, fileName);
}

function readPlainSubgraph(subgraph, metadata, fileName) {
  const tensors = subgraph.tables(SUBGRAPH.tensors);
  const ends = [SUBGRAPH.inputs, SUBGRAPH.outputs].flatMap((field) => [...(subgraph.int32s(field) ?? [])]);
  const names = new Map(ends.map((index) => [index, at(tensors, index, "tensor").string(TENSOR.name)]));
  return describe("", subgraph, 0, names, metadata, fileName);
}

function describe(key, subgraph, subgraphIndex, names, metadata, fileName) {
  const tensors = subgraph.tables(SUBGRAPH.tensors);
  const inputs = subgraph.int32s(SUBGRAPH.inputs) ?? [];
  const roles = inputRoles(metadata, subgraphIndex, inputs.length, fileName);
  const inputNames = Object.fromEntries(inputs.map((tensor, position) => [roles[position], names.get(tensor)]));
  const lengths = inputs.map((tensor) => inputLength(at(tensors, tensor, "tensor"), fileName));
  if (new Set(lengths).size > 1) {
    throw new ModelFileError(`${fileName}: the inputs have different lengths (${lengths.join(", ")}).`);
  }
  const [outputIndex, ...others] = subgraph.int32s(SUBGRAPH.outputs) ?? [];
  const output = at(tensors, outputIndex, "tensor");
  if (output.uint8(TENSOR.type) !== FLOAT32) {
    throw new ModelFileError(`${fileName}: the output is ${typeName(output)}; expected float32.`);
  }
  const outputName = names.get(outputIndex);
  if ([...Object.values(inputNames), outputName].includes(undefined)) {
    throw new Error("a signature does not name all inputs and outputs");
  }
  const survivors = others.find((tensor) => names.get(tensor) === SURVIVING_TOKENS);
  if (survivors !== undefined) checkSurvivors(at(tensors, survivors, "tensor"), lengths[0], fileName);
  const survivorsName = survivors === undefined ? null : SURVIVING_TOKENS;
  const numOutputs = staticShape(output, fileName).at(-1);
  return { key, length: lengths[0], inputNames, outputName, numOutputs, survivorsName };
}

function checkSurvivors(tensor, length, fileName) {
  const shape = staticShape(tensor, fileName);
  if (tensor.uint8(TENSOR.type) !== INT32 || shape.length !== 3 || shape[0] !== 1 || shape[2] !== length) {
    throw new Error(`its surviving tokens are ${typeName(tensor)} [${shape.join(", ")}]`);
  }
}

// Returns the role of each input, in the order of the subgraph's inputs: its name in the tensor metadata.
function inputRoles(metadata, subgraphIndex, numInputs, fileName) {
  const subgraphs = metadata.tables(METADATA.subgraphs);
  const subgraph = subgraphs[subgraphIndex] ?? subgraphs[0];
  const roles = subgraph.tables(SUBGRAPH_METADATA.inputs).map((table) => table.string(TENSOR_METADATA.name));
  if ([...roles].sort().join() !== "ids,mask,segment_ids" || numInputs !== 3) {
    throw new ModelFileError(
      `${fileName}: expected three inputs named ids, mask and segment_ids in the metadata; ` +
        `found ${numInputs} inputs named ${roles.join(", ") || "nothing"}.`,
    );
  }
  return roles;
}

function inputLength(tensor, fileName) {
  const shape = staticShape(tensor, fileName);
  if (tensor.uint8(TENSOR.type) !== INT32 || shape.length !== 2 || shape[0] !== 1) {
    throw new ModelFileError(
      `${fileName}: input ${tensor.string(TENSOR.name)} is ${typeName(tensor)} [${shape.join(", ")}]; ` +
        "expected int32 [1, length].",
    );
  }
  if (!(shape[1] > 0 && shape[1] <= MOST_TOKENS)) throw new Error(`an input has ${shape[1]} tokens`);
  return shape[1];
}

function staticShape(tensor, fileName) {
  const signature = tensor.int32s(TENSOR.shapeSignature);
  if (signature?.includes(-1)) {
    throw new ModelFileError(
      `${fileName}: tensor ${tensor.string(TENSOR.name)} has a dynamic shape [${signature.join(", ")}], which the ` +
        "browser's runtime cannot run. Export it with a fixed batch of 1 and fixed lengths (--lengths 128).",
    );
  }
  return tensor.int32s(TENSOR.shape) ?? [];
}

function typeName(tensor) {
  const type = tensor.uint8(TENSOR.type);
  return TYPE_NAMES[type] ?? `of type ${type}`;
}

function readVocabulary(metadata, files, fileName) {
  const [subgraph] = metadata.tables(METADATA.subgraphs);
  const inputs = subgraph.tables(SUBGRAPH_METADATA.inputs);
  const units = [
    ...subgraph.tables(SUBGRAPH_METADATA.inputProcessUnits),
    ...inputs.flatMap((input) => input.tables(TENSOR_METADATA.processUnits)),
  ];
  const listed = [
    ...units.flatMap((unit) => unit.table(PROCESS_UNIT.options)?.tables(TOKENIZER_OPTIONS.vocabularyFiles) ?? []),
    ...associatedFiles(metadata, inputs).filter((file) => file.uint8(ASSOCIATED_FILE.type) === VOCABULARY_FILE),
  ];
  const lines = readListed(listed, "vocab.txt", files);
  if (!lines) {
    throw new ModelFileError(`${fileName}: there is no vocabulary (vocab.txt) in the file. Export it again.`);
  }
  return lines;
}

function readLabels(metadata, files, signatures, fileName) {
  const [subgraph] = metadata.tables(METADATA.subgraphs);
  const outputs = subgraph.tables(SUBGRAPH_METADATA.outputs);
  const listed = associatedFiles(metadata, outputs).filter(
    (file) => file.uint8(ASSOCIATED_FILE.type) === LABELS_FILE,
  );
  const labels = readListed(listed, "labels.txt", files) ?? [];
  const numOutputs = signatures[0].numOutputs;
  if (signatures.some((signature) => signature.numOutputs !== numOutputs)) {
    throw new Error("its signatures give different numbers of probabilities");
  }
  if (labels.length !== numOutputs && !(numOutputs === 1 && !labels.length)) {
    throw new ModelFileError(
      `${fileName}: the file has ${labels.length} labels, but the model gives ${numOutputs} probabilities. ` +
        "Export it again with the labels that it was trained on.",
    );
  }
  return labels;
}

function associatedFiles(metadata, tensors) {
  const [subgraph] = metadata.tables(METADATA.subgraphs);
  return [
    ...tensors.flatMap((tensor) => tensor.tables(TENSOR_METADATA.files)),
    ...subgraph.tables(SUBGRAPH_METADATA.files),
    ...metadata.tables(METADATA.files),
  ];
}

// Reads the lines of the first listed file that exists, or else of the file with the usual name.
function readListed(listed, usualName, files) {
  const names = [...listed.map((file) => file.string(ASSOCIATED_FILE.name)), usualName];
  const name = names.find((candidate) => files.has(candidate));
  return name === undefined ? null : readLines(files.get(name), name);
}

// Splits lines as power_bert.storage.files.read_lines does: only LF or CR LF ends a line; empty lines at the end do not
// count.
function readLines(bytes, name) {
  const lines = decode(bytes, name).split(/\r?\n/);
  while (lines.length && !lines.at(-1)) lines.pop();
  return lines;
}
