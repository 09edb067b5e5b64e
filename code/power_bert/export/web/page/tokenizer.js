// BERT's WordPiece tokenizer, based on @huggingface/tokenizers, with the same ids as power_bert.text.tokenizer.
//
// tests/export/web/golden_tokenizer.json holds texts with the ids that both must give.

import { Tokenizer } from "@huggingface/tokenizers";

const MAX_CHARACTERS_PER_WORD = 100;
// Ideographs outside the Basic Multilingual Plane, which the Python tokenizer separates. The library looks at UTF-16
// units and misses them.
const RARE_IDEOGRAPH = /[\u{20000}-\u{2A6DF}\u{2A700}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{2F800}-\u{2FA1F}]/gu;

export class WordPieceTokenizer {
  /**
   * @param {string[]} vocabulary Tokens in the order of their ids; of equal tokens the last counts.
   * @param {object} settings Result of `readTokenizerSettings`.
   */
  constructor(vocabulary, settings) {
    const special = ["pad", "unk", "cls", "sep", "mask"].map((role) => settings[`${role}_token`]);
    const ids = new Map(vocabulary.map((token, id) => [token, id]));
    const missing = special.slice(0, 4).filter((token) => !ids.has(token));
    if (missing.length) {
      throw new Error(`The vocabulary lacks the special tokens ${missing.join(", ")}.`);
    }
    this.settings = settings;
    this.padId = ids.get(settings.pad_token);
    this.clsId = ids.get(settings.cls_token);
    this.sepId = ids.get(settings.sep_token);
    this.tokenizer = build(vocabulary, ids, special, settings);
  }

  /**
   * Encodes a text or a pair of texts with [CLS] and [SEP].
   *
   * @param {string} first
   * @param {string | null} second The second text of a pair; null for a single text.
   * @param {number} maxLength Max length in tokens; longer texts are truncated at the end, pairs as in `truncatePair`.
   * @returns {{ids: number[], segmentIds: number[], cut: number}} Ids and segment ids without padding, and the number of
   *   truncated tokens.
   */
  encode(first, second, maxLength) {
    const left = this.pieces(first);
    if (second === null) {
      const kept = Math.min(left.length, maxLength - 2);
      const ids = [this.clsId, ...left.slice(0, kept), this.sepId];
      return { ids, segmentIds: ids.map(() => 0), cut: left.length - kept };
    }
    const right = this.pieces(second);
    const [keptLeft, keptRight] = truncatePair(left.length, right.length, maxLength - 3);
    const ids = [this.clsId, ...left.slice(0, keptLeft), this.sepId, ...right.slice(0, keptRight), this.sepId];
    const segmentIds = ids.map((_, position) => (position < keptLeft + 2 ? 0 : 1));
    return { ids, segmentIds, cut: left.length + right.length - keptLeft - keptRight };
  }

  /** Token ids of a text, without [CLS] and [SEP] and without truncation. */
  pieces(text) {
    return this.tokenizer.encode(this.prepare(text), { add_special_tokens: false }).ids;
  }

  // Makes up for differences between the library and the Python tokenizer: rare ideographs, and the sigma at the end of
  // a word, which JavaScript lowercases to ς and the Python tokenizer to σ.
  prepare(text) {
    const { lowercase, tokenize_chinese_chars: setsApart } = this.settings;
    const spaced = setsApart ? text.replace(RARE_IDEOGRAPH, " $& ") : text;
    return lowercase ? spaced.replaceAll("Σ", "σ") : spaced;
  }
}

/**
 * Truncates the longer text of a pair first, and both to half the budget if both are longer than that. Of an odd budget
 * the longer text gets one token more, or the second text if both are equally long.
 *
 * @returns {[number, number]} Number of tokens kept of the first and of the second text.
 */
export function truncatePair(numFirst, numSecond, budget) {
  if (numFirst + numSecond <= budget) return [numFirst, numSecond];
  const shorter = Math.min(numFirst, numSecond, Math.floor(budget / 2));
  const longer = budget - shorter;
  return numFirst > numSecond ? [longer, shorter] : [shorter, longer];
}

function build(vocabulary, ids, special, settings) {
  const { lowercase, added_tokens: added } = settings;
  const normalized = new Map(special.map((token) => [token, false]));
  added.forEach((token) => normalized.set(token.content, token.normalized));
  // Added tokens at the end of the vocabulary are not part of the WordPiece model.
  const isAdded = (token) => !special.includes(token) && normalized.has(token);
  const numWordPieces = vocabulary.findLastIndex((token) => !isAdded(token)) + 1;
  const pieces = Object.create(null);
  for (const [token, id] of ids) if (id < numWordPieces) pieces[token] = id;
  const definition = {
    model: {
      type: "WordPiece",
      vocab: pieces,
      unk_token: settings.unk_token,
      continuing_subword_prefix: "##",
      max_input_chars_per_word: MAX_CHARACTERS_PER_WORD,
    },
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: settings.tokenize_chinese_chars,
      strip_accents: settings.strip_accents ?? lowercase,
      lowercase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: null,
    decoder: null,
    added_tokens: [...normalized]
      .filter(([content]) => ids.has(content))
      .map(([content, isNormalized]) => ({ id: ids.get(content), content, special: true, normalized: isNormalized })),
  };
  const tokenizer = new Tokenizer(definition, {});
  // The library adds all added tokens to the WordPiece model.
  for (const content of normalized.keys()) if (!(content in pieces)) tokenizer.model.tokens_to_ids.delete(content);
  return tokenizer;
}
