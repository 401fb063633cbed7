"""The configuration beside the suite: what a program is given shows nowhere."""

from __future__ import annotations

import pickle
from pathlib import Path

from storagedriver_remote._config import RemoteConfig
from storagedriver_remote._driver import RemoteDriver

from storagedriver_core import load_config, open_storage

SECRET = "hunter2-and-nobody-else"
NUMBER = 918273645

GIVEN = {
    "driver": f"driver-{SECRET}",
    "parameters": {"key": SECRET, "keys": [SECRET, {"deep": SECRET}], "pin": NUMBER, "off": False},
    "empty": {},
    "none": None,
}
DOCUMENT = {"storage": {"driver": "remote", "parameters": {"program": "x", "parameters": GIVEN}}}


def test_what_a_program_is_given_shows_nowhere() -> None:
    config = load_config(DOCUMENT)
    made = RemoteConfig(program="x", parameters=GIVEN)
    shown = [config.to_yaml(), repr(config), repr(config.parameters), repr(config.settings())]
    shown += [repr(made), made.model_dump_json(), repr(RemoteDriver(made))]
    shown += [repr(open_storage(DOCUMENT)), repr(pickle.loads(pickle.dumps(made)))]
    for text in shown:
        assert SECRET not in text and str(NUMBER) not in text and "False" not in text
    masked = config.to_mapping()["storage"]["parameters"]["parameters"]
    assert masked["parameters"]["keys"][1] == {"deep": "**********"} and masked["empty"] == {}


def test_program_is_given_what_was_configured() -> None:
    config = load_config(DOCUMENT)
    assert config.to_mapping(reveal_secrets=True) == DOCUMENT
    made = RemoteConfig(program="x", parameters=GIVEN)
    assert made.revealed() == GIVEN
    assert RemoteConfig.model_validate(made.model_dump()).revealed() == GIVEN
    assert pickle.loads(pickle.dumps(made)).revealed() == GIVEN


def test_variables_reach_below_and_files_are_left_to_the_program(tmp_path: Path) -> None:
    given = {"parameters": {"key": "file:/run/secrets/key"}}
    parameters = {"program": "x", "parameters": given}
    config = load_config(
        {"storage": {"driver": "remote", "parameters": parameters}},
        environment={"STORAGEDRIVER__STORAGE__PARAMETERS__PARAMETERS__PARAMETERS__NAME": SECRET},
    )
    assert SECRET not in config.to_yaml()
    revealed = config.to_mapping(reveal_secrets=True)["storage"]["parameters"]["parameters"]
    assert revealed == {"parameters": {"key": "file:/run/secrets/key", "name": SECRET}}
