"""`tradewind profile`: the profile of a model that nobody has trained on."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.errors import UpstreamStatus, UsageError

if TYPE_CHECKING:
    from tradewind.artifacts.predictor import Artifact
    from tradewind.training.analogy import Expected
    from tradewind.training.anchors import Anchor
    from tradewind.training.interview import Interviewed, Party, Terms
    from tradewind.training.prices import Price
    from tradewind.training.profiling import Answered, Frozen

SOURCES = ("--upstream", "--from-outcomes", "--like", "--by-analogy")
"""The flags that say where a profile comes from."""

READ_WITH = {
    ("--upstream",): (
        "--model",
        "--api-key-env",
        "--anchors",
        "--answers",
        "--concurrency",
        "--max-tokens",
        "--timeout-s",
        "--max-usd",
        "--yes",
        "--judge",
        "--judge-model",
    ),
    ("--judge",): ("--judge-key-env", "--judge-price"),
    ("--upstream", "--from-outcomes"): ("--linked",),
    ("--upstream", "--from-outcomes", "--by-analogy"): ("--price", "--prices"),
    ("--configmap",): ("--namespace",),
}
"""By flags of which one is needed: the flags that nothing reads without it."""


def profile(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Name of the model; its profile may be called so in pools.")] = None,
    upstream: Annotated[
        str | None,
        typer.Option(help="Base URL of an OpenAI-compatible API that serves it, up to and without /chat/completions."),
    ] = None,
    from_outcomes: Annotated[
        Path | None,
        typer.Option(help="Scored answers: .jsonl, .csv or .parquet of prompt, score (0 to 1), output_tokens?, domain?."),
    ] = None,
    like: Annotated[str | None, typer.Option(help="Without any answer: as good as this known model, by and large.")] = None,
    by_analogy: Annotated[
        bool, typer.Option("--by-analogy", help="Without any answer: what family, size and price let expect.")
    ] = False,
    list_known: Annotated[bool, typer.Option("--list", help="Show the models whose profiles ship, and end.")] = False,
    name: Annotated[str | None, typer.Option("--model", help="What the upstream calls it; MODEL where absent.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the API key.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many prompts at most.")] = 400,
    anchors: Annotated[
        Path | None, typer.Option(help="Prompts of your own, JSON Lines as docs/profiles.md has them, in place of the shipped.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="File that keeps the answers; what it holds is not asked again. MODEL.answers.jsonl.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls at a time.")] = 8,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most, thoughts included.")] = 2048,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")] = 120.0,
    price: Annotated[str | None, typer.Option(help="in:out, USD per million tokens.")] = None,
    prices: Annotated[
        Path | None, typer.Option(help="Folder with prices/prices.csv of known prices, as data sets have it beside them.")
    ] = None,
    max_usd: Annotated[float | None, typer.Option(min=0.0, help="Dollars that asking and judging may cost.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before money is spent.")] = False,
    judge: Annotated[str | None, typer.Option(help="Base URL of the API of a model that judges `open` anchors.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="What that API calls the judge.")] = None,
    judge_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the judge's API key.")] = None,
    judge_price: Annotated[str | None, typer.Option(help="in:out of the judge, USD per million tokens.")] = None,
    linked: Annotated[
        list[str] | None,
        typer.Option(help="KNOWN=FILE: answers of a known model to the same prompts, which tie them to its scale. Repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the profile, as `quality.profileRef` takes it.")] = None,
    configmap: Annotated[
        str | None, typer.Option(help="Name of a ConfigMap: its manifest goes to stdout, or with --json into the document.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Namespace of the ConfigMap.")] = None,
    predictor: options.Predictor = None,
    as_json: options.Json = False,
) -> None:
    """Find a model's profile from at most 400 answers: no training, the same predictor.

    It is used from a pool by quality: {profileRef: {name: CONFIGMAP, key: MODEL.json}}.

    Exit status 1: some prompts were not answered; the profile is that of the others, and the same command asks the rest.
    """
    output.need_training()
    output.need_file(out, answers)
    from tradewind.artifacts import predictor as predictors
    from tradewind.training import profiling

    artifact = predictors.read(predictor)
    frozen = profiling.freeze(artifact)
    if list_known:
        _list(artifact, frozen, as_json)
        return
    if model is None:
        raise UsageError("no MODEL is given; `--list` shows those that are known")
    source = _source(_given(context))
    known_prices, own_price = _prices(model, price, prices)
    expected = _expected(model, like, own_price, known_prices, artifact)
    ties: dict[str, Answered] = {}
    facts: dict[str, Any] = {}
    if upstream is not None:
        from tradewind.training import interview

        party = _party(upstream, name or model, api_key_env, own_price, max_tokens, timeout_s)
        referee = _judge(judge, judge_model, judge_key_env, judge_price, timeout_s)
        chosen = _anchors(anchors, limit, referee is not None)
        ties = _linked(linked or [], artifact, _kept(chosen, judge_model))
        file = answers or Path(f"{_file_name(model)}.answers.jsonl")
        held = _interview(frozen, chosen, file, interview.Terms(party, referee, max_usd, concurrency), yes)
        found, facts = profiling.fit(frozen, held.answered, expected, ties), held.document()
    elif from_outcomes is not None:
        answered = _outcomes(limit)
        ties = _linked(linked or [], artifact, answered)
        found = profiling.fit(frozen, answered(from_outcomes), expected, ties)
    else:
        found = profiling.assume(frozen, expected, [anchor.text for anchor in _shipped(limit)])
        facts = {"kin": list(expected.kin)}
    document = {
        "schema": profiling.SCHEMA,
        "model": model,
        "predictor": artifact.digest,
        "source": source,
        "linked": sorted(ties),
        **found.document(),
        **facts,
    }
    _deliver(document, model, out, configmap, namespace, as_json)
    raise typer.Exit(1 if facts.get("missing") else 0)


def _given(context: typer.Context) -> set[str]:
    """The flags on the command line."""
    sources = {parameter.opts[0]: context.get_parameter_source(str(parameter.name)) for parameter in context.command.params}
    return {flag for flag, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def _source(given: Set[str]) -> str:
    """Where the profile comes from. Raises `UsageError` unless one flag says so, and it reads all the others."""
    used = [flag for flag in SOURCES if flag in given]
    if len(used) != 1:
        raise UsageError(f"expected one of {', '.join(SOURCES)}; found {' and '.join(used) or 'none'}")
    for needed, flags in READ_WITH.items():
        flag = next((flag for flag in flags if flag in given), None)
        if flag is not None and given.isdisjoint(needed):
            raise UsageError(f"{flag} says nothing here; expected {' or '.join(needed)} with it", flag)
    return used[0].removeprefix("--")


def _expected(
    model: str, like: str | None, own_price: Price | None, known_prices: Mapping[str, Price], artifact: Artifact
) -> Expected:
    from tradewind.training import analogy, catalogue

    if like is None:
        return analogy.expect(model, own_price, artifact.profiles, known_prices)
    catalogue.profile(like, artifact.profiles)
    return analogy.like(like, artifact.profiles)


def _prices(model: str, own: str | None, folder: Path | None) -> tuple[Mapping[str, Price], Price | None]:
    """(known prices, the model's own)"""
    from tradewind.training import names
    from tradewind.training import prices as tables

    known = tables.load(folder) if folder is not None else {}
    if folder is not None and not known:
        raise UsageError(f"{folder} holds no prices/prices.csv", str(folder))
    return known, _price(own, "--price") or known.get(names.canonical(model))


def _price(text: str | None, flag: str) -> Price | None:
    from tradewind.training.prices import Price

    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = -1.0
    if not (0 <= low < float("inf") and 0 <= high < float("inf")):
        raise UsageError(f"{flag} is `{text}`; expected in:out in USD per million tokens, such as 0.15:0.60", flag)
    return Price(low, high)


def _key(variable: str | None, flag: str) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise UsageError(f"{flag} names the environment variable {variable}, which is not set", flag)
    return key


def _party(url: str, model: str, key_env: str | None, price: Price | None, max_tokens: int, timeout_s: float) -> Party:
    from tradewind.training.interview import Party
    from tradewind.training.upstream import Target

    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"--upstream is `{url}`; expected an http or https URL, up to and without /chat/completions", "--upstream"
        )
    return Party(Target(url, model, _key(key_env, "--api-key-env"), max_tokens, timeout_s), price)


JUDGE_TOKENS = 1024
"""Of a verdict, with what the judge thinks before it."""


def _judge(url: str | None, model: str | None, key_env: str | None, price: str | None, timeout_s: float) -> Party | None:
    from tradewind.training.interview import Party
    from tradewind.training.upstream import Target

    if (url is None) != (model is None):
        raise UsageError("a judge needs both --judge URL and --judge-model NAME", "--judge")
    if url is None or model is None:
        return None
    target = Target(url, model, _key(key_env, "--judge-key-env"), JUDGE_TOKENS, timeout_s)
    return Party(target, _price(price, "--judge-price"))


def _shipped(limit: int) -> list[Anchor]:
    from tradewind.training import anchors

    return anchors.select(anchors.shipped(), limit)


def _anchors(file: Path | None, limit: int, judged: bool) -> list[Anchor]:
    """What will be asked. Code is left out, aloud, where it cannot be run; what nobody can score is refused."""
    from tradewind.training import anchors, sandbox, scoring

    found = anchors.shipped() if file is None else anchors.read(file)
    scoring.check(found)
    is_open = any(anchor.kind == "open" for anchor in found)
    if is_open and not judged:
        raise UsageError(f"{file} has anchors without an answer: only a judge can score them (--judge URL --judge-model NAME)")
    if judged and not is_open:
        raise UsageError("--judge has nothing to judge: every anchor has an answer that is checked by rule", "--judge")
    why = sandbox.unavailable() if any(anchor.kind == "code" for anchor in found) else None
    if why is not None:
        output.words().print(f"anchors of kind `code` are left out: {why}", markup=False, soft_wrap=True)
        found = [anchor for anchor in found if anchor.kind != "code"]
        if not found:
            raise UsageError(why)
    return anchors.select(found, limit)


def _linked(given: Sequence[str], artifact: Artifact, answered: Callable[[Path], Answered]) -> dict[str, Answered]:
    """Known models' answers to the same prompts."""
    from tradewind.training import catalogue

    found = {}
    for each in given:
        known, _, place = each.partition("=")
        if not place or not Path(place).is_file():
            raise UsageError(f"--linked is `{each}`; expected KNOWN=FILE of a file that is there", "--linked")
        catalogue.profile(known, artifact.profiles)
        found[known] = answered(Path(place))
        if not len(found[known]):
            raise UsageError(f"--linked: {place} has no scored answer to the prompts", "--linked")
    return found


def _outcomes(limit: int) -> Callable[[Path], Answered]:
    """Reads answers that were scored elsewhere."""
    from tradewind.training import user_outcomes

    return lambda file: user_outcomes.read(file, limit)


def _kept(chosen: Sequence[Anchor], judge: str | None) -> Callable[[Path], Answered]:
    """Reads and scores answers that this command has kept, whatever the upstream called the model."""
    from tradewind.training import interview
    from tradewind.training.transcript import Transcript

    return lambda file: interview.scored(chosen, Transcript(file, None), judge).answered


def _interview(frozen: Frozen, chosen: Sequence[Anchor], file: Path, terms: Terms, yes: bool) -> Interviewed:
    """Says what it will cost, asks whether to go on, and asks the model."""
    from tradewind.cli.progress import Progress
    from tradewind.training import interview
    from tradewind.training.transcript import Transcript

    if terms.max_usd is not None and any(party is not None and party.price is None for party in (terms.party, terms.judge)):
        raise UsageError("--max-usd cannot be kept without --price (and --judge-price for a judge)", "--max-usd")
    transcript = Transcript(file, terms.party.target.model)
    cost = interview.estimate(frozen, chosen, transcript, terms)
    output.words().print(str(cost), markup=False, soft_wrap=True)
    if cost.calls and not yes and sys.stdin.isatty() and not typer.confirm("Go on?", err=True):
        raise UsageError("nothing was asked")
    with Progress() as progress:
        held = interview.hold(chosen, transcript, terms, progress.say)
        progress.end()
    if not len(held.answered):
        raise UpstreamStatus("upstream_status", f"no prompt was answered: {next(iter(held.missing.values()))}")
    if held.missing:
        words = f"{len(held.missing)} of {len(chosen)} prompts have no score ({next(iter(held.missing.values()))})"
        output.words().print(f"{words}; the same command asks them again, and keeps {file}", markup=False, soft_wrap=True)
    return held


def _deliver(
    document: dict[str, Any], model: str, out: Path | None, configmap: str | None, namespace: str | None, as_json: bool
) -> None:
    """The profile as a file, the manifest or the document on stdout, or a table for people."""
    profile_text = json.dumps(document["profile"], indent=1) + "\n"
    if out is not None:
        output.write(out, profile_text.encode())
    manifest = _config_map(configmap, namespace, model, profile_text) if configmap is not None else None
    if as_json:
        output.document({**document, "config_map": manifest})
    elif manifest is not None:
        import yaml

        output.lines(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).encode())
    else:
        _show(document)


def _config_map(name: str, namespace: str | None, model: str, text: str) -> dict[str, Any]:
    from pydantic import ValidationError

    from tradewind.resources import config_map

    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {f"{_file_name(model)}.json": text}}
    try:
        config_map.ConfigMap.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--configmap, --namespace: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return found


def _file_name(model: str) -> str:
    """Of a model's name what a file and a key of a ConfigMap may be called."""
    return re.sub(r"[^-._A-Za-z0-9]", "-", model)


def _show(document: dict[str, Any]) -> None:
    from rich.table import Table

    quality, bias, console = document["quality"], document["bias"], output.tables()
    ability = f"ability {bias['value']:.2f} ± {bias['sd']:.2f} logits"
    title = f"{document['model']}: expected quality {_with_interval(quality)}, {ability}"
    if not document["domains"]:
        console.print(title, markup=False)
        return
    table = Table("domain", "n", "right", "95 %", "forecast", title=title, title_justify="left")
    for name, each in document["domains"].items():
        low, high = each["accuracy"]["low"], each["accuracy"]["high"]
        table.add_row(
            name, str(each["n"]), f"{each['accuracy']['value']:.3f}", f"{low:.3f} to {high:.3f}", f"{each['forecast']:.3f}"
        )
    console.print(table)
    if not document["linked"]:
        console.print(
            "Not linked: how hard the prompts are next to the known models' exams is not measured (docs/profiles.md)."
        )


def _with_interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _list(artifact: Artifact, frozen: Frozen, as_json: bool) -> None:
    from rich.table import Table

    from tradewind.training import anchors, catalogue

    prediction = frozen.predict([anchor.text for anchor in anchors.shipped()])
    known = catalogue.entries(artifact, frozen.parameters, prediction)
    if as_json:
        output.document(
            {"schema": "tradewind.profiles/v1", "predictor": artifact.digest, "models": [each.document() for each in known]}
        )
        return
    table = Table("model", "also", "answers", "sets", "quality")
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.overflow = "fold"
    for each in known:
        table.add_row(each.name, ", ".join(each.aliases), str(each.answers), ", ".join(each.sets), f"{each.quality:.3f}")
    output.tables().print(table)
    for entry in artifact.manifest.get("data", []):
        output.tables().print(f"{entry['set']}: {entry['licence']}", markup=False, soft_wrap=True)
