// Settings of the tokenizer, which power_bert_runtime.tokenizer_settings writes to power_bert.json.

// Setting of the tokenizer in power_bert.json → default. By default, accents are stripped if the text is lowercased.
const DEFAULT_SETTINGS = {
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
 * Reads the settings of the tokenizer from power_bert.json; missing settings have their default.
 *
 * @param {object} values The object in power_bert.json.
 * @throws {Error} A value has the wrong type.
 */
export function readTokenizerSettings(values) {
  const settings = {};
  for (const [name, fallback] of Object.entries(DEFAULT_SETTINGS)) {
    const value = values[name] ?? fallback;
    const isValid = name === "added_tokens" ? isTokenList(value) : value === fallback || typeof value === typeOf(name);
    if (!isValid) throw new Error(`power_bert.json: ${name} is ${JSON.stringify(value).slice(0, 60)}`);
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
