"""BERT students: sizes, and starts from other encoders."""

from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.model.pretrained import canonical_variables
from power_bert.model.student_kinds import bert_size
from power_bert.model.students.bert import from_blocks, principal_embeddings, spread_blocks


def test_sizes() -> None:
    assert bert_size("tiny") == {"num_layers": 2, "num_heads": 2, "hidden_dim": 128, "intermediate_dim": 512}
    assert bert_size("small")["num_heads"] == 8
    assert bert_size("3x192") == {"num_layers": 3, "num_heads": 3, "hidden_dim": 192, "intermediate_dim": 768}


def test_spread_blocks() -> None:
    assert spread_blocks(3, 6) == (2, 4, 6) and spread_blocks(2, 6) == (3, 6) and spread_blocks(1, 12) == (12,)
    assert spread_blocks(4, 6) == (2, 3, 4, 6)
    with pytest.raises(UserError, match="7 blocks of a student cannot be spread over the 6 of an encoder"):
        spread_blocks(7, 6)


def test_starts_from_chosen_blocks(make_backbone: Any, make_inputs: Any, pooled: Any) -> None:
    teacher = make_backbone(num_layers=3, similarity="gaussian")
    student = from_blocks(teacher, (1, 3), dropout=0.3)
    assert student.num_layers == 2 and student.get_config()["dropout"] == 0.3
    ours, theirs = canonical_variables(student), canonical_variables(teacher)
    for name in ("embeddings/token", "pooler/kernel", "block_0/attention/query/kernel"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    np.testing.assert_array_equal(ours["block_1/attention/key/bias"], theirs["block_2/attention/key/bias"])
    np.testing.assert_array_equal(student.blocks[1].attention.scale, teacher.blocks[2].attention.scale)
    whole = from_blocks(teacher, (1, 2, 3))
    np.testing.assert_allclose(pooled(whole, make_inputs()), pooled(teacher, make_inputs()), atol=1e-6)


def test_a_block_that_is_not_there(make_backbone: Any) -> None:
    with pytest.raises(UserError, match="blocks 1, 3: expected numbers from 1 to 2"):
        from_blocks(make_backbone(), (1, 3))


def test_principal_embeddings_keep_the_angles(make_backbone: Any) -> None:
    source = make_backbone()
    table = np.asarray(source.embeddings.token)
    whole = principal_embeddings(source, table.shape[1])
    centered = table - table.mean(axis=0)
    np.testing.assert_allclose(
        whole @ whole.T / whole.var(), centered @ centered.T / centered.var(), rtol=1e-2, atol=1e-2
    )
    assert principal_embeddings(source, 4).shape == (31, 4)
    with pytest.raises(UserError, match="embedding_dim=12 or less"):
        principal_embeddings(source, 13)
