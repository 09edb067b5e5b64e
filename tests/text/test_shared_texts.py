"""Texts that several splits have."""

from pathlib import Path

from power_bert.text.custom_task import make_custom_task
from power_bert.text.examples import read_examples
from power_bert.text.shared_texts import warn_of_shared_texts


def test_texts_of_dev_and_test_that_are_training_texts(tmp_path: Path) -> None:
    for split, texts in {"train": "abcd", "dev": "bxxd", "test": "xyz"}.items():
        (tmp_path / f"{split}.csv").write_text("text,label\n" + "".join(f"{text},p\n" for text in texts))
    task = make_custom_task(("text",), "label", ("p", "q"), "accuracy")
    train = read_examples(task, "train", tmp_path)
    (warning,) = warn_of_shared_texts(task, tmp_path, train)
    assert warning.startswith(
        "warning: 2 of 4 dev texts are training texts too, such as 'b' in row 1; the dev score will be"
    )
    (tmp_path / "test.csv").write_text("text\nx\nd\n")
    assert (
        "1 of 2 test texts is a training text too, such as 'd' in row 2;"
        in list(warn_of_shared_texts(task, tmp_path, train))[1]
    )


def test_pairs_are_compared_as_a_whole(tmp_path: Path) -> None:
    task = make_custom_task(("a", "b"), "label", ("p", "q"), "accuracy")
    (tmp_path / "train.csv").write_text("a,b,label\n1,2,p\n1,3,q\n")
    (tmp_path / "dev.csv").write_text("a,b,label\n2,1,p\n1,4,p\n")
    assert list(warn_of_shared_texts(task, tmp_path, read_examples(task, "train", tmp_path))) == []
