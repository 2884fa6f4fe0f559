"""Draw what commands print: each is run in a terminal of its own in an empty folder, and becomes docs/images/commands/NAME.svg.

`python scripts/make_gallery.py` draws all of them in some minutes. Later commands read what earlier ones wrote, so `--folder work` keeps it, and
`--folder work predict` draws one anew. Colours, widths and words are those of the terminal; a bar that was taken away is not there.
"""

import argparse
import fcntl
import io
import os
import pty
import re
import shlex
import struct
import sys
import tempfile
import termios
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/images/commands"
COLUMNS, MARGIN = 96, 16
PROGRAM = "import sys; sys.argv[0] = 'bert'; from bert_playground.cli.app import main; main()"
# No font of another host; characters keep their places whatever the reader's monospaced font is.
SVG = """<svg viewBox="0 0 WIDTH HEIGHT" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ display: none; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="WIDTH" height="HEIGHT"/></clipPath>
{lines}
</defs>
<rect width="WIDTH" height="HEIGHT" rx="10" fill="#1d2330"/>
<g transform="translate(MARGIN, MARGIN)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
THEME = TerminalTheme(
    (29, 35, 48),
    (222, 226, 235),
    [
        (86, 95, 115), (240, 113, 120), (158, 206, 106), (230, 192, 104),
        (122, 162, 247), (199, 146, 234), (103, 198, 214), (222, 226, 235),
    ],
    [
        (120, 130, 150), (255, 140, 145), (180, 225, 130), (245, 210, 130),
        (150, 185, 255), (215, 170, 245), (130, 215, 230), (255, 255, 255),
    ],
)  # fmt: skip


class Scene(NamedTuple):
    """A picture.

    Attributes:
        name: of the file.
        typed: the command line, with shell patterns.
        start: what the first line that is shown begins with; "": all are shown.
        first: so many lines are shown from there; None: all.
        code: the exit code that is expected.
    """

    name: str
    typed: str
    start: str = ""
    first: int | None = None
    code: int = 0


TRAIN = "output/quickstart/train.csv"
SCENES = (
    Scene("quickstart", "bert quickstart", start="2546 films, each", first=10),
    Scene("data_describe", f"bert data describe {TRAIN}", first=36),
    Scene("data_preview", f"bert data preview {TRAIN} --rows 2 --tokens", first=30),
    Scene("data_compare", f"bert data compare {TRAIN} output/quickstart/test.csv", first=36),
    Scene("train", f"bert train --train {TRAIN} --epochs 2 --output-dir films"),
    Scene("predict", "bert predict --test output/quickstart/test.csv --checkpoint films/run_*"),
    Scene("model_inspect", "bert model inspect films/run_*", first=44),
    Scene(
        "model_quantize",
        "bert model quantize --checkpoint films/run_* --bits 8 --output small",
    ),
    Scene("train_again", f"bert train --train {TRAIN} --epochs 2 --lr 0.003 --output-dir films"),
    Scene("runs_list", "bert runs list --output-dir films"),
    Scene("runs_show", "bert runs show latest --output-dir films", first=36),
    Scene("runs_compare", "bert runs compare films/run_*", first=40),
    Scene(
        "train_folds",
        f"bert train --train {TRAIN} --folds 3 --members encoder,linear,boosting",
        first=60,
    ),
    Scene("mistake", f"bert train --train {TRAIN} --optimizer adamv --scheduler cosin", code=2),
)
NOT_KEPT = {"train_again"}


def run_in_terminal(words: list[str], folder: Path) -> tuple[str, int]:
    """Run the program in a pseudo-terminal; gives what it wrote, with its colours, and the exit code."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        environment = os.environ | {"TERM": "xterm-256color", "LOGURU_LEVEL": "INFO"}
        for name in ("NO_COLOR", "COLUMNS", "DISPLAY", "UV_RUN_RECURSION_DEPTH"):
            environment.pop(name, None)
        os.execve(sys.executable, [sys.executable, "-c", PROGRAM, *words], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    written = bytearray()
    try:
        while chunk := os.read(terminal, 65536):
            written += chunk
    except OSError:  # Linux says so when the other side has ended
        pass
    return written.decode(), os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def lines_left(written: str) -> list[str]:
    """The lines that stand on the screen in the end, colours kept: what was erased or written over is gone."""
    lines, row = [""], 0
    is_fresh = True  # whether the next text goes on with its line, not over it
    pieces = re.split(r"(\r|\n|\x1b\[[\d;?]*[A-Za-z]|\x1b\][^\x07]*\x07)", written)
    for piece in filter(None, pieces):
        if piece == "\n":
            row, is_fresh = row + 1, True
            if row == len(lines):
                lines.append("")
        elif piece == "\r":
            is_fresh = False
        elif move := re.fullmatch(r"\x1b\[(\d*)A", piece):
            row = max(0, row - int(move[1] or 1))
        elif piece.endswith("K") and piece.startswith("\x1b["):
            lines[row], is_fresh = "", True
        elif piece.startswith("\x1b") and not piece.endswith("m"):
            continue  # the cursor hidden or shown, a title
        else:
            lines[row] = lines[row] + piece if is_fresh or piece.startswith("\x1b") else piece
            is_fresh = True
    return "\n".join(line.rstrip() for line in lines).strip("\n").splitlines()


def draw(scene: Scene, lines: list[str]) -> str:
    """The command and its output as SVG."""
    words = [Text.from_ansi(line).plain for line in lines]
    begin = next((i for i, line in enumerate(words) if line.startswith(scene.start)), None)
    if begin is None:
        raise SystemExit(f"{scene.typed} prints no line that begins with {scene.start!r}")
    end = len(lines) if scene.first is None else min(len(lines), begin + scene.first)
    shown = ["…"] * (begin > 0) + lines[begin:end] + ["…"] * (end < len(lines))
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(Text.assemble(("$ ", "dim"), (scene.typed, "bold cyan")), soft_wrap=True)
    for line in shown:
        console.print(Text.from_ansi(line), overflow="fold", highlight=False)
    num_lines = len(console.export_text(clear=False).splitlines())
    # rich: 20 px high, 0.61 as wide, lines of 1.22
    sizes = {
        "WIDTH": round(COLUMNS * 12.2) + 2 * MARGIN,
        "HEIGHT": round((num_lines + 0.3) * 24.4) + 2 * MARGIN,
        "MARGIN": MARGIN,
    }
    drawn = console.export_svg(theme=THEME, code_format=SVG, unique_id=f"bert-{scene.name}")
    return re.sub(r"\b(WIDTH|HEIGHT|MARGIN)\b", lambda word: str(sizes[word[0]]), drawn)


def type_words(typed: str, folder: Path) -> list[str]:
    """The words after `bert`, with patterns of files as a shell would expand them."""
    words = []
    for word in shlex.split(typed)[1:]:
        found = sorted(folder.glob(word)) if "*" in word else []
        words += [str(path.relative_to(folder)) for path in found] or [word]
    return words


def play(scenes: Iterable[Scene], folder: Path) -> None:
    """Run the scenes in a folder, one after the other, and write their pictures."""
    for scene in scenes:
        written, code = run_in_terminal(type_words(scene.typed, folder), folder)
        if code != scene.code:
            raise SystemExit(f"{scene.typed} ended with {code}, expected {scene.code}:\n{written}")
        written = written.replace(str(folder.resolve()), "~/films")  # nobody else has this folder
        if scene.name not in NOT_KEPT:
            path = PICTURES / f"{scene.name}.svg"
            path.write_text(draw(scene, lines_left(written)), encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB\n")
            sys.stdout.flush()


def main() -> None:
    """Run all scenes in a folder of their own, or some of them in one where those before them have run."""
    names = [scene.name for scene in SCENES]
    parser = argparse.ArgumentParser(description="Draw what commands print.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; none: all of them")
    parser.add_argument("--folder", type=Path, help="where earlier commands have run, and these do")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(names):
        parser.error(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if asked.names and asked.folder is None:
        parser.error("some pictures need what earlier commands wrote: give its place with --folder")
    PICTURES.mkdir(parents=True, exist_ok=True)
    scenes = [scene for scene in SCENES if not asked.names or scene.name in asked.names]
    with tempfile.TemporaryDirectory() as place:
        play(scenes, asked.folder or Path(place))


if __name__ == "__main__":
    main()
