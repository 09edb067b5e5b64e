"""Tiny classifiers with random weights, their data, and stored runs made of them."""

import io
import string
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORDS = ("the", "a", "cat", "dog", "mouse", "sat", "ran", "saw", "slept", "mat", "house", "tree", "not", "big", "small")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, ".", *WORDS[2:], "the"]
SIZES = {
    "vocabulary_size": len(VOCABULARY),
    "num_layers": 2,
    "num_heads": 3,
    "hidden_dim": 12,
    "intermediate_dim": 17,
    "max_sequence_length": 40,
}
MAX_LENGTH = 21
ROWS = {"train": 30, "dev": 24, "test": 3}
FOLDERS = {"cola": "CoLA", "mrpc": "MRPC", "sts-b": "STS-B"}


def sentences(count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(2, 14))) + "." for _ in range(count)]


def _row(task: str, split: str, index: int, first: str, second: str) -> list[str]:
    label = str(index % 2)
    if task == "cola":
        return [str(index), first] if split == "test" else ["tiny", label, "", first]
    if task == "mrpc":
        return [str(index) if split == "test" else label, "1", "2", first, second]
    score = [] if split == "test" else [f"{index % 6}.0"]
    return [str(index), "main", "tiny", "2012", str(index), "none", "none", first, second, *score]


def _header(task: str, split: str) -> list[str]:
    if task == "cola":
        return ["index", "sentence"] if split == "test" else []
    if task == "mrpc":
        return ["index" if split == "test" else "Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    names = ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2"]
    return names if split == "test" else [*names, "score"]


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GLUE folder with a few rows of CoLA, MRPC and STS-B."""
    glue = tmp_path_factory.mktemp("glue")
    for task, name in FOLDERS.items():
        (glue / name).mkdir()
        for seed, (split, count) in enumerate(ROWS.items()):
            pairs = zip(sentences(count, seed), sentences(count, 100 + seed), strict=True)
            rows = [_row(task, split, index, *pair) for index, pair in enumerate(pairs)]
            header = _header(task, split)
            lines = ["\t".join(row) for row in ([header] if header else []) + rows]
            (glue / name / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return glue


def randomize(classifier: Any, seed: int = 1) -> None:
    """Weights far from their start, and a head that is sure of what it says."""
    generator = np.random.default_rng(seed)
    for variable in classifier.weights:
        value = generator.normal(0.0, 0.4, variable.shape)
        if variable.name == "similarity_scale":
            value = generator.uniform(0.5, 1.5, variable.shape)
        elif variable.name == "gamma":
            value = 1.0 + value
        variable.assign(value.astype("float32"))
    classifier.output_dense.kernel.assign(6.0 * np.asarray(classifier.output_dense.kernel))


@pytest.fixture(scope="session")
def make_classifier() -> Callable[..., Any]:
    """A classifier for strings; arguments are those of `PowerBertBackbone`."""

    def make(num_classes: int = 2, labels: tuple[str, ...] | None = ("0", "1"), seed: int = 1, **changes: Any) -> Any:
        from power_bert.model.backbone import PowerBertBackbone
        from power_bert.model.classifier import PowerBertTextClassifier
        from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer

        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(VOCABULARY, lowercase=True), MAX_LENGTH)
        backbone = PowerBertBackbone(**{**SIZES, **changes})
        classifier = PowerBertTextClassifier(
            backbone, num_classes, preprocessor, labels if num_classes > 1 else None, dropout=0.0
        )
        randomize(classifier, seed)
        return classifier

    return make


# Student → options that make it tiny.
STUDENTS: dict[str, dict[str, Any]] = {
    "bilstm": {"embedding_dim": 6, "units": 5, "hidden_dim": 7},
    "cnn": {"embedding_dim": 6, "filters": 3, "widths": (2, 3)},
    "linear": {},
    "mlp": {"hidden_dims": (6, 5)},
}


@pytest.fixture(scope="session")
def make_student() -> Callable[..., Any]:
    """A student of a kind, with three classes; "ensemble" is a CNN and an MLP."""

    def make(student: str) -> Any:
        from power_bert.model.preprocessor import PowerBertTokenizer
        from power_bert.model.students import build_backbone, build_student
        from power_bert.model.students.ensemble import EnsembleBackbone

        backbone: Any
        if student == "ensemble":
            backbone = EnsembleBackbone.of([make(member) for member in ("cnn", "mlp")])
        else:
            backbone = build_backbone(student, len(VOCABULARY), 3, **STUDENTS[student])
        tokenizer = PowerBertTokenizer(VOCABULARY, lowercase=True)
        classifier = build_student(backbone, tokenizer, MAX_LENGTH, 3, ["no", "yes", "maybe"], 0.2)
        generator = np.random.default_rng(1)
        for variable in classifier.weights:
            variable.assign(generator.normal(0.0, 0.4, variable.shape).astype("float32"))
        return classifier

    return make


@pytest.fixture(scope="session")
def make_model(make_classifier: Callable[..., Any], tiny_data: Path) -> Callable[..., Any]:
    """A trained model of a task with its tiny data, as `load_trained_model` gives it."""

    def make(task: str = "cola", **changes: Any) -> Any:
        from power_bert.text.glue_tasks import get_task
        from power_bert.train.trained_model import TrainedModel

        definition = get_task(task)
        classifier = make_classifier(definition.num_outputs, definition.labels, **changes)
        return TrainedModel("tiny", classifier, definition, str(tiny_data), MAX_LENGTH, "as the test has it")

    return make


@pytest.fixture(scope="session")
def stored_run(make_model: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on CoLA whose phase 3 is done."""
    from power_bert.config import resolve_experiment
    from power_bert.run_dir import RunDir

    model = make_model(extraction="hard", retention=(0.6, 0.05))
    run_dir = RunDir(tmp_path_factory.mktemp("run") / "cola")
    settings = {"task": "cola", "data_dir": model.data_dir, "output_dir": str(run_dir.path), "max_length": MAX_LENGTH}
    phase_dir = run_dir.phase("3_retrain")
    phase_dir.path.mkdir(parents=True)
    run_dir.config.write_text(resolve_experiment({**settings, "seed": 7}).to_json(), encoding="utf-8")
    model.classifier.save_to_preset(str(phase_dir.model))
    phase_dir.mark_done()
    return run_dir.path


@pytest.fixture(scope="session")
def tiny_checkpoint(write_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a BERT with 2 blocks of width 12."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny", VOCABULARY, 2, 3, 12, 17)


def _zipped(model: bytes, files: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO(model)
    with zipfile.ZipFile(archive, "a", method) as written, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name that stands twice
        for name, content in files:
            written.writestr(name, content)
    return archive.getvalue()


def _altered(content: bytes, offset: int, value: int, kind: str = "<I", entry: bytes = b"vocab.txt") -> bytes:
    """A file with another value in the directory's entry of a member."""
    place = content.rindex(entry) - 46 + offset
    return content[:place] + struct.pack(kind, value) + content[place + struct.calcsize(kind) :]


@pytest.fixture(scope="session")
def odd_archives() -> dict[str, Callable[[bytes], bytes]]:
    """Name → a function from a model to a file with a zip that no exporter writes."""
    bomb, noise = bytes(16 << 20), np.random.default_rng(0).bytes(1001)
    files = [("vocab.txt", b"[PAD]\n"), ("labels.txt", b"bad\ngood\n")]

    def of(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Callable[[bytes], bytes]:
        return lambda model: _zipped(model, list(files), method)

    def altered(offset: int, value: int, kind: str = "<I", *, content: bytes = b"[PAD]\n") -> Callable[[bytes], bytes]:
        return lambda model: _altered(_zipped(model, [("vocab.txt", content), files[1]]), offset, value, kind)

    def overlapping(model: bytes) -> bytes:
        content = _zipped(model, [("vocab.txt", b"a" * 50), ("vocab.tx2", b"b" * 50)], zipfile.ZIP_STORED)
        return _altered(content, 42, len(model) + 10, entry=b"vocab.tx2")

    return {
        "a bomb": of(("vocab.txt", bomb)),
        "much in all": altered(24, 65 << 20),
        "many files": of(*((f"{number}", b"") for number in range(101))),
        "shorter than it says": altered(24, 1002, content=noise),
        "longer than it says": altered(24, 1000, content=noise),
        "a bomb that says to be small": altered(24, 1000, content=bomb),
        "encrypted": altered(8, 1, "<H"),
        "lzma": of(*files, method=zipfile.ZIP_LZMA),
        "bzip2": of(*files, method=zipfile.ZIP_BZIP2),
        "out of the folder": of(("../vocab.txt", b"a")),
        "a folder": of(("texts/", b"")),
        "Windows' folders": of(("C:\\vocab.txt", b"a")),
        "the folder itself": of((".", b"a")),
        "a wrong checksum": altered(16, 77),
        "a header that is elsewhere": altered(42, 2**31 - 1),
        "overlapping": overlapping,
        "a name that stands twice": of(files[0], files[0]),
        "a file that the metadata name is missing": of(files[0]),
        "zip64": lambda model: _zipped(model, files)[:-6] + b"\xff" * 4 + bytes(2),
    }
