"""Layers, strictness and what a project's file may do (design section 4, invariants 8 to 11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest

from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.config.redis_address import RedisAddress
from omni_tui.policy import rule_digest
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
        refused = load(environ={"REDIS_HOST": "r", "REDIS_PORT": wrong})
        assert refused.redis is None
        assert "REDIS_PORT" in refused.redis_problem
        # It concerns Redis alone, also where Redis is asked for.
        assert (refused.problems, refused.cautious) == ((), False)
        asked = load('[memory]\nstore = "redis"\n', environ={"REDIS_HOST": "r", "REDIS_PORT": wrong})
        assert (asked.problems, asked.cautious, asked.config.model) == ((), False, loaded.config.model)
        assert ["REDIS_PORT" in note.what for note in asked.notes] == [True]


def test_a_password_of_redis_is_a_reference_and_a_project_decides_nothing_about_redis(load: Load) -> None:
    assert "reference" in told(load('[memory.redis]\npassword = "hunter2hunter2"\n'))
    in_url = told(load('[memory.redis]\nurl = "redis://me:hunter2hunter2@host"\n'))
    assert "must not hold a password" in in_url
    assert "hunter2" not in in_url
    own = '[memory.redis]\nurl = "rediss://me@host/3"\npassword = "${PW}"\n'
    found = load(own, environ={"PW": "hunter2hunter2"})
    assert found.redis == RedisAddress("host", 6379, 3, "me", "hunter2hunter2", tls=True)
    assert "hunter2hunter2" in found.secrets
    assert "hunter2" not in repr(found.redis) + str(found.redis)
    missing = load(own)
    assert (missing.redis, missing.problems, missing.cautious) == (None, (), False)
    assert "PW is not set" in missing.redis_problem
    project = load(project='[memory]\nstore = "redis"\n[memory.redis]\nurl = "redis://theirs"\n')
    assert (project.config.memory.store, project.redis) == ("sqlite", RedisAddress())
    assert "your sessions are stored" in told(project)


def test_the_demo_reads_neither_the_persons_files_nor_their_keys(load: Load) -> None:
    environ = {"LLM_API_KEY": "k", "OMNI_TUI_MODEL": "a/b", "REDIS_HOST": "r"}
    loaded = load('[model]\nname = "a/b"\nwrong = 1\n', environ=environ, options=LaunchOptions(demo=True))
    assert loaded.problems == ()
    assert (loaded.config.model.name, loaded.model_key, loaded.redis) == ("offline", "", RedisAddress())
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
    assert "`decision` is missing" in by_line[23]
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
    project = '[policy]\nauto = "deny"\nexpire_after = 60\n[agent]\nmode = "chat"\nmax_steps = 3\n'
    project += "[tools]\ncall_timeout = 5\n"
    loaded = load(OWN, project + "[model]\ntemperature = 0.1\nmax_tokens = 50\n")
    assert loaded.problems == ()
    config = loaded.config
    assert (config.policy.auto, config.agent.mode, config.agent.max_steps) == ("deny", "chat", 3)
    assert config.policy.expire_after == 60
    assert (config.tools.call_timeout, config.model.temperature, config.model.max_tokens) == (5, 0.1, 50)
    assert config.model.name == "a/b"


@pytest.mark.parametrize(
    ("project", "key"),
    [
        ('[policy]\nchat = "allow"', "policy.chat"),
        ("[policy]\nexpire_after = 0", "policy.expire_after"),
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


# --- rules ----------------------------------------------------------------------------------------


def rules_of(loaded: LoadedConfig) -> list[tuple[str, str, str, int]]:
    """Return the id, scope, file name and line of each rule that counts."""
    found: list[tuple[str, str, str, int]] = []
    for rule in loaded.rules:
        origin = rule.origin
        found.append((rule.id, origin.scope, Path(origin.file).name, origin.line))
    return found


USER_RULES = """\
[[policy.rule]]
id = "no-deletes"
decision = "deny"
server = "files"
tool = "delete_*"

[[policy.rule]]
id = "read"
decision = "allow"
server = "files"
tool = "read_*"
"""
CARD_RULES = '# by the app\n[[policy.rule]]\nid = "card"\ndecision = "allow"\nserver = "git"\n'
PROJECT_RULES = """\
[[policy.rule]]
id = "no-deletes"
decision = "ask"
server = "*"
[[policy.rule]]
id = "theirs"
decision = "allow"
server = "git"
"""


def write_card_rules(tmp_path: Path, text: str = CARD_RULES) -> None:
    (tmp_path / "user").mkdir(exist_ok=True)
    (tmp_path / "user" / "rules.toml").write_text(text)


def test_rules_of_all_files_with_their_lines(load: Load, tmp_path: Path) -> None:
    write_card_rules(tmp_path)
    loaded = load(USER_RULES, PROJECT_RULES)
    assert loaded.problems == ()
    assert rules_of(loaded) == [
        ("no-deletes", "user", "config.toml", 1),
        ("read", "user", "config.toml", 7),
        ("card", "user", "rules.toml", 2),
        ("no-deletes", "project", ".omni-tui.toml", 1),
    ]
    assert [rule.origin.made for rule in loaded.rules] == ["file", "file", "card", "file"]
    assert not loaded.cautious


def test_an_allow_rule_of_a_project_counts_only_as_it_was_adopted(load: Load) -> None:
    loaded = load("", PROJECT_RULES)
    (proposal,) = loaded.proposals
    assert (proposal.id, proposal.origin.line) == ("theirs", 5)
    adopted = {rule_digest(proposal)}
    assert proposal not in loaded.rules_with(())
    assert proposal in loaded.rules_with(adopted)
    changed = load("", PROJECT_RULES.replace('server = "git"', 'server = "git*"'))
    assert changed.rules_with(adopted) == changed.rules
    moved = load("", "# moved\n" + PROJECT_RULES)
    assert len(moved.rules_with(adopted)) == 2
    wrong = load("[x]\n", PROJECT_RULES)
    assert wrong.rules_with(adopted) == wrong.rules


BAD_RULES = {
    "decison": ('id = "b"\ndecison = "allow"', 3, "did you mean `decision`?"),
    "an empty list": ('id = "b"\ndecision = "deny"\ntool = []', 4, "empty list"),
    "allow everything": ('id = "b"\ndecision = "allow"\nserver = "*"', 4, "any server"),
    "a wrong condition": (
        'id = "b"\ndecision = "deny"\n[[policy.rule.args]]\npath = "/a"\nop = "is"',
        6,
        "must be",
    ),
    "an inline condition": (
        'id = "b"\ndecision = "deny"\nargs = [{path = "a", op = "present"}]',
        4,
        "Pointer",
    ),
    "a failing test": (
        'id = "b"\ndecision = "deny"\ntool = "a"\n[[policy.rule.tests]]\ntool = "b"\nmatch = true',
        5,
        "its test 1",
    ),
    "a second one": ('id = "read"\ndecision = "deny"', 1, "two rules have the id read"),
    "a deep value": (
        'id = "b"\ndecision = "deny"\n[[policy.rule.args]]\npath = "/a"\nop = "eq"\nvalue.'
        + ".".join("a" * 3_000)
        + " = 1",
        7,
        "deep",
    ),
    "no decision": ('id = "b"', 1, "`decision` is missing"),
}


@pytest.mark.parametrize("name", BAD_RULES)
@pytest.mark.parametrize("place", ["user", "card", "project"])
def test_a_bad_rule_is_told_with_its_line_and_no_allow_rule_counts(
    load: Load, tmp_path: Path, name: str, place: str
) -> None:
    text, line, words = BAD_RULES[name]
    text = f"[[policy.rule]]\n{text}\n"
    project = None
    user = USER_RULES
    if place == "user":
        user, line = f"{USER_RULES}{text}", line + USER_RULES.count("\n")
    elif place == "card":
        write_card_rules(tmp_path, text)
    else:
        project = text if name != "a second one" else f"{text}{text}"
        line += text.count("\n") if name == "a second one" else 0
    loaded = load(user, project)
    (problem,) = loaded.problems
    file = {"user": "config.toml", "card": "rules.toml", "project": ".omni-tui.toml"}[place]
    assert problem.where.endswith(f"{file}:{line}")
    assert words in f"{problem.what} {problem.todo}"
    assert {rule.decision for rule in loaded.rules} <= {"deny", "ask"}
    assert "no-deletes" in {rule.id for rule in loaded.rules}
    assert set(loaded.config.policy.decisions_for("files").values()) == {"ask"}
    assert loaded.cautious


def test_every_mistake_of_a_rule_is_told_at_once(load: Load) -> None:
    text = (
        '[[policy.rule]]\nid = "a b"\ndecision = "alow"\nserver = "*"\ntool = []\nmodes = ["x"]\n'
        'message = 5\nfoo = 1\nargs = [{path = "/a", op = "present"}]\ntests = [{match = 1}]\n'
    )
    loaded = load(text)
    lines = sorted(int(each.where.rpartition(":")[2]) for each in loaded.problems)
    assert lines == [2, 3, 5, 6, 7, 8, 10]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[policy.rule]\nid = "a"\n', 1),
        ("[policy]\n\nrule = 5\n", 3),
        ("[policy]\nrule = [1]\n", 2),
        ("[policy]\nrules = []\n", 2),
        ("policy = 5\n", 1),
    ],
)
def test_rules_that_are_no_tables(load: Load, text: str, line: int) -> None:
    loaded = load(text)
    (problem,) = loaded.problems
    assert problem.where.endswith(f"config.toml:{line}")
    assert (
        "[[policy.rule]]" in problem.todo or "`rule`" in problem.todo or "must be a table" in problem.what
    )
    assert loaded.cautious


NO_RULES = ["[[policy.rule]\n", "\udcff", '[policy]\nauto = "allow"\n', "[servers.x]\nurl = 1\n"]


@pytest.mark.parametrize("text", NO_RULES)
def test_a_rules_file_that_is_not_one_means_ask(load: Load, tmp_path: Path, text: str) -> None:
    write_card_rules(tmp_path, "")
    (tmp_path / "user" / "rules.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    loaded = load(USER_RULES)
    assert loaded.problems
    assert "rules.toml" in loaded.problems[0].where
    assert rules_of(loaded) == [("no-deletes", "user", "config.toml", 1)]
    assert loaded.config.policy.auto == "ask"


def test_the_demo_has_no_rules(load: Load, tmp_path: Path) -> None:
    write_card_rules(tmp_path)
    assert load(USER_RULES, PROJECT_RULES, options=LaunchOptions(demo=True)).rules == ()


def test_5000_rules_are_read(load: Load) -> None:
    text = "".join(
        f'[[policy.rule]]\nid = "r{number}"\ndecision = "deny"\nserver = "s"\ntool = "t{number}"\n'
        for number in range(5_000)
    )
    loaded = load(text)
    assert loaded.problems == ()
    assert rules_of(loaded)[-1] == ("r4999", "user", "config.toml", 24_996)


# --- decisions for single servers -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('auto = "ask"', ("ask", "ask", "ask")),
        ('chat = "allow"', ("allow", "allow", "allow")),
        ('orchestrator = "deny"', ("ask", "allow", "deny")),
        ('auto = "deny"\norchestrator = "allow"', ("ask", "deny", "allow")),
    ],
)
def test_decisions_for_one_server(load: Load, text: str, expected: tuple[str, ...]) -> None:
    policy = load(f"[policy.servers.files]\n{text}\n").config.policy
    assert tuple(policy.decisions_for("files").values()) == expected
    assert tuple(policy.decisions_for("other").values()) == ("ask", "allow", "allow")


def test_a_servers_decision_for_auto_restricts_the_orchestrator(load: Load) -> None:
    policy = load('[policy]\norchestrator = "allow"\n[policy.servers.files]\nauto = "ask"\n').config.policy
    assert policy.decisions_for("files")["orchestrator"] == "ask"


@pytest.mark.parametrize(
    ("user", "project", "server", "mode", "expected", "refused"),
    [
        ("", '[policy.servers.x]\nauto = "ask"', "x", "auto", "ask", 0),
        ("", '[policy.servers.x]\nchat = "allow"', "x", "chat", "ask", 1),
        ('[policy.servers.x]\nauto = "deny"', '[policy.servers.x]\nauto = "ask"', "x", "auto", "deny", 1),
        ('[policy.servers.x]\nauto = "ask"', '[policy.servers.x]\nauto = "deny"', "x", "auto", "deny", 0),
        ('[policy.servers.x]\nauto = "deny"', '[policy.servers.y]\nauto = "ask"', "x", "auto", "deny", 0),
        ('[policy.servers.x]\nauto = "deny"', '[policy.servers.y]\nauto = "ask"', "y", "auto", "ask", 0),
        ('[policy.servers.x]\nchat = "allow"', '[policy]\nchat = "ask"', "x", "chat", "ask", 0),
        ('[policy.servers.x]\nchat = "allow"', '[policy]\nchat = "deny"', "x", "chat", "deny", 0),
        (
            '[policy.servers.x]\norchestrator = "allow"',
            '[policy]\nauto = "deny"',
            "x",
            "orchestrator",
            "deny",
            0,
        ),
        ('[policy]\nauto = "ask"', '[policy.servers.x]\nauto = "allow"', "x", "auto", "ask", 1),
    ],
)
def test_a_project_only_restricts_servers(
    load: Load,
    user: str,
    project: str,
    server: str,
    mode: Literal["chat", "auto", "orchestrator"],
    expected: str,
    refused: int,
) -> None:
    loaded = load(user + "\n", project + "\n")
    assert len(loaded.problems) == refused
    assert loaded.config.policy.decisions_for(server)[mode] == expected
    if refused:
        assert loaded.problems[0].where.endswith(".omni-tui.toml:2")
        assert loaded.cautious


def test_a_mistake_never_loosens_what_is_set_for_a_server(load: Load) -> None:
    policy = load('[policy.servers.x]\nauto = "deny"\nchat = "allow"\n[y]\n').config.policy
    assert tuple(policy.decisions_for("x").values()) == ("ask", "deny", "deny")


def test_decisions_for_a_server_that_is_not_there_are_noted(load: Load) -> None:
    loaded = load('[servers.x]\ncommand = "true"\n[policy.servers.x]\nauto = "ask"\n[policy.servers.y]\n')
    (note,) = loaded.notes
    assert "there is no server y" in note.what
    assert note.where.endswith("config.toml:3")
    assert loaded.problems == ()


def test_an_unknown_key_of_a_server_is_told_with_its_line(load: Load) -> None:
    loaded = load('[policy.servers.x]\n\nauot = "deny"\n')
    assert loaded.problems[0].where.endswith("config.toml:3")
    assert "did you mean `auto`?" in loaded.problems[0].todo
