"""Tests of DATA_DIR=tfds:…, with the mock data of tensorflow-datasets and with a data set made here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from mutations import mutated, mutation_settings, value_or_user_error
from power_bert.errors import UserError
from power_bert.text.custom_task import find_labels, make_custom_task
from power_bert.text.examples import data_fingerprint, has_split, read_examples, stream_examples
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import Split, Task

NAMES = {"sst-2": "sst2", "sts-b": "stsb", "mnli-m": "mnli", "mnli-mm": "mnli"}

ANY_TASK = make_custom_task(("sentence",), "label", ("0", "1"), "accuracy")
QUICK = ("cola", "sts-b", "mnli-m")


def data_dir(task: Task) -> str:
    return f"tfds:glue/{NAMES.get(task.name, task.name)}"


@pytest.fixture(scope="module")
def tfds() -> Any:
    import tensorflow_datasets

    return tensorflow_datasets


@pytest.fixture(scope="class")
def mock_data(tfds: Any) -> Iterator[None]:
    with tfds.testing.mock_data(num_examples=5):
        yield


@pytest.mark.usefixtures("mock_data")
class TestGlue:
    @pytest.mark.parametrize(
        "task", [task if task.name in QUICK else pytest.param(task, marks=pytest.mark.slow) for task in TASKS.values()]
    )
    def test_every_task_has_its_texts_and_labels(self, task: Task) -> None:
        for split in task.files:
            assert has_split(task, split, data_dir(task))
            examples = read_examples(task, split, data_dir(task))
            assert len(examples) == 5 and all(isinstance(text, str) for text in examples.first)
            assert (examples.second is not None) == task.is_pair
            assert examples.first != examples.second
            assert (examples.labels is None) == (split == "test")
            if examples.labels is not None:
                assert examples.labels.dtype == (np.float64 if task.is_regression else np.int64)

    def test_chunks_are_the_whole(self) -> None:
        chunks = list(stream_examples(TASKS["mrpc"], "dev", "tfds:glue/mrpc", chunk_rows=2))
        assert [len(chunk) for chunk in chunks] == [2, 2, 1]
        whole = read_examples(TASKS["mrpc"], "dev", "tfds:glue/mrpc")
        assert [text for chunk in chunks for text in chunk.first] == whole.first

    def test_the_fingerprint_is_the_version(self) -> None:
        assert data_fingerprint(TASKS["cola"], "tfds:glue/cola") == {"tfds:glue/cola": "glue/cola/2.0.0"}

    def test_the_data_of_another_task(self) -> None:
        with pytest.raises(UserError, match=r"tfds:glue/rte: not the data of TASK=wnli\. Expected tfds:glue/wnli\."):
            read_examples(TASKS["wnli"], "train", "tfds:glue/rte")
        assert not has_split(TASKS["ax"], "test", "tfds:glue/mnli")

    @mutation_settings
    @given(mutated(b"glue/cola:2.0.0"))
    def test_damaged_names(self, data: bytes) -> None:
        name = data.decode("latin-1")
        if not name.startswith("huggingface:"):  # that asks the network
            value_or_user_error(lambda: read_examples(ANY_TASK, "dev", f"tfds:{name}"))

    @pytest.mark.parametrize("name", ["glue/colla", "no_such_set"])
    def test_no_such_data_set(self, name: str) -> None:
        with pytest.raises(UserError, match=f"^DATA_DIR=tfds:{name}: no such data set.*such as tfds:glue/cola"):
            read_examples(ANY_TASK, "train", f"tfds:{name}")


@pytest.fixture(scope="module")
def wine(tfds: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A data set of its own, prepared as any other: 60 rows in three classes, stored in the order of hashes."""
    rows = 60

    class PowerBertWine(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc, name-defined]
        VERSION = tfds.core.Version("1.2.0")

        def _info(self) -> Any:
            features = {
                "note": tfds.features.Text(),
                "grade": tfds.features.ClassLabel(names=["poor", "fair", "fine"]),
                "price": np.float32,
                "idx": np.int32,
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager: Any) -> Any:
            return {"train": self._generate_examples(False), "test": self._generate_examples(True)}

        def _generate_examples(self, hidden: bool) -> Iterator[tuple[int, dict[str, Any]]]:
            for row in range(rows):
                grade = -1 if hidden else row % 3
                yield row, {"note": f"Süß {row}", "grade": grade, "price": row * 10.5, "idx": row}

    folder = tmp_path_factory.mktemp("tfds")
    patch = pytest.MonkeyPatch()
    builder = tfds.builder
    patch.setattr(tfds, "builder", lambda name: builder(name, data_dir=folder))
    yield "tfds:power_bert_wine"
    patch.undo()


class TestOwnDataSet:
    def test_labels_are_found_and_read(self, wine: str) -> None:
        labels = find_labels(wine, ("note",), "grade")
        assert labels == ("fair", "fine", "poor")
        task = make_custom_task(("note",), "grade", labels, "accuracy")
        examples = read_examples(task, "train", wine)
        assert examples.first == [f"Süß {row}" for row in range(60)], "in the order of the index"
        assert examples.labels is not None and examples.labels[:4].tolist() == [2, 0, 1, 2]

    def test_hidden_labels_are_none(self, wine: str) -> None:
        task = make_custom_task(("note",), "grade", ("poor", "fair", "fine"), "accuracy")
        assert read_examples(task, "test", wine).labels is None

    def test_scores(self, wine: str) -> None:
        labels = read_examples(make_custom_task(("note",), "price", None, "pearson"), "train", wine).labels
        assert labels is not None and labels[:3].tolist() == [0.0, 10.5, 21.0]

    @pytest.mark.parametrize(("split", "expected"), [("train", True), ("dev", False), ("test", True)])
    def test_splits(self, wine: str, split: Split, expected: bool) -> None:
        task = make_custom_task(("note",), "price", None, "pearson")
        assert has_split(task, split, wine) is expected
        if not expected:
            with pytest.raises(UserError, match=r"no validation split for custom; there are .*train"):
                read_examples(task, split, wine)

    def test_a_label_that_was_not_named(self, wine: str) -> None:
        task = make_custom_task(("note",), "grade", ("poor", "fair"), "accuracy")
        with pytest.raises(UserError, match=r"tfds:power_bert_wine, train, example 2: unknown label 'fine'"):
            read_examples(task, "train", wine)

    def test_a_feature_that_is_no_text(self, wine: str) -> None:
        task = make_custom_task(("price",), "grade", ("poor", "fair", "fine"), "accuracy")
        with pytest.raises(UserError, match=r"wine, train: damaged, or not a data set with UTF-8 texts in price"):
            read_examples(task, "train", wine)

    def test_no_such_feature(self, wine: str) -> None:
        with pytest.raises(UserError, match=r"no feature named 'text'; there are .*note.* Set TEXT_COLUMNS"):
            read_examples(make_custom_task(("text",), "grade", ("0", "1"), "accuracy"), "train", wine)


class TestDamage:
    @pytest.fixture
    def shard(self, wine: str, tfds: Any) -> Iterator[Path]:
        """The file of the training split, as it was again afterwards."""
        builder = tfds.builder(wine.removeprefix("tfds:"))
        builder.download_and_prepare()
        (path,) = Path(builder.data_dir).glob("*-train.tfrecord*")
        content = path.read_bytes()
        yield path
        path.write_bytes(content)

    def read(self, wine: str) -> int:
        return len(read_examples(make_custom_task(("note",), "price", None, "pearson"), "train", wine))

    def test_a_damaged_file(self, wine: str, shard: Path) -> None:
        data = shard.read_bytes()
        shard.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
        with pytest.raises(
            UserError, match=r"DATA_DIR=tfds:power_bert_wine: damaged, .*train.*Delete .* prepared again"
        ):
            self.read(wine)

    def test_a_file_cut_off_between_two_examples(self, wine: str, shard: Path) -> None:
        assert self.read(wine) == 60
        data = shard.read_bytes()
        length = int.from_bytes(data[:8], "little") + 16  # length, its checksum, the example, its checksum
        shard.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"tfds:power_bert_wine: damaged, .*expected to contain 60 "):
            self.read(wine)


def test_no_network(tfds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable:
        def download_and_prepare(self) -> None:
            raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds, "builder", lambda name: Unreachable())
    with pytest.raises(UserError, match=r"tfds:glue/cola: cannot be downloaded \(no route to host\)\. .*TFDS_DATA_DIR"):
        read_examples(TASKS["cola"], "train", "tfds:glue/cola")


def test_a_folder_needs_no_tensorflow(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "test.tsv").write_text("index\tsentence\n0\ta\n")
    script = (
        "import sys\n"
        "from power_bert.text.examples import read_examples\n"
        "from power_bert.text.glue_tasks import TASKS\n"
        "assert len(read_examples(TASKS['cola'], 'test', sys.argv[1])) == 1\n"
        "assert not {'tensorflow', 'tensorflow_datasets', 'keras'} & set(sys.modules)\n"
    )
    code = Path(__file__).parents[2] / "code"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env={"PYTHONPATH": str(code)}, check=True)
