"""A checkpoint that is pushed to a Hub on loopback and pulled again answers rows as before, bit for bit."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants as hub_settings
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.config.load import load_config
from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.export.hub_contents import collect_contents, without_folders
from bert_playground.export.pull import pull_model
from bert_playground.export.push import push_model
from bert_playground.models.checkpoint import (
    load_model,
    load_with_adapter,
    save_adapter,
    save_model,
)
from bert_playground.models.hub_files import find_cached
from bert_playground.models.quantization_utils import quantize_model
from bert_playground.runs import find_checkpoint
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.run import run_training
from tests.fake_hub import TOKEN, USER, FakeHub, Repository, running_hub

# The client sends its uploads in a way that its HTTP library is going to give up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub that the client is led to, with a token of somebody; the client does not wait between its tries."""
    with running_hub() as server:
        monkeypatch.setattr(hub_settings, "ENDPOINT", server.address)
        files = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(hub_settings, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(hub_settings, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(hub_settings, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
        monkeypatch.setattr(hub_settings, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(hub_settings, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        monkeypatch.chdir(tmp_path)
        yield server


def make_flags(passengers: Path, output: Path) -> dict[str, object]:
    return {
        "data.train": passengers / "train.csv",
        "model.intermediate_size": 64,  # a multiple of the groups of quantized weights
        "training.output_dir": output,
        "training.use_compilation": False,
        "training.precision": "f32",
    }


@pytest.fixture(scope="module")
def run(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run."""
    flags = make_flags(passengers, tmp_path_factory.mktemp("output"))
    return run_training(load_config("test", {}, flags)[0]).run_dir.path


def answer(folder: Path, passengers: Path) -> np.ndarray:
    return load_predictor(folder).predict(read_table(passengers / "test.csv"))


def push(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["model", "push", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_pulled_run_answers_bit_for_bit(run: Path, passengers: Path, hub: FakeHub) -> None:
    pushed = push_model(run, "titanic")
    repository = hub.repositories[f"{USER}/titanic"]
    strange = {"model.bin": b"a pickle", "run.py": b"raise SystemExit", "onnx/model.json": b"{}"}
    repository.commits[-1] = (pushed.revision, repository.files | strange)
    assert pushed.repo == f"{USER}/titanic"
    pulled = pull_model(pushed.repo)
    assert pulled.folder == Path("titanic")
    assert pulled.revision == pushed.revision
    assert pulled.files == tuple(sorted(pushed.files))
    assert np.array_equal(answer(run, passengers), answer(pulled.folder, passengers))
    assert not hub.repositories[pushed.repo].is_private


def test_only_what_answers_rows_is_sent(run: Path, hub: FakeHub) -> None:
    push_model(run, "ada/titanic")
    assert sorted(hub.repositories["ada/titanic"].files) == [
        "README.md",
        "card.json",
        "config.json",
        "model.safetensors",
        "pipeline.json",
        "tokenizer/tokenizer.json",
    ]


@pytest.mark.medium
def test_the_card_has_the_measured_figures(run: Path, hub: FakeHub) -> None:
    push_model(run, "ada/titanic")
    card = hub.repositories["ada/titanic"].files["README.md"].decode()
    summary = json.loads((run / "summary.json").read_text())
    header = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1])
    assert header["pipeline_tag"] == "tabular-classification"
    figures = {
        each["type"]: each["value"] for each in header["model-index"][0]["results"][0]["metrics"]
    }
    for name, value in summary["metrics"].items():
        assert f"| {name} | {value:.4f} |" in card
        assert figures[name.removeprefix("val_")] == pytest.approx(value, abs=1e-5)
    assert str(run.parent) not in card


def test_a_pulled_folder_is_pushed_with_a_card_of_its_own(
    run: Path, hub: FakeHub, tmp_path: Path
) -> None:
    push_model(run, "ada/titanic")
    push_model(pull_model("ada/titanic").folder, "ada/copy")
    first, second = (hub.repositories[name].files for name in ("ada/titanic", "ada/copy"))
    renamed = first["README.md"].decode()
    for text in ("ada/titanic", "--checkpoint titanic", 'Path("titanic")', "name: titanic"):
        renamed = renamed.replace(text, text.replace("titanic", "copy"))
    assert second["README.md"].decode() == renamed
    assert str(tmp_path).encode() not in second["card.json"]


def test_a_card_that_was_changed_by_hand_is_kept_and_said(run: Path, hub: FakeHub) -> None:
    push_model(run, "ada/titanic")
    card = pull_model("ada/titanic").folder / "README.md"
    measured = card.read_text()
    card.write_text(f"{measured}\nMind the gap.\n")
    code, output = push(card.parent, "--repo", "ada/titanic")
    assert code == 0
    assert "README.md is sent as it is; --new-card writes a new one" in " ".join(output.split())
    sent = hub.repositories["ada/titanic"]
    assert sent.files["README.md"] == card.read_bytes()
    push_model(card.parent, "ada/titanic", new_card=True)
    assert sent.files["README.md"] == measured.encode()


def test_a_damaged_file_beside_the_card_is_said(run: Path, hub: FakeHub) -> None:
    push_model(run, "ada/titanic")
    folder = pull_model("ada/titanic").folder
    (folder / "card.json").write_text('{"card": 3, "metrics": {"val_loss": "low"}}')
    with pytest.raises(ValueError, match=r"card\.json: card is 3, expected a valid string"):
        push_model(folder, "ada/titanic")


@pytest.mark.medium
def test_an_older_revision_is_pulled_by_its_name(
    run: Path, passengers: Path, tmp_path: Path
) -> None:
    first = push_model(run, "ada/titanic")
    other = shutil.copytree(find_checkpoint(run), tmp_path / "other")
    model = load_model(other)
    model.head.classifier.weight = model.head.classifier.weight * 2
    save_model(model, other)
    push_model(other, "ada/titanic")
    old = pull_model("ada/titanic", Path("old"), revision=first.revision).folder
    new = pull_model("ada/titanic", Path("new")).folder
    expected = answer(run, passengers)
    assert np.array_equal(answer(old, passengers), expected)
    assert not np.array_equal(answer(new, passengers), expected)


@pytest.mark.medium
def test_a_push_takes_away_what_an_earlier_one_left_and_nothing_else(
    run: Path, hub: FakeHub
) -> None:
    push_model(run, "ada/titanic")
    repository = hub.repositories["ada/titanic"]
    repository.commit({**repository.files, "adapter_config.json": b"{}", "picture.png": b"PNG"})
    push_model(run, "ada/titanic")
    assert "adapter_config.json" not in repository.files
    assert "picture.png" in repository.files


@pytest.mark.medium
def test_a_quantized_checkpoint_answers_bit_for_bit(
    run: Path, passengers: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(find_checkpoint(run), tmp_path / "quantized")
    save_model(quantize_model(load_model(folder), 8, 32), folder)
    push_model(folder, "ada/small")
    pulled = pull_model("ada/small").folder
    assert "quantized" in (pulled / "README.md").read_text()
    assert np.array_equal(answer(folder, passengers), answer(pulled, passengers))


@pytest.fixture(scope="module")
def tuned(run: Path, passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of an adapter on that run."""
    flags = make_flags(passengers, tmp_path_factory.mktemp("output")) | {
        "model.pretrained": str(find_checkpoint(run)),
        "lora.enabled": True,
    }
    return find_checkpoint(run_training(load_config("test", {}, flags)[0]).run_dir.path)


@pytest.mark.medium
def test_an_adapter_names_a_base_of_the_hub(run: Path, tuned: Path, passengers: Path) -> None:
    with pytest.raises(ValueError, match="bert model merge"):
        push_model(tuned, "ada/adapter")
    push_model(run, "ada/base")
    push_model(tuned, "ada/adapter", base="ada/base")
    pull_model("ada/base", Path("base"))
    assert find_cached("ada/base") is not None
    pulled = pull_model("ada/adapter").folder
    for name in ("adapter_config.json", "pipeline.json"):
        assert str(run.parent) not in (pulled / name).read_text()
    assert np.array_equal(answer(tuned, passengers), answer(pulled, passengers))


@pytest.mark.medium
def test_an_adapter_in_the_format_of_mlx_lm_keeps_its_head(
    run: Path, tuned: Path, passengers: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mlx-lm"
    save_adapter(load_with_adapter(tuned).adapter, folder, layout="mlx-lm")
    shutil.copy(tuned / "pipeline.json", folder)
    shutil.copytree(tuned / "tokenizer", folder / "tokenizer")
    push_model(run, "ada/base")
    push_model(folder, "ada/adapter", base="ada/base")
    pulled = pull_model("ada/adapter").folder
    assert "on ada/base" in (pulled / "README.md").read_text()
    pull_model("ada/base", Path("base"))
    assert np.array_equal(answer(folder, passengers), answer(pulled, passengers))


@pytest.mark.medium
def test_a_blend_answers_bit_for_bit_and_keeps_training_rows_at_home(
    passengers: Path, tmp_path: Path, hub: FakeHub
) -> None:
    flags = make_flags(passengers, tmp_path / "output") | {
        "cross_validation.folds": 2,
        "cross_validation.members": ("linear",),
    }
    folder = run_cross_validation(load_config("test", {}, flags)[0]).run_dir.path
    pushed = push_model(folder, "ada/blend")
    assert pushed.left_out["oof.parquet"] == "answers to training rows"
    sent = hub.repositories["ada/blend"].files
    assert not [name for name in sent if name.endswith((".parquet", ".csv", ".log", ".html"))]
    pulled = pull_model("ada/blend").folder
    assert "a standard error over folds" in (pulled / "README.md").read_text()
    assert np.array_equal(answer(folder, passengers), answer(pulled, passengers))


def test_an_ensemble_lists_what_stays(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ensemble"
    shutil.copytree(find_checkpoint(run), folder / "member_0")
    manifest = {"format": 1, "members": ["member_0"], "weights": None, "strategy": None}
    (folder / "ensemble.json").write_text(json.dumps(manifest))
    kept = (
        "config.json",
        "report.html",
        "environment.json",
        ".env",
        "member_0/notes.txt",
        "rows.csv",
    )
    for name in kept:
        (folder / name).write_text("{}")
    contents = collect_contents(folder)
    assert set(contents.left_out) == set(kept)
    assert contents.left_out["report.html"] == "it shows training rows"
    assert contents.left_out[".env"] == "it may hold secrets"


def test_a_secret_in_a_file_is_refused_without_being_said(
    run: Path, tmp_path: Path, hub: FakeHub
) -> None:
    folder = shutil.copytree(find_checkpoint(run), tmp_path / "leaking")
    (folder / "README.md").write_text(f"use my token {TOKEN}")
    code, output = push(folder, "--repo", "titanic")
    assert code == 2
    assert "a token of Hugging Face in README.md" in " ".join(output.split())
    assert TOKEN not in output
    assert not hub.seen


def test_a_dry_run_asks_nobody(run: Path, hub: FakeHub) -> None:
    code, output = push(run, "--repo", "titanic", "--dry-run")
    assert code == 0
    assert "model.safetensors" in output
    assert "nothing was sent" in output
    assert not hub.seen


@pytest.mark.medium
def test_private_is_asked_for_and_checked(run: Path, hub: FakeHub) -> None:
    assert push_model(run, "mine", is_private=True).is_private
    assert hub.repositories["ada/mine"].is_private
    push_model(run, "ours")
    commits = len(hub.repositories["ada/ours"].commits)
    with pytest.raises(ValueError, match="there already, and public"):
        push_model(run, "ours", is_private=True)
    assert len(hub.repositories["ada/ours"].commits) == commits


@pytest.mark.medium
def test_a_refused_commit_is_one_message_with_its_remedy(run: Path, hub: FakeHub) -> None:
    hub.refuses["/commit/main"] = 409
    code, output = push(run, "--repo", "titanic")
    assert code == 2
    assert "run the same command again" in " ".join(output.split())
    assert output.count("error:") == 1
    assert TOKEN not in output


def test_names_of_others_and_wrong_tokens_are_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"\(403\)"):
        push_model(run, "somebody/titanic")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ValueError, match=r"\(401\)"):
        push_model(run, "ada/titanic")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="no token for the Hub; set HF_TOKEN"):
        push_model(run, "ada/titanic")


def test_a_hub_that_is_away_is_said(
    run: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_settings, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"does not answer .*check the network"):
        push_model(run, "ada/titanic")
    with pytest.raises(ValueError, match=r"does not answer .*check the network"):
        pull_model("ada/titanic")
    assert not Path("titanic").exists()


@pytest.mark.medium
def test_offline_is_said_and_the_cache_answers(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push_model(run, "ada/titanic")
    pull_model("ada/titanic", Path("first"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub_settings, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="unset HF_HUB_OFFLINE, or add --dry-run"):
        push_model(run, "ada/titanic")
    assert pull_model("ada/titanic", Path("second")).files
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE says"):
        pull_model("ada/other")


def test_what_is_no_checkpoint_is_refused_both_ways(hub: FakeHub, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "README.md").write_text("nothing else")
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        push_model(notes, "ada/notes")
    hub.add_folder("ada/notes", notes)
    with pytest.raises(ValueError, match=r"no checkpoint of a kind .* \(found README.md\)"):
        pull_model("ada/notes", Path("pulled"))
    hub.repositories["ada/empty"] = Repository()
    with pytest.raises(ValueError, match=r"empty holds no checkpoint .*\(found nothing\)"):
        pull_model("ada/empty", Path("pulled"))
    assert not Path("pulled").exists()


@pytest.mark.medium
def test_unknown_names_and_revisions_are_told_apart(run: Path) -> None:
    push_model(run, "ada/titanic")
    with pytest.raises(ValueError, match="check the spelling"):
        pull_model("ada/titanik")
    with pytest.raises(ValueError, match="no such revision"):
        pull_model("ada/titanic", revision="v9")


@pytest.mark.parametrize("name", ["a b", "../up", "ada/x/y", "ada/--x", "ada/x.git"])
def test_names_that_the_hub_cannot_have_are_refused(run: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of the Hub"):
        push_model(run, name)
    with pytest.raises(ValueError, match="no name of the Hub"):
        pull_model(name)


SHORTENED: dict[str, str] = {
    "as the model in /home/ada/runs/best reads it": "as the model in best reads it",
    "'/home/ada/best', 3 rows": "'best', 3 rows",
    "dates 1/31/20, and https://example.org/a/b": "dates 1/31/20, and https://example.org/a/b",
    "runs/one/best": "runs/one/best",
}


def test_folders_of_a_machine_are_cut_to_their_last_names() -> None:
    assert {text: without_folders(text) for text in SHORTENED} == SHORTENED
