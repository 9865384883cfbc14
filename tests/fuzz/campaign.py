"""Try one target with many inputs: ``python -m fuzz.campaign TARGET EXECUTIONS FOLDER``, from the tests folder.

What is found lies in FOLDER, and the status is not zero then. Guided by what of our code an input reaches (atheris),
and repeatable: the same executions each time.
"""

from pathlib import Path
import resource
import sys

import atheris

with atheris.instrument_imports(include=["runicorn_es"]):
    from fuzz.mutations import Changing
    from fuzz.targets import TARGETS
    from runicorn_es import settings

# What a reader may take at once: the read buffer, and for what was decoded a multiple of its bytes.
AT_ONCE_KIB = 48 * 1024
PER_BYTE = 64
NEW_BEGINNINGS = 0.4


def main(name: str, executions: int, folder: Path) -> None:
    target = TARGETS[name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def check(content: bytes) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        target.check(content)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert taken <= AT_ONCE_KIB + PER_BYTE * len(content) // settings.KIB, f"it took {taken} KiB at once"

    def change(content: bytes, bytes_max: int, seed: int) -> bytes:
        changing = Changing(seed, lambda given: atheris.Mutate(given, bytes_max), target.donors)
        # Mostly one step away from what is right: from there a reader is reached that the first check would keep apart.
        given = changing.choose(target.seeds) if changing.is_time_for(NEW_BEGINNINGS) else content
        return target.change(given, changing)[:bytes_max]

    options = [
        f"-runs={executions}",
        f"-max_len={target.bytes_max}",
        f"-artifact_prefix={folder}/found-",
        "-seed=1",
        "-rss_limit_mb=1024",
        "-timeout=10",
        "-len_control=0",
        "-mutate_depth=1",
    ]
    atheris.Setup([name, *options, str(corpus)], check, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
