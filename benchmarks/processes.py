"""What measurements of processes share: the program as a command, the memory that a process holds. Standard library only."""

import os
import sys
from pathlib import Path

BERT = (sys.executable, "-c", "from bert_playground.cli.app import main; main()")


def resident_bytes(pid: int | str = "self") -> int:
    """What a process of Linux holds in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
