"""Tests of power_bert.reports.run_report and run_pictures, on runs without weights."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from power_bert.config.experiment import resolve_experiment
from power_bert.errors import UserError
from power_bert.predict.metrics import compute_scores
from power_bert.reports import run_pictures
from power_bert.reports.run_report import write_run_report
from power_bert.runs.run_dir import BASELINE, PHASES, RunDir, write_run_json
from power_bert.text.glue_tasks import get_task
from power_bert.text.predictions import write_predictions

FINE_TUNE, SEARCH, RETRAIN = PHASES
LABELS = {"cola": np.arange(40) % 2, "sts-b": np.linspace(0, 5, 40).round(3)}
PREDICTED = {"cola": np.arange(40) % 2 * (np.arange(40) > 9), "sts-b": np.linspace(0.5, 4.5, 40).round(3)}
ALL = ["kept", "learning_curves", "search_path", "confusion", "score_speed"]


@pytest.fixture(params=["cola", "sts-b"])
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run_dir(tmp_path: Path, task: str) -> RunDir:
    """A finished run with all that a report can show, and texts that are no HTML."""
    run, data = RunDir(tmp_path / "a <b>run $x$"), tmp_path / "data"
    data.mkdir()
    if task == "cola":
        rows = [f"x\t{label}\t\tone" for label in LABELS[task]]
    else:
        rows = ["index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"]
        rows += ["\t".join([str(row), *"xxxxxx", "one", "two", str(label)]) for row, label in enumerate(LABELS[task])]
    (data / "dev.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    scores = compute_scores(get_task(task).metrics, LABELS[task], PREDICTED[task])
    for phase, epochs in ((FINE_TUNE, 3), (SEARCH, 2), (RETRAIN, 3), (BASELINE, 5)):
        finish(run, phase, scores, epochs)
    write_predictions(run.phase(RETRAIN).predictions("dev"), get_task(task), PREDICTED[task])
    shape = {"num_layers": 3, "num_heads": 4, "hidden_dim": 8, "intermediate_dim": 16, "head_dim": None}
    write_run_json(run.phase(FINE_TUNE).model / "config.json", {"config": shape})
    write_run_json(run.phase(RETRAIN).model / "config.json", {"config": {"retention": [1.0, 0.6, 0.0001]}})
    configuration = {"tokens": [1.0, 0.6, 0.0001], "heads": [4, 3, 1], "neurons": [16, 12, 5]}
    write_run_json(run.phase(SEARCH).retention, configuration)
    for number, reduction in ((1, 1.4), (2, 2.0)):
        stage = run.phase(SEARCH).path / f"stage_{number}"
        found = {**configuration, "flops_reduction": reduction, "scores": scores}
        write_run_json(stage / "retention.json", found)
    write_run_json(run.phase(SEARCH).path / "stage_1" / "metrics.json", {"scores": scores, "history": []})
    speed = {"device": "cpu", "threads": 2, "batch_size": 32, "examples": 40, "repeats": 5}
    timed = {"fixed_padding": 0.02, "bucketed": 0.008, "bucketed_eliminated": 0.004}
    timings = {name: {"seconds_per_example": seconds, **speed} for name, seconds in timed.items()}
    flops = {"unpadded": 1.25e9, "unpadded_eliminated": 4.97e8}
    write_run_json(run.timings, {"timings": timings, "flops_per_example": flops, "flops_speedup": 2.5})
    write_run_json(run.environment, {"processor": "A <i>Processor</i>", "cpu_count": 2})
    given = {"task": task, "data_dir": str(data), "output_dir": str(run.path), "speedup": 2.0}
    run.config.write_text(resolve_experiment(given).to_json(), encoding="utf-8")
    return run


def finish(run: RunDir, phase: str, scores: dict[str, float], epochs: int) -> None:
    entry = {"train_loss": 0.5, "scores": scores, "train_seconds": 1.0, "eval_seconds": 0.5}
    history = [{"epoch": epoch, "train_examples_per_second": 80.0, **entry} for epoch in range(1, epochs + 1)]
    metrics = {"scores": scores, "history": history, "seconds": 9.0, "warnings": [f"<script>{phase}</script>"]}
    write_run_json(run.phase(phase).metrics, {**metrics, "scores_before_training": None})
    run.phase(phase).mark_done()


def pictures_of(run_dir: RunDir) -> list[str]:
    """Names of the pictures of a report, which are in the page and in the folder."""
    page = write_run_report(run_dir).read_text(encoding="utf-8")
    names = {path.stem for path in run_dir.pictures.iterdir()}
    assert page.count('src="data:image/png;base64,') == len(names) == page.count("<img")
    return [name for name in ALL if name in names]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn."""
    drawn, encode = list[Any](), run_pictures.png_bytes

    def remember(figure: Any) -> bytes:
        drawn.append(figure)
        return encode(figure)

    monkeypatch.setattr(run_pictures, "png_bytes", remember)
    return drawn


def test_the_page_needs_no_network_and_escapes_texts(run_dir: RunDir) -> None:
    assert pictures_of(run_dir) == ALL
    page = run_dir.report.read_text(encoding="utf-8")
    without_pictures = re.sub(r'src="data:[^"]+"', "", page)
    assert not re.search(r"src=|href=|@import|url\(|<script|<i>|<b>", without_pictures)
    assert "a &lt;b&gt;run $x$" in page and "A &lt;i&gt;Processor&lt;/i&gt;" in page
    assert page.count("&lt;script&gt;") == 3 and "<td>SPEEDUP</td>" in page and "2.50 × fewer" in page
    assert str(run_dir.path.parent) not in page
    titles = re.findall("<h2>(.+?)</h2>", page)
    assert titles.index("Wall clock") < titles.index("Kept by each block") < titles.index("Files in this folder")


def test_settings_have_the_names_that_a_user_gives_and_the_call_repeats_the_run(run_dir: RunDir, task: str) -> None:
    page = write_run_report(run_dir).read_text(encoding="utf-8")
    assert all(f"<td>{name}</td>" in page for name in ("LR_BERT", "LAMBDA", "EPOCH", "MAX_LENGTH"))
    task_setting = "" if task == "cola" else "TASK=sts-b "
    assert f"<pre>BASELINE=1 {task_setting}DATA_DIR=data SPEEDUP=2 power-bert run</pre>" in page
    run_dir.phase(RETRAIN).path.rename(run_dir.path / "gone")
    run_dir.phase(BASELINE).path.rename(run_dir.path / "gone too")
    run_dir.timings.unlink()
    page = write_run_report(run_dir).read_text(encoding="utf-8")
    assert "SPEEDUP=2 power-bert run --fine-tune-only</pre>" in page


def test_what_is_drawn(run_dir: RunDir, task: str, figures: list[Any]) -> None:
    pictures_of(run_dir)
    kept, curves, search, predictions, speed = figures
    assert [[bar.get_height() for bar in axes.containers[-1]] for axes in kept.axes] == [
        [100, 60, 0.01],
        [4, 3, 1],
        [16, 12, 5],
    ]
    assert [text.get_text() for text in kept.axes[0].texts] == ["100", "60", "[CLS]"]
    assert [list(line.get_xdata()) for line in curves.axes[0].lines] == [
        [1, 2, 3],
        [4, 5],
        [6, 7, 8],
        [4, 5, 6, 7, 8],
    ]
    assert [list(line.get_ydata()) for line in search.axes[0].lines] == [[100, 60, 0.01]] * 2
    assert search.axes[0].lines[0].get_linewidth() > search.axes[0].lines[1].get_linewidth(), (
        "equal stages are both seen"
    )
    assert [list(line.get_xdata()) for line in search.axes[1].lines] == [[1], [1.4, 2.0], [1.4, 2.0]]
    assert [line.get_xdata()[0] for line in speed.axes[0].lines] == pytest.approx([20, 8, 8, 4])
    if task == "cola":
        assert [text.get_text() for text in predictions.axes[0].texts] == ["20", "0", "5", "15"]
    else:
        np.testing.assert_allclose(
            predictions.axes[0].collections[0].get_offsets(), np.stack([LABELS[task], PREDICTED[task]], axis=1)
        )


@pytest.mark.parametrize("task", ["cola"], indirect=True)
def test_no_labels_overlap(run_dir: RunDir, figures: list[Any]) -> None:
    pictures_of(run_dir)
    names = [f"a class with a long name, number {number}" for number in range(30)]
    every = np.arange(30)
    figures.append(run_pictures._confusion(every, every, names))
    for figure in figures:
        FigureCanvasAgg(figure).draw()
        for axes in figure.axes:
            for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
                boxes = [label.get_window_extent() for label in labels if label.get_text() and label.get_visible()]
                inside = [box for box in boxes if figure.bbox.contains(*box.get_points().mean(axis=0))]
                assert not any(one.overlaps(other) for one, other in itertools.pairwise(inside))


@pytest.mark.parametrize("task", ["cola"], indirect=True)
class TestFiles:
    def test_what_is_not_there_is_left_out(self, run_dir: RunDir) -> None:
        for number in (1, 2):
            (run_dir.phase(SEARCH).path / f"stage_{number}" / "retention.json").unlink()
        (run_dir.path.parent / "data" / "dev.tsv").unlink()
        (run_dir.phase(FINE_TUNE).model / "config.json").unlink()
        assert pictures_of(run_dir) == ["kept", "learning_curves", "score_speed"]
        assert pictures_of(run_dir) == ["kept", "learning_curves", "score_speed"]

    def test_without_search_and_timings(self, run_dir: RunDir) -> None:
        run_dir.phase(SEARCH).retention.rename(run_dir.phase(RETRAIN).retention)
        run_dir.phase(SEARCH).path.rename(run_dir.path / "gone")
        run_dir.timings.unlink()
        run_dir.environment.unlink()
        assert pictures_of(run_dir) == ["kept", "learning_curves", "confusion"]
        assert "<h2>Dev score (%)</h2>" in run_dir.report.read_text(encoding="utf-8")

    def test_a_picture_of_an_earlier_report_goes(self, run_dir: RunDir) -> None:
        assert pictures_of(run_dir) == ALL
        run_dir.phase(RETRAIN).predictions("dev").unlink()
        assert pictures_of(run_dir) == [name for name in ALL if name != "confusion"]

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("2_search/retention.json", "{"),
            ("2_search/stage_1/retention.json", '{"tokens": [1.0, 0.5, 0.1]}'),
            ("1_fine_tune/metrics.json", "[]"),
            ("1_fine_tune/model/config.json", '{"config": {"num_layers": 3}}'),
            ("3_retrain/predictions_dev.tsv", "index\tprediction\n0\t7\n"),
            ("timings.json", '{"timings": {}}'),
        ],
    )
    def test_a_damaged_file_is_named(self, run_dir: RunDir, name: str, content: str) -> None:
        (run_dir.path / name).write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=re.escape(name)):
            write_run_report(run_dir)
        assert not run_dir.report.exists()
