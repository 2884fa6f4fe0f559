"""Short names for notebooks: `models` is bert_playground.models, the very same module object."""

import sys
from importlib import import_module, util
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _SameModule(Loader):
    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has just put the short name's spec there


class _ShortNames(MetaPathFinder):
    """Without this, `models.factory` would be loaded a second time and isinstance would fail."""

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        if not rest or sys.modules.get(package) is not sys.modules.get(
            f"bert_playground.{package}"
        ):
            return None  # not ours: somebody else's package of that name
        name = f"bert_playground.{fullname}"
        if util.find_spec(name) is None:
            return None
        return ModuleSpec(fullname, _SameModule(import_module(name)))


def stand_for(package: str) -> None:
    """Make `import package` and its submodules mean those of bert_playground."""
    if not any(isinstance(finder, _ShortNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ShortNames())
    sys.modules[package] = import_module(f"bert_playground.{package}")
