// Settings of the tokenizer, as power_bert.text.tokenizer_settings writes them into power_bert.json.

// What power_bert.json may say of the tokenizer, and what is meant where it says nothing (strip_accents: as lowercase).
const USUAL_SETTINGS = {
  lowercase: true,
  strip_accents: null,
  tokenize_chinese_chars: true,
  pad_token: "[PAD]",
  unk_token: "[UNK]",
  cls_token: "[CLS]",
  sep_token: "[SEP]",
  mask_token: "[MASK]",
  added_tokens: [],
};

/**
 * Settings of the tokenizer out of power_bert.json; what it does not name has its usual value.
 *
 * @param {object} values The object in power_bert.json.
 * @throws {Error} A value is of the wrong type.
 */
export function readTokenizerSettings(values) {
  const settings = {};
  for (const [name, usual] of Object.entries(USUAL_SETTINGS)) {
    const value = values[name] ?? usual;
    const isRight = name === "added_tokens" ? isTokenList(value) : value === usual || typeof value === typeOf(name);
    if (!isRight) throw new Error(`power_bert.json: ${name} is ${JSON.stringify(value).slice(0, 60)}`);
    settings[name] = value;
  }
  return settings;
}

function typeOf(name) {
  return name.endsWith("_token") ? "string" : "boolean";
}

function isTokenList(value) {
  const isToken = (token) => typeof token?.content === "string" && token.content && typeof token.normalized === "boolean";
  return Array.isArray(value) && value.every(isToken);
}
