// Reads the zip archive appended to a model file: the associated files of the TFLite metadata. All that is unpacked is
// bounded, by the same limits as in power_bert_runtime.appended_files.
//
// Why not fflate (0.8.3): a reader with its `unzipSync` and a filter needs about 40 lines instead of 160, and adds 91 kB
// (5.5 kB bundled and minified) to the 52 kB of the page's own scripts. But fflate checks no CRC, ignores encryption,
// truncates without an error a file that inflates to more than its size, and does not tell where the archive begins,
// which the hash of the weights needs. Of the 19 archives in tests/fixtures/tiny_exports.py, all refused here, it
// accepts 4; of 300 random edits of an archive, 15 change what it reads without an error, and none here.

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_HEADER = 0x04034b50;
const [END_SIZE, ENTRY_SIZE, HEADER_SIZE] = [22, 46, 30];
const LONGEST_COMMENT = 0xffff;
const [STORED, DEFLATED] = [0, 8];
const ENCRYPTED = 1;
const [ZIP64_COUNT, ZIP64_SIZE] = [0xffff, 0xffffffff];
const MOST_FILES = 100;
const MOST_BYTES = 64 * 2 ** 20;
const MOST_RATIO = 100;

/**
 * Reads all files of the archive at the end of `bytes`.
 *
 * @param {Uint8Array} bytes The whole model file.
 * @returns {Promise<{files: Map<string, Uint8Array>, start: number}>} Name → content, empty if there is no archive; and
 *   the position where the archive begins.
 * @throws {Error} The archive is damaged, or holds something that no exporter writes.
 */
export async function readAppendedZip(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  const files = new Map();
  if (end < 0) return { files, start: bytes.length };
  const entries = readDirectory(view, bytes, end);
  checkDirectory(entries);
  for (const entry of entries) files.set(entry.name, await readContent(view, bytes, entry));
  return { files, start: entries.length ? entries[0].header : bytes.length };
}

// Searches the end record from the back, because a comment of any length may follow it.
function findEnd(view) {
  const first = Math.max(0, view.byteLength - END_SIZE - LONGEST_COMMENT);
  for (let position = view.byteLength - END_SIZE; position >= first; position--) {
    if (view.getUint32(position, true) === END_OF_DIRECTORY) return position;
  }
  return -1;
}

// Returns the entries of the directory in the order of their contents.
function readDirectory(view, bytes, end) {
  const numEntries = view.getUint16(end + 10, true);
  const directorySize = view.getUint32(end + 12, true);
  const directoryOffset = view.getUint32(end + 16, true);
  if (numEntries === ZIP64_COUNT || directorySize === ZIP64_SIZE || directoryOffset === ZIP64_SIZE) {
    throw new Error("the archive at its end is a zip64, which is for files of over 4 GB");
  }
  if (numEntries > MOST_FILES) {
    throw new Error(`the archive at its end has ${numEntries} files, at most ${MOST_FILES} are expected`);
  }
  // Offsets count from the beginning of the file or, if the archive was simply appended, of the archive.
  const archiveStart = end - directorySize - directoryOffset;
  const entries = [];
  let position = end - directorySize;
  for (let index = 0; index < numEntries; index++) {
    const entry = readEntry(view, bytes, position, archiveStart);
    entries.push(entry);
    position = entry.end;
  }
  return entries.sort((one, other) => one.header - other.header);
}

function readEntry(view, bytes, position, archiveStart) {
  expect(view, position, DIRECTORY_ENTRY);
  const nameStart = position + ENTRY_SIZE;
  const nameEnd = nameStart + view.getUint16(position + 28, true);
  return {
    name: new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(nameStart, nameEnd)),
    flags: view.getUint16(position + 8, true),
    method: view.getUint16(position + 10, true),
    checksum: view.getUint32(position + 16, true),
    compressedSize: view.getUint32(position + 20, true),
    size: view.getUint32(position + 24, true),
    header: archiveStart + view.getUint32(position + 42, true),
    end: nameEnd + view.getUint16(position + 30, true) + view.getUint16(position + 32, true),
  };
}

// Checks the directory before anything is unpacked.
function checkDirectory(entries) {
  const names = entries.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`${shown(twice)} is in the archive at its end more than once`);
  const total = entries.reduce((sum, { size }) => sum + size, 0);
  if (total > MOST_BYTES) {
    throw new Error(`its files unpack to ${total} bytes, at most ${MOST_BYTES} are expected`);
  }
  entries.forEach(checkEntry);
  for (let index = 1; index < entries.length; index++) {
    const [entry, following] = [entries[index - 1], entries[index]];
    if (following.header < entry.header + HEADER_SIZE + entry.compressedSize) {
      throw new Error(`${shown(entry.name)} and ${shown(following.name)} overlap in the archive at its end`);
    }
  }
}

function checkEntry({ name, flags, method, compressedSize, size }) {
  // \p{C} matches control, format and unassigned characters.
  if (!name || name === "." || name === ".." || /[/\\:\p{C}]/u.test(name)) {
    throw new Error(`${shown(name)} in the archive at its end is no name of a plain file`);
  }
  if (flags & ENCRYPTED) throw new Error(`${shown(name)} in the archive is encrypted`);
  if (method !== STORED && method !== DEFLATED) {
    throw new Error(`${shown(name)} in the archive has an unknown compression (${method})`);
  }
  if (size > compressedSize * (method === DEFLATED ? MOST_RATIO : 1)) {
    throw new Error(`${shown(name)} in the archive unpacks ${compressedSize} bytes to ${size}`);
  }
}

async function readContent(view, bytes, entry) {
  const { name, method, compressedSize, size, header, checksum } = entry;
  expect(view, header, LOCAL_HEADER);
  const start = header + HEADER_SIZE + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
  const compressed = bytes.subarray(start, start + compressedSize);
  const content = method === STORED ? compressed : await inflate(compressed, size);
  if (content.length !== size) throw new Error(`${shown(name)} in the archive is incomplete`);
  if (crc32(content) !== checksum) throw new Error(`${shown(name)} in the archive is damaged (CRC)`);
  return content;
}

// Inflates all bytes there are, but at most `size` + 1.
async function inflate(compressed, size) {
  const reader = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const content = new Uint8Array(size + 1);
  let length = 0;
  while (length <= size) {
    const { done, value } = await reader.read();
    if (done) return content.subarray(0, length);
    const part = value.subarray(0, content.length - length);
    content.set(part, length);
    length += part.length;
  }
  await reader.cancel();
  return content;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}

function expect(view, position, signature) {
  if (position < 0 || view.getUint32(position, true) !== signature) throw new Error("the appended archive is damaged");
}

// Shortens and quotes a name for a message.
function shown(name) {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
}
