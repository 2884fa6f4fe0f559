"""What measurements of processes share: the program as a command, the memory that a process holds. Standard library only."""

import os
import re
import sys
from pathlib import Path

BERT = (sys.executable, "-c", "from bert_playground.cli.app import main; main()")


def resident_bytes(pid: int | str = "self") -> int:
    """What a process of Linux holds in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(pid: int) -> int | None:
    """The most that a process of Linux has held in memory since its program began; None: it has ended.

    `ru_maxrss` would begin at what the parent had reached.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024
