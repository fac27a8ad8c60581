"""Write the options of each version of Airflow that MWAA offers, from its packages on PyPI:
`python -m settings.airflow_options`, when settings/versions.py has got a new version.

Airflow's own options are in config_templates/config.yml of apache-airflow (2) or
apache-airflow-core (3), a provider's in its get_provider_info.py, old names in the configuration
parser. What those call a string, the code may know better: it reads core.parallelism with getint.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from settings.airflow_options import FOLDER
from settings.versions import AIRFLOW

RELEASED = {
    "3.3.1": "2026-09-01",
    "3.2.1": "2026-04-22",
    "3.0.6": "2025-08-29",
    "2.11.2": "2026-03-15",
    "2.11.0": "2025-05-21",
}
"""The providers are the newest ones of that day, where settings/versions.py does not pin them."""
PROVIDERS = ("celery", "common-io", "fab", "smtp")
"""Of MWAA's image, besides those; the others have no options."""


def fetch(version: str, target: Path) -> None:
    """Put the packages' files into the folder."""
    names = [f"apache-airflow-providers-{name}" for name in PROVIDERS]
    wanted = [f"apache-airflow=={version}", *names]
    wanted += [f"{name}=={pin}" for name, pin in AIRFLOW[version].pins.items() if "airflow" in name]
    options = ["--exclude-newer", RELEASED[version], "--python-version", AIRFLOW[version].python]
    uv = str(Path(sys.executable).with_name("uv"))
    found = subprocess.run(  # noqa: S603
        [uv, "pip", "compile", "-", "--quiet", "--no-annotate", "--no-header", *options],
        input="\n".join(wanted),
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    ours = re.compile(r"apache-airflow(-core|-task-sdk|-providers-[a-z-]+)?==")
    pinned = [line for line in found.splitlines() if ours.match(line)]
    print(version, *pinned)
    subprocess.run(  # noqa: S603
        [uv, "pip", "install", "--quiet", "--no-deps", *options, "--target", str(target), *pinned],
        check=True,
    )


def described(airflow: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the descriptions of sections: Airflow's own, then each provider's."""
    yield yaml.safe_load((airflow / "config_templates" / "config.yml").read_text())
    for file in sorted(airflow.glob("providers/**/get_provider_info.py")):
        (function,) = (
            node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)
        )
        (answer,) = (node for node in function.body if isinstance(node, ast.Return))
        if answer.value:
            yield ast.literal_eval(answer.value).get("config") or {}


def renamed(airflow: Path) -> dict[str, str]:
    """Return the old names of options with the new ones."""
    shared = airflow / "_shared" / "configuration" / "parser.py"
    source = shared if shared.exists() else airflow / "configuration.py"
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.AnnAssign(target=ast.Name(id="deprecated_options"), value=ast.Dict() as names):
                found = ast.literal_eval(names).items()
                return {f"{old[0]}.{old[1]}": ".".join(new) for new, old in found}
    raise LookupError(source)


_READS = re.compile(r"""\bget(int|float|boolean|)\(\s*["']([\w.]+)["'],\s*["'](\w+)["']""")


def read_as(airflow: Path) -> dict[str, str]:
    """Return the types that the code asks the configuration parser for, and no other one."""
    kinds = {"int": "integer", "float": "float", "boolean": "boolean", "": "string"}
    found: dict[str, set[str]] = {}
    for file in airflow.rglob("*.py"):
        for kind, section, key in _READS.findall(file.read_text()):
            found.setdefault(f"{section}.{key}", set()).add(kinds[kind])
    return {option: kind for option, (kind, *others) in found.items() if not others}


def main() -> None:
    """Write the files."""
    for version in AIRFLOW:
        with tempfile.TemporaryDirectory() as target:
            fetch(version, Path(target))
            airflow = Path(target) / "airflow"
            read = read_as(airflow)
            options: dict[str, dict[str, str]] = {}
            for sections in described(airflow):
                for name, section in sections.items():
                    for key, option in section["options"].items():
                        kind = "secret" if option.get("sensitive") else str(option["type"])
                        if kind == "string":
                            kind = read.get(f"{name}.{key}", kind)
                        options.setdefault(name.lower(), {})[key.lower()] = kind
            content = {"options": options, "renamed": renamed(airflow)}
            text = json.dumps(content, indent=1, sort_keys=True)
        (FOLDER / f"{version}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
