"""The OpenAPI 3.1 document: made of the operations themselves, so that it says what they do."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from bot.dashboard.api import once
from bot.dashboard.api.operations import JSON, Call, Operation
from bot.dashboard.api.problems import ProblemDetails

_REFERENCE: Final = "#/components/schemas/{model}"
_PROBLEM: Final = "application/problem+json"
_ABOUT: Final = """\
What the trading daemon knows, and what it can be asked to do.

Whoever asks is logged in on the page, or sends `Authorization: Bearer TOKEN` with a token that has the scope that the
operation names: read, kill, trade or admin. Decimals are strings, so that no digit is lost; instants are ISO 8601 in
UTC; null is "not measured". Market time differs from a person's time in dev mode. Every error is problem JSON
(RFC 9457) that names what was wrong and what would fit. An act may carry an `Idempotency-Key`: sent again within 24
hours with the same body it gets the same answer, and nothing is done twice.
"""
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name that you give to this act; sent again with the same body, it is done once.",
    "schema": {"type": "string", "pattern": f"^{once.KEY}$"},
}
_WHEN: Final[Mapping[int, str]] = {
    400: "The address does not fit, or the body is not JSON.",
    401: "Nobody is logged in, and no token that holds was sent.",
    403: "Whoever asks may not do this.",
    404: "There is nothing of that name.",
    409: "It cannot be done as things are now; the answer says why and what to do.",
    413: "More than 64 KiB were sent.",
    415: "The body is not application/json.",
    422: "A field of the body does not fit; the answer names it.",
    429: "Too many requests of this token; Retry-After says how long to wait.",
    503: "The database or a venue does not answer; Retry-After says when to ask again.",
}


class _Schemas(GenerateJsonSchema):
    """Schemas of what `encoding.as_json` writes: decimals as strings, NaN as null, named tuples as objects."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        if self.mode == "validation":
            return super().decimal_schema(schema)
        return {"type": ["string", "null"], "format": "decimal"}

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"type": ["number", "null"]} if self.mode == "serialization" else super().float_schema(schema)

    def named_tuple_schema(self, schema: core_schema.NamedTupleSchema) -> JsonSchemaValue:
        members = {field["name"]: self.generate_inner(field["schema"]) for field in schema["fields"]}
        return {"type": "object", "properties": members, "required": [*members]}


class _NumberSchemas(_Schemas):
    """The same with decimals as numbers."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": ["number", "null"]}


class Document:
    """The document, made when somebody first asks for it: that takes a moment, so a worker thread does it."""

    def __init__(self, operations: Sequence[Operation], *, version: str) -> None:
        self._operations = operations
        self._version = version
        self._made: dict[str, Any] | None = None

    async def read(self) -> dict[str, Any]:
        """The document."""
        if self._made is None:
            self._made = await asyncio.to_thread(document, self._operations, version=self._version)
        return self._made


async def openapi(call: Call) -> dict[str, Any]:
    """This document."""
    return await call.request.app[DOCUMENT].read()


def document(operations: Sequence[Operation], *, version: str) -> dict[str, Any]:
    """The document of these operations."""
    schemas, components = _schemas_of(operations)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _described(each, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trading daemon", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(each.group for each in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-bot-session",
                    "description": "Logged in on the page; without TLS the name ends in the port instead.",
                },
                "token": {"type": "http", "scheme": "bearer", "description": "A token with scopes: docs/api.md."},
            },
        },
    }


_Key = tuple[str, str]


def _schemas_of(operations: Sequence[Operation]) -> tuple[dict[_Key, Any], dict[str, Any]]:
    """The schema of each operation's parts, by (method and path, part), and the components that they refer to."""
    schemas: dict[_Key, Any] = {}
    components: dict[str, Any] = {}
    for generator, chosen in (
        (_Schemas, [each for each in operations if each.decimals is str]),
        (_NumberSchemas, [each for each in operations if each.decimals is not str]),
    ):
        inputs: list[tuple[_Key, JsonSchemaMode, TypeAdapter[Any]]] = [
            ((_name(each), part), mode, TypeAdapter(kind))
            for each in chosen
            for part, mode, kind in _parts(each)
            if kind is not None
        ]
        problem: tuple[_Key, JsonSchemaMode, TypeAdapter[Any]] = (
            ("", "problem"),
            "serialization",
            TypeAdapter(ProblemDetails),
        )
        found, shared = TypeAdapter.json_schemas(
            [*inputs, problem], ref_template=_REFERENCE, schema_generator=generator
        )
        schemas |= {key: schema for (key, _), schema in found.items()}
        components |= shared.get("$defs", {})
    return schemas, components


def _parts(operation: Operation) -> Sequence[tuple[str, JsonSchemaMode, Any]]:
    answer = operation.answer if operation.media == JSON else None
    return (
        ("body", "validation", operation.body),
        ("answer", "serialization", answer),
    )


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _described(operation: Operation, schemas: Mapping[_Key, Any]) -> dict[str, Any]:
    name = _name(operation)
    described: dict[str, Any] = {
        "tags": [operation.group],
        "operationId": _identifier(operation),
        "summary": operation.summary,
        "description": f"{operation.description} Needs the scope `{operation.needs.value}`.".strip(),
        "security": [{"session": []}, {"token": [operation.needs.value]}],
        "parameters": [
            *_parameters(operation),
            *([_IDEMPOTENCY] if operation.is_act and not operation.is_urgent else []),
        ],
        "responses": _responses(operation, schemas.get((name, "answer"), {"type": "string"})),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": any(info.is_required() for info in operation.body.model_fields.values()),
            "content": {JSON: {"schema": schemas[name, "body"]}},
        }
    return described


def _identifier(operation: Operation) -> str:
    words = operation.path.removeprefix("/api/").replace("{", "").replace("}", "").replace("/", "_").replace(".", "_")
    return f"{operation.method.lower()}_{words}"


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    """Each with its own schema: parameters are not an object in OpenAPI."""
    if operation.asked is None:
        return []
    whole = _own_schema(operation.asked)
    required = whole.get("required", [])
    return [
        {
            "name": name,
            "in": operation.places[name],
            "required": name in required,
            **({"description": schema["description"]} if "description" in schema else {}),
            "schema": _without_null(
                {key: value for key, value in schema.items() if key not in ("title", "description")}
            ),
        }
        for name, schema in whole.get("properties", {}).items()
    ]


def _own_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Its schema with every reference put in place: a parameter is read by itself."""
    whole = model.model_json_schema(schema_generator=_Schemas)
    shared = whole.pop("$defs", {})

    def placed(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                referred = shared[node["$ref"].rpartition("/")[2]]
                return placed({**referred, **{key: value for key, value in node.items() if key != "$ref"}})
            return {key: placed(value) for key, value in node.items()}
        return [placed(each) for each in node] if isinstance(node, list) else node

    inlined: dict[str, Any] = placed(whole)
    return inlined


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out, never null."""
    options = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    kept = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    if len(options) == 1:
        only = {key: value for key, value in options[0].items() if key not in ("title", "description")}
        return {**only, **kept}
    return {**kept, "anyOf": options} if options else kept


def _responses(operation: Operation, answer: Any) -> dict[str, Any]:
    problem = {_PROBLEM: {"schema": {"$ref": _REFERENCE.format(model=ProblemDetails.__name__)}}}
    good = {
        "description": "Done." if operation.is_act else "The answer.",
        "content": {operation.media: {"schema": answer}},
    }
    refused = {str(status): {"description": _WHEN[status], "content": problem} for status in operation.errors}
    for status in refused.keys() & {"429", "503"}:
        seconds = {"description": "Seconds.", "schema": {"type": "integer"}}
        refused[status] = {**refused[status], "headers": {"Retry-After": seconds}}
    return {"200": good, **refused}


DOCUMENT: Final = web.AppKey("openapi_document", Document)
