// The little that reading a FlatBuffer takes: https://flatbuffers.dev/internals/
//
// A DataView throws a RangeError where a damaged file points outside of itself.

export class Table {
  /**
   * @param {DataView} view The buffer.
   * @param {number} position Where the table begins.
   */
  constructor(view, position) {
    this.view = view;
    this.position = position;
  }

  /** The root table of a buffer. */
  static root(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return new Table(view, view.getUint32(0, true));
  }

  uint8(field, missing = 0) {
    const at = this.find(field);
    return at ? this.view.getUint8(at) : missing;
  }

  int32(field, missing = 0) {
    const at = this.find(field);
    return at ? this.view.getInt32(at, true) : missing;
  }

  /** Text of a field, "" where it is missing. */
  string(field) {
    const bytes = this.bytes(field);
    return bytes ? new TextDecoder().decode(bytes) : "";
  }

  /** Bytes of a field with a vector of bytes, not copied; null where it is missing. */
  bytes(field) {
    const vector = this.vector(field);
    if (!vector) return null;
    const [start, length] = vector;
    if (start + length > this.view.byteLength) throw new RangeError("a vector ends outside of the file");
    return new Uint8Array(this.view.buffer, this.view.byteOffset + start, length);
  }

  /** Numbers of a field with a vector of int32; null where it is missing. */
  int32s(field) {
    const vector = this.vector(field);
    return vector && elements(vector, (at) => this.view.getInt32(at, true));
  }

  /** Table of a field; null where it is missing. */
  table(field) {
    const at = this.find(field);
    return at ? this.follow(at) : null;
  }

  /** Tables of a field with a vector of tables, empty where it is missing. */
  tables(field) {
    const vector = this.vector(field);
    return vector ? elements(vector, (at) => this.follow(at)) : [];
  }

  // Position of a field's value; 0 where the field is missing.
  find(field) {
    const vtable = this.position - this.view.getInt32(this.position, true);
    const entry = 4 + 2 * field;
    if (entry >= this.view.getUint16(vtable, true)) return 0;
    const offset = this.view.getUint16(vtable + entry, true);
    return offset ? this.position + offset : 0;
  }

  follow(at) {
    return new Table(this.view, at + this.view.getUint32(at, true));
  }

  // [position of the first element, number of elements]; null where the field is missing.
  vector(field) {
    const at = this.find(field);
    if (!at) return null;
    const start = at + this.view.getUint32(at, true);
    return [start + 4, this.view.getUint32(start, true)];
  }
}

// All vectors read here have elements of 4 bytes; one after the other, so that a damaged length ends at the file's end.
function elements([start, length], read) {
  const values = [];
  for (let index = 0; index < length; index++) values.push(read(start + 4 * index));
  return values;
}
