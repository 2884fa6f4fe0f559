"""Models and predictors in threads, and in forked processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import mlx.core as mx
import pytest

from bert_playground import forks
from bert_playground.models.factory import create_model
from bert_playground.tokens import Tokens


def call_in_thread(function: Callable[[], object]) -> object:
    """What it gives in another thread; its error is raised here."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


@pytest.mark.parametrize("name", ["bert", "modernbert", "neobert"])
def test_a_model_answers_in_another_thread_than_it_was_made_in(name: str) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = create_model(name, num_labels=2, vocab_size=50, intermediate_size=48, **sizes)
    model.eval()
    tokens = Tokens(mx.array([[1, 2, 3]]))
    mx.eval(tokens.input_ids)
    here = model(tokens).tolist()
    assert call_in_thread(lambda: model(tokens).tolist()) == here


def test_a_fork_of_a_process_that_computed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_owner", os.getpid() + 1)
    with pytest.raises(RuntimeError, match="was forked from"):
        forks.claim_process()


def test_a_fork_before_anything_was_computed_may_compute() -> None:
    code = """
import os
from bert_playground.forks import claim_process
if os.fork() == 0:
    claim_process()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]))
claim_process()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"
