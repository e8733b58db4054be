"""What all trainings share: how the rate falls, and in which numbers layers count."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")

import torch

from export.training import in_bfloat16, rate_share


def test_the_rate_rises_falls_and_ends_at_a_hundredth() -> None:
    shares = [rate_share(step, steps=100, warmup=10) for step in range(101)]
    assert shares[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert shares[10] == max(shares) == 1.0
    assert all(later < earlier for earlier, later in pairwise(shares[10:]))
    assert shares[100] == pytest.approx(0.01)


def test_time_that_runs_out_counts_where_it_is_farther_than_the_steps() -> None:
    assert rate_share(20, steps=100, warmup=10, elapsed=1.0) == pytest.approx(0.01)
    assert rate_share(60, steps=100, warmup=10, elapsed=0.2) == rate_share(60, steps=100, warmup=10)


@pytest.mark.parametrize("multiplies", [False, True])
def test_a_processor_counts_in_bfloat16_only_where_it_multiplies_it(
    multiplies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": multiplies})
    layer = torch.nn.Linear(2, 2)
    with in_bfloat16(torch.device("cpu")):
        answer = layer(torch.ones(1, 2))
    assert answer.dtype is (torch.bfloat16 if multiplies else torch.float32)
