"""Teachers' logits on disk."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mutations import mutated, mutation_settings
from power_bert.distill import logit_cache
from power_bert.distill.logit_cache import LogitCache
from power_bert.distill.teachers import Teacher
from power_bert.errors import UserError
from power_bert.runs.run_dir import read_run_json, write_run_json
from power_bert.text.examples import Examples
from power_bert.text.glue_tasks import get_task

TEXTS = Examples([f"text {number}" for number in range(5)], None, None)


class Model:
    """Says of each text how long it is; `broken_at` makes it fail there."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken_at: str | None = None

    def outputs(self, examples: Examples) -> np.ndarray:
        if self.broken_at in examples.first:
            raise KeyboardInterrupt
        self.asked += examples.first
        return np.array([[len(text), ord(text[-1])] for text in examples.first], np.float32)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logit_cache, "SHARD_ROWS", 2)


@pytest.fixture
def cache(tmp_path: Path) -> LogitCache:
    return LogitCache(tmp_path / "logits", Console(file=io.StringIO()))


@pytest.fixture
def make_teacher(tmp_path: Path) -> Callable[..., Teacher]:
    def make(model: Any, weights: str = "weights") -> Teacher:
        folder = tmp_path / "teacher"
        folder.mkdir(exist_ok=True)
        (folder / "model.bin").write_text(weights)
        teacher = Teacher("teacher", folder, get_task("cola"), 64)
        teacher.__dict__["model"] = model  # in place of the cached property
        return teacher

    return make


def only_folder(cache: LogitCache) -> Path:
    (folder,) = cache.folder.iterdir()
    return folder


def test_computed_once(cache: LogitCache, make_teacher: Callable[..., Teacher]) -> None:
    model = Model()
    logits = cache.logits(make_teacher(model), TEXTS, "train")
    np.testing.assert_array_equal(logits, Model().outputs(TEXTS))
    assert model.asked == TEXTS.first and cache.computed_examples == 5
    again = cache.logits(make_teacher(None), TEXTS, "train")
    np.testing.assert_array_equal(again, logits)
    assert cache.computed_examples == 5


def test_what_was_interrupted_goes_on(cache: LogitCache, make_teacher: Callable[..., Teacher]) -> None:
    model = Model()
    model.broken_at = "text 4"
    with pytest.raises(KeyboardInterrupt):
        cache.logits(make_teacher(model), TEXTS, "train")
    model.broken_at = None
    np.testing.assert_array_equal(cache.logits(make_teacher(model), TEXTS, "train"), Model().outputs(TEXTS))
    assert model.asked == TEXTS.first, "no text twice"


def test_keyed_by_teacher_and_texts(cache: LogitCache, make_teacher: Callable[..., Teacher]) -> None:
    cache.logits(make_teacher(Model()), TEXTS, "train")
    cache.logits(make_teacher(Model()), TEXTS.take([1, 0, 2, 3, 4]), "train")
    cache.logits(make_teacher(Model(), "others"), TEXTS, "train")
    assert cache.computed_examples == 15 and len(list(cache.folder.iterdir())) == 3


def test_a_card_does_not_make_another_teacher(make_teacher: Callable[..., Teacher]) -> None:
    before = make_teacher(None).fingerprint
    teacher = make_teacher(None)
    (teacher.folder / "README.md").write_text("a card")
    assert teacher.fingerprint == before


def test_damaged_and_stale_caches_are_named(cache: LogitCache, make_teacher: Callable[..., Teacher]) -> None:
    teacher = make_teacher(Model())
    cache.logits(teacher, TEXTS, "train")
    shard = only_folder(cache) / "00001.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-3])
    with pytest.raises(UserError, match=r"00001.npy: damaged .* Delete it to recompute it"):
        cache.logits(teacher, TEXTS, "train")
    shard.write_bytes(whole)
    meta = only_folder(cache) / "meta.json"
    write_run_json(meta, {**read_run_json(meta), "texts_sha256": "0" * 64})
    with pytest.raises(UserError, match="stale: holds logits of another teacher or of other texts"):
        cache.logits(teacher, TEXTS, "train")
    meta.unlink()
    with pytest.raises(UserError, match=r"without a meta.json. Delete the folder"):
        cache.logits(teacher, TEXTS, "train")


def test_an_altered_value_is_named(cache: LogitCache, make_teacher: Callable[..., Teacher]) -> None:
    cache.logits(make_teacher(Model()), TEXTS, "train")
    shard = only_folder(cache) / "00000.npy"
    np.save(shard, np.load(shard) + 1)
    with pytest.raises(UserError, match=r"00000\.npy: damaged \(its sha256 is not the one in meta\.json\)\. Delete it"):
        cache.logits(make_teacher(None), TEXTS, "train")


def test_a_shard_that_was_not_noted_is_computed_again(cache: LogitCache, make_teacher: Callable[..., Teacher]) -> None:
    """A call can be killed after it wrote a shard and before it noted that."""
    expected = cache.logits(make_teacher(Model()), TEXTS, "train")
    meta = only_folder(cache) / "meta.json"
    values = read_run_json(meta)
    del values["shards_sha256"]["00001.npy"]
    write_run_json(meta, values)
    (only_folder(cache) / "00001.npy").write_bytes(b"of another call")
    model = Model()
    np.testing.assert_array_equal(cache.logits(make_teacher(model), TEXTS, "train"), expected)
    assert model.asked == TEXTS.first[2:4]


def test_a_cache_of_an_older_version_is_read(cache: LogitCache, make_teacher: Callable[..., Teacher]) -> None:
    expected = cache.logits(make_teacher(Model()), TEXTS, "train")
    meta = only_folder(cache) / "meta.json"
    write_run_json(meta, {name: value for name, value in read_run_json(meta).items() if name != "shards_sha256"})
    (only_folder(cache) / "00002.npy").unlink()
    model = Model()
    np.testing.assert_array_equal(cache.logits(make_teacher(model), TEXTS, "train"), expected)
    assert model.asked == TEXTS.first[4:]
    np.save(only_folder(cache) / "00001.npy", np.full((2, 2), np.nan, np.float32))
    with pytest.raises(UserError, match=r"00001\.npy: damaged: \(2, 2\) values, expected \(2, 2\) finite numbers"):
        cache.logits(make_teacher(None), TEXTS, "train")


@pytest.mark.parametrize("is_old", [False, True])
def test_any_damage_is_a_user_error(is_old: bool, cache: LogitCache, make_teacher: Callable[..., Teacher]) -> None:
    """The right values (recomputed if necessary) or an error; of an older cache at least finite ones."""
    teacher = make_teacher(Model())
    expected = cache.logits(teacher, TEXTS, "train")
    folder = only_folder(cache)
    if is_old:
        values = read_run_json(folder / "meta.json")
        del values["shards_sha256"]
        write_run_json(folder / "meta.json", values)
    contents = {path: path.read_bytes() for path in folder.iterdir()}

    @mutation_settings
    @given(st.sampled_from(sorted(contents)).flatmap(lambda path: st.tuples(st.just(path), mutated(contents[path]))))
    def check(damaged: tuple[Path, bytes]) -> None:
        path, content = damaged
        path.write_bytes(content)
        try:
            found = cache.logits(teacher, TEXTS, "train")
        except UserError as error:
            assert str(folder) in str(error)
        else:
            assert found.shape == expected.shape and np.isfinite(found).all()
            if not is_old:
                np.testing.assert_array_equal(found, expected)
        finally:
            for each, whole in contents.items():
                each.write_bytes(whole)

    check()
