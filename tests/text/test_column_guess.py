"""Which columns hold texts and labels: a clear guess, or a clear question."""

import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.text.column_guess import guess_label_column, guess_text_column

ROWS = 40
WORDS = ["printer", "invoice", "late", "broken", "blue", "paper", "account", "order", "missing", "screen"]
RANDOM = random.Random(0)
TEXTS = [" ".join(RANDOM.choices(WORDS, k=RANDOM.randint(4, 12))) for _ in range(ROWS)]
OTHER_TEXTS = [" ".join(RANDOM.choices(WORDS, k=6)) for _ in range(ROWS)]
LABELS = ["billing", "repair", "sales", "sales"] * (ROWS // 4)
COLUMNS: Mapping[str, Sequence[str]] = {
    "id": [str(number) for number in range(ROWS)],
    "created": [f"2024-01-{number % 5 + 1:02d}" for number in range(ROWS)],
    "customer": [f"{RANDOM.choice(WORDS)} {number}" for number in range(ROWS)],
    "price": [f"{number / 7:.2f}" for number in range(ROWS)],
    "body": TEXTS,
    "subject": OTHER_TEXTS,
    "text": TEXTS,
    "remark": OTHER_TEXTS,
    "queue": LABELS,
    "priority": list("123") * (ROWS // 3) + ["1"] * (ROWS % 3),
    "label": LABELS,
    "topic": LABELS,
    "mood": ["good", "bad"] * (ROWS // 2),
    "title": [f"{word} {number}" for number, word in enumerate(RANDOM.choices(WORDS, k=ROWS))],
    "chinese": ["".join(RANDOM.choices("打印机坏了发票迟到", k=9)) for _ in range(ROWS)],
}


@pytest.fixture(params=["csv", "tsv", "jsonl"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"tickets.{request.param}"


def write(path: Path, *names: str) -> Path:
    rows = [{name: COLUMNS[name][number] for name in names} for number in range(ROWS)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row | {"nested": {"a": 1}}) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, names, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("id", "body", "created", "customer", "price"), "body"),
        (("body", "text", "remark"), "text"),
        (("title", "id"), "title"),
        (("remark", "title"), "remark"),
        (("customer", "price"), "customer"),
        (("chinese", "customer"), "chinese"),
    ],
)
def test_a_clear_column_of_texts(table: Path, names: tuple[str, ...], text: str) -> None:
    assert guess_text_column(write(table, *names, "queue"), ["queue"]) == text


def test_two_columns_of_texts_are_asked_for(table: Path) -> None:
    with pytest.raises(UserError) as error:
        guess_text_column(write(table, "subject", "body", "queue"), ["queue"])
    assert str(error.value).startswith(f"{table}: which column holds the texts? 'subject' ('")
    assert "Give TEXT_COLUMNS=subject or TEXT_COLUMNS=body, or TEXT_COLUMNS=subject,body to read two as a" in str(
        error.value
    )


def test_no_column_of_texts(table: Path) -> None:
    with pytest.raises(UserError, match=r"no column looks like texts: 'id' \('0'\), .*Give --text-column NAME"):
        guess_text_column(write(table, "id", "price"), [], "--text-column ")


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (("id", "queue", "created", "customer", "price"), "queue"),
        (("label", "queue", "topic", "mood"), "label"),
        (("topic", "queue", "mood"), "topic"),
        (("priority", "id"), "priority"),
    ],
)
def test_a_clear_column_of_labels(table: Path, names: tuple[str, ...], label: str) -> None:
    assert guess_label_column(write(table, *names, "body"), [], False) == label


def test_scores(table: Path) -> None:
    assert guess_label_column(write(table, "body", "price", "mood"), [], True) == "price"
    with pytest.raises(UserError, match="no column looks like numbers: 'body'"):
        guess_label_column(write(table, "body", "mood"), [], True)


def test_two_columns_of_labels_are_asked_for(table: Path) -> None:
    expected = (
        r"which column holds the labels\? 'queue' \(3 different values\), 'mood' \(2 different values\) could\. "
        "Set LABEL_COLUMN, as in LABEL_COLUMN=queue"
    )
    with pytest.raises(UserError, match=expected):
        guess_label_column(write(table, "queue", "mood", "body"), [], False)


def test_no_column_of_labels(table: Path) -> None:
    expected = (
        rf"no column looks like labels.*'body' \({len(set(TEXTS))} different values\).*predict RUN --input tickets"
    )
    with pytest.raises(UserError, match=expected):
        guess_label_column(write(table, "id", "body", "created"), [], False)
    with pytest.raises(UserError, match="there is no other"):
        guess_label_column(write(table, "body"), ["body", "nested"], False)
