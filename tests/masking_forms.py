"""What programs write secrets into: one template a form, `{}` where the secret stands.

TOKENS take a secret that is known by itself, PASSWORDS one that is known by its name, and the rest
make theirs of a password, a key or a number.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from typing import Final

from bastion.tap.checks import luhn

ALNUM: Final = string.ascii_letters + string.digits

TOKENS: Final = (
    "{}",
    "'{}'",
    '"{}"',
    "`{}`",
    '{{"token": "{}"}}',
    '{{"outer": "{{\\"key\\": \\"{}\\"}}"}}',
    "key: {}",
    "- '{}'",
    "KEY={}",
    "export KEY={}",
    'export KEY="{}"',
    "+ curl -H 'X-Key: {}' https://api.example/x",
    "++ KEY={}",
    '<item key="{}"/>',
    "<key>{}</key>",
    "https://api.example/v1?key={}&page=2",
    "X-Api-Key: {}",
    "> X-Api-Key: {}",
    "< set-cookie: k={}; Path=/",
    "Config(user='bob', key='{}', n=3)",
    "{{Name:bob Key:{} Port:5432}}",
    '&main.Config{{Key:"{}", Port:5432}}',
    "Config[name=bob, key={}, port=5432]",
    "User{{name='bob', key='{}'}}",
    '{{:key=>"{}", :port=>5432}}',
    "array('key' => '{}',)",
    'Some("{}")',
    "| 7 | {} | bob |",
    " 7 | {} | bob",
    "│ 7 │ {} │",
    "7,{},bob",
    '7,"{}","bob"',
    "7\t{}\tbob",
    "7;{};bob",
    "INSERT INTO t VALUES (7, '{}', NULL);",
    "+  key: {}",
    '-key = "{}"',
    "    +    key = '{}'  # new",
    "bob 4711 0.0 0.1 12345 678 ? Ss 12:00 0:00 app --key={} --port 80",
    "  501  app --key {} run",
    "501  2026-11-24 12:00:01 app --key={}",
    '{{"MESSAGE":"started with {}","_PID":"4711"}}',
    'time=2026-11-24T12:00:01Z level=info msg="start" key={} port=80',
    'level=info msg="using {}"',
    "description:: {}",
    "Nov 24 12:00:01 web1 app[4711]: got {} from 10.0.0.7",
    "web-1  | {}",
    "[2026-11-24 12:00:01] DEBUG ({}) done",
    "a.txt:7:{}",
    "a.txt-7-{}",
    "{} a.txt",
    "the key is {}.",
    "Key {}, and more",
    "(see {})",
    "[{}]",
    "<{}>",
    "[link](https://x/{})",
    "\x1b[32m{}\x1b[0m",
    "key\x1b[0m=\x1b[33m{}\x1b[0m",
    "\x1b]0;{}\x07",
    'resource.key: "{}" => "x"',
    '            "key": "{}",',
    '  ~ key = "old" -> "{}"',
    'ok: [web1] => {{"key": "{}"}}',
    "Set-Cookie: sid={}; HttpOnly",
    "%7B%22key%22%3A%22{}%22%7D",
    "KEY\x3d{}\0PATH=/bin\0",
    "{}\r",
)

PASSWORDS: Final = (
    "password={}",
    "password = {}",
    "password: {}",
    "password: '{}'",
    'password: "{}"',
    "PASSWORD={}",
    "PASSWORD='{}'",
    'PASSWORD="{}"',
    "export DB_PASSWORD={}",
    'export DB_PASSWORD="{}"',
    "+ DB_PASSWORD={}",
    "+ export DB_PASSWORD={}",
    "++ PGPASSWORD={}",
    "+ PGPASSWORD={} psql -h db",
    'declare -x DB_PASSWORD="{}"',
    "set DB_PASSWORD={}",
    "setenv DB_PASSWORD {}",
    '$env:DB_PASSWORD = "{}"',
    "ENV DB_PASSWORD={}",
    "ENV DB_PASSWORD {}",
    "Environment=DB_PASSWORD={}",
    'Environment="DB_PASSWORD={}"',
    '{{"password": "{}"}}',
    '{{"password":"{}","user":"bob"}}',
    '{{"outer": "{{\\"password\\": \\"{}\\"}}"}}',
    '{{"a": "{{\\"b\\": \\"{{\\\\\\"password\\\\\\": \\\\\\"{}\\\\\\"}}\\"}}"}}',
    '"Env": ["PATH=/bin", "DB_PASSWORD={}", "X=1"]',
    '            "DB_PASSWORD={}",',
    "      DB_PASSWORD:  {}",
    "      - DB_PASSWORD={}",
    "      - name: DB_PASSWORD\n        value: {}",
    '      - name: DB_PASSWORD\n        value: "{}"',
    "    password: >-\n      {}",
    '<user name="bob" password="{}"/>',
    "<password>{}</password>",
    '<property name="password" value="{}"/>',
    '<property name="hibernate.connection.password">{}</property>',
    '<add key="DbPassword" value="{}" />',
    "https://api.example/login?user=bob&password={}&x=1",
    "user=bob&password={}",
    "user=bob;password={};server=db",
    "Server=db;Database=shop;User Id=app;Password={};Encrypt=true",
    "host=db user=app password={} dbname=shop",
    "Config(user='bob', password='{}', port=5432)",
    "{{'user': 'bob', 'password': '{}'}}",
    "{{Name:bob Password:{} Port:5432}}",
    '&main.Config{{Name:"bob", Password:"{}", Port:5432}}',
    "Config[name=bob, password={}, port=5432]",
    "Config(name=bob, password={}, port=5432)",
    "User{{name='bob', password='{}'}}",
    '{{:user=>"bob", :password=>"{}"}}',
    '#<Config password="{}">',
    "array('user' => 'bob', 'password' => '{}',)",
    "$config['password'] = '{}';",
    "define('DB_PASSWORD', '{}');",
    "+  password: {}",
    '-password = "{}"',
    "    +    password = '{}'  # new",
    '    db_password                  = "{}"',
    '            "password": "{}",',
    '  ~ password = "old" -> "{}"',
    "bob 4711 0.0 0.1 12345 678 ? Ss 12:00 0:00 app --password={} --port 80",
    "bob 4711 0.0 0.1 12345 678 ? Ss 12:00 0:00 app --password {} --port 80",
    "root 99 0.0 0.1 1 2 ? Ss 12:00 0:00 mysqld_safe --user=root -p{} shop",
    "  501  mysql -u root -p{} shop",
    "  501  sshpass -p {} ssh bob@web1",
    "  502  sshpass -p'{}' ssh bob@web1",
    "  501  curl -u bob:{} https://h/x",
    "  501  curl --user bob:{} https://h/x",
    "  501  export DB_PASSWORD={}",
    "  501  PGPASSWORD={} psql -h db",
    "  501  redis-cli -h cache -a {} ping",
    "  501  docker login -u bob -p {} registry.example",
    "  501  ldapsearch -x -D cn=admin -w {} -b dc=x",
    "  501  openssl rsa -in k.pem -passin pass:{}",
    "  501  mysqldump --password={} shop",
    "  501  echo 'bob:{}' | chpasswd",
    "  501  wget --user=bob --password={} https://h/x",
    "  501  xfreerdp /u:bob /p:{} /v:h",
    "  501  smbclient //h/s -U bob%{}",
    "  501  htpasswd -b .htpasswd bob {}",
    "  501  psql postgresql://app:{}@db/shop",
    '{{"MESSAGE":"login password={} ok","_PID":"4711"}}',
    '{{"_CMDLINE":"app --password={} --x","_PID":"4711"}}',
    'time=2026-11-24T12:00:01Z level=info msg="start" password={} port=80',
    'time=2026-11-24T12:00:01Z level=info password="{}"',
    "Nov 24 12:00:01 web1 app[4711]: connecting with password={} as bob",
    "Nov 24 12:00:01 web1 app[4711]: config: password: {}",
    "web-1  | POSTGRES_PASSWORD={}",
    "machine h.example login bob password {}",
    "machine h.example\n  login bob\n  password {}",
    "db.example:5432:shop:app:{}",
    "[client]\nuser=root\npassword={}",
    '[client]\nuser = root\npassword = "{}"',
    "requirepass {}",
    "masterauth {}",
    "postgresql://app:{}@db:5432/shop",
    "postgres://app:{}@db:5432/shop?sslmode=require",
    "mysql://app:{}@db/shop",
    "mongodb://app:{}@m1:27017,m2:27017/shop?replicaSet=rs",
    "mongodb+srv://app:{}@cluster0.ab1cd.mongodb.net/shop",
    "amqp://app:{}@mq:5672/v",
    "amqps://app:{}@mq:5671/v",
    "redis://:{}@cache:6379/0",
    "rediss://default:{}@cache:6380/0",
    "https://bob:{}@git.example/x.git",
    "ftp://bob:{}@h/x",
    "smtp://bob:{}@mail:587",
    "jdbc:postgresql://db/shop?user=app&password={}",
    "jdbc:mysql://app:{}@db/shop",
    "jdbc:sqlserver://db;user=app;password={};encrypt=true",
    "jdbc:oracle:thin:app/{}@db:1521/shop",
    "spring.datasource.password={}",
    "spring:\n  datasource:\n    password: {}",
    "DATABASE_URL=postgresql://app:{}@db:5432/shop",
    "ALTER USER bob WITH PASSWORD '{}';",
    "CREATE USER bob IDENTIFIED BY '{}';",
    "INSERT INTO mysql.user SET password='{}';",
    "client_secret={}",
    '"client_secret": "{}",',
    '"refresh_token": "{}",',
    '"access_token":"{}"',
    "grant_type=refresh_token&refresh_token={}&client_id=x",
    "api_key={}",
    "API_KEY: {}",
    "secret_key_base: {}",
    "SECRET_KEY = '{}'",
    "encryption_key: {}",
    "dn: cn=bob\nuserPassword: {}",
    "psk={}",
    "wpa_passphrase={}",
    "snmp-server auth_key={}",
    "ansible_password={}",
    "ansible_become_pass: {}",
    "bindpw {}",
    "PASSWORD={}\0PATH=/bin\0HOME=/root\0",
    "PATH=/bin\0DB_PASSWORD={}\0HOME=/root\0",
    "| password | {} |",
    " password | {}",
    "password\x1b[0m=\x1b[33m{}\x1b[0m",
    '\x1b[34;1m"password"\x1b[0m\x1b[39m:\x1b[0m \x1b[32m"{}"\x1b[0m',
    "Your password is {}",
    "Password: {}",
    "password for bob: {}",
    "New password for bob is: {}",
    "Basic auth: user bob, password {}",
)


def word(rng: random.Random, size: int, letters: str = ALNUM) -> str:
    """Random letters, with some of each sort that `letters` has: digits, upper and lower case."""
    sorts = [
        sort
        for sort in (str.isdecimal, str.islower, str.isupper)
        if any(sort(letter) for letter in letters)
    ]
    while True:
        made = "".join(rng.choices(letters, k=size))
        if all(any(sort(letter) for letter in made) for sort in sorts):
            return made


def card(rng: random.Random) -> tuple[str, str]:
    """A valid number, with or without spaces."""
    start = rng.choice(["4", "51", "2221", "37", "6011"])
    size = 14 if start == "37" else 15
    digits = start + "".join(rng.choices(string.digits, k=size - len(start)))
    whole = digits + next(d for d in string.digits if luhn(digits + d))
    if size == 15 and rng.random() < 0.5:
        shown = " ".join(whole[at : at + 4] for at in range(0, 16, 4))
        return shown, shown[-12:]
    return whole, whole[-9:]


def iban(rng: random.Random) -> tuple[str, str]:
    """A German number with its check digits."""
    account = "".join(rng.choices(string.digits, k=18))
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02d}{account}", account[4:]


def encoded(value: str) -> str:
    """Base64."""
    return base64.b64encode(value.encode()).decode()


def kubernetes(rng: random.Random) -> tuple[str, str]:
    """`kubectl get secret -o yaml`."""
    value = encoded(word(rng, rng.randrange(9, 30)))
    form = rng.choice(
        [
            "apiVersion: v1\ndata:\n  password: {}\nkind: Secret",
            '{{\n    "data": {{\n        "password": "{}"\n    }},\n    "kind": "Secret"\n}}',
            "kind: Secret\ndata:\n  username: Ym9i\n  DB_PASSWORD: {}\n",
        ]
    )
    return form.format(value), value


def registry(rng: random.Random) -> tuple[str, str]:
    """Name and password of a registry, a proxy, a mail server."""
    value = encoded(f"bob:{word(rng, rng.randrange(8, 24))}")
    form = rng.choice(
        [
            '{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{}"}}}}}}',
            "> Authorization: Basic {}",
            "Authorization: Basic {}",
            "* Server auth using Basic\n> Authorization: Basic {}\r\n> User-Agent: curl/7",
            "-H 'Authorization: Basic {}'",
            '"Authorization": "Basic {}"',
            "proxy-authorization: Basic {}",
            "//registry.example/:_auth={}",
        ]
    )
    return form.format(value), value


def mail(rng: random.Random) -> tuple[str, str]:
    """SMTP's AUTH PLAIN."""
    value = encoded(f"\0bob\0{word(rng, rng.randrange(8, 24))}")
    form = rng.choice(["AUTH PLAIN {}", "C: AUTH PLAIN {}", ">>> AUTH PLAIN {}"])
    return form.format(value), value


def hashed(rng: random.Random) -> tuple[str, str]:
    """A hash of a password, of many makes."""
    letters = ALNUM + "./"
    make, size = rng.choice(
        [
            ("bob:$6$" + word(rng, 8) + "${}:19000:0:99999:7:::", 86),
            ("bob:$5$rounds=5000$" + word(rng, 8) + "${}:19000:0:99999:7:::", 43),
            ("bob:$y$j9T$" + word(rng, 22) + "${}:19000:0:99999:7:::", 43),
            ("bob:$2y$05${}", 53),
            ("bob:$apr1$" + word(rng, 8) + "${}", 22),
            ("bob:{{SHA}}{}=", 27),
            ("userPassword: {{SSHA}}{}==", 38),
            ("$argon2id$v=19$m=65536,t=3,p=4$" + word(rng, 22) + "${}", 43),
            ("SCRAM-SHA-256$4096:" + word(rng, 22) + "==${}=:" + word(rng, 43) + "=", 43),
            ("pbkdf2_sha256$600000$" + word(rng, 22) + "${}=", 43),
        ]
    )
    value = word(rng, size, letters)
    return make.format(value), value


def cloud(rng: random.Random) -> tuple[str, str]:
    """Keys of clouds where they are kept."""
    key = word(rng, 40, ALNUM + "+/")
    azure = base64.b64encode(rng.randbytes(64)).decode()
    signature = base64.b64encode(rng.randbytes(32)).decode().replace("+", "%2B").replace("/", "%2F")
    hexed = rng.randbytes(32).hex()
    return rng.choice(
        [
            (f"[default]\nregion = x\naws_secret_access_key = {key}", key),
            (f'"SecretAccessKey": "{key}",', key),
            (f"AWS_SECRET_ACCESS_KEY={key}", key),
            (f"AKIAIOSFODNN7EXAMPLE,{key}", key),
            (f"    secret_access_key: {key}", key),
            (f"AccountName=x;AccountKey={azure};EndpointSuffix=core.windows.net", azure),
            (f"https://x.blob.core.windows.net/c?sr=c&sig={signature[:-1]}%3D", signature[:-1]),
            (f"https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature={hexed}", hexed),
            (f"https://storage.googleapis.com/b/k?X-Goog-Signature={hexed * 8}", hexed * 8),
            (f"Endpoint=sb://x.servicebus.windows.net/;SharedAccessKey={azure[:43]}=", azure[:43]),
        ]
    )


def key_block(rng: random.Random) -> tuple[str, str]:
    """Private keys of other makes than PEM's usual ones, and in other places."""
    body = base64.b64encode(rng.randbytes(rng.randrange(200, 900))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    pem = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
    indented = "\n".join(f"    {line}" for line in pem.split("\n"))
    return rng.choice(
        [
            ("PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 9\n" + "\n".join(lines), lines[1]),
            (
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n"
                + "\n".join(lines)
                + "\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
                lines[1],
            ),
            (
                '---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: "x"\n' + "\n".join(lines),
                lines[1],
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
                "DEK-Info: AES-256-CBC,0A1B2C3D\n\n" + "\n".join(lines),
                lines[1],
            ),
            (json.dumps({"type": "service_account", "private_key": pem}), lines[1]),
            (json.dumps({"a": json.dumps({"private_key": pem})}), lines[1]),
            (f"tls.key: |\n{indented}", lines[1]),
            (f"key: {json.dumps(pem)}", lines[1]),
            (pem.replace("\n", "\\n"), lines[1]),
            (pem.replace("\n", " "), lines[1]),
            (f"PRIVATE_KEY='{pem}'", lines[1]),
            (encoded(pem), encoded(pem)[80:160]),
            (f"client-key-data: {encoded(pem)}", encoded(pem)[80:160]),
            (f"AGE-SECRET-KEY-1{'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L' * 2}"[:74], "X8GF2TVDW0S3JN"),
        ]
    )


def numbered(rng: random.Random) -> tuple[str, str]:
    """Numbers of people."""
    from tests.corpora_masking import card, iban

    shown, core = rng.choice([card, iban])(rng)
    forms = ["{}", "card: {}", "| {} |", '"pan": "{}"', "{},x", "IBAN {}", "<n>{}</n>", "\t{}\ty"]
    form = rng.choice(forms)
    return form.format(shown), core


SPECIAL: Final[dict[str, Callable[[random.Random], tuple[str, str]]]] = {
    "kubernetes": kubernetes,
    "registry": registry,
    "mail": mail,
    "hashed": hashed,
    "cloud": cloud,
    "key-block": key_block,
    "numbered": numbered,
}


FORMED: Final = len(TOKENS) + len(PASSWORDS) + len(SPECIAL)


def formed(
    rng: random.Random, tokens: list[Callable[[random.Random], tuple[str, str]]]
) -> tuple[str, str, str]:
    """A text of one form, its secret, and what to call it."""
    way = rng.random()
    if way < 0.35:
        text, secret = rng.choice(tokens)(rng)
        form = rng.choice(TOKENS)
        return form.format(text), secret, form
    if way < 0.75:
        letters = rng.choice([ALNUM, ALNUM, ALNUM + "!#+-_.~^*"])
        secret = rng.choice(string.ascii_letters) + word(rng, rng.randrange(7, 24), letters)
        form = rng.choice(PASSWORDS)
        return form.format(secret), secret, form
    name = rng.choice(sorted(SPECIAL))
    text, secret = SPECIAL[name](rng)
    return text, secret, name
