"""Tables for people."""

from power_bert.text_table import text_table


def test_words_stand_at_the_left_and_numbers_at_the_right() -> None:
    rows = [("model", "dev", "MB"), ("tiny", "9.50", "1.2"), ("a larger one", "99.50", "110.0")]
    assert text_table(rows) == [
        "model           dev     MB",
        "tiny           9.50    1.2",
        "a larger one  99.50  110.0",
    ]
    assert text_table([("a", "word"), ("b", "of")], words=(0, 1)) == ["a  word", "b  of"]
