"""Phase 2 with SPEEDUP or MAX_LOSS: eliminate gradually, where it costs the loss least, until the target is met.

Each stage measures how the loss rises if one block keeps fewer tokens, heads or neurons (`train.sensitivity`), chooses
the configuration of least loss at the cost of the stage (`elimination.allocation`), slices out what it does not keep,
and trains what is left, as gradual structured pruning does (Kurtić et al. 2023, ZipLM). So the next stage measures a
model that has adapted. The last stage is trained by phase 3.

A killed search goes on to exactly the weights that it would have come to: each stage sets the seed before it ranks and
before it trains, and the sliced model that its training starts from is kept beside the one that is trained.

With MAX_LOSS every stage is trained, and the search ends where the dev score has fallen too far below that of the
baseline. Phase 3 trains the fastest stage within the limit.
"""

from __future__ import annotations

import functools
import itertools
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np

from power_bert.config.experiment import Experiment
from power_bert.elimination.allocation import (
    Allocation,
    EncoderCost,
    FlopsCost,
    LossCurves,
    path_targets,
    stage_targets,
    whole_cost,
)
from power_bert.elimination.configuration import EncoderConfiguration, KeptUnits
from power_bert.elimination.flops import EncoderShape, forward_flops
from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import plain_tokenizer, rebuild_classifier
from power_bert.model.importance import GatedClassifier, Importance, most_important
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.objectives.distiller import Distiller
from power_bert.predict.forward import compiled_forward
from power_bert.predict.metrics import format_score, format_scores, is_defined
from power_bert.predict.predict_texts import EVALUATION_BATCH_SIZE, predict_outputs
from power_bert.result_tables import csv_text, to_frame
from power_bert.runs.run_dir import BASELINE, PHASES, PhaseDir, write_run_json
from power_bert.runs.run_documents import read_configuration, read_metrics, read_object
from power_bert.storage.files import atomic_write_text
from power_bert.storage.json_form import NUMBER
from power_bert.text.batches import TrainingBatches
from power_bert.train.feeding import feed_training
from power_bert.train.latency_cost import LatencyCost, latency_table
from power_bert.train.phase_end import PhaseResult, finish_phase, write_metrics_csv
from power_bert.train.self_distillation import Lesson
from power_bert.train.sensitivity import Sensitivity
from power_bert.train.training import (
    RunContext,
    TrainingPlan,
    compile_for_phase,
    evaluate_dev,
    keep_checkpoint,
    train_classifier,
)
from power_bert_runtime.encoded_texts import EncodedTexts

_TITLE = "2 search"
# Targets are powers of a ratio.
_ROUNDING = 1e-6
# Points of score that re-training may win back, so that the search goes on beyond MAX_LOSS by so much.
_WON_BACK = 1.0
# Training examples on which heads and neurons are ranked, rounded up to whole batches.
_RANKING_EXAMPLES = 512
# Tokens of the training examples on which the loss is measured; at least and at most so many examples.
_MEASURED_TOKENS, _FEWEST_EXAMPLES, _MOST_EXAMPLES = 10_000, 64, 1024


@dataclass(frozen=True)
class FrontierPoint:
    """A trained stage of a search with MAX_LOSS.

    Attributes:
        stage: Folder of the stage.
        reduction: Reduction of the cost: how many times fewer FLOPs, or less time.
        fewer: What is reduced, as `EncoderCost.fewer`.
        metric: Name of the score.
        score: Dev score, as a fraction; None or NaN if undefined.
        loss: Difference to the baseline in points, positive if the score is lower.
    """

    stage: PhaseDir
    reduction: float
    fewer: str
    metric: str
    score: float | None
    loss: float

    def __str__(self) -> str:
        return (
            f"{self.reduction:.2f} times {self.fewer} at {self.metric} {format_score(self.score)} ({-self.loss:+.2f})"
        )


class GradualSearch:
    """The search of one run.

    With SPEEDUP_BY=latency the cost is measured time, else FLOPs.

    Args:
        context: Context of the run.
        fine_tuned: Model of phase 1.
        phase_dir: Where to write. Each stage has a folder of its own there and is not repeated after a kill.
        lesson: What the model learns from between the stages.
        phases: Names of the phases of the run, for metrics.csv.
    """

    def __init__(
        self,
        context: RunContext[Experiment],
        fine_tuned: PowerBertTextClassifier,
        phase_dir: PhaseDir,
        lesson: Lesson,
        phases: Sequence[str],
    ) -> None:
        self.context, self.phase_dir, self.lesson, self.phases = context, phase_dir, lesson, phases
        self.fine_tuned = fine_tuned
        shape = EncoderShape.of(fine_tuned.backbone.get_config(), fine_tuned.num_classes)
        self.shape = replace(shape, fuse_dropped=context.experiment.fuse)
        self.cost = self._cost()
        self.whole = whole_cost(self.cost, self.shape)

    def _cost(self) -> EncoderCost:
        lengths = self.context.train.encoded.lengths
        if self.context.experiment.speedup_by == "flops":
            return FlopsCost(self.shape, lengths.tolist())
        table = latency_table(
            self.context.run_dir.phase(PHASES[0]).existing_model(),
            self.phase_dir.latency,
            int(lengths.max()),
            self.context.reporter,
            self.shape.fuse_dropped,
        )
        return LatencyCost(table, lengths)

    def run(self) -> PhaseResult:
        """Eliminate until the target of the run is met.

        Raises:
            UserError: MAX_LOSS is exceeded by the first stage, or before SPEEDUP is reached.
        """
        started, history, model = time.perf_counter(), list[dict[str, Any]](), self.fine_tuned
        experiment, frontier = self.context.experiment, list[FrontierPoint]()
        max_loss = experiment.max_loss
        targets = stage_targets(experiment.speedup or 1.0) if max_loss is None else path_targets(experiment.speedup)
        for number, target in enumerate(targets, start=1):
            stage = self.phase_dir.stage(number)
            title = f"{_TITLE}, stage {number}" + (f" of {len(targets)}" if max_loss is None else "")
            if not stage.is_done:
                is_trained = number < len(targets) or max_loss is not None
                self._eliminate(model, stage, stage.sliced if is_trained else stage, target, title)
                if is_trained:
                    self._train(stage, title, history)
                stage.mark_done()
            stage.training_state.unlink(missing_ok=True)
            shutil.rmtree(stage.sliced.path, ignore_errors=True)
            model = load_own_classifier(stage.existing_model())
            if stage.metrics.exists():
                history += _numbered(read_metrics(stage.metrics)["history"], len(history))
            if max_loss is not None:
                frontier.append(self._point(stage))
                self.context.reporter.say(f"{title}: {frontier[-1]}")
                if frontier[-1].loss > max_loss + _WON_BACK:
                    break
            if self._reduction(stage) < target * (1 - _ROUNDING):
                break  # nothing smaller is left
        if max_loss is not None:
            stage = self._fastest_within(max_loss, frontier)
            model = load_own_classifier(stage.existing_model())
        return self._finish(model, stage, history, started)

    def _point(self, stage: PhaseDir) -> FrontierPoint:
        """Return the speed and the loss of a trained stage."""
        metric, scores = self.context.experiment.task_definition.metrics[0], read_metrics(stage.metrics)["scores"]
        loss = points_lost(self.context, scores)
        return FrontierPoint(stage, self._reduction(stage), self.cost.fewer, metric, scores[metric], loss)

    def _reduction(self, stage: PhaseDir) -> float:
        name = _reduction_name(self.context.experiment)
        return float(read_object(stage.retention, {name: NUMBER})[name])

    def _fastest_within(self, max_loss: float, frontier: Sequence[FrontierPoint]) -> PhaseDir:
        """Write ``frontier.csv`` and return the fastest stage whose loss is within the limit."""
        rows = (
            {
                _reduction_name(self.context.experiment): point.reduction,
                point.metric: point.score,
                "loss_points": point.loss,
            }
            for point in frontier
        )
        atomic_write_text(self.phase_dir.frontier, csv_text(to_frame(rows)))
        speedup = self.context.experiment.speedup or 1.0
        within = [point for point in frontier if point.loss <= max_loss and point.reduction >= speedup - _ROUNDING]
        if not within:
            asked = f"MAX_LOSS={max_loss:g}" + (f" with SPEEDUP={speedup:g}: not both" if speedup > 1.0 else "")
            raise UserError(
                f"{asked}. The frontier, against the baseline: {'; '.join(map(str, frontier))}. Raise MAX_LOSS "
                f"with OUTPUT_DIR={self.context.run_dir.path}: the run then goes on from here"
                + ("; or lower SPEEDUP in a new run" if speedup > 1.0 else "")
            )
        return within[-1].stage

    def _eliminate(
        self, model: PowerBertTextClassifier, stage: PhaseDir, sliced: PhaseDir, target: float, title: str
    ) -> None:
        """Measure, choose and slice; leave the configuration in `stage` and the sliced model in `sliced`."""
        if stage.retention.exists() and sliced.model.is_dir():
            return
        context = self.context
        stage.training_state.unlink(missing_ok=True)  # of an earlier version, which kept no sliced model
        keras.utils.set_random_seed(context.experiment.seed)
        context.reporter.say(
            f"{title}: measuring what each block can do without, for {target:.2f} times {self.cost.fewer}"
        )
        examples, logits = self._measured()
        importance = self._importance(model)
        fuse_dropped = context.experiment.fuse
        sensitivity = Sensitivity(model, examples, logits, context.experiment.max_length, fuse_dropped)
        with context.reporter.counted(f"{title}: blocks measured", len(importance)) as advance:
            curves = sensitivity.curves(importance, advance)
        if not context.experiment.width:
            curves = [LossCurves(each.tokens, each.heads[:1], each.neurons[:1]) for each in curves]
        configuration, cost = Allocation(curves, self.cost, fuse_dropped).best(self.whole / target)
        kept = [
            KeptUnits(most_important(each.heads, heads), most_important(each.neurons, neurons))
            for each, heads, neurons in zip(
                importance, configuration.heads or (), configuration.neurons or (), strict=True
            )
        ]
        configuration = configuration.without_whole_widths(self.shape)
        narrow = rebuild_classifier(
            model, kept, extraction="hard", retention=configuration.tokens, fuse_dropped=fuse_dropped
        )
        sliced.path.mkdir(parents=True, exist_ok=True)
        scores = evaluate_dev(context, compiled_forward(narrow), sliced)
        keep_checkpoint(narrow, sliced)
        reached = self.whole / cost
        if reached < target * (1 - _ROUNDING):
            context.reporter.say(
                f"{title}: warning: {target:.2f} times {self.cost.fewer} cannot be reached; this is the smallest model"
            )
        write_run_json(
            stage.retention,
            {
                **configuration.to_json(),
                "flops_reduction": self._flops_reduction(configuration),
                _reduction_name(self.context.experiment): reached,
                "scores": scores,
                "curves": [asdict(each) for each in curves],
            },
        )
        context.reporter.say(
            f"{title}: {reached:.2f} times {self.cost.fewer}  {configuration}  dev {format_scores(scores)}"
        )

    def _flops_reduction(self, configuration: EncoderConfiguration) -> float:
        lengths = self.context.train.encoded.lengths.tolist()
        narrow = forward_flops(configuration.narrowed(self.shape), lengths, configuration.tokens)
        return forward_flops(self.shape, lengths).total / narrow.total

    def _measured(self) -> tuple[EncodedTexts, np.ndarray]:
        """Return training examples to measure on, and what the fine-tuned model says of them, (examples, outputs)."""
        train, max_length = self.context.train, self.context.experiment.max_length
        wanted = int(np.clip(_MEASURED_TOKENS / train.encoded.lengths.mean(), _FEWEST_EXAMPLES, _MOST_EXAMPLES))
        chosen = train.examples.take(np.random.default_rng(0).permutation(len(train.examples))[:wanted])
        encoded = plain_tokenizer(self.fine_tuned).encode(chosen.first, chosen.second, max_length)
        forward = compiled_forward(self.fine_tuned)
        return encoded, predict_outputs(forward, encoded, EVALUATION_BATCH_SIZE, max_length)

    def _importance(self, model: PowerBertTextClassifier) -> list[Importance]:
        """Rank the heads and neurons of each block by their importance to the loss of training examples."""
        experiment, train = self.context.experiment, self.context.train
        batches = TrainingBatches(
            train.encoded, train.examples.labels, experiment.batch_size, experiment.max_length, experiment.seed
        )
        steps = min(-(-_RANKING_EXAMPLES // experiment.batch_size), batches.steps_per_epoch)
        gated = GatedClassifier(rebuild_classifier(model), experiment.batch_size)
        labels_dtype = "float32" if experiment.task_definition.is_regression else "int64"
        data = feed_training(lambda: itertools.islice(batches.epoch(0), steps), steps, labels_dtype)
        gated.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0)
        return gated.importance()

    def _train(self, stage: PhaseDir, title: str, before: Sequence[dict[str, Any]]) -> None:
        context = self.context
        keras.utils.set_random_seed(context.experiment.seed)
        model = load_own_classifier(stage.sliced.existing_model())
        epochs = context.experiment.search_epochs
        steps = -(-len(context.train.encoded) // context.experiment.batch_size) * epochs
        plan = TrainingPlan(
            title,
            epochs,
            functools.partial(compile_for_phase, context.experiment),
            "last",
            None,
            lambda history: write_metrics_csv(
                context.run_dir, self.phases, self.phase_dir, [*before, *_numbered(history, len(before))]
            ),
            self.lesson.targets,
        )
        outcome = train_classifier(context, Distiller(model, self.lesson.objective, steps), stage, plan)
        write_run_json(stage.metrics, {"scores": outcome["scores"], "history": outcome["history"]})

    def _finish(
        self, model: PowerBertTextClassifier, last: PhaseDir, history: list[dict[str, Any]], started: float
    ) -> PhaseResult:
        context, phase_dir = self.context, self.phase_dir
        scores = evaluate_dev(context, compiled_forward(model), phase_dir)
        keep_checkpoint(model, phase_dir)
        stored = read_configuration(last.retention)
        write_run_json(phase_dir.retention, stored.to_json())
        outcome = {"history": history, "best_epoch": len(history), "scores": scores}
        return finish_phase(context, phase_dir, _TITLE, outcome, started, {}, is_search=True)


def points_lost(context: RunContext[Experiment], scores: Mapping[str, Any]) -> float:
    """Return by how many points the baseline has a better dev score; infinite if the score is undefined.

    Raises:
        UserError: The score of the baseline is undefined.
    """
    metric = context.experiment.task_definition.metrics[0]
    baseline = read_metrics(context.run_dir.phase(BASELINE).metrics)["scores"][metric]
    if not is_defined(baseline):
        raise UserError(
            f"MAX_LOSS: the {metric} of the baseline is undefined, so no loss can be measured; train it better "
            "(LR_BERT, EPOCH), or give SPEEDUP in place of MAX_LOSS"
        )
    # Rounded, so that a difference of exactly the limit is within it.
    return round(100 * (baseline - scores[metric]), 6) if is_defined(scores[metric]) else math.inf


def _reduction_name(experiment: Experiment) -> str:
    """Return the entry of a stage's retention.json, and column of frontier.csv, with what is reduced."""
    return f"{experiment.speedup_by}_reduction"


def _numbered(history: Sequence[dict[str, Any]], before: int) -> list[dict[str, Any]]:
    """Return the entries with their epochs counted on from those of the stages before."""
    return [{**entry, "epoch": before + entry["epoch"]} for entry in history]
