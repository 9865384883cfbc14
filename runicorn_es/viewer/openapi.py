"""The API described for machines, from the Structs of questions and answers alone."""

import re
from typing import Any

import msgspec

import runicorn_es
from runicorn_es.viewer.asking import Problem
from runicorn_es.viewer.table import QUESTIONS, Question

_REF = "#/components/schemas/{name}"


def document(root_path: str) -> bytes:
    """Return the OpenAPI document, as JSON."""
    structs = [kind for question in QUESTIONS for kind in (question.asked, question.answer)]
    schemas, components = msgspec.json.schema_components([*structs, Problem], ref_template=_REF)
    paths: dict[str, Any] = {}
    for number, question in enumerate(QUESTIONS):
        parameters = components[schemas[2 * number]["$ref"].rpartition("/")[2]]
        path = re.sub(r":int}", "}", question.path)
        paths[path] = {"get": _operation(question, path, parameters, schemas[2 * number + 1], schemas[-1])}
    asked = {schemas[2 * number]["$ref"].rpartition("/")[2] for number in range(len(QUESTIONS))}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "runicorn_es viewer",
                "version": runicorn_es.__version__,
                "description": "What a store holds, as the pages of its viewer show it. Nothing is changed by it.",
            },
            "servers": [{"url": f"{root_path}/api/v1"}],
            "paths": paths,
            "components": {"schemas": {name: schema for name, schema in components.items() if name not in asked}},
        }
    )


def _operation(
    question: Question, path: str, parameters: dict[str, Any], answer: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    def content(schema: dict[str, Any]) -> dict[str, Any]:
        return {"application/json": {"schema": schema}}

    return {
        "summary": question.summary,
        "description": parameters.get("description", ""),
        "operationId": re.sub(r"\W+", "_", f"get{path}").strip("_"),
        "parameters": [
            {
                "name": name,
                "in": "path" if f"{{{name}}}" in path else "query",
                "required": f"{{{name}}}" in path,
                "schema": schema,
            }
            for name, schema in parameters["properties"].items()
        ],
        "responses": {
            "200": {"description": "The answer", "content": content(answer)},
            "400": {"description": "It cannot be asked so", "content": content(problem)},
            "404": {"description": "What was named is not there", "content": content(problem)},
            "default": {"description": "Why there is no answer", "content": content(problem)},
        },
    }
