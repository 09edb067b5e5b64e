// Predicts texts with an .onnx file by ONNX Runtime Web and Hugging Face's tokenizers, in headless Chromium.
//
// stdin: {chromium, arguments, model: path, site: folder of the built page, settings: those in the file, vocabulary:
//         [token], texts: [[first, second]]}
// stdout: [[probability]], by text

import { once } from "node:events";
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { text as readAll } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const RUNTIME = fileURLToPath(new URL("node_modules/onnxruntime-web/dist", import.meta.url));
const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const PAGE = `<!doctype html><link rel="icon" href="data:,"><script type="importmap">
  {"imports": {"@huggingface/tokenizers": "/site/vendor/@huggingface/tokenizers/dist/tokenizers.min.mjs"}}
</script>`;

const { model, site, settings, vocabulary, texts, ...plan } = JSON.parse(await readAll(process.stdin));
const server = createServer(answer).listen(0, "127.0.0.1");
await once(server, "listening");
const browser = await chromium.launch({ executablePath: plan.chromium, args: plan.arguments });
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  console.log(JSON.stringify(await page.evaluate(predict, { settings, vocabulary, texts })));
} finally {
  await browser.close();
  server.close();
}

// Serves the page, the model, and the files of ONNX Runtime Web and of the built page.
function answer({ url }, response) {
  const [, folder, ...rest] = url.split("/");
  const root = { "": null, "model.onnx": model, runtime: RUNTIME, site }[folder];
  if (root === null) return response.setHeader("Content-Type", "text/html").end(PAGE);
  if (root === undefined) return response.writeHead(404).end();
  const file = path.join(root, ...rest);
  response.setHeader("Content-Type", TYPES[path.extname(file)] ?? "application/octet-stream");
  return createReadStream(file).on("error", () => response.destroy()).pipe(response);
}

// Runs in the page.
async function predict({ settings, vocabulary, texts }) {
  const ort = await import("/runtime/ort.wasm.min.mjs");
  const { WordPieceTokenizer } = await import("/site/tokenizer.js");
  const { readTokenizerSettings } = await import("/site/tokenizer_settings.js");
  ort.env.wasm.numThreads = 1; // more need a page that is isolated from others
  const tokenizer = new WordPieceTokenizer(vocabulary, readTokenizerSettings(settings));
  const session = await ort.InferenceSession.create("/model.onnx", { executionProviders: ["wasm"] });
  const results = [];
  for (const [first, second] of texts) {
    const { ids, segmentIds } = tokenizer.encode(first, second, settings.max_length);
    const tensor = (values) => new ort.Tensor("int32", Int32Array.from(values), [1, values.length]);
    const inputs = { ids: tensor(ids), mask: tensor(ids.map(() => 1)), segment_ids: tensor(segmentIds) };
    results.push(Array.from((await session.run(inputs)).probabilities.data));
  }
  return results;
}
