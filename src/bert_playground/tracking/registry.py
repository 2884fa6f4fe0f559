"""register_model, promote_model, list_versions: models by name, version and alias."""

import re
from dataclasses import dataclass
from typing import Any

from bert_playground.lookup import nearest, shorten
from bert_playground.tracking.browse import Run, Store


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        name: of the model.
        version: its number.
        run_id: that made it.
        aliases: that point at it.
        uri: to load it by.
    """

    name: str
    version: str
    run_id: str
    aliases: tuple[str, ...]
    uri: str


def register_model(store: Store, run: Run, name: str, alias: str | None = None) -> Version:
    """Make the model of a run the next version of a registered model, which is made if it does not exist.

    Raises:
        ValueError: the run stored no model, or the names are not allowed.
    """
    _check_name(name)
    if alias is not None:
        check_alias(alias)
    if run.model_id is None:
        raise ValueError(
            f"{run.name} has stored no model; a run does unless tracking.log_model is off, or its checkpoint is an adapter "
            "or pretrained without a task"
        )
    client = store.client

    def register() -> Any:
        if name not in {each.name for each in client.search_registered_models(max_results=1000)}:
            client.create_registered_model(name)
        return client.create_model_version(
            name, source=f"models:/{run.model_id}", run_id=run.run_id, model_id=run.model_id
        )

    with store.as_default():
        made = store.ask(register)
    if alias is not None:
        store.ask(lambda: client.set_registered_model_alias(name, alias, made.version))
    return _read(store, name, str(made.version))


def promote_model(store: Store, name: str, version: str, alias: str) -> tuple[Version, str | None]:
    """Let an alias point at a version.

    Args:
        store: the registry's.
        name: of the model.
        version: its number, or an alias that points at it.
        alias: such as champion.

    Returns:
        The version, and the one that had the alias before.

    Raises:
        ValueError: there is no such model or version.
    """
    check_alias(alias)
    versions = list_versions(store, name)
    found = next(
        (each for each in versions if version in (each.version, f"v{each.version}", *each.aliases)),
        None,
    )
    if found is None:
        known = shorten(each.version for each in versions)
        raise ValueError(f"{name} has no version {version!r} (there are: {known})")
    before = next((each.version for each in versions if alias in each.aliases), None)
    store.ask(lambda: store.client.set_registered_model_alias(name, alias, found.version))
    return _read(store, name, found.version), before


def list_versions(store: Store, name: str | None = None) -> list[Version]:
    """All versions of one registered model, or of all, the newest first.

    Raises:
        ValueError: there is no such model.
    """
    models = {
        each.name: dict(each.aliases)
        for each in store.ask(lambda: store.client.search_registered_models(max_results=1000))
    }
    if name is not None and name not in models:
        known = shorten(sorted(models)) or "none; `bert mlflow register RUN --name NAME` makes one"
        raise ValueError(
            f"no registered model {name!r}{nearest(name, models)} (there are: {known})"
        )
    found = []
    for model, aliases in models.items():
        if name not in (None, model):
            continue
        quoted = model.replace("'", "\\'")
        versions = store.ask(
            lambda quoted=quoted: store.client.search_model_versions(f"name = '{quoted}'")
        )
        for each in versions:
            own = tuple(
                alias for alias, number in aliases.items() if str(number) == str(each.version)
            )
            found.append(
                Version(
                    model,
                    str(each.version),
                    each.run_id or "",
                    own,
                    f"models:/{model}/{each.version}",
                )
            )
    return sorted(found, key=lambda each: (each.name, -int(each.version)))


def check_alias(alias: str) -> None:
    """Check an alias as MLflow does.

    Raises:
        ValueError: it is a number or has other signs.
    """
    if not re.fullmatch(r"[\w-]+", alias) or re.fullmatch(r"v?\d+|latest", alias, re.IGNORECASE):
        raise ValueError(
            f"{alias!r} is no alias: letters, digits, - and _, but no version number and not latest, such as champion"
        )


def _check_name(name: str) -> None:
    if not name.strip() or re.search(r"[/:.%\"']", name):
        raise ValueError(
            f"{name!r} is no name of a registered model: it may not be empty, nor have / : . % or quotes"
        )


def _read(store: Store, name: str, version: str) -> Version:
    return next(each for each in list_versions(store, name) if each.version == version)
