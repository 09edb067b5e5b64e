"""Blocks of a weight that are pruned together; needs no Keras."""

from power_bert.errors import UserError

# Every value for itself.
SINGLE = (1, 1)


def parse_block(text: str) -> tuple[int, int]:
    """Rows and columns of "1x16".

    Raises:
        UserError: anything else.
    """
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--block {text}: expected rows x columns of a block, such as 1x16; 1x1 for single values")
    return int(parts[0]), int(parts[1])
