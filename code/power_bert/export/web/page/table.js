// Texts as a user pastes them or opens them from a file: one a line, or a table (CSV, TSV) with a column of texts.

const DELIMITERS = ["\t", ",", ";"];
// A name of one or two words, such as "text" or "second sentence".
const COLUMN_NAME = /^#?[\p{L}\p{N}_][\p{L}\p{N}_-]*( [\p{L}\p{N}_-]+)?$/u;
// Usual names of a column of texts; in a table of one column only they tell that the first line is no text.
const TEXT_NAME = /^(text|sentence|body|message|content|comment|review|tweet|query|question|title)s?$/i;
// As in power_bert.text.column_guess: a column of labels repeats its values, and in scripts without spaces between
// words a character counts as a word.
const DIFFERENT_TEXTS = 0.3;
const WORD = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\s\u3040-\u30ff\u3400-\u9fff]+/g;

/**
 * @typedef {object} TextTable
 * @property {string[]} columns Names of the columns.
 * @property {string[][]} rows Cells of each row.
 * @property {boolean} hasHeader Whether the first line holds the names.
 */

/**
 * Reads a table with tabs, commas or semicolons between its columns, or else one text a line.
 *
 * A cell in quotation marks may hold delimiters, line ends and doubled quotation marks.
 *
 * @param {string} text
 * @param {boolean} [hasHeader] Whether the first line holds the names of the columns; guessed if it is not given.
 * @returns {TextTable}
 */
export function readTable(text, hasHeader) {
  for (const delimiter of DELIMITERS) {
    const cells = splitCells(text, delimiter);
    const isTable = cells.length > 0 && cells[0].length > 1 && cells.every(({ length }) => length === cells[0].length);
    if (!isTable) continue;
    // A comma can be part of a text, so only a header tells that it separates columns.
    const isNamed = looksLikeHeader(cells);
    if (delimiter === "\t" || isNamed) return named(cells, hasHeader ?? isNamed);
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  const startsWithName = hasHeader ?? TEXT_NAME.test(lines[0] ?? "");
  return named(startsWithName ? splitCells(text, "\0") : lines.map((line) => [line]), startsWithName);
}

function named(cells, hasHeader) {
  const columns = hasHeader ? cells[0] : cells[0]?.map((_, index) => (index ? `text_${index + 1}` : "text"));
  return { columns: columns ?? [], rows: hasHeader ? cells.slice(1) : cells, hasHeader };
}

function splitCells(text, delimiter) {
  const cell = new RegExp(`(?:"((?:[^"]|"")*)"|([^${delimiter}\r\n]*))(${delimiter}|\r?\n|$)`, "y");
  const rows = [[]];
  while (cell.lastIndex < text.length) {
    const found = cell.exec(text);
    if (!found) return []; // a carriage return alone
    const [, quoted, plain, end] = found;
    rows.at(-1).push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === delimiter && cell.lastIndex === text.length) rows.at(-1).push("");
    else if (end !== delimiter) rows.push([]);
  }
  return rows.filter((row) => row.length > 1 || row[0]?.trim());
}

// Names are short and all different, and a column of texts has longer values than its name.
function looksLikeHeader([names, ...rows]) {
  const areNames = names.every((name) => COLUMN_NAME.test(name)) && new Set(names).size === names.length;
  return areNames && names.some((name, column) => meanWords(rows, column) > countWords(name));
}

/**
 * Guesses the columns of the texts: those whose values have most words and seldom repeat.
 *
 * @param {TextTable} table
 * @param {number} count Number of columns: 2 for pairs.
 * @returns {number[]} Their positions in the table.
 */
export function guessTextColumns({ columns, rows }, count) {
  const words = columns.map((_, column) => {
    const different = new Set(rows.map((row) => row[column])).size;
    return different < DIFFERENT_TEXTS * rows.length ? 0 : meanWords(rows, column);
  });
  const ranked = columns.map((_, column) => column).sort((one, other) => words[other] - words[one]);
  return ranked.slice(0, count).sort((one, other) => one - other);
}

function meanWords(rows, column) {
  return rows.reduce((sum, row) => sum + countWords(row[column]), 0) / Math.max(rows.length, 1);
}

function countWords(text) {
  return text.match(WORD)?.length ?? 0;
}

/** Writes rows of cells as CSV, as in RFC 4180. */
export function writeCsv(rows) {
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
}
