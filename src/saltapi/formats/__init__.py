"""
Texts and bytes to values, and back: bodies of requests, YAML, arguments of functions.

It knows nothing of what the values mean, nor of HTTP.
"""

from saltapi.formats.bodies import (
    DEPTH_LIMIT_LEVELS,
    FORM_TYPE,
    HTML_TYPE,
    INTEGER_LIMIT_BITS,
    JSON_TYPE,
    OUTPUT_DEPTH_LIMIT_LEVELS,
    OUTPUT_TYPES,
    YAML_TYPE,
    decode,
    dump_json,
    dump_yaml,
    encode,
    load_json,
    negotiate,
    plain,
    quality,
)
from saltapi.formats.large import dump_json_in_parts, is_large

__all__ = [
    "DEPTH_LIMIT_LEVELS",
    "FORM_TYPE",
    "HTML_TYPE",
    "INTEGER_LIMIT_BITS",
    "JSON_TYPE",
    "OUTPUT_DEPTH_LIMIT_LEVELS",
    "OUTPUT_TYPES",
    "YAML_TYPE",
    "decode",
    "dump_json",
    "dump_json_in_parts",
    "dump_yaml",
    "encode",
    "is_large",
    "load_json",
    "negotiate",
    "plain",
    "quality",
]
