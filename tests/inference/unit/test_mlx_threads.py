"""A process whose thread used MLX ends with 0, however soon after `join`."""

import subprocess
import sys

SCRIPT = """
import sys, threading
import mlx.core as mx
from bert_playground.mlx_threads import wait_at_exit

def work():
    if sys.argv[1] == "waits":
        wait_at_exit()
    functions = [mx.compile(lambda x, k=k: x + k) for k in range(3000)]
    mx.eval([function(mx.array(1.0)) for function in functions])
    kept.extend(functions)

kept = []
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_an_exit_right_after_join_is_clean() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, "waits"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
