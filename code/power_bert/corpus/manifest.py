"""Plan of a corpus, which decides its content, and manifest, which records what was written."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from power_bert.corpus.document_split import SIDES, DocumentSplit, Side
from power_bert.corpus.documents import DocumentRules
from power_bert.corpus.inputs import CorpusInput, describe_input, list_inputs
from power_bert.corpus.records import SMALLEST_LENGTH
from power_bert.corpus.shards import Shard, shard_path
from power_bert.corpus.vocabulary_file import check_same_test_split, read_origin
from power_bert.errors import UserError
from power_bert.storage.disk_errors import disk_errors_explained
from power_bert.storage.files import atomic_write_bytes, atomic_write_text, file_sha256, is_empty
from power_bert.storage.json_form import NUMBER, Each, Maybe, check_form
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_files import read_tokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary
from power_bert_runtime.parsing import parse_json

VOCABULARY_FILE = "vocab.txt"
_PLAN_FILE = "plan.json"
_MANIFEST_FILE = "manifest.json"
_MAX_LENGTH = 4096
_PLAN: dict[str, Any] = {
    "sources": [str],
    "rules": {"separator": str, "max_characters": int},
    "split": {"test_share": NUMBER, "proportion": NUMBER, "seed": int},
    "vocabulary_sha256": str,
    "lowercase": bool,
    "length": int,
}
_MANIFEST = {"plan_sha256": Maybe(str), "totals": Each(Each(int)), "shards": [dict]}
_REMEDY = "restore it, or prepare the corpus anew"


@dataclass(frozen=True)
class CorpusPlan:
    """Everything that decides the bytes of a corpus.

    Attributes:
        sources: Sources as the user gave them, with absolute paths.
        inputs: Inputs that the sources stand for.
        rules: Rules for where documents end.
        split: Split into sample, training and test documents.
        vocabulary_sha256: Hash of `vocab.txt`.
        lowercase: Whether the vocabulary is uncased.
        length: Tokens per record.
        shard_characters: Characters of text per shard.
    """

    sources: tuple[str, ...]
    inputs: tuple[CorpusInput, ...]
    rules: DocumentRules
    split: DocumentSplit
    vocabulary_sha256: str
    lowercase: bool
    length: int
    shard_characters: int = 4_000_000

    def __post_init__(self) -> None:
        if not SMALLEST_LENGTH <= self.length <= _MAX_LENGTH:
            raise UserError(f"--length {self.length}: expected {SMALLEST_LENGTH} to {_MAX_LENGTH} tokens")

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON-serializable object, equal for equal plans."""
        values = dataclasses.asdict(self)
        values["inputs"] = [describe_input(part) for part in self.inputs]
        return dict(json.loads(json.dumps(values)))


def make_plan(
    sources: Sequence[str],
    vocabulary_path: Path,
    length: int,
    rules: DocumentRules,
    split: DocumentSplit,
    lowercase: bool | None = None,
) -> CorpusPlan:
    """Check the arguments of a corpus and return its plan.

    Args:
        sources: Sources as in `list_inputs`.
        vocabulary_path: Path of a `vocab.txt`.
        length: Tokens per record.
        rules: Rules for where documents end.
        split: Split into sample, training and test documents.
        lowercase: Whether the vocabulary is uncased; None reads it from its `vocab.json`, or infers it from its tokens.

    Raises:
        UserError: A source is missing, the vocabulary has no special tokens or was trained on documents that would now
            be test documents, or a value is out of range.
    """
    vocabulary = _plain_vocabulary(vocabulary_path)
    origin = read_origin(vocabulary_path)
    check_same_test_split(vocabulary_path, origin, rules, split)
    if lowercase is None:
        lowercase = origin.lowercase if origin else vocabulary.settings.lowercase
    absolute = tuple(str(Path(source).resolve()) if Path(source).exists() else source for source in sources)
    inputs = tuple(list_inputs(sources))
    return CorpusPlan(absolute, inputs, rules, split, file_sha256(vocabulary_path), lowercase, length)


def _plain_vocabulary(path: Path) -> Vocabulary:
    """Read the vocabulary of a plain BERT; refuse one whose tokenizer files set anything else."""
    vocabulary = read_tokenizer(path.parent, path) or Vocabulary([])
    WordPieceTokenizer(vocabulary).mask_id  # noqa: B018 (raises if there is none)
    if unusual := vocabulary.settings.unusual:
        raise UserError(
            f"{path}: the tokenizer files beside it set {', '.join(unusual)}. Expected the vocabulary of a plain BERT; "
            "copy vocab.txt to a folder of its own where a corpus is to be read without these settings."
        )
    return vocabulary


def start_folder(folder: Path, plan: CorpusPlan, vocabulary_path: Path) -> None:
    """Write the plan and the vocabulary into a new folder, or check that an existing folder has the same plan.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    path = folder / _PLAN_FILE
    if path.is_file():
        _refuse_other_plan(folder, _read_json(path, {}), plan.to_json())
    elif folder.exists() and (not folder.is_dir() or not is_empty(folder)):
        raise UserError(f"{folder}: is there and no prepared corpus; choose another --out")
    with disk_errors_explained(folder):
        # The plan is written first, because a folder without it counts as somebody else's.
        if not path.is_file():
            atomic_write_text(path, json.dumps(plan.to_json(), indent=2) + "\n")
        if not (folder / VOCABULARY_FILE).is_file():
            atomic_write_bytes(folder / VOCABULARY_FILE, vocabulary_path.read_bytes())


def _refuse_other_plan(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    different = [name for name in new if old.get(name) != new[name]]
    if different:
        listed = "; ".join(f"{name}: {_shortly(old.get(name))} there, {_shortly(new[name])} now" for name in different)
        raise UserError(f"{folder} holds a corpus that was prepared otherwise ({listed}); choose another --out")


def _shortly(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:97] + "…"


def stored_choice(folder: Path) -> tuple[tuple[str, ...], DocumentRules, DocumentSplit] | None:
    """Return the sources, rules and split of the corpus in a folder, complete or not; None if there is no corpus."""
    path = folder / _PLAN_FILE
    if not path.is_file():
        return None
    plan = _read_json(path, _PLAN)
    rules, split = ({name: plan[part][name] for name in _PLAN[part]} for part in ("rules", "split"))
    try:
        return tuple(plan["sources"]), DocumentRules(**rules), DocumentSplit(**split)
    except UserError as error:
        raise UserError(f"{path}: {error}; {_REMEDY}") from None


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus.

    Attributes:
        folder: Folder of the corpus.
        length: Tokens per record.
        lowercase: Whether its vocabulary is uncased.
        shards: All shards, sorted by name.
        plan: Content of `plan.json`.
    """

    folder: Path
    length: int
    lowercase: bool
    shards: tuple[Shard, ...]
    plan: dict[str, Any]

    def side(self, side: Side) -> list[Shard]:
        """Return the shards of one side that have records."""
        return [shard for shard in self.shards if shard.side == side and shard.records]

    @cached_property
    def tokenizer(self) -> WordPieceTokenizer:
        return WordPieceTokenizer(self.folder / VOCABULARY_FILE, self.lowercase)

    def totals(self, side: Side) -> dict[str, int]:
        """Count the documents, records, tokens, unknown tokens and shards of one side."""
        counts: Counter[str] = Counter(documents=0, records=0, tokens=0, unknown=0, shards=0)
        for shard in self.side(side):
            counts.update(
                {name: getattr(shard, name) for name in ("documents", "records", "tokens", "unknown")}, shards=1
            )
        return dict(counts)


def describe_corpus(corpus: Corpus) -> str:
    """Return the counts of a corpus as text for the user."""
    lines = [f"{corpus.folder}: records of {corpus.length} tokens"]
    for side in SIDES:
        totals = corpus.totals(side)
        counts = ", ".join(f"{totals[name]:,} {name}" for name in ("documents", "shards", "records", "tokens"))
        lines.append(f"  {side:5}  {counts}, {100 * totals['unknown'] / max(totals['tokens'], 1):.3f} % of them [UNK]")
    return "\n".join(lines)


def write_corpus_manifest(folder: Path, plan: CorpusPlan, shards: Sequence[Shard]) -> Corpus:
    """Write manifest.json, which makes the corpus complete.

    Raises:
        UserError: There is no training text, or no test text although `test_share` is above 0.
    """
    in_order = tuple(sorted(shards, key=lambda shard: shard.name))
    corpus = Corpus(folder, plan.length, plan.lowercase, in_order, plan.to_json())
    totals = {side: corpus.totals(side) for side in SIDES}
    if not totals["train"]["records"]:
        raise UserError(f"{', '.join(plan.sources)}: no training text; give more text, or a larger --proportion")
    if plan.split.test_share and not totals["test"]["records"]:
        raise UserError(
            f"{', '.join(plan.sources)}: of {totals['train']['documents']} documents none fell to the test split with "
            f"--test-share {plan.split.test_share} and --seed {plan.split.seed}. Give a larger --test-share, another "
            "--seed, or cut long documents with --max-document-characters; and another --out"
        )
    values = {
        "plan_sha256": file_sha256(folder / _PLAN_FILE),
        "totals": totals,
        "shards": [dataclasses.asdict(shard) for shard in corpus.shards],
    }
    with disk_errors_explained(folder):
        atomic_write_text(folder / _MANIFEST_FILE, json.dumps(values, indent=1) + "\n")
    return corpus


def open_corpus(folder: str | Path) -> Corpus:
    """Open a prepared corpus and check that all of its files exist.

    Raises:
        UserError: The folder holds no corpus or an incomplete one, or a file is missing or damaged.
    """
    folder = Path(folder)
    corpus = stored_corpus(folder)
    if corpus is None:
        problem = "is not complete" if (folder / _PLAN_FILE).is_file() else "no prepared corpus"
        raise UserError(f"{folder}: {problem} (no {_MANIFEST_FILE}); give the prepare-corpus command (again)")
    missing = missing_shards(corpus)
    if missing:
        raise UserError(
            f"{shard_path(folder, missing[0].name)}: the shard is missing; restore it, or give the prepare-corpus "
            "command again: that makes it anew"
        )
    return corpus


def stored_corpus(folder: Path) -> Corpus | None:
    """Return the corpus that the manifest in a folder describes, whatever became of its shards; None without one."""
    if not (folder / _MANIFEST_FILE).is_file():
        return None
    plan, manifest = _read_json(folder / _PLAN_FILE, _PLAN), _read_json(folder / _MANIFEST_FILE, _MANIFEST)
    shards = tuple(Shard.from_json(values, folder / _MANIFEST_FILE) for values in manifest["shards"])
    corpus = Corpus(folder, plan["length"], plan["lowercase"], shards, plan)
    if {side: corpus.totals(side) for side in SIDES} != manifest["totals"]:
        raise UserError(f"{folder / _MANIFEST_FILE}: damaged (totals are not those of the shards); {_REMEDY}")
    for name, sha256 in ((_PLAN_FILE, manifest.get("plan_sha256")), (VOCABULARY_FILE, plan["vocabulary_sha256"])):
        if sha256 is not None and file_sha256(folder / name) != sha256:
            raise UserError(f"{folder / name}: not the one that the corpus was prepared with; restore it")
    return corpus


def missing_shards(corpus: Corpus) -> list[Shard]:
    """Return the shards of the manifest whose file is missing."""
    return [shard for shard in corpus.shards if not shard_path(corpus.folder, shard.name).is_file()]


def _read_json(path: Path, form: Mapping[str, Any]) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: damaged (missing); {_REMEDY}")
    values: dict[str, Any] = parse_json(path.read_bytes(), path, advice=f"It is damaged; {_REMEDY}")
    check_form(values, form, path, _REMEDY)
    return values
