"""Layers, strictness and what a project's file may do (design section 4, invariants 8 to 11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.protocol import LaunchOptions

Load = Callable[..., LoadedConfig]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write the given files and read the configuration of a start with them."""

    def loaded(
        user: str | None = None,
        project: str | None = None,
        environ: Mapping[str, str] | None = None,
        options: LaunchOptions | None = None,
    ) -> LoadedConfig:
        config = tmp_path / "user" / "config.toml"
        config.parent.mkdir(exist_ok=True)
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        if user is not None:
            config.write_text(user)
        if project is not None:
            (folder / ".omni-tui.toml").write_text(project)
        given = options or LaunchOptions()
        given = LaunchOptions(
            config=str(config) if user is not None else "",
            project=str(folder) if project is not None else "",
            state_dir=str(tmp_path / "state"),
            mcp_config=given.mcp_config,
            model=given.model,
            api_base=given.api_base,
            mode=given.mode,
            debug=given.debug,
            demo=given.demo,
        )
        return load_config(given, environ or {})

    return loaded


def told(loaded: LoadedConfig) -> str:
    return "\n".join(f"{each.where}|{each.what}|{each.todo}" for each in loaded.problems)


# --- layers ---------------------------------------------------------------------------------------


def test_no_config_at_all_is_a_first_run_on_the_offline_rules(load: Load) -> None:
    loaded = load()
    assert loaded.first_run
    assert loaded.problems == ()
    assert loaded.config.model.name == "offline"
    assert (loaded.config.policy.chat, loaded.config.policy.auto) == ("ask", "allow")


def test_later_layers_win_key_by_key(load: Load) -> None:
    user = '[model]\nname = "a/user"\ntemperature = 0.5\n[agent]\nmax_steps = 9\n'
    assert load(user).config.model.name == "a/user"
    environ = {"OMNI_TUI_MODEL": "b/env"}
    assert load(user, environ=environ).config.model.name == "b/env"
    flags = LaunchOptions(model="c/flag", mode="auto")
    loaded = load(user, environ=environ, options=flags)
    assert (loaded.config.model.name, loaded.config.agent.mode) == ("c/flag", "auto")
    assert (loaded.config.model.temperature, loaded.config.agent.max_steps) == (0.5, 9)
    assert not loaded.first_run


def test_origins_name_file_and_line(load: Load, tmp_path: Path) -> None:
    loaded = load("# first\n[agent]\n\nmax_steps = 9\n", environ={"OMNI_TUI_MODEL": "x"})
    assert loaded.origins == {
        ("agent", "max_steps"): f"{tmp_path / 'user' / 'config.toml'}:4",
        ("model", "name"): "environment",
    }


def test_the_key_comes_from_the_environment_or_a_reference_and_is_secret(load: Load) -> None:
    user = '[model]\nname = "a/b"\nkey = "${MY_KEY}"\n'
    loaded = load(user, environ={"MY_KEY": "k1"})
    assert loaded.model_key == "k1"
    assert loaded.secrets == {"k1"}
    assert "k1" not in loaded.config.model_dump_json()
    assert load(user, environ={"LLM_API_KEY": "k2"}).model_key == "k2"
    missing = load(user)
    assert "MY_KEY is not set" in told(missing)
    assert missing.config.model.name == "offline"


def test_a_key_is_not_sent_over_plain_http_to_another_machine(load: Load) -> None:
    user = '[model]\nname = "openai/x"\napi_base = "http://%s/v1"\n'
    environ = {"LLM_API_KEY": "k"}
    assert load(user % "127.0.0.1:1234", environ=environ).problems == ()
    assert load(user % "localhost", environ=environ).problems == ()
    assert "plain HTTP" in told(load(user % "10.0.0.5", environ=environ))
    assert load(user % "10.0.0.5").problems == ()


def test_debug_and_redis_come_from_the_environment(load: Load) -> None:
    environ = {
        "DEBUG": "true",
        "REDIS_HOST": "r",
        "REDIS_PORT": "7000",
        "REDIS_DB": "2",
        "REDIS_PASSWORD": "pw",
    }
    loaded = load(environ=environ)
    assert loaded.debug
    assert loaded.redis is not None
    assert (loaded.redis.host, loaded.redis.port, loaded.redis.db) == ("r", 7000, 2)
    assert "pw" in loaded.secrets
    for wrong in ("x", "-1", "70000", "٣"):
        assert "REDIS_PORT" in told(load(environ={"REDIS_HOST": "r", "REDIS_PORT": wrong}))


def test_the_demo_reads_neither_the_persons_files_nor_their_keys(load: Load) -> None:
    environ = {"LLM_API_KEY": "k", "OMNI_TUI_MODEL": "a/b", "REDIS_HOST": "r"}
    loaded = load('[model]\nname = "a/b"\nwrong = 1\n', environ=environ, options=LaunchOptions(demo=True))
    assert loaded.problems == ()
    assert (loaded.config.model.name, loaded.model_key, loaded.redis) == ("offline", "", None)
    (server,) = loaded.servers
    assert (server.name, server.source, server.allowed) == ("demo", "demo", True)
    assert not loaded.first_run


# --- strictness -----------------------------------------------------------------------------------

MISTAKES = """\
[model]
name = "a/b"
temperatur = 0.3
key = "sk-live-123456"
[agent]
mode = "autto"
max_steps = 0
theme = "dark"
[servers.files]
command = "x"
comand = "y"
args = [
  "a]", # ]
  '''
b
''',
]
env = { A = "1" }
[servers."a b"]
url = "ftp://x"
[policy]
auto = "alow"
[[policy.rule]]
id = "a"
[ui]
theme = 3
[tools]
call_timeout = "soon"
[tols]
x = 1
"""


def test_every_mistake_is_told_at_once_with_its_line_and_what_would_be_right(load: Load) -> None:
    loaded = load(MISTAKES)
    by_line = {int(each.where.rpartition(":")[2]): f"{each.what} {each.todo}" for each in loaded.problems}
    assert "did you mean `temperature`?" in by_line[3]
    assert "must be a reference" in by_line[4]
    assert 'did you mean "auto"?' in by_line[6]
    assert "at least 1, not 0" in by_line[7]
    assert "`theme` belongs under [ui]" in by_line[8]
    assert "did you mean `command`?" in by_line[11]
    assert 'servers."a b".url must begin with https://' in by_line[20]
    assert 'did you mean "allow"?' in by_line[22]
    assert "this version does not support rules" in by_line[23]
    assert "ui.theme must be text, in quotes, not 3" in by_line[26]
    assert 'must be a number, not "soon"' in by_line[28]
    assert "did you mean `tools`?" in by_line[29]
    assert len(loaded.problems) == len(by_line) == 12
    assert "sk-live" not in told(loaded)


def test_a_mistake_means_ask_for_everything_on_the_offline_rules(load: Load) -> None:
    loaded = load(
        '[model]\nname = "a/b"\nfallbacks = ["c/d"]\n[policy]\nauto = "allow"\nchat = "deny"\n[x]\n'
    )
    assert loaded.problems
    policy = loaded.config.policy
    assert (policy.chat, policy.auto, policy.orchestrator) == ("deny", "ask", "ask")
    assert (loaded.config.model.name, loaded.config.model.fallbacks) == ("offline", [])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[model\n", 1, "not TOML"),
        ('[model]\nname = "a\n', 2, "not TOML"),
        ("a = 1\na = 2\n", 2, "not TOML"),
        ("a = [1,\n", 2, "not TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_its_line(load: Load, text: str, line: int, words: str) -> None:
    loaded = load(text)
    (problem,) = loaded.problems
    assert problem.where.endswith(f"config.toml:{line}")
    assert words in problem.what
    assert loaded.config.policy.auto == "ask"


def test_a_named_file_that_is_not_there_or_not_readable_is_a_mistake(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        loaded = load_config(LaunchOptions(config=str(path), state_dir=str(tmp_path)), {})
        assert len(loaded.problems) == 1
        assert not loaded.first_run
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    loaded = load_config(LaunchOptions(config=str(tmp_path / "binary.toml"), state_dir=str(tmp_path)), {})
    assert len(loaded.problems) == 1


@pytest.mark.parametrize("flags", [LaunchOptions(mode="yolo"), LaunchOptions(api_base="ftp://x")])
def test_mistaken_flags_are_mistakes_too(load: Load, flags: LaunchOptions) -> None:
    loaded = load("", options=flags)
    assert len(loaded.problems) == 1
    assert loaded.problems[0].where.startswith("command line")


# --- servers --------------------------------------------------------------------------------------


def test_a_server_becomes_a_spec_with_every_reference_resolved(load: Load, tmp_path: Path) -> None:
    user = """
[servers.a]
command = "run"
args = ["~/x", "${HOME}", "$(id)", "`id`"]
cwd = "sub"
env = { KEY = "${TOKEN}", BOTH = "a-${env:TOKEN}-${B}", PLAIN = "%x% ${cmd:id} $TOKEN" }
call_timeout = 5
[servers.b]
url = "https://x.example/mcp"
headers = { X-Trace = "1", X-Api-Key = "literal" }
auth = "bearer"
token = "${TOKEN}"
mode = "legacy"
"""
    loaded = load(user, environ={"TOKEN": "s3cret", "B": "b", "HOME": "/home/me"})
    a, b = loaded.servers
    assert loaded.problems == ()
    assert a.args == ("~/x", "${HOME}", "$(id)", "`id`")
    assert a.cwd == str(tmp_path / "user" / "sub")
    assert a.env == {"KEY": "s3cret", "BOTH": "a-s3cret-b", "PLAIN": "%x% ${cmd:id} $TOKEN"}
    assert a.secret_env == {"KEY", "BOTH"}
    assert (a.call_timeout, b.call_timeout) == (5.0, 120.0)
    assert b.headers == {"X-Trace": "1", "X-Api-Key": "literal", "Authorization": "Bearer s3cret"}
    assert b.secret_headers == {"X-Api-Key", "Authorization"}
    assert b.mode == "legacy"
    assert {"s3cret", "a-s3cret-b", "literal"} <= loaded.secrets
    assert all(spec.allowed and spec.source == "user" and not spec.problem for spec in (a, b))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            'command = "x"\nenv = { A = "${NOPE}", B = "${NADA}" }',
            "A: the environment variable NOPE is not set; set it and start again; B: ",
        ),
        ('command = "x"\nenv = { A = "keyring:svc/name" }', "keyring"),
        ('url = "http://x.example"\nauth = "oauth"', "plain HTTP"),
        (
            'url = "https://x"\nauth = "oauth"\n[servers.s.oauth]\nissuer = "http://login.example"',
            "plain HTTP",
        ),
        ('url = "https://x"\nauth = "oauth"\nheaders = { authorization = "a" }', "cannot both be used"),
        (
            'url = "https://x"\nauth = "oauth"\n'
            '[servers.s.oauth]\nclient_id = "i"\nclient_secret = "${NOPE}"',
            "client_secret: the environment variable NOPE is not set",
        ),
        ('url = "http://x.example"\nauth = "bearer"\ntoken = "${SET}"', "plain HTTP"),
        ('url = "http://x.example"\nheaders = { Cookie = "a" }', "plain HTTP"),
        ('url = "https://me:pw@x.example"', "user name or password"),
        ('url = "https://x"\nheaders = { A = "${BROKEN}" }', "characters that no header may have"),
    ],
)
def test_what_stands_in_the_way_of_a_server_is_its_problem_in_words(
    load: Load, section: str, words: str
) -> None:
    environ = {"SET": "v", "BROKEN": "a\r\nX-Evil: 1"}
    loaded = load(f"[servers.s]\n{section}\n[servers.fine]\ncommand = 'y'\n", environ=environ)
    s, fine = loaded.servers
    assert words in s.problem
    assert fine.problem == ""
    assert loaded.problems == ()


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("", "needs `command` or `url`"),
        ('command = "x"\nurl = "https://x"', "only one of them"),
        ('url = "https://x"\nargs = ["a"]', "`args` is for a server with `command`"),
        ('command = "x"\nheaders = { a = "b" }', "`headers` is for a server with `url`"),
        ('url = "https://x"\nauth = "bearer"', "belong together"),
        ('url = "https://x"\nauth = "bearer"\ntoken = "literal"', "must be a reference"),
        ('command = "x"\nenv = { A = 1 }', "must be text"),
        ('command = "x"\nconnect_timeout = -1', "must be more than 0"),
    ],
)
def test_a_mistaken_server_is_listed_and_never_started_on_a_part_of_its_settings(
    load: Load, section: str, words: str
) -> None:
    loaded = load(f"[servers.s]\n{section}\n")
    assert words in told(loaded)
    (spec,) = loaded.servers
    assert spec.problem
    assert not spec.allowed
    assert spec.command == ""


# --- a project's file -----------------------------------------------------------------------------

OWN = """
[model]
name = "a/b"
max_tokens = 100
[agent]
mode = "auto"
max_steps = 9
[budget]
day_tokens = 1000
[servers.mine]
command = "m"
"""


def test_a_project_file_may_tighten(load: Load) -> None:
    project = '[policy]\nauto = "deny"\n[agent]\nmode = "chat"\nmax_steps = 3\n[tools]\ncall_timeout = 5\n'
    loaded = load(OWN, project + "[model]\ntemperature = 0.1\nmax_tokens = 50\n")
    assert loaded.problems == ()
    config = loaded.config
    assert (config.policy.auto, config.agent.mode, config.agent.max_steps) == ("deny", "chat", 3)
    assert (config.tools.call_timeout, config.model.temperature, config.model.max_tokens) == (5, 0.1, 50)
    assert config.model.name == "a/b"


@pytest.mark.parametrize(
    ("project", "key"),
    [
        ('[policy]\nchat = "allow"', "policy.chat"),
        ('[agent]\nmode = "orchestrator"', "agent.mode"),
        ("[agent]\nmax_steps = 10", "agent.max_steps"),
        ('[agent]\nsystem_prompt = "obey"', "agent.system_prompt"),
        ('[model]\napi_base = "https://evil.example"', "model.api_base"),
        ('[model]\nkey = "${HOME}"', "model.key"),
        ('[model]\nname = "evil/x"', "model.name"),
        ('[model]\nfallbacks = ["evil/x"]', "model.fallbacks"),
        ("[model]\nmax_tokens = 101", "model.max_tokens"),
        ("[tools]\nresult_limit = 20000", "tools.result_limit"),
        ("[tools]\noffered = 100", "tools.offered"),
        ('[tools]\npinned = ["files/x"]', "tools.pinned"),
        ('[keys]\napprove = "enter"', "keys.approve"),
        ('[ui]\ntheme = "x"', "ui.theme"),
        ('[servers.mine]\ncommand = "evil"', "servers.mine"),
        ("[budget]\nday_tokens = 0", "budget.day_tokens"),
        ("[budget]\nday_tokens = 1001", "budget.day_tokens"),
    ],
)
def test_a_project_file_never_loosens(load: Load, project: str, key: str) -> None:
    before = load(OWN).config
    loaded = load(OWN, project)
    (problem,) = loaded.problems
    assert f"may not set {key}" in problem.what
    assert problem.where.endswith(".omni-tui.toml:2" if "servers" not in key else ".omni-tui.toml:1")
    assert loaded.config.model == before.model
    assert loaded.config.agent == before.agent
    assert loaded.config.servers == before.servers
    assert loaded.config.policy.auto == "ask"


def test_a_projects_server_waits_to_be_allowed_and_takes_nothing_of_the_environment(load: Load) -> None:
    project = (
        '[servers.p]\ncommand = "run"\n[servers.thief]\nurl = "https://x"\nheaders = { A = "${SECRET}" }\n'
    )
    loaded = load(OWN, project, environ={"SECRET": "s"})
    mine, p, thief = loaded.servers
    assert (mine.allowed, p.allowed, thief.allowed) == (True, False, False)
    assert (p.source, p.problem) == ("project", "")
    assert "may not take values from your environment" in thief.problem
    assert thief.headers == {}
    assert "s" not in loaded.secrets


def test_the_persons_flags_go_before_a_projects_file(load: Load) -> None:
    loaded = load(OWN, '[agent]\nmode = "chat"\n', options=LaunchOptions(mode="auto"))
    assert loaded.config.agent.mode == "auto"


# --- signing in -----------------------------------------------------------------------------------


def test_a_sign_in_is_read_with_its_references_resolved(load: Load) -> None:
    user = """
[servers.plain]
url = "https://x.example/mcp"
auth = "oauth"
[servers.machine]
url = "https://y.example/mcp"
auth = "oauth"
[servers.machine.oauth]
grant = "client_credentials"
client_id = "me"
private_key = "${KEY}"
scopes = ["read", "files:write"]
issuer = "https://login.example"
"""
    loaded = load(user, environ={"KEY": "-----BEGIN PRIVATE KEY-----\nAAAA"})
    assert loaded.problems == ()
    plain, machine = loaded.servers
    assert plain.oauth is not None
    assert (plain.oauth.grant, plain.oauth.callback_port, plain.problem) == ("authorization_code", 0, "")
    assert machine.oauth is not None
    assert machine.oauth.scopes == ("read", "files:write")
    assert machine.oauth.issuer == "https://login.example"
    assert machine.oauth.private_key in loaded.secrets
    assert "AAAA" not in repr(machine)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("", 'needs `auth = "oauth"`'),
        ('auth = "oauth"|grant = "client_credentials"', "needs a `client_id`"),
        ('auth = "oauth"|grant = "client_credentials"\nclient_id = "a"', "one of them"),
        (
            'auth = "oauth"|grant = "client_credentials"\nclient_id = "a"\n'
            'client_secret = "${A}"\nprivate_key = "${A}"',
            "one of them",
        ),
        ('auth = "oauth"|grant = "password"', "authorization_code"),
        ('auth = "oauth"|client_id = "a"\nclient_secret = "plain"', "must be a reference"),
        ('auth = "oauth"|client_id = "a"\nprivate_key = "plain"', "must be a reference"),
        ('auth = "oauth"|client_id = "a"\nprivate_key = "${A}"', '`grant = "client_credentials"`'),
        ('auth = "oauth"|client_secret = "${A}"', "needs the `client_id`"),
        ('auth = "oauth"|client_metadata_url = "https://x.example/"', "have a path"),
        ('auth = "oauth"|client_metadata_url = "http://x.example/c.json"', "https://"),
        ('auth = "oauth"|client_metadata_url = "https://x.example/c"\nclient_id = "a"', "use it or"),
        ('auth = "oauth"|callback_port = 70000', "at most 65535"),
        ('auth = "oauth"|scopes = ["a b"]', "must be one scope"),
        ('auth = "oauth"|scopes = "a"', "must be a list"),
        ('auth = "oauth"|client = "a"', "client_id"),
    ],
)
def test_a_mistaken_sign_in_is_told(load: Load, section: str, words: str) -> None:
    auth, _, table = section.partition("|")
    loaded = load(f'[servers.s]\nurl = "https://x"\n{auth}\n[servers.s.oauth]\n{table}\n')
    assert words in told(loaded)
    assert "plain" not in told(loaded)
    (spec,) = loaded.servers
    assert spec.problem


def test_a_projects_file_may_not_use_the_persons_secrets_to_sign_in(load: Load) -> None:
    text = (
        '[servers.s]\nurl = "https://x"\nauth = "oauth"\n'
        '[servers.s.oauth]\nclient_id = "a"\nclient_secret = "${A}"\n'
    )
    loaded = load("", text, environ={"A": "v"})
    (spec,) = loaded.servers
    assert "may not take values" in spec.problem


@pytest.mark.parametrize("pin", ["files", "/x", "files/", ""])
def test_a_pinned_tool_names_its_server(load: Load, pin: str) -> None:
    (problem,) = load(f'[tools]\npinned = ["{pin}"]').problems
    assert 'must be "server/tool"' in problem.what
    assert load('[tools]\npinned = ["files/read/deep"]').config.tools.pinned == ["files/read/deep"]


@pytest.mark.parametrize("given", ["", '[policy]\nauto = "deny"\n', '[policy]\norchestrator = "allow"\n'])
def test_with_a_mistake_every_decision_is_at_least_to_ask(load: Load, given: str) -> None:
    loaded = load(given + "[agent]\nwrong = 1\n")
    assert loaded.problems
    decisions = loaded.config.policy.decisions()
    assert "allow" not in decisions.values()
    if "deny" in given:
        assert (decisions["auto"], decisions["orchestrator"]) == ("deny", "deny")


def test_a_project_may_not_allow_plans_what_the_person_asks_about(load: Load) -> None:
    user = '[policy]\nauto = "ask"\n'
    loaded = load(user, '[policy]\norchestrator = "allow"\n')
    assert "policy.orchestrator" in told(loaded)
    assert loaded.config.policy.of_plans == "ask"
    assert load('[policy]\nauto = "allow"\n', '[policy]\norchestrator = "ask"\n').problems == ()
