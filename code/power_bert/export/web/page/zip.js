// Reads the zip archive that is appended to a model file: the associated files of TFLite metadata.

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_HEADER = 0x04034b50;
const END_SIZE = 22;
const LONGEST_COMMENT = 0xffff;
const [STORED, DEFLATED] = [0, 8];

/**
 * Reads all files of the archive at the end of `bytes`.
 *
 * @param {Uint8Array} bytes
 * @returns {Promise<Map<string, Uint8Array>>} Name → content; empty where there is no archive.
 * @throws {Error} The archive is damaged or uses another compression than deflate.
 */
export async function readAppendedZip(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  const files = new Map();
  if (end < 0) return files;
  const numEntries = view.getUint16(end + 10, true);
  const directorySize = view.getUint32(end + 12, true);
  const directoryOffset = view.getUint32(end + 16, true);
  // Offsets count from the file's start or, where the archive was simply appended, from the archive's.
  const archiveStart = end - directorySize - directoryOffset;
  let position = end - directorySize;
  for (let index = 0; index < numEntries; index++) {
    const entry = readEntry(view, bytes, position);
    files.set(entry.name, await readContent(view, bytes, entry, archiveStart));
    position = entry.end;
  }
  return files;
}

// The end record is found from the back: a comment of any length may follow it.
function findEnd(view) {
  const first = Math.max(0, view.byteLength - END_SIZE - LONGEST_COMMENT);
  for (let position = view.byteLength - END_SIZE; position >= first; position--) {
    if (view.getUint32(position, true) === END_OF_DIRECTORY) return position;
  }
  return -1;
}

function readEntry(view, bytes, position) {
  expect(view, position, DIRECTORY_ENTRY);
  const nameStart = position + 46;
  const nameEnd = nameStart + view.getUint16(position + 28, true);
  return {
    name: new TextDecoder().decode(bytes.subarray(nameStart, nameEnd)),
    method: view.getUint16(position + 10, true),
    compressedSize: view.getUint32(position + 20, true),
    size: view.getUint32(position + 24, true),
    offset: view.getUint32(position + 42, true),
    end: nameEnd + view.getUint16(position + 30, true) + view.getUint16(position + 32, true),
  };
}

async function readContent(view, bytes, entry, archiveStart) {
  const header = archiveStart + entry.offset;
  expect(view, header, LOCAL_HEADER);
  const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
  const compressed = bytes.subarray(start, start + entry.compressedSize);
  const content = entry.method === STORED ? compressed : await inflate(compressed, entry);
  if (content.length !== entry.size) throw new Error(`${entry.name} in the archive is incomplete`);
  return content;
}

async function inflate(compressed, entry) {
  if (entry.method !== DEFLATED) throw new Error(`${entry.name} in the archive has an unknown compression`);
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function expect(view, position, signature) {
  if (view.getUint32(position, true) !== signature) throw new Error("the appended archive is damaged");
}
