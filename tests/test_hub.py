"""Models to a folder and to a hub and back: the real client against a hub on the loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sonograph as sound
from sonograph import hub, weights
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from tests.hub import Hub, hub_on_loopback

MINI = weights.BUNDLED / "panns-mini"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with more in it than the model."""
    folder = tmp_path / "runs" / "mine"
    shutil.copytree(MINI, folder)
    (folder / "state").mkdir()
    (folder / "state" / "optimizer.pt").write_bytes(b"x" * 100)
    (folder / "log.jsonl").write_text("{}")
    return folder


def test_to_a_folder_and_back(run: Path, tmp_path: Path) -> None:
    assert hub.push(run, str(tmp_path / "shared" / "mine")) == str(tmp_path / "shared" / "mine")
    kept = sorted(path.name for path in (tmp_path / "shared" / "mine").iterdir())
    assert kept == ["README.md", "card.json", "config.json", "model.safetensors"]
    back = hub.pull(str(tmp_path / "shared" / "mine"), tmp_path / "models" / "mine")
    ours, theirs = sound.load(back).state_dict(), sound.load("panns-mini").state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(InputError, match="there already"):
        hub.pull(str(tmp_path / "shared" / "mine"), back)


def test_the_card_becomes_a_page_that_hubs_sort(run: Path, tmp_path: Path) -> None:
    import yaml

    hub.push(run, str(tmp_path / "out"))
    text = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["library_name"] == "sonograph"
    assert front["pipeline_tag"] == "audio-classification"
    assert "sound.load(" in text
    assert "CC BY-SA 3.0" in text


@pytest.mark.parametrize("name", sorted(weights.bundled()))
def test_every_bundled_model_has_a_page(name: str) -> None:
    import yaml

    folder = weights.bundled()[name]
    described = weights.read_json(folder / weights.CONFIG)["model"]
    text = hub.readme("me/it", described, weights.read_json(folder / weights.CARD))
    assert yaml.safe_load(text.split("---")[1])["tags"][0] == "audio"
    assert "{" not in text.split("```")[2], "values of the card are written out"


def test_what_cannot_be_published(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        hub.push(tmp_path, str(tmp_path / "out"))
    (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(InputError, match="not the file that its card names"):
        hub.push(run, str(tmp_path / "out"))
    (run / "model.safetensors").unlink()
    with pytest.raises(InputError, match="holds no weights"):
        hub.push(run, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_adaptation_needs_a_base_that_others_have(tmp_path: Path) -> None:
    base = sound.build("ssast-test")
    weights.save_folder(tmp_path / "base", base, {"name": "base"})
    made = weights.base_of("base", base)
    model = sound.adapt(Classifier(base, ["a", "b"]), "lora")
    weights.save_adapted(tmp_path / "mine", model, {"name": "mine"}, made)
    with pytest.raises(InputError, match="adaptation of base, which others do not have"):
        hub.push(tmp_path / "mine", str(tmp_path / "out"))
    described = json.loads((tmp_path / "mine" / "config.json").read_text())
    described["model"]["base"]["name"] = "me/base"
    (tmp_path / "mine" / "config.json").write_text(json.dumps(described))
    hub.push(tmp_path / "mine", str(tmp_path / "out"))
    assert (tmp_path / "out" / weights.PEFT).is_file()


# --- the real client -----------------------------------------------------------------------------


def command(place: Path, there: Hub, *words: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "HF_ENDPOINT": there.address,
        "HF_HOME": str(place / "home"),
        "HF_TOKEN": "hf_test",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-m", "sonograph.cli", *words],
        cwd=place, env={**kept, **settings}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_to_a_hub_and_back(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with hub_on_loopback() as there:
        done = command(tmp_path, there, "push", str(run), "me/mine", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["to"] == "me/mine"
        assert set(there.repositories["me/mine"]) == {
            "README.md", "card.json", "config.json", "model.safetensors",
        }  # fmt: skip
        done = command(tmp_path, there, "pull", "me/mine", "-o", "models/mine")
        assert done.returncode == 0, done.stderr
        done = command(tmp_path, there, "info", "me/mine", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["system"] == "panns"
        again = command(tmp_path, there, "push", str(run), "me/mine")
        assert again.returncode == 0, again.stderr  # a new version of what is there

        # what was changed on the way is not kept
        there.repositories["me/other"] = dict(there.repositories["me/mine"])
        there.repositories["me/other"]["model.safetensors"] += b"\0"
        done = command(tmp_path, there, "pull", "me/other", "-o", "models/other")
        assert done.returncode == 2
        assert "not the file that its card names" in done.stderr
        assert not (tmp_path / "models" / "other").exists()

        for words in (("pull", "me/nothing"), ("info", "me/nothing")):
            done = command(tmp_path, there, *words)
            assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
        there.refuse = 403
        done = command(tmp_path, there, "push", str(run), "me/mine")
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    done = command(tmp_path, there, "pull", "me/elsewhere")  # nobody is there any more
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
