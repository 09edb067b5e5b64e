"""The declarations of settings: what follows from them for names, ranges, checks, messages and the stored form."""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic.dataclasses import dataclass

from power_bert.config.distillation import Distillation, resolve_distillation
from power_bert.config.experiment import Experiment, RunFlags, resolve_experiment
from power_bert.config.pretraining import PretrainingSettings, resolve_settings
from power_bert.config.settings import (
    REQUIRED,
    STRICT,
    Setting,
    Settings,
    check_names,
    check_setting,
    declared_settings,
    given_values,
    number_text,
    own_defaults,
    usual_values,
)
from power_bert.config.values import Schedule, SparsityBlock
from power_bert.errors import UserError

KINDS = (Experiment, RunFlags, Distillation, PretrainingSettings)
BOUNDED = {
    f"{kind.__name__}.{name}": (kind, name)
    for kind in KINDS
    for name, declared in declared_settings(kind).items()
    if declared.setting.low is not None
}


@dataclass(frozen=True, config=STRICT)
class Oven(Settings):
    """Settings of every kind."""

    dish: Annotated[str, Setting("Dish")]
    degrees: Annotated[float, Setting("Heat", "degrees", 50, 250, default=180.0)]
    grill: Annotated[bool, Setting("Grill", option="grill/--no-grill")] = False
    mode: Annotated[Literal["air", "top"], Setting("Mode", counts_with=("degrees",))] = "air"
    spices: Annotated[tuple[str, ...] | None, Setting("Spices", variable="HERBS")] = None
    notes: Annotated[tuple[str, ...], Setting("Notes", is_repeatable=True, in_card=False)] = ()
    shelf: Annotated[int | None, Setting("Shelf", low=1, high=4, usual="2 or 3", default_of="dish")] = None
    fan: Annotated[Literal["mild", "wild"] | None, Setting("Fan", counts_with=("shelf", "grill"))] = None


KNOWN = declared_settings(Oven)


class TestDeclared:
    def test_names(self) -> None:
        assert list(KNOWN) == ["dish", "degrees", "grill", "mode", "spices", "notes", "shelf", "fan"]
        assert (KNOWN["spices"].variable, KNOWN["spices"].option) == ("HERBS", "--herbs")
        assert (KNOWN["grill"].variable, KNOWN["grill"].option) == ("GRILL", "--grill/--no-grill")

    def test_ranges_in_words(self) -> None:
        assert KNOWN["degrees"].range_text == "50 to 250 degrees"
        assert KNOWN["shelf"].range_text == "1 to 4 (usual: 2 or 3)"
        assert KNOWN["dish"].range_text == ""

    def test_types_in_words(self) -> None:
        words = {name: declared.kinds_text for name, declared in KNOWN.items()}
        assert (words["degrees"], words["grill"], words["mode"]) == ("a number", "true or false", "a text")
        assert (words["spices"], words["shelf"]) == ("a list of texts or nothing", "a whole number or nothing")
        assert declared_settings(Distillation)["student_options"].kinds_text == "names and values"

    def test_choices(self) -> None:
        assert KNOWN["mode"].choices == ("air", "top") and KNOWN["fan"].choices == ("mild", "wild")
        assert KNOWN["dish"].choices == KNOWN["spices"].choices == ()
        assert declared_settings(Distillation)["augment"].choices == ("mask", "class", "ngram", "lm")

    def test_a_setting_without_a_default_is_required(self) -> None:
        assert [name for name, each in KNOWN.items() if each.default is REQUIRED] == ["dish", "degrees"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(1e-9, "1e-9"), (0.01, "0.01"), (2**31 - 1, "2147483647"), (3.0, "3"), (0.1, "0.1"), (1e-12, "1e-12"), (0, "0")],
)
def test_numbers_are_written_shortly(number: float, text: str) -> None:
    assert number_text(number) == text and float(text) == number


class TestRanges:
    @pytest.mark.parametrize("name", BOUNDED)
    def test_both_ends_are_valid(self, name: str) -> None:
        kind, field = BOUNDED[name]
        declared = declared_settings(kind)[field]
        number = int if int in declared.types else float
        for bound in (declared.setting.low, declared.setting.high):
            assert bound is not None
            check_setting(kind, field, number(bound))

    @pytest.mark.parametrize("name", BOUNDED)
    def test_what_is_beyond_is_refused_with_the_range(self, name: str) -> None:
        kind, field = BOUNDED[name]
        declared = declared_settings(kind)[field]
        low, high = declared.setting.low, declared.setting.high
        assert low is not None and high is not None
        if int in declared.types:
            beyond: tuple[float, ...] = (int(low) - 1, int(high) + 1)
        else:
            beyond = (math.nextafter(low, -math.inf), math.nextafter(high, math.inf), math.nan, math.inf)
        for value in beyond:
            with pytest.raises(UserError) as caught:
                check_setting(kind, field, value)
            expected = f"{kind.spelled(field)}={value} is out of range: expected {declared.range_text}"
            assert str(caught.value) == expected

    @pytest.mark.parametrize("name", BOUNDED)
    def test_a_number_is_neither_a_text_nor_a_flag(self, name: str) -> None:
        kind, field = BOUNDED[name]
        kinds = declared_settings(kind)[field].kinds_text
        for value in ("1", True):
            with pytest.raises(UserError) as caught:
                check_setting(kind, field, value)
            assert str(caught.value) == f"{kind.spelled(field)}={value!r}: expected {kinds}"


class TestChecks:
    def test_a_wrong_type_is_told_before_a_wrong_value(self) -> None:
        with pytest.raises(UserError, match=r"^grill='yes': expected true or false$"):
            Oven(dish="pie", degrees=900.0, grill="yes", shelf=9)  # type: ignore[arg-type]

    def test_a_bad_item_shows_the_whole_list(self) -> None:
        with pytest.raises(UserError, match=r"^spices=\('salt', 3\): expected a list of texts or nothing$"):
            Oven("pie", 180.0, spices=("salt", 3))  # type: ignore[arg-type]

    def test_a_long_value_is_shortened(self) -> None:
        with pytest.raises(UserError) as caught:
            Oven("pie", 180.0, mode="x" * 5000)  # type: ignore[arg-type]
        assert str(caught.value).startswith("mode='xxx") and len(str(caught.value)) < 300
        assert str(caught.value).endswith("… is unknown: expected one of air, top")

    def test_a_programming_error_is_no_error_of_the_user(self) -> None:
        for arguments in ({"dish": "pie"}, {"dish": "pie", "degrees": 180.0, "color": "red"}):
            with pytest.raises(TypeError):
                Oven(**arguments)

    def test_unknown_names(self) -> None:
        check_names(["b"], ["a", "b"])
        with pytest.raises(UserError, match=r"^x\.toml: unknown settings c, d; known are a, b$"):
            check_names(["d", "b", "c"], ["a", "b"], "x.toml: ")

    @pytest.mark.parametrize(
        ("kind", "name", "value", "message"),
        [
            (Distillation, "alpha", "1.5", "--alpha 1.5: expected a weight from 0 to 1, or a schedule"),
            (Distillation, "alpha", "linear:0.5:-0.1", "--alpha linear:0.5:-0.1: expected a weight from 0 to 1"),
            (Distillation, "temperature", "linear:4:0", "--temperature linear:4:0: expected a number above 0"),
            (
                Distillation,
                "hidden_weight",
                "cosine:1:-1",
                "--hidden-weight cosine:1:-1: expected a weight of at least",
            ),
            (Distillation, "block", "1x", "--block 1x: expected rows x columns"),
            (Distillation, "student_options", ("units",), "--set units: expected NAME=VALUE"),
            (Experiment, "gate", "door", "GATE='door' is unknown: expected one of visibility, scale"),
            (PretrainingSettings, "precision", 16, "precision=16: expected a text"),
        ],
    )
    def test_a_single_value(self, kind: type[Settings], name: str, value: object, message: str) -> None:
        with pytest.raises(UserError) as caught:
            check_setting(kind, name, value)
        assert str(caught.value).startswith(message)


class TestGivenValues:
    def test_empty_values_are_not_given_and_zero_is(self) -> None:
        given = {"dish": "", "degrees": None, "notes": (), "grill": False, "shelf": 0}
        assert given_values(Oven, given) == {"grill": False, "shelf": 0}

    def test_lists(self) -> None:
        given = {"spices": "salt, pepper,", "notes": ("crisp, please",)}
        assert given_values(Oven, given) == {"spices": ("salt", "pepper"), "notes": ("crisp, please",)}
        assert given_values(Oven, {"spices": ["salt"], "notes": ["a"]}) == {"spices": ("salt",), "notes": ("a",)}

    @pytest.mark.parametrize(
        ("resolve", "given", "message"),
        [
            (resolve_experiment, {"task": 5}, r"^TASK=5: expected a text$"),
            (resolve_experiment, {"data_dir": True}, r"^DATA_DIR=True: expected a text$"),
            (resolve_experiment, {"retention_config": 0.5}, r"^RETENTION_CONFIG=0\.5: expected a text or nothing$"),
            (resolve_experiment, {"vocab_path": ["v"]}, r"^VOCAB_PATH=\['v'\]: expected a text or nothing$"),
            (resolve_experiment, {"labels": 3}, r"^LABELS=3: expected a list of texts or nothing$"),
            (resolve_distillation, {"student": 3}, r"^--student=3: expected a text$"),
            (resolve_distillation, {"start": {"a": 1}}, r"^--start=\{'a': 1\}: expected a text$"),
            (resolve_distillation, {"teachers": "run"}, r"^--teacher='run': expected a list of texts$"),
            (resolve_distillation, {"student_options": 5}, r"^--set 5: expected NAME=VALUE, as in units=150$"),
            (resolve_settings, {"corpus": 5}, r"^corpus=5: expected a text$"),
        ],
    )
    def test_what_is_no_text_is_refused_before_it_is_used(self, resolve: Any, given: Any, message: str) -> None:
        with pytest.raises(UserError, match=message):
            resolve(given)

    def test_a_path_is_a_text(self, tmp_path: Path) -> None:
        given = {"data_dir": tmp_path / "data", "output_dir": tmp_path / "run"}
        experiment = resolve_experiment({"task": "mrpc", **given})
        assert (experiment.data_dir, experiment.output_dir) == (str(tmp_path / "data"), str(tmp_path / "run"))


class TestDefaults:
    def test_what_users_may_omit_and_files_may_not(self) -> None:
        assert usual_values(Oven) == {"degrees": 180.0}
        assert usual_values(Experiment)["checkpoint_path"].endswith("all-MiniLM-L6-v2")

    def test_defaults_of_an_owner(self) -> None:
        class Pie:
            shelf = 2

        class Soup:
            shelf = None

        assert own_defaults(Oven, "dish", Pie) == {"shelf": 2}
        assert own_defaults(Oven, "dish", Soup) == {}, "what the owner leaves open stays open"
        assert own_defaults(Oven, "dish") == {"shelf": None}


class TestStored:
    def test_structured_values_become_texts(self) -> None:
        settings = resolve_distillation({"task": "emotion", "data_dir": "/d", "temperature": "linear:4:1"})
        plain = settings.to_plain()
        assert plain["temperature"] == "linear:4:1" and plain["block"] == "1x1" and plain["teachers"] == ()
        assert settings.temperature == Schedule("linear", 4.0, 1.0) and settings.block == SparsityBlock(1, 1)
        assert plain["layer_map"] is None and plain["sparsity"] == 0.0 and plain["student_options"] == {}

    def test_lists_come_back_as_tuples(self) -> None:
        oven = Oven("pie", 180.0, spices=("salt", "pepper"), notes=("a",))
        assert Oven.from_json(oven.to_json(), "oven.json") == oven
        assert list(json.loads(oven.to_json())) == list(KNOWN), "in the order of the declarations"

    @pytest.mark.parametrize(
        ("stored", "message"),
        [
            ({}, r"^o\.json: settings are missing: dish, degrees$"),
            ({"dish": "pie"}, r"^o\.json: settings are missing: degrees$"),
            ({"dish": "pie", "degrees": 20.0}, r"^o\.json: degrees=20\.0 is out of range: expected 50 to 250 degrees$"),
            ({"dish": "pie", "degrees": None}, r"^o\.json: degrees=None: expected a number$"),
            ({"dish": "pie", "degrees": 90, "heat": 1}, r"^o\.json: unknown settings heat; known are degrees, dish, "),
            (
                {"dish": "pie", "degrees": 90, "fan": "hot"},
                r"^o\.json: fan='hot' is unknown: expected one of mild, wild$",
            ),
        ],
    )
    def test_a_file_that_is_not_of_these_settings(self, stored: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            Oven.from_json(json.dumps(stored), "o.json")


class TestModelCard:
    def test_it_lists_what_is_given_and_has_an_effect(self) -> None:
        assert Oven("pie", 180.0, notes=("secret",)).shown() == {
            **{"dish": "pie", "degrees": 180.0, "grill": False, "mode": "air"}
        }
        assert "fan" not in Oven("pie", 180.0, fan="mild").shown(), "it counts with a shelf or the grill"
        assert Oven("pie", 180.0, fan="mild", grill=True).shown()["fan"] == "mild"
        assert Oven("pie", 180.0, fan="mild", shelf=2).shown()["fan"] == "mild"

    def test_a_weight_of_zero_has_no_effect(self) -> None:
        given = {"task": "emotion", "data_dir": "/d", "student": "bert-tiny", "teachers": ("t",)}
        without = resolve_distillation(given).shown()
        compared = resolve_distillation({**given, "cosine_weight": "linear:1:0"}).shown()
        assert compared.keys() - without.keys() == {"cosine_weight", "attention_loss"}
        alone = resolve_distillation({**given, "teachers": ()}).shown()
        assert without.keys() - alone.keys() == {"teachers", "alpha", "temperature", "loss", "weighting"}
        assert not {"mask_rate", "augment_copies", "task", "data_dir", "kind"} & alone.keys()
