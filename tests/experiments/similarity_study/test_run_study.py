"""Tests of a whole study on tiny models: what it leaves, what it skips, what it says of failures."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from power_bert.corpus.manifest import open_corpus
from power_bert.errors import UserError
from power_bert.experiments.similarity_study import run_study as running
from power_bert.experiments.similarity_study.run_study import run_study
from power_bert.experiments.similarity_study.study_definition import Cell, FineTuningRun, Study, resolve_study
from power_bert.experiments.similarity_study.study_folder import StudyDir
from power_bert.experiments.similarity_study.study_report import write_report
from power_bert.experiments.similarity_study.study_results import CellResult, read_results
from power_bert.experiments.similarity_study.work import fine_tunings, resolve_cell, resolve_fine_tuning
from power_bert.pretrain.pretraining_folder import PretrainingDir
from power_bert.runs.run_dir import write_run_json
from printed_tables import read_table

WORDS = ("the", "cat", "dog", "mouse", "sat", "ran", "saw", "on", "under", "mat", "house", "tree", "not", "very")


def make_text() -> str:
    generator = np.random.default_rng(0)
    return "".join("\n".join(" ".join(generator.choice(WORDS, 8)) + "." for _ in range(5)) + "\n\n" for _ in range(60))


@pytest.fixture(scope="module")
def make_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Study]:
    folder = tmp_path_factory.mktemp("data")
    (folder / "text.txt").write_text(make_text(), encoding="utf-8")
    (folder / "CoLA").mkdir()
    rows = "".join(f"x\t{number % 2}\t\tthe {'cat' if number % 2 else 'ran'} {number}.\n" for number in range(12))
    for name in ("train.tsv", "dev.tsv"):
        (folder / "CoLA" / name).write_text(rows, encoding="utf-8")

    def make(**tables: Any) -> Study:
        values = {
            "corpus": {"sources": [str(folder / "text.txt")], "vocabulary_size": 60, "length": 12, "test_share": 0.3},
            "pretraining": {"steps": 4, "interval": 2, "layers": 1, "heads": 2, "batch": 8, "evaluation_records": 20},
            "grid": {"similarity": ["dot", "gaussian"], "hidden": [8], "seed": [0, 1]},
            "fine_tuning": {
                **{"data_dir": str(folder), "tasks": ["cola"], "epochs": 1, "batch_size": 4, "max_length": 12},
                "untrained": True,
            },
        }
        return resolve_study({**values, **tables}, "test.toml")

    return make


@pytest.fixture
def run_here() -> Callable[..., str]:
    """Runs a cell in this process; starting one for each takes seconds."""

    from power_bert.experiments.similarity_study.cell import run_cell

    def run(study: Study, cell: Cell, folder: Path) -> str:
        try:
            run_cell(study, cell, StudyDir(folder), Console(quiet=True))
        except UserError as error:
            return str(error)
        return ""

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def fake_cell(study: Study, cell: Cell, folder: Path) -> str:
    """Leaves what a cell leaves, with figures that follow from its grid values."""
    cell_dir, hidden = StudyDir(folder).cell(cell.name), int(cell.values["hidden"])
    history = [
        {"step": step, "tokens": 96 * step, "seconds": 2.0 * step, "tokens_per_second": 48.0, "train_loss": 4.0,
         "test_loss": 4.0 - 0.1 * step, "perplexity": 50.0, "masked_accuracy": 0.1 * step + 0.01 * cell.seed}
        for step in (1, 2)
    ]  # fmt: skip
    write_run_json(cell_dir.pretraining.metrics, {**history[-1], "parameters": 100 * hidden, "history": history})
    cell_dir.pretraining.mark_done()
    for run in fine_tunings(study):
        phase = cell_dir.fine_tuning(run).phase("1_fine_tune")
        score = 0.5 + 0.02 * (cell.seed if run.seed is None else run.seed)
        write_run_json(phase.metrics, {"scores": {"matthews": None if run.untrained else score}})
        phase.mark_done()
    return ""


def test_table_csv_and_picture(make_study: Callable[..., Study], tmp_path: Path, console: Console) -> None:
    study = make_study(grid={"similarity": ["dot", "cosine"], "hidden": [8, 16], "seed": [0, 1]})
    folder = StudyDir(tmp_path / "study")
    assert run_study(study, folder, console, run_cell=fake_cell) == {}
    text = write_report(study, folder, read_results(study, folder), {})
    assert folder.summary.read_text(encoding="utf-8") == text
    *_, row = read_table(text.splitlines(), keys=2)
    assert row == {
        **{"similarity": "cosine", "hidden": "16", "parameters": "1,600", "tokens/s": "48", "test loss": "3.800"},
        **{"masked accuracy": "20.50 ± 0.71", "cola": "51.00 ± 1.41", "cola, untrained": "-"},
        **{"average": "51.00 ± 1.41", "average, untrained": "0.00"},
    }
    assert "dot has one learned number per head and block less" in " ".join(text.split())
    results, curves = rows_of(folder.results_csv), rows_of(folder.curves_csv)
    assert len(results) == 8 and len(curves) == 16
    assert (results[-1]["cola"], results[-1]["cola_untrained"]) == ("0.52", "")
    assert curves[0]["masked_accuracy"] == "0.1" and curves[0]["seconds"] == "2.0"
    assert folder.picture.read_bytes().startswith(b"\x89PNG")


def test_differences_seed_by_seed(make_study: Callable[..., Study], tmp_path: Path, console: Console) -> None:
    study = make_study(grid={"similarity": ["dot", "cosine"], "hidden": [8, 16], "seed": [0, 1]})
    folder = StudyDir(tmp_path / "study")

    def differing(study: Study, cell: Cell, path: Path) -> str:
        fake_cell(study, cell, path)
        cell_dir, is_cosine = StudyDir(path).cell(cell.name), cell.values["similarity"] == "cosine"
        metrics = json.loads(cell_dir.pretraining.metrics.read_text())
        metrics["history"][-1]["test_loss"] += 0.25 * is_cosine
        metrics["history"][-1]["masked_accuracy"] += 0.02 * is_cosine * (1 + cell.seed)
        write_run_json(cell_dir.pretraining.metrics, metrics)
        return ""

    run_study(study, folder, console, run_cell=differing)
    lines = write_report(study, folder, read_results(study, folder), {}).splitlines()
    start = lines.index("Difference from dot, with all other settings equal:")
    row, other = read_table(lines[start + 1 :], keys=2)
    assert (row["similarity"], row["hidden"], other["hidden"]) == ("cosine", "8", "16")
    assert (row["test loss"], row["masked accuracy"], row["cola"]) == ("+0.250", "+3.00 ± 1.41", "+0.00")
    start = lines.index("Pre-trained minus random weights:")
    rows = read_table(lines[start + 1 :], keys=2)
    assert len(rows) == 4
    assert rows[0] == {"similarity": "dot", "hidden": "8", "cola": "+51.00 ± 1.41"}, "an undefined score counts 0"


def test_an_average_needs_all_tasks() -> None:
    cell, both = Cell({}, {}), (FineTuningRun("cola"), FineTuningRun("mrpc"))
    assert CellResult(cell, fine_tunings=both, scores={FineTuningRun("cola"): 0.5}).average_scores() == [None]
    scores = {FineTuningRun("cola"): None, FineTuningRun("mrpc"): 0.8}
    assert CellResult(cell, fine_tunings=both, scores=scores).average_scores() == [0.4]


def test_several_fine_tunings_of_one_pretraining(
    make_study: Callable[..., Study], tmp_path: Path, console: Console
) -> None:
    fine_tuning = {"data_dir": str(tmp_path), "tasks": ["cola"], "max_length": 12}
    fine_tuning |= {"untrained": True, "seeds": [0, 1, 3]}
    study = make_study(grid={"hidden": [8], "seed": [5]}, fine_tuning=fine_tuning)
    folder, (cell,) = StudyDir(tmp_path / "study"), study.cells
    assert run_study(study, folder, console, run_cell=fake_cell) == {}
    text = write_report(study, folder, read_results(study, folder), {})
    (shown,) = read_table(text.splitlines(), keys=1)
    assert (shown["test loss"], shown["cola"], shown["average"]) == ("3.800", "52.67 ± 3.06", "52.67 ± 3.06")
    assert "with the seeds 0, 1, 3; random weights come from the same seeds" in " ".join(text.split())
    assert text.splitlines()[-1].split("  ")[-1] == "+52.67 ± 3.06"
    (result,) = rows_of(folder.results_csv)
    assert (result["cola_seed-0"], result["cola_seed-3"], result["cola_untrained_seed-3"]) == ("0.5", "0.56", "")
    assert study.fine_tuning is not None
    experiments = [
        resolve_fine_tuning(study.fine_tuning, cell, folder.cell(cell.name), run) for run in fine_tunings(study)
    ]
    assert [experiment.seed for experiment in experiments] == [0, 1, 3, 0, 1, 3]
    assert len({experiment.output_dir for experiment in experiments}) == 6
    assert len({experiment.checkpoint_path for experiment in experiments}) == 4, "one trained, three at random"


def test_what_is_done_is_skipped_and_what_fails_is_named(
    make_study: Callable[..., Study], tmp_path: Path, console: Console
) -> None:
    folder = StudyDir(tmp_path / "study")
    run_study(make_study(grid={"hidden": [8], "seed": [0, 1]}), folder, console, run_cell=fake_cell)
    larger, started = make_study(grid={"hidden": [8], "seed": [0, 1, 2, 3]}), list[str]()

    def fail_once(study: Study, cell: Cell, path: Path) -> str:
        started.append(cell.name)
        return "out of memory" if cell.seed == 2 else fake_cell(study, cell, path)

    errors = run_study(larger, folder, console, run_cell=fail_once)
    assert started == ["hidden-8_seed-2", "hidden-8_seed-3"] and errors == {"hidden-8_seed-2": "out of memory"}
    text = write_report(larger, folder, read_results(larger, folder), errors)
    assert "Not finished: hidden-8_seed-2\n" in text and "Failed: hidden-8_seed-2: out of memory" in text
    assert folder.cell("hidden-8_seed-2").error.read_text() == "out of memory\n"
    run_study(larger, folder, console, run_cell=fake_cell)
    assert not folder.cell("hidden-8_seed-2").error.exists()
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 of 4 cells are already done" in output and "hidden-8_seed-3, 2 of 2, about 1 min left" in output


@pytest.mark.slow
def test_a_study(
    make_study: Callable[..., Study], run_here: Callable[..., str], tmp_path: Path, console: Console
) -> None:
    study, folder = make_study(), StudyDir(tmp_path / "study")
    assert run_study(study, folder, console, run_cell=run_here) == {}
    text = write_report(study, folder, read_results(study, folder), {})
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["similarity", "hidden", "parameters"] and "cola, untrained" in text
    assert lines[1].split()[:2] == ["dot", "8"] and lines[2].split()[:2] == ["gaussian", "8"] and "±" in lines[1]
    assert folder.summary.read_text(encoding="utf-8") == text
    results, curves = rows_of(folder.results_csv), rows_of(folder.curves_csv)
    assert [row["seed"] for row in results] == ["0", "1", "0", "1"] and len(curves) == 8
    assert int(results[2]["parameters"]) - int(results[0]["parameters"]) == 2, "the scales of two heads"
    assert all(float(row["test_loss"]) > 0 and row["cola"] and row["cola_untrained"] for row in results)
    assert folder.picture.read_bytes().startswith(b"\x89PNG")
    cell = folder.cell("similarity-gaussian_hidden-8_seed-1")
    config = json.loads(cell.fine_tuning(FineTuningRun("cola")).config.read_text())
    assert config["similarity"] == "gaussian" and config["seed"] == 1
    assert not cell.fine_tuning(FineTuningRun("cola")).phase("2_search").path.exists()


@pytest.mark.slow
def test_untrained_weights_are_those_that_the_pretraining_began_with(
    make_study: Callable[..., Study], run_here: Callable[..., str], tmp_path: Path, console: Console
) -> None:
    from power_bert.model.pretrained import canonical_variables, load_pretrained

    study = make_study(
        grid={"seed": [3]},
        pretraining={"steps": 1, "layers": 1, "hidden": 8, "batch": 8, "learning_rate": 1e-9, "evaluation_records": 5},
    )
    folder = StudyDir(tmp_path / "study")
    assert run_study(study, folder, console, run_cell=run_here) == {}
    cell = folder.cell("seed-3")
    trained, untrained = (
        canonical_variables(load_pretrained(str(path)).backbone)
        for path in (cell.pretraining.model, cell.untrained_model(None))
    )
    for name, variable in trained.items():
        assert np.abs(np.asarray(variable) - np.asarray(untrained[name])).max() < 1e-6, name


@pytest.mark.slow
def test_matched_parameters(
    make_study: Callable[..., Study], run_here: Callable[..., str], tmp_path: Path, console: Console
) -> None:
    study = make_study(grid={"hidden": [8, 12]}, match={"hidden": 12}, fine_tuning=None)
    folder = StudyDir(tmp_path / "study")
    assert run_study(study, folder, console, run_cell=run_here) == {}
    counts = [result.parameters for result in read_results(study, folder)]
    assert abs(counts[0] - counts[1]) < 17


@pytest.mark.slow
def test_every_cell_in_a_process_of_its_own(make_study: Callable[..., Study], tmp_path: Path, console: Console) -> None:
    study, folder = make_study(grid={"hidden": [8], "seed": [0]}), StudyDir(tmp_path / "study")
    assert run_study(study, folder, console) == {}
    assert PretrainingDir(folder.cell("hidden-8_seed-0").pretraining.path).is_done
    assert run_study(study, folder, console) == {}
    assert "1 of 1 cells are already done" in console.file.getvalue()  # type: ignore[attr-defined]
    broken = make_study(grid={"hidden": [8], "seed": [1]}, pretraining={"steps": 1, "positions": 5}, fine_tuning=None)
    errors = run_study(broken, folder, console)
    assert "positions=5, but" in errors["hidden-8_seed-1"]


@pytest.mark.slow
def test_several_cells_at_a_time(make_study: Callable[..., Study], tmp_path: Path, console: Console) -> None:
    grid = {"hidden": [8], "seed": [0, 1, 2]}
    study = make_study(grid=grid, fine_tuning=None)
    together, alone = StudyDir(tmp_path / "together"), StudyDir(tmp_path / "alone")
    assert run_study(study, together, console, jobs=2) == {}
    output = console.file.getvalue()  # type: ignore[attr-defined]
    first_done = min(output.index("seed-0: done"), output.index("seed-1: done"))
    assert output.index("=== hidden-8_seed-1") < first_done < output.index("=== hidden-8_seed-2")
    assert run_study(study, alone, console) == {}
    for one, other in zip(read_results(study, together), read_results(study, alone), strict=True):
        assert one.figure("test_loss") == pytest.approx(other.figure("test_loss"), abs=1e-4)


@pytest.mark.slow
def test_a_fine_tuning_that_fails_does_not_stop_the_others(
    make_study: Callable[..., Study], run_here: Callable[..., str], tmp_path: Path, console: Console
) -> None:
    study = make_study(grid={"seed": [0], "hidden": [8], "heads": [2]}, pretraining={"steps": 1, "layers": 1})
    folder = StudyDir(tmp_path / "study")
    running._start_folder(study, folder)
    broken = folder.cell("seed-0_hidden-8_heads-2").fine_tuning(FineTuningRun("cola"))
    broken.path.mkdir(parents=True)
    (broken.path / "thesis.tex").write_text("mine")
    (error,) = run_study(study, folder, console, run_cell=run_here).values()
    assert error.startswith("cola: OUTPUT_DIR=") and "holds no run" in error
    (result,) = read_results(study, folder)
    assert list(result.scores) == [FineTuningRun("cola", untrained=True)]


class TestBadInput:
    def test_more_jobs_than_cores(self, make_study: Callable[..., Study], tmp_path: Path, console: Console) -> None:
        with pytest.raises(UserError, match=r"--jobs 9999: expected 1 to \d+, the number of cores"):
            run_study(make_study(), StudyDir(tmp_path / "study"), console, jobs=9999)
        assert not (tmp_path / "study").exists()

    def test_a_folder_with_something_else(
        self, make_study: Callable[..., Study], tmp_path: Path, console: Console
    ) -> None:
        (tmp_path / "thesis.tex").write_text("mine")
        with pytest.raises(UserError, match=r"not a study \(no study\.json\); choose another --out"):
            run_study(make_study(), StudyDir(tmp_path), console)

    def test_cells_with_other_settings(
        self, make_study: Callable[..., Study], tmp_path: Path, console: Console
    ) -> None:
        tables = {
            "grid": {"hidden": [8], "seed": [0]},
            "pretraining": {"steps": 4, "heads": 2},
            "fine_tuning": {"data_dir": str(tmp_path), "tasks": ["cola"], "epochs": 1, "max_length": 12},
        }
        folder = StudyDir(tmp_path / "study")

        def store_settings(study: Study, cell: Cell, path: Path) -> str:
            cell_dir = StudyDir(path).cell(cell.name)
            cell_dir.pretraining.path.mkdir(parents=True)
            settings = resolve_cell(study, cell, open_corpus(StudyDir(path).corpus))
            cell_dir.pretraining.settings.write_text(settings.to_json(), encoding="utf-8")
            assert study.fine_tuning is not None
            experiment = resolve_fine_tuning(study.fine_tuning, cell, cell_dir, FineTuningRun("cola"))
            cell_dir.fine_tuning(FineTuningRun("cola")).path.mkdir()
            cell_dir.fine_tuning(FineTuningRun("cola")).config.write_text(experiment.to_json(), encoding="utf-8")
            return fake_cell(study, cell, path)

        run_study(make_study(**tables), folder, console, run_cell=store_settings)
        run_study(make_study(**tables), folder, console, run_cell=lambda *_: pytest.fail("is done"))
        stored = folder.definition.read_text()
        for table, changes, message in (
            ("pretraining", {"steps": 5}, "holds another pre-training .steps: 4 there, 5 now"),
            ("fine_tuning", {"epochs": 2}, "holds another fine-tuning .epochs: 1 there, 2 now"),
        ):
            with pytest.raises(UserError, match=message):
                run_study(make_study(**tables | {table: {**tables[table], **changes}}), folder, console)
        assert folder.definition.read_text() == stored

    def test_another_corpus(
        self, make_study: Callable[..., Study], tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = StudyDir(tmp_path / "study")
        running._start_folder(make_study(), folder)
        other = make_study(corpus={"sources": ["other.txt"], "length": 12})
        with pytest.raises(UserError, match="holds a study on another corpus"):
            run_study(other, folder, console)
