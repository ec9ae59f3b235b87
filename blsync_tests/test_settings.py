"""Settings: where they come from, and what is said of those that are wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from blsync import settings
from blsync.errors import ConfigError
from blsync.files import permissions, places

KEY = "blg_live_sk_very_secret"
OAUTH = {
    "BIGLEDGER_CLIENT_ID": "the_client",
    "BIGLEDGER_CLIENT_SECRET": "hidden_secret",
    "BIGLEDGER_REFRESH_TOKEN": "blg_oauth_rt_hidden",
}


@pytest.fixture
def env_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "test.env"
    environment.setenv("BLSYNC_ENV_FILE", str(path))
    return path


@pytest.fixture
def companies_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "companies.toml"
    environment.setenv("BLSYNC_COMPANIES", str(path))
    return path


def message_of(function=settings.load) -> str:
    with pytest.raises(ConfigError) as caught:
        function()
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_are_those_of_the_interface(environment):
    loaded = settings.load()
    assert loaded.base_url == "https://api.bigledger.com/v1"
    assert (loaded.quota_per_hour, loaded.quota_per_second) == (1000, 10)
    assert (loaded.quota_window_seconds, loaded.quota_reserve) == (3600, 0.1)
    assert loaded.timezone == "Asia/Kuala_Lumpur"
    assert loaded.start.isoformat() == "2026-01-01"
    assert loaded.token_url == "https://auth.bigledger.com/oauth/token"
    assert loaded.drift_hours == 24


def test_the_environment_wins_over_the_file(environment, env_file):
    env_file.write_text("BLSYNC_TIMEZONE=Asia/Tokyo\nBLSYNC_QUOTA_PER_SECOND=3\n")
    environment.setenv("BLSYNC_TIMEZONE", "Asia/Singapore")
    loaded = settings.load()
    assert loaded.timezone == "Asia/Singapore"
    assert loaded.quota_per_second == 3


def test_an_empty_variable_counts_as_not_set(environment, env_file):
    env_file.write_text("BLSYNC_TIMEZONE=Asia/Tokyo\n")
    environment.setenv("BLSYNC_TIMEZONE", "")
    assert settings.load().timezone == "Asia/Tokyo"


def test_a_file_saved_by_a_windows_editor_is_read(env_file):
    env_file.write_bytes(b"\xef\xbb\xbfBLSYNC_TIMEZONE=Asia/Tokyo\r\nBLSYNC_QUOTA_PER_SECOND=3\r\n")
    loaded = settings.load()
    assert (loaded.timezone, loaded.quota_per_second) == ("Asia/Tokyo", 3)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"BLSYNC_START=2026-01-01\n\n{KEY}\n", 3),
        (f"# a comment\nBIGLEDGER_API_KEY {KEY}\n", 2),
        (f"BIGLEDGER_API_KEY='{KEY}\n", 1),
    ],
)
def test_a_malformed_line_is_named_and_its_content_is_not(env_file, text, line):
    env_file.write_text(text)
    message = message_of()
    assert f"test.env line {line} " in message
    assert KEY not in message


def test_a_file_that_is_no_text_is_said_to_be_none(env_file):
    env_file.write_bytes(b"BIGLEDGER_API_KEY=\xff\xfe\n")
    assert "UTF-8" in message_of()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_plain_http_is_allowed_to_loopback(environment, host):
    environment.setenv("BIGLEDGER_BASE_URL", f"http://{host}:8765/v1")
    assert settings.load().base_url == f"http://{host}:8765/v1"


@pytest.mark.parametrize(
    "host",
    ["api.bigledger.com", "localhost.example.com", "127.0.0.1.nip.io", "10.0.0.1", "0.0.0.0"],
)
def test_plain_http_is_refused_to_anything_else(environment, host):
    environment.setenv("BIGLEDGER_BASE_URL", f"http://{host}/v1")
    assert message_of().startswith("BIGLEDGER_BASE_URL: plain http")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bigledger.com",
        "https://api.bigledger.com/v2",
        "api.bigledger.com/v1",
        "ftp://api.bigledger.com/v1",
        "https://me:secret@api.bigledger.com/v1",
        "https://api.bigledger.com/v1?a=b",
        "http://localhost:port/v1",
        "http://[::1/v1",
    ],
)
def test_a_base_url_that_cannot_be_used_is_refused(environment, url):
    environment.setenv("BIGLEDGER_BASE_URL", url)
    message = message_of()
    assert "BIGLEDGER_BASE_URL" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.bigledger.com/oauth/token",
        "auth.bigledger.com/oauth/token",
        "https://me:secret@auth.bigledger.com/oauth/token",
        "https://auth.bigledger.com/oauth/token?client_secret=secret",
    ],
)
def test_a_token_url_that_cannot_be_used_is_refused(environment, url):
    environment.setenv("BIGLEDGER_TOKEN_URL", url)
    message = message_of()
    assert message.startswith("BIGLEDGER_TOKEN_URL: ")
    assert "secret" not in message


def test_a_token_url_may_be_plain_http_on_loopback(environment):
    environment.setenv("BIGLEDGER_TOKEN_URL", "http://127.0.0.1:8765/oauth/token")
    assert settings.load().token_url == "http://127.0.0.1:8765/oauth/token"


def test_a_slash_at_the_end_of_the_base_url_does_not_matter(environment):
    environment.setenv("BIGLEDGER_BASE_URL", "https://api-sandbox.bigledger.com/v1/")
    assert settings.load().base_url == "https://api-sandbox.bigledger.com/v1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BLSYNC_START", "yesterday"),
        ("BLSYNC_TIMEZONE", "Mars/Olympus"),
        ("BLSYNC_TIMEZONE", "../../etc/passwd"),
        ("BLSYNC_QUOTA_PER_HOUR", "0"),
        ("BLSYNC_QUOTA_PER_SECOND", "ten"),
        ("BLSYNC_QUOTA_RESERVE", "1"),
        ("BLSYNC_QUOTA_RESERVE", "nan"),
        ("BLSYNC_QUOTA_WINDOW_SECONDS", "inf"),
        ("BLSYNC_PUSH_MAX_REJECT_RATE", "1.1"),
        ("BLSYNC_DRIFT_HOURS", "-1"),
        ("BLSYNC_DRIFT_HOURS", "inf"),
        ("BIGLEDGER_CLIENT_SECRET", f"{KEY} "),
        ("BIGLEDGER_REFRESH_TOKEN", f"{KEY}é"),
        ("BIGLEDGER_API_KEY", f"{KEY} "),
        ("BIGLEDGER_API_KEY", f"{KEY}é"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(environment, name, value):
    environment.setenv(name, value)
    message = message_of()
    assert message.startswith(f"{name}: ")
    assert KEY not in message


def test_all_wrong_settings_are_named_at_once(environment):
    environment.setenv("BLSYNC_START", "yesterday")
    environment.setenv("BLSYNC_QUOTA_PER_HOUR", "many")
    message = message_of()
    assert "BLSYNC_START" in message
    assert "BLSYNC_QUOTA_PER_HOUR" in message


@pytest.mark.parametrize("credential", [{"BIGLEDGER_API_KEY": KEY}, OAUTH])
def test_secrets_show_nowhere(environment, credential):
    for name, value in credential.items():
        environment.setenv(name, value)
    environment.setenv("BLSYNC_LEDGER_URL", "postgresql+psycopg2://me:hidden@db/blsync")
    loaded = settings.load()
    (company,) = loaded.companies()
    shown = f"{loaded!r} {loaded} {loaded.model_dump_json()} {company!r} {company} {company.key_id}"
    for secret in (KEY, "hidden", "the_client"):
        assert secret not in shown


def test_two_keys_are_counted_apart_and_one_key_together(environment):
    environment.setenv("BIGLEDGER_API_KEY", KEY)
    first = settings.load().companies()[0]
    environment.setenv("BIGLEDGER_COMPANY_ID", "another")
    same = settings.load().companies()[0]
    environment.setenv("BIGLEDGER_API_KEY", f"{KEY}2")
    other = settings.load().companies()[0]
    assert first.key_id == same.key_id != other.key_id


def test_missing_credentials_are_named_with_what_to_do(environment):
    (company,) = settings.load().companies()
    message = message_of(lambda: settings.require_credentials(company))
    assert "BIGLEDGER_COMPANY_ID and BIGLEDGER_API_KEY not set" in message
    assert ".env" in message
    assert "blsync demo" in message


def test_a_key_without_a_company_is_not_enough(environment):
    environment.setenv("BIGLEDGER_API_KEY", KEY)
    (company,) = settings.load().companies()
    message = message_of(lambda: settings.require_credentials(company))
    assert message.startswith("BIGLEDGER_COMPANY_ID not set")


def oauth(environment, **values: str) -> None:
    environment.setenv("BIGLEDGER_COMPANY_ID", "c")
    for name, value in (OAUTH | values).items():
        environment.setenv(name, value)


def test_oauth_serves_in_the_place_of_a_key(environment):
    oauth(environment)
    (company,) = settings.load().companies()
    settings.require_credentials(company)
    assert company.oauth.client_id.get_secret_value() == "the_client"
    assert company.oauth.client_secret.get_secret_value() == "hidden_secret"
    assert company.oauth.refresh_token.get_secret_value() == "blg_oauth_rt_hidden"
    assert company.oauth.token_url == "https://auth.bigledger.com/oauth/token"


@pytest.mark.parametrize("missing", OAUTH)
def test_what_is_missing_of_oauth_is_named_when_it_is_needed(environment, missing):
    oauth(environment, **{missing: ""})
    (company,) = settings.load().companies()
    message = message_of(lambda: settings.require_credentials(company))
    assert message.startswith(f"{missing} not set")


def test_all_that_is_missing_of_oauth_is_named(environment):
    environment.setenv("BIGLEDGER_CLIENT_ID", "the_client")
    (company,) = settings.load().companies()
    message = message_of(lambda: settings.require_credentials(company))
    for name in ("BIGLEDGER_COMPANY_ID", "BIGLEDGER_CLIENT_SECRET", "BIGLEDGER_REFRESH_TOKEN"):
        assert name in message
    assert "BIGLEDGER_API_KEY" not in message


def test_a_key_and_oauth_together_are_refused_because_one_of_them_would_go_unused(environment):
    oauth(environment, BIGLEDGER_API_KEY=KEY, BIGLEDGER_CLIENT_ID="")
    message = message_of(lambda: settings.load().companies())
    assert "BIGLEDGER_API_KEY and BIGLEDGER_CLIENT_SECRET and BIGLEDGER_REFRESH_TOKEN" in message
    assert "hidden" not in message


def test_requests_are_counted_by_sign_in(environment):
    def key_id(**values: str) -> str:
        oauth(environment, **values)
        return settings.load().companies()[0].key_id

    assert key_id() == key_id(BIGLEDGER_COMPANY_ID="another")
    others = ({name: "another"} for name in ("BIGLEDGER_CLIENT_ID", "BIGLEDGER_REFRESH_TOKEN"))
    assert len({key_id(), *(key_id(**other) for other in others)}) == 3


def test_a_company_id_cannot_leave_its_folder(environment):
    environment.setenv("BIGLEDGER_COMPANY_ID", "../outside")
    assert "BIGLEDGER_COMPANY_ID" in message_of(lambda: settings.load().companies())


def test_companies_come_from_their_file_with_their_keys_from_the_environment(
    environment, companies_file, env_file
):
    companies_file.write_text(
        '[companies.north]\ncompany_id = "company_1"\napi_key_env = "NORTH_KEY"\n'
        'base_url = "https://api-sandbox.bigledger.com/v1/"\nstart = 2025-07-01\n'
        '[companies.south]\ncompany_id = "company_2"\napi_key_env = "SOUTH_KEY"\n'
        '[companies.west]\ncompany_id = "company_3"\napi_key_env = "WEST_KEY"\n'
    )
    env_file.write_text(f"NORTH_KEY={KEY}\nSOUTH_KEY=from_the_file\n")
    environment.setenv("SOUTH_KEY", "from_the_environment")
    loaded = settings.load()
    north, south, west = loaded.companies()
    assert (north.name, north.company_id) == ("north", "company_1")
    assert north.base_url == "https://api-sandbox.bigledger.com/v1"
    assert north.start.isoformat() == "2025-07-01"
    assert north.api_key.get_secret_value() == KEY
    assert south.api_key.get_secret_value() == "from_the_environment"
    assert (south.base_url, south.start) == (loaded.base_url, loaded.start)
    assert west.api_key is None
    assert loaded.company("south") == south
    assert "north, south, west" in message_of(lambda: loaded.company("east"))


GOOD = 'company_id = "c"\napi_key_env = "NORTH_KEY"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no [companies.NAME] table"),
        ("[companies]\n", "no [companies.NAME] table"),
        ("companies = 3\n", "companies.toml"),
        ("[companies.north\n", "companies.toml"),
        ("[companies.north]\ncompany_id = 'c'\n", "api_key_env"),
        (f"[companies.north]\n{GOOD}api_key = '{KEY}'\n", "api_key"),
        (f"[companies.north]\n{GOOD}start = 'soon'\n", "start"),
        (f"[companies.north]\n{GOOD}base_url = 'http://example.com/v1'\n", "plain http"),
        (f"[companies.north]\n{GOOD}base_url = 'https://example.com'\n", "must end in /v1"),
        (f"[companies.'nor/th']\n{GOOD}", "nor/th"),
        ("[companies.north]\ncompany_id = '../c'\napi_key_env = 'NORTH_KEY'\n", "company_id"),
        (f"[companies.north]\n{GOOD}[companies.south]\n{GOOD}", "twice"),
        (f"[companies.north]\n{GOOD}start = 2999-01-01\n", "future"),
        (f"[companies.north]\n{GOOD}client_id_env = 'NORTH_CLIENT'\n", "api_key_env, or else"),
        (
            "[companies.north]\ncompany_id = 'c'\nclient_id_env = 'NORTH_CLIENT'\n",
            "refresh_token_env",
        ),
        (f"[companies.north]\n{GOOD}token_url = 'http://example.com/token'\n", "plain http"),
    ],
)
def test_a_companies_file_that_cannot_be_used_is_explained(companies_file, text, said):
    companies_file.write_text(text)
    message = message_of(lambda: settings.load().companies())
    assert said in message
    assert KEY not in message


def test_each_company_of_a_file_may_use_a_key_or_oauth(environment, companies_file):
    names = "client_id_env = 'CLIENT'\nclient_secret_env = 'SECRET'\nrefresh_token_env = '{}'\n"
    companies_file.write_text(
        f"[companies.north]\n{GOOD}"
        f"[companies.south]\ncompany_id = 's'\n{names.format('SOUTH_TOKEN')}"
        f"[companies.west]\ncompany_id = 'w'\n{names.format('WEST_TOKEN')}"
        "token_url = 'https://auth.example.com/token'\n"
        f"[companies.east]\ncompany_id = 'e'\n{names.format('EAST_TOKEN')}"
    )
    given = {"NORTH_KEY": KEY, "CLIENT": "id", "SECRET": "s", "SOUTH_TOKEN": "a", "WEST_TOKEN": "b"}
    for name, value in given.items():
        environment.setenv(name, value)
    north, south, west, east = settings.load().companies()
    assert (north.api_key.get_secret_value(), north.oauth) == (KEY, None)
    assert south.oauth.token_url == "https://auth.bigledger.com/oauth/token"
    assert west.oauth.token_url == "https://auth.example.com/token"
    assert south.key_id != west.key_id
    for company in (north, south, west):
        settings.require_credentials(company)
    assert message_of(lambda: settings.require_credentials(east)).startswith("EAST_TOKEN not set")


def test_a_companies_file_that_is_not_there_is_named(companies_file):
    message = message_of(lambda: settings.load().companies())
    assert "BLSYNC_COMPANIES" in message
    assert str(companies_file) in message


def test_a_key_of_a_companies_file_is_checked_like_any_other(environment, companies_file):
    companies_file.write_text(f"[companies.north]\n{GOOD}")
    environment.setenv("NORTH_KEY", f"{KEY}\n")
    message = message_of(lambda: settings.load().companies())
    assert message.startswith("NORTH_KEY: ")
    assert KEY not in message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sqlite:///ledger.db", "sqlite:///{here}/ledger.db"),
        ("sqlite:///books/l.db?timeout=5", "sqlite:///{here}/books/l.db?timeout=5"),
        ("sqlite+pysqlite:///./l.db", "sqlite+pysqlite:///{here}/l.db"),
        ("sqlite:///file:l.db?mode=rwc&uri=true", "sqlite:///file:{here}/l.db?mode=rwc&uri=true"),
        ("sqlite:////srv/l.db", "sqlite:////srv/l.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///file::memory:?uri=true", "sqlite:///file::memory:?uri=true"),
        ("sqlite://", "sqlite://"),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
    ],
)
def test_a_ledgers_file_is_that_of_the_folder_in_which_the_command_was_started(
    environment, tmp_path, written, meant
):
    environment.chdir(tmp_path)
    environment.setenv("BLSYNC_LEDGER_URL", written)
    loaded = settings.load()
    wanted = meant.format(here=tmp_path)
    # The UI starts its children in another folder.
    told = settings.paths_in_environment(loaded).get("BLSYNC_LEDGER_URL", written)
    environment.chdir("/")
    environment.setenv("BLSYNC_LEDGER_URL", told)
    assert (loaded.ledger_url, settings.load().ledger_url) == (wanted, wanted)
    assert ("p@h" in str(settings.paths_in_environment(loaded))) is False


def test_a_file_of_settings_that_is_named_and_missing_is_an_error(environment, tmp_path):
    environment.setenv("BLSYNC_ENV_FILE", str(tmp_path / "none.env"))
    message = message_of()
    assert str(tmp_path / "none.env") in message
    assert "BLSYNC_ENV_FILE" in message


def test_a_folder_of_tables_that_is_named_and_missing_is_an_error(environment, tmp_path):
    environment.setenv("BLSYNC_SEEDS", str(tmp_path / "none"))
    assert str(tmp_path / "none") in message_of()


def test_a_relative_path_is_taken_from_the_folder_of_the_file_that_names_it(
    environment, tmp_path, monkeypatch
):
    folder, elsewhere = tmp_path / "books", tmp_path / "elsewhere"
    for path in (folder / "tables", elsewhere):
        path.mkdir(parents=True)
    environment.setenv("BLSYNC_ENV_FILE", str(folder / ".env"))
    environment.delenv("BLSYNC_DATA")
    (folder / ".env").write_text(
        "BLSYNC_DATA=data\nBLSYNC_SEEDS=tables\nBLSYNC_COMPANIES=companies.toml\n"
        "BLSYNC_PUSH_POLICIES=policies.toml\nBLSYNC_PUBLISH_TO=marts\n"
        "BLSYNC_LEDGER_URL=sqlite:///ledger/l.db\n"
    )
    monkeypatch.chdir(elsewhere)
    loaded = settings.load()
    assert loaded.data == folder / "data"
    assert loaded.seeds == folder / "tables"
    assert loaded.companies_file == folder / "companies.toml"
    assert loaded.push_policies == folder / "policies.toml"
    assert loaded.publish_to == folder / "marts"
    assert loaded.ledger_url == f"sqlite:///{folder / 'ledger' / 'l.db'}"
    environment.setenv("BLSYNC_DATA", "data")
    assert settings.load().data == elsewhere / "data"


def test_a_path_in_the_file_may_begin_in_the_users_home(environment, env_file, tmp_path):
    environment.setenv("HOME", str(tmp_path / "home"))
    environment.delenv("BLSYNC_DATA")
    env_file.write_text("BLSYNC_DATA=~/books\n")
    assert settings.load().data == tmp_path / "home" / "books"


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """What settings warn of, as if nothing had been warned of before."""
    monkeypatch.setattr(permissions, "_warned", set())

    def lines() -> list[str]:
        settings.load()
        return capsys.readouterr().err.splitlines()

    return lines


def test_a_name_that_is_no_setting_is_told_with_its_place_and_the_nearest_name(
    environment, env_file, warned
):
    env_file.write_text("BLSYNC_TIMEZOEN=Asia/Tokyo\n")
    env_file.chmod(0o600)
    environment.setenv("BIGLEDGER_COMPANYID", "acme")
    first, second = warned()
    assert "BIGLEDGER_COMPANYID in the environment" in first
    assert "BIGLEDGER_COMPANY_ID?" in first
    assert f"BLSYNC_TIMEZOEN in {env_file}" in second
    assert "BLSYNC_TIMEZONE?" in second
    assert warned() == []


def test_a_variable_that_the_file_of_companies_names_is_no_unknown_name(
    environment, companies_file, warned
):
    table = 'company_id = "c"\napi_key_env = "BIGLEDGER_API_KEY_NORTH"\n'
    companies_file.write_text(f"[companies.north]\n{table}")
    companies_file.chmod(0o600)
    for name in ("BIGLEDGER_API_KEY_NORTH", "BIGLEDGER_API_KEY_SOUTH"):
        environment.setenv(name, KEY)
    (line,) = warned()
    assert "BIGLEDGER_API_KEY_SOUTH" in line


def test_without_a_checkout_data_and_tables_are_in_the_platforms_folder_and_env_is_where_one_works(
    environment, tmp_path, monkeypatch
):
    monkeypatch.setattr(places, "IS_CHECKOUT", False)
    for name in ("BLSYNC_DATA", "BLSYNC_ENV_FILE"):
        environment.delenv(name)
    environment.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("BLSYNC_TIMEZONE=Asia/Tokyo\n")
    loaded = settings.load()
    assert loaded.timezone == "Asia/Tokyo"
    if sys.platform == "linux":
        assert loaded.data == tmp_path / "share" / "blsync"
    assert loaded.data.name == "blsync"
    assert loaded.seeds == loaded.data / "user"


def test_a_setting_that_counts_in_the_environment_alone_is_told_where_a_file_has_it(
    env_file, warned
):
    env_file.write_text("BLSYNC_ENV_FILE=other.env\n")
    env_file.chmod(0o600)
    (line,) = warned()
    assert "BLSYNC_ENV_FILE" in line
