"""The grammar: what a query says, and where it stops making sense."""

import pytest

from runicorn_es import settings
from runicorn_es.errors import BadQuery, Rejected
from runicorn_es.queries.search.grammar import And, Comparison, Not, Or, Word, Words, parse


def shown(tree) -> str:
    """Return a tree with all its parentheses."""
    match tree:
        case And():
            return f"({' & '.join(map(shown, tree.parts))})"
        case Or():
            return f"({' | '.join(map(shown, tree.parts))})"
        case Not():
            return f"!{shown(tree.part)}"
        case Words():
            return f"<{tree.word.text}>"
        case Comparison():
            return f"{tree.key.text}{tree.operator}{tree.value.text}"


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("", "()"),
        ("  ", "()"),
        ("resnet", "<resnet>"),
        ('"two words"', "<two words>"),
        ("type:model val_acc>=0.9", "(type:model & val_acc>=0.9)"),
        ("a AND b", "(<a> & <b>)"),
        ("a b OR c d", "((<a> & <b>) | (<c> & <d>))"),
        ("a (b OR c)", "(<a> & (<b> | <c>))"),
        ("-tag:old", "!tag:old"),
        ("NOT tag:old", "!tag:old"),
        ("-(a b)", "!(<a> & <b>)"),
        ("--a", "<a>"),
        ('-"a b"', "!<a b>"),
        ("lr > -0.5", "lr>-0.5"),
        ("a!=b", "a!=b"),
        ("wow!", "<wow!>"),
        ('"val acc">0.9', "val acc>0.9"),
        ('description~"a \\"b\\" \\\\"', 'description~a "b" \\'),
        ("created>2026-01-31T12:30:00+01:00", "created>2026-01-31T12:30:00+01:00"),
        ("(a)b", "(<a> & <b>)"),
        ("or not and", "(<or> & <not> & <and>)"),
        ('"OR"', "<OR>"),
        ("ORDER NOTES", "(<ORDER> & <NOTES>)"),
    ],
)
def test_a_query_is_read(query, tree):
    assert shown(parse(query)) == tree


@pytest.mark.parametrize(
    ("query", "place", "reason"),
    [
        ("val_acc>=", 9, "a value is missing behind 'val_acc>='"),
        ("val_acc>=>2", 9, "'>=' is followed by '>', not by a value"),
        ("a (b", 2, "this '(' is never closed"),
        ("a) b", 1, "there is no '(' for this ')'"),
        ("()", 1, "something to search for is missing here"),
        ('tag:"x', 4, "this quote is never closed"),
        (">3", 0, "what is to be compared is missing"),
        ("a OR", 4, "something to search for is missing"),
        ("OR a", 0, "OR stands between two things"),
        ("a - b", 2, "'-' takes away what stands right behind it"),
        ("tag:(a OR b)", 4, "a value is missing behind 'tag:'"),
        ("(" * 100, 51, "nested deeper than 50 levels"),
        ("x" * 5000, settings.QUERY_CHARACTERS_MAX, "at most 4096 are allowed"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(query, place, reason):
    with pytest.raises(BadQuery, match=reason.replace("(", r"\(").replace(")", r"\)")) as refused:
        parse(query)
    assert refused.value.place == place


def test_a_message_points_at_the_place():
    with pytest.raises(Rejected) as refused:
        parse("tag:a\tlr<")
    assert str(refused.value) == "a value is missing behind 'lr<'\n  tag:a lr<\n           ^"


def test_a_word_knows_where_it_stood_and_whether_it_was_quoted():
    assert parse('a="1"') == Comparison(Word("a", 0), "=", Word("1", 2, is_quoted=True))
