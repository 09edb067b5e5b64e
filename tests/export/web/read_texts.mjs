// Reads texts (argument 2: JSON of {text, hasHeader, count}) with the page's reader (argument 1: folder of the page's
// modules) and prints {columns, rows, hasHeader, guessed}.

import { pathToFileURL } from "node:url";

const { guessTextColumns, readTable } = await import(pathToFileURL(`${process.argv[2]}/table.js`).href);
const { text, hasHeader, count } = JSON.parse(process.argv[3]);
const table = readTable(text, hasHeader ?? undefined);
console.log(JSON.stringify({ ...table, guessed: guessTextColumns(table, count) }));
