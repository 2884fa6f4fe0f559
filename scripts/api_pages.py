"""Pages of the documentation site with what Python programs may import, written from docstrings when the site is built."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "bert_playground"
# Page → its title, and the modules whose public names it shows: those that a package exports, else those that a module defines.
PAGES = {
    "estimators": ("Estimators", ("estimators",)),
    "training": ("Configuration and training", ("config", "training")),
    "prediction": ("Prediction", ("ensemble_predictor", "inference", "predict_table")),
    "models": ("Models", ("models.factory", "models.checkpoint", "models.bert")),
    "heads": ("Heads", ("models.heads",)),
    "lora": ("LoRA", ("models.lora",)),
    "data": ("Data", ("data", "data.schema", "data.templates", "data.loaders")),
    "callbacks": ("Callbacks", ("training.callbacks",)),
    "metrics": ("Metrics", ("training.metrics",)),
    "optimizers": ("Optimizers", ("training.core.optimizers",)),
    "blending": ("Blends and models beside the encoder", ("blending", "tabular")),
    "export": ("Export and compression", ("export", "compression")),
    "runs": ("Runs", ("run_list",)),
}
# Their classes have half of their methods from a base class that nobody imports.
INHERITING = {"estimators"}


def write_api_pages() -> dict[str, str]:
    """Place in the site → Markdown that mkdocstrings fills."""
    pages = {f"api/{name}.md": _page(title, modules) for name, (title, modules) in PAGES.items()}
    rows = [
        f"| [{title}]({name}.md) | {', '.join(f'`{each}`' for each in _shown(modules))} |\n"
        for name, (title, modules) in PAGES.items()
    ]
    pages["api/README.md"] = (
        "# Python\n\nWhat programs and notebooks may import, from the docstrings of the package.\n\n"
        "| page | names |\n|---|---|\n" + "".join(rows)
    )
    return pages


def public_names(module: str) -> list[str]:
    """What a package re-exports, as `from .x import A as A`; of a module its functions and classes without `_`."""
    path = ROOT / "src" / PACKAGE / module.replace(".", "/")
    is_package = path.is_dir()
    source = path / "__init__.py" if is_package else path.with_suffix(".py")
    body = ast.parse(source.read_text(encoding="utf-8")).body
    if is_package:
        imports = (node for node in body if isinstance(node, ast.ImportFrom))
        return [alias.name for node in imports for alias in node.names if alias.asname]
    defined = (node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return list(dict.fromkeys(name for name in defined if not name.startswith("_")))


def _shown(modules: tuple[str, ...]) -> list[str]:
    return [name for module in modules for name in public_names(module)]


def _page(title: str, modules: tuple[str, ...]) -> str:
    """Each name below its module, with what is typed to import it."""
    parts = [f"# {title}\n"]
    for module in modules:
        names = public_names(module)
        typed = f"from {PACKAGE}.{module} import {', '.join(names)}"
        if module == "estimators":  # the package itself has them too
            typed = typed.replace(".estimators", "")
        parts.append(f"```python\n{_fold(typed)}\n```\n")
        options = "    options: {inherited_members: true}\n" if module in INHERITING else ""
        parts += [f"::: {PACKAGE}.{module}.{name}\n{options}" for name in names]
    return "\n".join(parts)


def _fold(statement: str) -> str:
    """An import on several lines, where one would be long."""
    if len(statement) <= 80:
        return statement
    head, _, names = statement.partition(" import ")
    return f"{head} import (\n" + "".join(f"    {name},\n" for name in names.split(", ")) + ")"
