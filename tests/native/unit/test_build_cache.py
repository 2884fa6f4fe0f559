"""What was compiled before is taken only when nothing that goes into it has changed."""

import shutil
import subprocess
from pathlib import Path

import pytest

CMAKE = shutil.which("cmake")
pytestmark = pytest.mark.skipif(CMAKE is None, reason="cmake is not installed")

# What native/CMakeLists.txt does around the compiler, without one.
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(cache LANGUAGES NONE)
include("${NATIVE}/cmake/cache.cmake")
bpk_cache_entry(entry "avx2;amx")
bpk_install_cached(is_cached "${entry}")
message(STATUS "entry ${entry} hit ${is_cached}")
"""


class Build:
    """A copy of the sources, a libmlx and a cache folder, all small."""

    def __init__(self, folder: Path, native: Path) -> None:
        self.folder, self.sources = folder, folder / "native"
        for part in ("cmake", "src/glue"):
            shutil.copytree(native / part, self.sources / part)
        self.mlx = folder / "mlx" / "libmlx.so"
        self.module = folder / "_ext.so"
        for path, text in ((self.mlx, "mlx"), (self.module, "machine code")):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (folder / "project").mkdir()
        (folder / "project" / "CMakeLists.txt").write_text(PROJECT)

    def cmake(self, *arguments: str, cache: str | None = None) -> str:
        process = subprocess.run(
            [CMAKE or "cmake", *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.folder / "home"),
                "BERT_KERNELS_CACHE": str(self.folder / "kept") if cache is None else cache,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    def look(self, *definitions: str, cache: str | None = None) -> tuple[str, bool]:
        """The entry's folder, and whether its module will be installed."""
        shutil.rmtree(self.folder / "build", ignore_errors=True)
        output = self.cmake(
            *("-S", str(self.folder / "project"), "-B", str(self.folder / "build")),
            *("-G", "Unix Makefiles", "-DCMAKE_MAKE_PROGRAM=/bin/true"),
            *(f"-DNATIVE={self.sources}", f"-DMLX_LIBRARY_DIRS={self.mlx.parent}"),
            *("-DCMAKE_CXX_COMPILER=/bin/echo", *definitions),
            cache=cache,
        )
        line = next(line for line in output.splitlines() if "entry" in line)
        return line.split()[2] if "entry  hit" not in line else "", line.endswith("TRUE")

    def store(self, entry: str) -> None:
        script = self.sources / "cmake" / "store.cmake"
        self.cmake(f"-Dmodule={self.module}", f"-Dentry={entry}", "-P", str(script))


@pytest.fixture
def build(tmp_path: Path, root: Path) -> Build:
    return Build(tmp_path, root / "native")


def test_a_stored_module_is_installed_as_it_was(build: Build) -> None:
    entry, found = build.look()
    assert not found
    build.store(entry)
    assert build.look() == (entry, True)
    build.cmake("--install", str(build.folder / "build"), "--prefix", str(build.folder / "to"))
    installed = build.folder / "to" / "bert_playground_kernels" / "_ext.so"
    assert installed.read_text() == "machine code"
    assert [path.name for path in Path(entry).parent.iterdir()] == [Path(entry).name]


def test_whatever_goes_into_the_module_is_in_its_name(build: Build) -> None:
    names = [build.look()[0]]
    for flags in ("-DCMAKE_CXX_FLAGS=-O1", "-DPython_VERSION=3.99", "-Dnanobind_VERSION=9"):
        names.append(build.look(flags)[0])
    (build.sources / "src" / "glue" / "norm.cpp").write_text("// changed")
    names.append(build.look()[0])
    build.mlx.write_text("another mlx of the same version")
    names.append(build.look()[0])
    assert len(set(names)) == len(names)


def test_a_damaged_module_is_not_used_but_replaced(build: Build) -> None:
    entry, _ = build.look()
    build.store(entry)
    (Path(entry) / "_ext.so").write_text("machine c")
    assert build.look() == (entry, False)
    build.store(entry)
    assert build.look() == (entry, True)


def test_switched_off_nothing_is_looked_up(build: Build) -> None:
    assert build.look(cache="off") == ("", False)


def test_the_folder_is_below_the_home_folder_unless_told(build: Build) -> None:
    home = str(build.folder / "home" / ".cache" / "bert-playground" / "kernels")
    assert build.look(cache="")[0].startswith(home)


@pytest.mark.medium
def test_the_last_eight_modules_are_kept(build: Build) -> None:
    for number in range(9):
        build.store(str(build.folder / "kept" / f"key{number}"))
    assert len(list((build.folder / "kept").iterdir())) == 8
