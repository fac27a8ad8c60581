"""dags/requirements.txt, which MWAA installs."""

from __future__ import annotations

import re

from packaging.version import Version

from components.dag_folder import files_to_upload
from settings.requirements import (
    DAGS_ON_MWAA,
    MASK,
    NOT_PINNED,
    PLUGINS_ON_MWAA,
    Delivered,
    Line,
    Package,
    Problem,
    distributions,
    package,
    read,
    resolved,
)
from settings.rules import dag_files, plugins
from settings.rules.rule import Finding, Findings, Rules
from settings.stack import Settings
from settings.versions import AIRFLOW, KUBERNETES_PROVIDER

RULES = Rules()

# MWAA installs its own releases of these whatever the requirements and their constraints say
# (mwaa_essential_constraints.txt in aws/amazon-mwaa-docker-images).
_HELD = re.compile(
    r"apache-airflow|billiard|celery|flask|flask-(appbuilder|babel|bcrypt|caching|jwt-extended"
    r"|limiter|login|session|sqlalchemy|wtf)|fluent-logger|gevent|greenlet|gunicorn|kombu"
    r"|sqlalchemy|sqlalchemy-(jsonfield|utils)|statsd|vine|watchtower"
)
_AIRFLOWS_OWN = re.compile(
    r"https://raw\.githubusercontent\.com/apache/airflow/(?:refs/(?:heads|tags)/)?"
    r"constraints-([^/]+)/constraints(?:-no-providers|-source-providers)?-([\d.]+)\.txt"
)
_USES_PODS = re.compile(
    rb"airflow\.providers\.(cncf\.kubernetes|amazon\.aws\.\w+\.eks)|@task\.kubernetes"
)


@RULES.reading(
    "airflow.version",
    "airflow.dagDelivery",
    "airflow.plugins",
    "airflow.webserverAccess",
    "network.nat",
)
def _requirements(s: Settings) -> Findings:
    if s.airflow.dag_delivery == "pipeline" or not dag_files.DAGS.is_dir():
        return
    version = AIRFLOW[s.airflow.version]
    constraint = f'--constraint "{version.constraints_url(s.airflow.version)}"'
    if not (dag_files.DAGS / "requirements.txt").is_file():
        text = f"is missing: write it, with the line {constraint}"
        yield Finding("dags/requirements.txt", None, text)
        return
    lines: list[Line] = []
    delivered = Delivered(dag_files.DAGS, plugins.content(s))
    for found in read(delivered):
        if isinstance(found, Problem):
            yield Finding(found.file, found.text, found.why)
        else:
            lines.append(found)
    asked: list[tuple[Line, Package]] = []
    for line in lines:
        one = package(delivered, line, version.python) if line.wanted else None
        if isinstance(one, Package):
            asked.append((line, one))
        elif one and not line.restricts:
            yield Finding(one.file, one.text, one.why)
    wanted = [(line, one) for line, one in asked if not line.restricts]
    yield from _constraints(s, constraint, lines)
    yield from _pins(s, lines, asked)
    yield from _hashes(lines, wanted)
    yield from _indexes(lines)
    if s.network.nat == "none" or s.airflow.webserver_access == "PRIVATE_ONLY":
        yield from _offline(s, lines)
    if any(line.options.no_index for line in lines):
        yield from _wheels(s, delivered, lines, wanted)
    given = {one.name for _, one in wanted}
    given |= {KUBERNETES_PROVIDER for _, one in wanted if "cncf-kubernetes" in one.extras}
    if KUBERNETES_PROVIDER not in given and (dag := _dag_with_pods()):
        yield Finding(
            "dags/requirements.txt",
            None,
            f"lacks what {dag} imports and MWAA's image has not: add "
            f"{KUBERNETES_PROVIDER}=={version.pins[KUBERNETES_PROVIDER]}",
        )


def _dag_with_pods() -> str | None:
    for _, path in files_to_upload(dag_files.DAGS):
        if path.suffix == ".py" and _USES_PODS.search(path.read_bytes()):
            return f"dags/{path.relative_to(dag_files.DAGS).as_posix()}"
    return None


def _constraints(s: Settings, right: str, lines: list[Line]) -> Findings:
    """A constraint must be there, and fit the Airflow version."""
    given = [(line, target) for line in lines for target in line.options.constraint]
    if not given and not any(line.options.no_index for line in lines):
        yield Finding(
            "dags/requirements.txt",
            None,
            f"has no constraint, so MWAA adds Airflow's own: say so with {right}",
            warning=True,
        )
    for line, target in given:
        own = _AIRFLOWS_OWN.fullmatch(target)
        if own and own.groups() != (s.airflow.version, AIRFLOW[s.airflow.version].python):
            text = f"is for Airflow {own[1]} with Python {own[2]}: write {right}"
            yield Finding(line.file, line.text, text)
        elif not own and not re.search(r"-c |--constraint ", line.text):
            # As MWAA's image does, which adds Airflow's constraints where it does not find one.
            text = "is not seen by MWAA, which looks for --constraint and a blank: write it so"
            yield Finding(line.file, line.text, text)
        elif not own and resolved(line, target) is None:
            text = (
                f"is not compared with Airflow {s.airflow.version}, since it is on the internet: "
                f"put the file into dags/ and write --constraint {DAGS_ON_MWAA}/constraints.txt"
            )
            yield Finding(line.file, line.text, text, warning=True)


def _pins(s: Settings, lines: list[Line], asked: list[tuple[Line, Package]]) -> Findings:
    """Each package must be pinned, once, and to what the constraints allow."""
    targets = [target for line in lines for target in line.options.constraint]
    airflows_own = not targets or any(map(_AIRFLOWS_OWN.fullmatch, targets))
    allowed = dict(AIRFLOW[s.airflow.version].pins) if airflows_own else {}
    for line, one in asked:
        if line.restricts and one.name == "apache-airflow":
            if not one.versions.contains(s.airflow.version):
                text = f"is against airflow.version, {s.airflow.version}: take constraints for that"
                yield Finding(line.file, line.text, text)
        elif line.restricts and one.pin:
            allowed[one.name] = one.pin
    before: dict[str, Line] = {}
    for line, one in asked:
        if line.restricts:
            continue
        other = before.setdefault(one.name, line)
        if _HELD.fullmatch(one.name):
            text = f"asks for {one.name}, of which MWAA keeps its own release: remove it"
        elif not one.pin:
            text = NOT_PINNED
        elif (pin := allowed.get(one.name)) and not one.versions.contains(pin, prereleases=True):
            text = f"is against the constraints: write {one.name}=={pin}"
        elif other.wanted != line.wanted:
            text = f"asks for {one.name} a second time, after {other.text}: leave one"
        else:
            continue
        yield Finding(line.file, line.text, text)


def _hashes(lines: list[Line], wanted: list[tuple[Line, Package]]) -> Findings:
    """With one hash, pip demands them all."""
    if any(line.options.hash or line.options.require_hashes for line in lines):
        for line, _ in wanted:
            if not line.options.hash:
                text = "has no --hash, which pip demands of all as soon as one has it: add it"
                yield Finding(line.file, line.text, text)


def _indexes(lines: list[Line]) -> Findings:
    """Where the packages come from."""
    for line in lines:
        if line.options.extra_index_url:
            text = (
                "lets whoever registers a name of yours at PyPI have his package installed, if its "
                "version is higher: write --index-url, of an index that has PyPI's packages too"
            )
            yield Finding(line.file, line.text, text, warning=True)
        if line.options.trusted_host or re.search(r"(?<![\w+])http://", line.text):
            text = (
                "lets whoever sits between change what is installed, since nobody proves to be the "
                "index: write https, of an index with a certificate"
            )
            yield Finding(line.file, line.text, text, warning=True)
        if f"://{MASK}@" in line.text:
            text = (
                "holds a password, which everyone reads who may read the DAG bucket: let the index "
            )
            text += "take no password from this network, or mirror it to one that needs none"
            yield Finding(line.file, line.text, text, warning=True)


def _offline(s: Settings, lines: list[Line]) -> Findings:
    """What comes from the internet does not come to every container ("Managing Python dependencies
    in requirements.txt", Amazon MWAA user guide)."""
    if any(line.wanted for line in lines) and not any(line.options.no_index for line in lines):
        yield Finding(
            "airflow.webserverAccess",
            s.airflow.webserver_access,
            "or network.nat keeps MWAA from PyPI: put the packages of dags/requirements.txt, with "
            "what they need themselves, as wheels into the folder that airflow.plugins names, and "
            f"begin the file with the lines --find-links {PLUGINS_ON_MWAA} and --no-index",
            warning=True,
        )
    for line in lines:
        for target in line.options.constraint:
            if "://" not in target:
                continue
            way_out = (
                f"put the file into dags/ and write --constraint {DAGS_ON_MWAA}/constraints.txt"
            )
            if _AIRFLOWS_OWN.fullmatch(target):
                way_out = "remove the line, and MWAA takes its own copy of these constraints"
            text = (
                "is on the internet, from which airflow.webserverAccess or network.nat keeps MWAA: "
                + way_out
            )
            yield Finding(line.file, line.text, text, warning=True)


def _wheels(
    s: Settings, delivered: Delivered, lines: list[Line], wanted: list[tuple[Line, Package]]
) -> Findings:
    """With --no-index, pip installs what is found behind --find-links, and nothing else."""
    python, pins = AIRFLOW[s.airflow.version].python, AIRFLOW[s.airflow.version].pins
    found: set[tuple[str, Version]] = set()
    places: list[str] = []
    for line in lines:
        for target in line.options.find_links:
            place = resolved(line, target.removeprefix("file://"))
            if place is None:  # an address within the VPC, of which nothing is known
                return
            folder = delivered.at(place)
            if folder is None:
                whose = "airflow.plugins" if place.is_relative_to(PLUGINS_ON_MWAA) else "dags/"
                text = f"names {place}, which MWAA has not: let {whose} have the folder"
                yield Finding(line.file, line.text, text)
                return
            places.append(str(place))
            if folder.is_dir():
                found.update(distributions(folder, python))
    for line, one in wanted:
        in_image = one.name in pins and one.name not in {KUBERNETES_PROVIDER, "kubernetes"}
        is_wheel = re.match(r"\S+\.whl\b|\S+\s*@", line.wanted)
        fits = any(
            name == one.name and one.versions.contains(v, prereleases=True) for name, v in found
        )
        if not (in_image or is_wheel or fits):
            where = " or ".join(places) or "any folder"
            text = (
                f"has no wheel for Python {python} on Linux in {where} "
                "(needless if MWAA's image has the package): get it by pip download --no-deps "
                f"--only-binary=:all: --python-version {python} --platform manylinux2014_x86_64 "
                f"{one.name}=={one.pin}"
            )
            yield Finding(line.file, line.text, text, warning=True)
