// Reads model files (arguments 2 and later) with the page's reader (argument 1: folder of the page's modules) and
// prints [what it read, or {error}, …]; the bytes are left out.

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";

const [page, ...files] = process.argv.slice(2);
const { readModelFile } = await import(pathToFileURL(`${page}/model_file.js`).href);
const read = files.map(async (file) => {
  try {
    const { bytes, ...rest } = await readModelFile(new Uint8Array(readFileSync(file)), basename(file));
    return { ...rest, size: bytes.length };
  } catch (error) {
    return { error: error.message, kind: error.constructor.name };
  }
});
console.log(JSON.stringify(await Promise.all(read)));
