"""Before an `up` of forty minutes: what would stop it, found in seconds.

    python -m operations.preflight --stack dev

Reads what `pulumi preview` is going to make, asks AWS whether it could, and changes nothing. Exits
with 1 if something would fail. What it could not find out it calls unknown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from rich.console import Console
from rich.table import Table

from operations.identities import Account
from operations.preflight import checks
from operations.preflight.plan import Json, Plan
from operations.preflight.quotas import check_quotas
from operations.preflight.result import Result, Verdict
from operations.preflight.rights import check_rights
from operations.preview_comment import errors_of, warnings_of
from operations.stack import Stack, StackError

Check = tuple[str, Callable[[], list[Result]]]

# The last one where something between here and AWS answers, such as a proxy.
_NO_ANSWER = (BotoCoreError, ClientError, ResponseParserError)
_MEND = "mend this first: the checks look at what it plans"
_WIDTH = 140  # where there is no terminal that has one
# Long enough for a slow answer, and no wait for a service that this network does not reach.
_HASTE = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})


def preflight(stack: Stack, preview: Path | None) -> list[Result]:
    """Return what each check found; the first ones decide whether there are others."""
    results = checks.tools()
    caller, found = checks.credentials()
    results += found
    if caller is None or any(one.verdict is Verdict.FAIL for one in results):
        return results
    try:
        told = _previewed(stack, preview)
        state = stack.export()
    except (StackError, json.JSONDecodeError) as error:
        return [*results, Result("preview", _told(str(error)), Verdict.FAIL, _MEND)]
    if errors := errors_of(told):
        return [*results, *(Result("preview", one, Verdict.FAIL, _MEND) for one in errors)]
    results += [Result("preview", one, Verdict.WARN) for one in warnings_of(told)]
    plan = Plan(told, state)
    account = checks.account_of(plan, caller)
    results.append(account)
    if account.verdict is Verdict.FAIL:
        return results
    results.append(Result("preview", f"{plan.counts().total()} resources are to be made in AWS"))
    if plan.region is None:
        return results
    return results + look(Account(plan.region, _HASTE), plan, caller, state)


def _previewed(stack: Stack, file: Path | None) -> Json:
    """Return a preview, also one that failed: then it tells why."""
    if file:
        return json.loads(file.read_text())
    try:
        return json.loads(stack.run("preview", "--json"))
    except StackError as error:
        _, _, printed = str(error).partition("failed:\n")
        try:
            failed, _ = json.JSONDecoder().raw_decode(printed)
        except json.JSONDecodeError:
            raise error from None
        return failed


def look(account: Account, plan: Plan, caller: str, state: Json) -> list[Result]:
    """Run the checks of a plan side by side."""
    found: list[Check] = [("rights", lambda: check_rights(account, plan, caller))]
    found += checks.checks(account, plan, state)
    found += [("quota", one) for one in check_quotas(account, plan)]
    with ThreadPoolExecutor(8) as pool:
        return [one for results in pool.map(_settled, found) for one in results]


def _settled(check: Check) -> list[Result]:
    """Run a check; what AWS does not tell is unknown."""
    name, run = check
    try:
        return run()
    except ResponseParserError:
        return [Result(name, "an answer that is not AWS's", Verdict.UNKNOWN, "look yourself")]
    except _NO_ANSWER as error:
        return [Result(name, _told(str(error)), Verdict.UNKNOWN, "look yourself")]


def _told(text: str) -> str:
    """A message in one line, and no longer than anybody reads."""
    return " ".join(text.split())[:300]


def table(results: list[Result]) -> Table:
    """Return the results as a table, without colours and lines."""
    shown = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for column in ("check", "found", "verdict", "what to do"):
        shown.add_column(column, overflow="fold", no_wrap=column == "verdict")
    for one in results:
        shown.add_row(one.check, one.found, one.verdict.value, one.to_do)
    return shown


def verdict(results: list[Result]) -> str:
    """Return the whole in one line."""
    counts = Counter(one.verdict for one in results)
    if failed := counts[Verdict.FAIL]:
        return f"do not begin: {failed} of {len(results)} checks failed"
    open_ = [f"{counts[kind]} {kind}" for kind in (Verdict.WARN, Verdict.UNKNOWN) if counts[kind]]
    return "nothing found that would stop an `up`" + (f" ({', '.join(open_)})" if open_ else "")


def main() -> int:
    """Print the table and the verdict; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m operations.preflight")
    parser.add_argument("--stack", required=True)
    parser.add_argument(
        "--preview", type=Path, help="the output of `pulumi preview --json`, instead of a new one"
    )
    told = parser.parse_args()
    results = preflight(Stack(told.stack), told.preview)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(table(results))
    console.print(verdict(results))
    return int(any(one.verdict is Verdict.FAIL for one in results))


if __name__ == "__main__":
    sys.exit(main())
