"""The GPU may fail at any run; the CPU goes on, and the status says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest

from plugin.models.lineup import Lineup
from plugin.models.loading import load_model
from plugin.models.network import Model
from plugin.models.session import CPU, CUDA
from tests.conftest import ROOT

XRAY = ROOT / "onnx_models" / "xray-covid-lite0"
PICTURE = np.random.default_rng(3).random((400, 400), dtype=np.float32)

RealSession = onnxruntime.InferenceSession


class FullGpu:
    """A session on CUDA whose memory is full from the second run on (the first is the self-test)."""

    def __init__(self, content: bytes, sess_options: Any, providers: Sequence[str]) -> None:
        self._cuda = providers[0] == CUDA
        self._real = RealSession(content, sess_options=sess_options, providers=[CPU])
        self._runs = 0

    def get_providers(self) -> list[str]:
        return [CUDA, CPU] if self._cuda else [CPU]

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> Any:
        self._runs += 1
        if self._cuda and self._runs > 1:
            raise RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; hostname=here\nmore of it")
        return self._real.run(outputs, inputs)


@pytest.fixture
def on_full_gpu(monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr(onnxruntime, "InferenceSession", FullGpu)
    model = load_model(XRAY, thresholds={}, providers=[CUDA, CPU], threads=1)
    assert model.provider == CUDA
    return model


def test_out_of_gpu_memory_the_cpu_reads_on(on_full_gpu: Model) -> None:
    on_cpu = load_model(XRAY, thresholds={}, providers=[CPU], threads=1)
    picture = on_cpu.prepare(PICTURE)[None]
    answer = on_full_gpu.predict(picture)
    np.testing.assert_array_equal(answer.probabilities, on_cpu.predict(picture).probabilities)
    assert on_full_gpu.provider == CPU
    assert on_full_gpu.algorithm.provider == CPU


def test_the_status_says_that_the_gpu_failed(on_full_gpu: Model) -> None:
    lineup = Lineup(xray=(on_full_gpu,))
    assert lineup.problems == ()
    on_full_gpu.predict(on_full_gpu.prepare(PICTURE)[None])
    (problem,) = lineup.problems
    assert problem == (
        "model xray-covid-lite0 runs on the CPU since CUDA failed:"
        " CUDA failure 2: out of memory ; GPU=0 ; hostname=here"
    )


def test_what_the_cpu_cannot_run_either_is_an_error(on_full_gpu: Model) -> None:
    with pytest.raises(Exception, match="dimension"):
        on_full_gpu.predict(np.zeros((1, 3, 10, 10), np.float32))


def test_the_cpus_own_errors_do_not_load_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(XRAY, thresholds={}, providers=[CPU], threads=1)
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    with pytest.raises(Exception, match="dimension"):
        model.predict(np.zeros((1, 3, 10, 10), np.float32))
    assert model.session.problem is None
