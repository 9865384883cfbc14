"""What people set to be kept: rules of retention, and protected aliases."""

from runicorn_es.events import AliasProtected, RetentionSet
from runicorn_es.projections.chronicle import Chronicle
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import PROTECTED, RULES, ProtectedRow, RuleRow

NO_RULE = "{}"


CONCERNED = frozenset({AliasProtected, RetentionSet})


def apply(fact: Fact, out: Chronicle) -> None:
    """Fold what this fact says of rules and protection."""
    record = fact.record
    for event in fact.events:
        match event:
            case RetentionSet() if event.rule == NO_RULE:
                RULES.delete(out, event.selection)
            case RetentionSet():
                row = RuleRow(event.selection, event.rule, record.index, record.time_ns)
                RULES.put(out, row, event.selection)
            case AliasProtected() if event.is_protected:
                PROTECTED.put(out, ProtectedRow(event.alias, record.index, record.time_ns), event.alias)
            case AliasProtected():
                PROTECTED.delete(out, event.alias)
            case _:
                pass
