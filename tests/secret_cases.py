"""What holds a secret, `SECRET`: one table for everything that is to hide it."""

import json
from typing import Any

KEY_BODY = "MIIEpAIBAAKCAQEASECRET"
PRIVATE_KEY = (
    f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_BODY}\n{KEY_BODY}=\n-----END RSA PRIVATE KEY-----\n"
)
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEF\n-----END PUBLIC KEY-----\n"

TEXTS = [
    "password=SECRET",
    "user=fred, password: SECRET, eauth=pam",
    "{'username': 'fred', 'password': 'SECRET'}",
    str({"token": "SECRET", "fun": "test.ping"}),
    json.dumps({"password": "SECRET"}),
    repr(json.dumps({"password": "SECRET"})),
    json.dumps(json.dumps({"password": "SECRET"})),
    str({b"token": b"SECRET"}),
    "[('password', 'SECRET')]",
    "X-Auth-Token: SECRET",
    "Authorization: Basic SECRET",
    "Proxy-Authorization: Bearer SECRET",
    "Cookie: a=b; session_id=SECRET; c=d",
    "Set-Cookie: session_id=SECRET; Path=/",
    "{'Authorization': 'Basic SECRET'}",
    "{'password': 'it\\'s SECRET'}",
    "GET /hook?token=SECRET&x=1",
    "session_id=SECRET",
    '{"password": "two words SECRET"}',
    '{"password": "first\nSECRET"}',
    "client_secret = SECRET",
    # options of programs
    "mysql --password SECRET -e x",
    "mysql --password=SECRET -e x",
    "mysql --password 'two SECRET' -e x",
    'tool -password "two SECRET"',
    "tool --db-pass SECRET",
    "tool --api-key SECRET --verbose",
    "tool --token\tSECRET",
    "mysql -u root -pSECRET db",
    "mysqldump -p'SECRET' db",
    "sshpass -p SECRET ssh host",
    "curl -s -u fred:SECRET https://example.org",
    "curl --user 'fred:SECRET' https://example.org",
    "curl https://fred:SECRET@example.org/",
    "curl https://fred:SECRET@2@example.org/",
    "curl -H 'Authorization: Bearer SECRET' https://example.org",
    # names
    "pass=SECRET",
    "pw: SECRET",
    "pwd=SECRET",
    "db_pass=SECRET",
    "DB_PASS=SECRET ./run",
    "dbPass=SECRET",
    "smtp.pw=SECRET",
    "password2=SECRET",
    "passphrase: SECRET",
    "aws_secret_access_key = SECRET",
    "apikey=SECRET",
    "private-key: SECRET",
    ":password => 'SECRET'",
    "password == SECRET",
    "<db><password>SECRET</password></db>",
    # lists, mappings and lines
    '{"passwords": ["a", "SECRET"]}',
    "{'password': {'a': {'b': 1}, 'c': 'SECRET'}, 'd': 2}",
    "password:\n  SECRET",
    "password: |\n  first\n  SECRET\nother: 1",
    # a name beside its value
    '{"name": "password", "value": "SECRET"}',
    '{"name": "password", "type": "text", "value": "SECRET"}',
    '{"value": "SECRET", "name": "password"}',
    "{'Key': 'DB_PASS', 'Value': 'SECRET'}",
    "- name: db_password\n  value: SECRET",
    "name=password value=SECRET",
    # what nothing closes
    'password="SECRET',
    "{'password': 'first second SECRET",
    'tool --password "first SECRET',
    '{"password": "ends with a backslash SECRET\\',
    "{'password': ['SECRET'",
    # keys
    PRIVATE_KEY,
    json.dumps({"priv": PRIVATE_KEY}),
    repr({"x": PRIVATE_KEY}),
    PRIVATE_KEY.replace("RSA ", ""),
    PRIVATE_KEY.replace("RSA ", "OPENSSH "),
    f"before {PRIVATE_KEY[:80]}",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nSECRET\n-----END PGP PRIVATE KEY BLOCK-----",
]
"""Texts; nothing of `SECRET` is to be left."""

VALUES: list[Any] = [
    {"password": "SECRET"},
    {"pass": "SECRET"},
    {"pw": "SECRET"},
    {"db_pass": "SECRET"},
    {"dbPassword": ["SECRET"]},
    {"name": "password", "value": "SECRET"},
    {"Name": "DB_PASS", "Value": {"a": "SECRET"}},
    [{"key": "api_token", "value": "SECRET"}],
    ["mysql", "--password", "SECRET"],
    ("mysql", "--password", "SECRET"),
    {"a": ({"b": [{"token": "SECRET"}]},)},
    {"x": PRIVATE_KEY},
    {"x": [PRIVATE_KEY.encode()]},
    {"env": [{"name": "PGPASSWORD", "value": "SECRET"}]},
]
"""Values that are no texts."""

HARMLESS = [
    "The token has expired.",
    "token_expire: 43200",
    "eauth_tokens.cache_driver: redis",
    "{'fun': 'test.ping', 'tgt': '*'}",
    "GET /events",
    "20260101000000000000 returned",
    "tool --password-file /etc/tool --verbose",
    "compass: north; bypass: 1",
    '{"name": "fred", "value": "x"}',
    "mkdir -p /srv/salt",
    "All states passed: 3",
    "salt-key --accept minion-1",
    PUBLIC_KEY,
]
"""Texts in which there is nothing to hide."""
