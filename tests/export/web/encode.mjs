// Encodes the cases of a JSON file (argument 1: {vocabulary, cases}, as golden_tokenizer.json) with the page's
// tokenizer (argument 2: folder of the page's modules) and prints [[token ids, segment ids], …].

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [casesFile, page] = process.argv.slice(2);
const { WordPieceTokenizer } = await import(pathToFileURL(`${page}/tokenizer.js`).href);
const { vocabulary, cases } = JSON.parse(readFileSync(casesFile, "utf8"));
const tokenizers = [true, false].map((lowercase) => new WordPieceTokenizer(vocabulary, lowercase));
const encoded = cases.map(({ lowercase, first, second, max_length }) => {
  const { ids, segmentIds } = tokenizers[lowercase ? 0 : 1].encode(first, second, max_length);
  return [ids, segmentIds];
});
console.log(JSON.stringify(encoded));
