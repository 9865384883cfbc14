"""Where the store lies when the caller does not say."""

from pathlib import Path
import sys

import pytest

from given import file
from runicorn_es.errors import Rejected
from runicorn_es.location import config_file, storage_root


@pytest.fixture
def environment(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_DATA_HOME": str(tmp_path / "data")}


def test_what_the_caller_says_comes_first(environment):
    file(config_file(environment), b'storage = "/configured"')

    assert storage_root("/asked", {**environment, "RUNICORN_DIR": "/exported"}) == Path("/asked")


def test_the_variable_comes_before_the_configuration(environment):
    file(config_file(environment), b'storage = "/configured"')

    assert storage_root(None, {**environment, "RUNICORN_DIR": "/exported"}) == Path("/exported")


def test_the_configuration_comes_before_the_users_data_folder(environment):
    file(config_file(environment), b'storage = "/configured"')

    assert storage_root(None, environment) == Path("/configured")


@pytest.mark.parametrize("config", [None, b"", b'another = "setting"'])
def test_without_any_of_them_it_is_in_the_users_data_folder(environment, tmp_path, config):
    if config is not None:
        file(config_file(environment), config)

    assert storage_root(None, environment) == tmp_path / "data" / "runicorn-es"


def test_an_empty_variable_says_nothing(environment, tmp_path):
    assert storage_root(None, {**environment, "RUNICORN_DIR": ""}) == tmp_path / "data" / "runicorn-es"


def test_without_xdg_variables_it_is_below_the_home():
    assert storage_root(None, {}) == Path.home() / ".local" / "share" / "runicorn-es"
    assert config_file({}) == Path.home() / ".config" / "runicorn-es" / "config.toml"


def test_on_a_mac_it_is_where_applications_keep_their_data(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    support = Path.home() / "Library" / "Application Support" / "runicorn-es"

    assert storage_root(None, {}) == support
    assert config_file({}) == support / "config.toml"


def test_a_tilde_is_the_home_wherever_it_stands(environment):
    expected = Path.home() / "store"
    file(config_file(environment), b'storage = "~/store"')

    assert storage_root("~/store", environment) == expected
    assert storage_root(None, environment) == expected
    assert storage_root(None, {**environment, "RUNICORN_DIR": "~/store"}) == expected


@pytest.mark.parametrize("config", [b"storage = ", b"\xff\xfe", b'storage = "a"\nstorage = "b"'])
def test_a_configuration_that_cannot_be_read_is_refused_and_named(environment, config):
    file(config_file(environment), config)

    with pytest.raises(Rejected, match=r"config\.toml cannot be read"):
        storage_root(None, environment)


def test_a_configuration_of_another_type_is_refused(environment):
    file(config_file(environment), b"storage = 5")

    with pytest.raises(Rejected, match="must be a text, not 5"):
        storage_root(None, environment)


def test_a_configuration_folder_that_is_a_file_is_none(environment, tmp_path):
    file(tmp_path / "config")

    assert storage_root(None, environment) == tmp_path / "data" / "runicorn-es"
