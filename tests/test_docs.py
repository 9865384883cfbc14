"""The documentation as a contract: its code runs, its outputs are what one sees, its lists are complete.

How a page is read:
- ```` ```python ```` runs, all blocks of a page in one session; a ```` ```text ```` right behind it is what it prints.
- ```` ```python train.py ```` is written to that file. ```` ```pycon ```` is a doctest, with all public names at hand.
- ```` ```console ```` holds lines ``$ command``, which run in a shell, each followed by what it prints.
- ``…`` in an output stands for any text within the line; a line of only ``…`` for any number of lines. A time, a run's
  id and a digest stand for any other.
- ``<!-- before: … -->`` is Python that sets the scene and that readers do not see.
"""

from collections.abc import Iterator
from contextlib import redirect_stdout
import doctest
import io
import json
import os
from pathlib import Path
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

import msgspec
import pytest

import runicorn_es as rn
from runicorn_es import errors, settings
from runicorn_es.events import Event

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted([CHECKOUT / "README.md", *DOCS.rglob("*.md")])
# Commands of the checkout itself, which would install or test from within the tests.
NOT_RUN = {"pip install .", "pip install 'runicorn-es[chunks]' --quiet", "tools/demo", "tools/test"}
# What stands for something else in a shown output, and for what.
VARYING = {
    "…": ".*?",
    **{shape: shape for shape in (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", r"\d{8}_\d{6}_[0-9a-f]{6}", r"[0-9a-f]{64}")},
}
FENCE = re.compile(
    r"<!-- before:\n(?P<before>.*?)-->|^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE
)
# A line in which a shell has nothing to do but to cut it into words.
PLAIN = re.compile(r"""runicorn(?: (?:[\w./:@,=+-]|'[^'\n]*'|"[^"\n$`\\!]*")+)*""")
# Runs command lines in children of a process that has imported what they share, which takes longer than most of them.
# A line in: the arguments, the folder, the environment, files for the two outputs. A line out: the exit status.
RUNNER = """
import importlib, json, os, signal, sys, time
import runicorn_es.store
from runicorn_es import cli
from runicorn_es.cli.program import VERBS
for outline in VERBS.values():
    importlib.import_module("runicorn_es.cli." + outline.place.partition(":")[0])
for line in sys.stdin:
    arguments, folder, environment, *outputs = json.loads(line)
    child = os.fork()
    if not child:
        signal.alarm(60)
        for number, output in enumerate(outputs, 1):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        sys.exit(cli.main(arguments))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: what it is called, its text, and the line of the page on which the text begins."""

    info: str
    text: str
    line: int


def blocks_of(page: Path) -> Iterator[Block]:
    content = page.read_text()
    for match in FENCE.finditer(content):
        kind = "before" if match["before"] is not None else "body"
        info = "before" if kind == "before" else match["info"].strip()
        yield Block(info, match[kind], content.count("\n", 0, match.start(kind)) + 1)


def name_of(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def require_output(expected: str, found: str, where: str) -> None:
    pattern = "".join(pattern_of(line) for line in expected.splitlines())
    if not re.fullmatch(pattern, found if found.endswith("\n") or not found else f"{found}\n"):
        raise AssertionError(f"{where}: the page shows\n{expected}\nbut one sees\n{found}")


def pattern_of(line: str) -> str:
    """Return the regular expression of a line that a page shows."""
    if line.strip() == "…":
        return r"(?:.*\n)*?"
    parts = re.split(f"({'|'.join(VARYING)})", line.rstrip())
    for number, part in enumerate(parts):
        # Every second part is one that varies.
        shape = next(shape for shape in VARYING if re.fullmatch(shape, part)) if number % 2 else re.escape(part)
        parts[number] = VARYING.get(shape, shape)
    return rf"{''.join(parts)} *\n"


def run_python(block: Block, page: Path, session: dict[str, object]) -> str:
    # Empty lines before it, so that a traceback names the line of the page.
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    with redirect_stdout(io.StringIO()) as printed:
        exec(code, session)
    return printed.getvalue()


def run_doctest(block: Block, page: Path) -> None:
    names = {"rn": rn, **{name: getattr(rn, name) for name in rn.__all__}}
    examples = doctest.DocTestParser().get_doctest(block.text, names, name_of(page), str(page), block.line)
    said = io.StringIO()
    failed, tried = doctest.DocTestRunner().run(examples, out=said.write)
    assert (failed, tried) == (0, len(examples.examples)), said.getvalue()
    assert tried > 0


def run_console(block: Block, page: Path, run_command) -> None:
    for command, expected in commands_of(block):
        if command in NOT_RUN:
            continue
        status, printed = run_command(command)
        where = f"{name_of(page)}:{block.line}: $ {command}"
        # A command that fails is shown with what it says; one whose output is not shown has to succeed.
        assert status == 0 or "error" in expected.lower(), f"{where}: exit code {status}\n{printed}"
        if expected:
            require_output(expected, printed, where)


def commands_of(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output that is shown behind it."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        else:
            assert found, f"a console block begins with an output: {line}"
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The place where a reader tries a page: an empty folder, a store of its own, a home without settings."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNICORN_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "120")
    return work


@pytest.fixture(scope="session")
def runner():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([sys.executable, "-P", "-c", RUNNER], **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def run_command(runner, tmp_path):
    """Run a command line, each in a process of its own; returns its exit status and what it prints."""

    def run(command: str) -> tuple[int, str]:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
        if not PLAIN.fullmatch(command):
            done = subprocess.run(
                command, shell=True, check=False, capture_output=True, text=True, timeout=60, env=environment, input=""
            )
            return done.returncode, done.stdout + done.stderr
        outputs = [tmp_path / "stdout", tmp_path / "stderr"]
        request = [shlex.split(command)[1:], os.fspath(Path.cwd()), environment, *map(str, outputs)]
        print(json.dumps(request), file=runner.stdin)
        return int(runner.stdout.readline()), "".join(output.read_text() for output in outputs)

    return run


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_shows_is_what_one_sees(page, reader, run_command):
    session: dict[str, object] = {"__name__": "__main__"}
    printed: str | None = None
    for block in blocks_of(page):
        kind, _, file = block.info.partition(" ")
        match kind:
            case "before":
                run_python(block, page, session)
            case "python" if file:
                (reader / file).write_text(block.text)
            case "python":
                printed = run_python(block, page, session)
            case "text" if printed is not None:
                require_output(block.text, printed, f"{name_of(page)}:{block.line}")
            case "pycon":
                run_doctest(block, page)
            case "console":
                run_console(block, page, run_command)
        if kind != "python" or file:
            printed = None


def test_the_check_of_outputs_notices_a_difference():
    require_output("v1  … bytes\n…\nend\n", "v1  17 bytes\nmore\nand more\nend\n", "here")
    with pytest.raises(AssertionError, match="one sees"):
        require_output("v1  … bytes\n", "v1  17 MB\n", "here")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_uses_only_kinds_of_blocks_that_are_checked(page):
    kinds = {block.info.partition(" ")[0] for block in blocks_of(page)}
    assert kinds <= {"before", "python", "text", "console", "hex", "json", "toml", "pycon"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in LINK.findall(without_blocks(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors_of(found), f"{name_of(page)} links to {target}"


def without_blocks(content: str) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", content))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_index():
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = LINK.findall(without_blocks(page.read_text()))
        waiting += [
            (page.parent / link.partition("#")[0]).resolve() for link in links if not re.match(r"[a-z]+:", link)
        ]
    decisions = set((DOCS / "explanation" / "decisions").iterdir())
    assert set(DOCS.rglob("*.md")) - decisions <= reached


# The reference.


def test_every_public_name_is_in_the_api_reference():
    headings = set(re.findall(r"^### `?([A-Za-z_]+)", (REFERENCE / "api.md").read_text(), re.MULTILINE))
    assert set(rn.__all__) <= headings


def test_the_api_reference_is_what_the_docstrings_say():
    done = subprocess.run([sys.executable, CHECKOUT / "tools" / "api_reference.py"], check=True, capture_output=True)
    assert (REFERENCE / "api.md").read_text() == done.stdout.decode(), (
        "run: tools/api_reference.py > docs/reference/api.md"
    )


@pytest.mark.parametrize("kind", Event.__args__, ids=lambda kind: kind.__struct_config__.tag)
def test_every_event_is_documented_with_its_fields_in_order(kind):
    section = section_of(REFERENCE / "events.md", f"### `{kind.__struct_config__.tag}`")
    assert kind.__name__ in section.splitlines()[0]
    documented = re.findall(r"^\| (\d+) \| `(\w+)` \| ([^|]*) \|", section, re.MULTILINE)
    fields = msgspec.structs.fields(kind)
    assert [(int(number), name) for number, name, _ in documented] == [
        (number, field.name) for number, field in enumerate(fields, 1)
    ]
    for (_, name, described), field in zip(documented, fields, strict=True):
        assert described.startswith(wire_type(field.type)), f"{kind.__name__}.{name}"


def wire_type(kind: object) -> str:
    """Return how the page calls a type."""
    kinds = {str: "text", int: "integer", bytes: "binary", bool: "boolean"}
    if kind in kinds:
        return kinds[kind]
    if kind in {tuple[str, ...], tuple[int, ...]}:
        return f"array of {wire_type(kind.__args__[0])}s"
    [inner] = [part for part in kind.__args__ if part is not type(None)]
    return f"{wire_type(inner)} or nil"


def section_of(page: Path, heading: str) -> str:
    """Return a heading that begins so, and the text below it up to the next heading."""
    match = re.search(rf"^{re.escape(heading)}.*?(?=^#|\Z)", page.read_text(), re.DOTALL | re.MULTILINE)
    assert match, f"{name_of(page)} has no {heading!r}"
    return match[0]


def test_every_error_is_documented_with_its_exit_code():
    content = (REFERENCE / "errors.md").read_text()
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RunicornError)
    ]
    assert len(kinds) == 11
    for kind in kinds:
        section = section_of(REFERENCE / "errors.md", f"### `{kind.__name__}`")
        assert f"Exit code {kind.exit_code}" in " ".join(section.split())
    assert content.index("RunicornError\n") < content.index("### ")


def test_every_setting_is_documented_with_its_value():
    content = (REFERENCE / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]*?) \|", content, re.MULTILINE))
    units = {"KIB", "MIB"}
    assert set(rows) == {name for name in vars(settings) if name.isupper()} - units
    for name, shown in rows.items():
        value = getattr(settings, name)
        numbers = tuple(int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", shown))
        assert numbers == (value if isinstance(value, tuple) else (value,)), name


@pytest.mark.parametrize("module", ["events", "projections", "decisions", "queries", "log", "pool", "tables", "ledger"])
def test_the_architecture_names_the_rooms(module):
    assert f"`{module}`" in (DOCS / "explanation" / "architecture.md").read_text()


def test_the_glossary_explains_a_word_once():
    words = re.findall(r"\*\*([^*]+)\*\*", (REFERENCE / "glossary.md").read_text())
    assert len(words) == len(set(words)) > 20
