"""``retention``: rules of what to keep."""

from typing import Annotated, Literal

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import AsOf


def retention(
    context: typer.Context,
    action: Annotated[Literal["list", "set", "clear"], typer.Argument(help="What to do.")] = "list",
    selection: Annotated[
        str | None,
        typer.Argument(
            metavar="[SELECTION]", help="Which versions: NAME, NAME:v3, type:model, tag:nightly, or '*' for all."
        ),
    ] = None,
    *,
    keep_last: Annotated[
        int | None, typer.Option("--keep-last", metavar="N", min=0, help="Keep the newest N of each artifact.")
    ] = None,
    keep_younger: Annotated[
        str | None, typer.Option("--keep-younger", metavar="SPAN", help="Keep those younger than, such as 30d.")
    ] = None,
    keep_tagged: Annotated[
        list[str] | None, typer.Option("--keep-tagged", metavar="TAG", help="Keep those with this tag; repeatable.")
    ] = None,
    purge_after: Annotated[
        str | None,
        typer.Option("--purge-after", metavar="SPAN", help="Purge deleted ones so long after their deletion."),
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Say what to keep; `runicorn gc --apply-retention` deletes the rest, and nothing else does."""
    given = {"keep_last": keep_last, "keep_younger": keep_younger, "purge_after": purge_after}
    is_rule = bool(keep_tagged) or any(value is not None for value in given.values())
    if is_rule and action != "set":
        raise Refused(
            f"`retention {action}` takes no rule", "`runicorn retention set SELECTION --keep-last 5` sets one"
        )
    if action != "list" and selection is None:
        raise Refused(f"`retention {action}` needs a selection: NAME, NAME:v3, type:model, tag:nightly or '*'")
    if action == "set" and not is_rule:
        raise Refused(
            f"say what to keep of {selection}: --keep-last, --keep-younger or --keep-tagged, or --purge-after",
            f"`runicorn retention clear '{selection}'` removes a rule",
        )
    if as_of is not None and action != "list":
        raise Refused("the past cannot be changed", "`runicorn retention list --as-of MOMENT` lists the rules of then")
    moment = None
    if action == "list":
        with opening.reading(asked(context)) as store:
            moment = past.moment(store, asked(context), as_of)
            rules = store.retention(as_of=moment)
    else:
        with opening.changing(asked(context)) as store:
            store.set_retention(
                selection or "",
                keep_last=keep_last,
                keep_younger=keep_younger,
                keep_tagged=keep_tagged or (),
                purge_after=purge_after,
            )
            rules = store.retention()
    if asked(context).as_json:
        listed = [_rule(chosen, rule) for chosen, rule in rules.items()]
        output.document("runicorn.retention/1", **past.member(moment), rules=listed)
        return
    shown = rules if selection is None else {}
    if action == "set":
        chosen = str(late.rules.parse_selection(selection or ""))
        shown = {chosen: rules[chosen]}
    output.say(*(output.printable(f"{chosen}  {rule}") for chosen, rule in shown.items()))
    if action == "clear":
        output.say(f"there is no rule for {output.printable(selection or '')} now")
    elif not shown:
        output.complain("hint", "there is no rule: `runicorn retention set '*' --keep-last 5` sets one")


def _rule(selection: str, rule: "late.rules.Rule") -> dict[str, object]:
    return {
        "selection": selection,
        "keep_last": rule.keep_last,
        "keep_younger_s": rule.keep_younger_s,
        "keep_tagged": rule.keep_tagged,
        "purge_after_s": rule.purge_after_s,
        "text": str(rule),
    }
