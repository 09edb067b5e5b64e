// Encodes the cases of a JSON file (argument 1: {vocabulary, cases}, as golden_tokenizer.json) with the page's
// tokenizer (argument 2: folder of the page's modules) and prints [[token ids, segment ids], …].

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [casesFile, page] = process.argv.slice(2);
const { WordPieceTokenizer } = await import(pathToFileURL(`${page}/tokenizer.js`).href);
const { readTokenizerSettings } = await import(pathToFileURL(`${page}/tokenizer_settings.js`).href);
const { vocabulary, cases } = JSON.parse(readFileSync(casesFile, "utf8"));
const tokenizers = new Map();
const encoded = cases.map(({ settings, first, second, max_length }) => {
  const key = JSON.stringify(settings);
  if (!tokenizers.has(key)) tokenizers.set(key, new WordPieceTokenizer(vocabulary, readTokenizerSettings(settings)));
  const { ids, segmentIds } = tokenizers.get(key).encode(first, second, max_length);
  return [ids, segmentIds];
});
console.log(JSON.stringify(encoded));
