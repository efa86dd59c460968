"""The file of --web.config.file: what is accepted, what is refused and in which words, with promtool as the judge."""

import functools
import os
import re
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from checks.secret import Secret
from exporter.config import ConfigError
from exporter.web.protection import Protection
from exporter.web.webconfig import RateSettings, TlsSettings, load
from tests.certificates import write_certificates
from tests.repo import ROOT, prometheus_programs, require_prometheus

HASH = "$2y$04$CyGq1R.eQbiDJkUvTVVi7.rkjyY8o6E/mnfRnRtGsxL/cVRDGhF0q"
CERT = "cert_file: server.crt, key_file: server.key"
NEW = (3, 5)  # the generation of Prometheus whose exporter-toolkit knows these keys

TLS_ALL_CIPHERS = """
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  prefer_server_cipher_suites: false
  cipher_suites:
    - TLS_AES_128_GCM_SHA256
    - TLS_AES_256_GCM_SHA384
    - TLS_CHACHA20_POLY1305_SHA256
    - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
    - TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
    - TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
    - TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    - TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    - TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
"""

HEADERS = """
http_server_config:
  http2: false
  headers:
    Content-Security-Policy: "default-src 'self'"
    Strict-Transport-Security: max-age=31536000
    X-Content-Type-Options: nosniff
    X-Frame-Options: sameorigin
    X-XSS-Protection: "1"
"""

# Files that both take.
GOOD: Mapping[str, str] = {
    "empty": "",
    "only a comment": "# nothing\n",
    "sections that are empty": "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\n",
    "TLS": f"tls_server_config: {{{CERT}}}",
    "absolute paths": "tls_server_config: {cert_file: FOLDER/server.crt, key_file: FOLDER/server.key}",
    "no client": f"tls_server_config: {{{CERT}, client_auth_type: NoClientCert}}",
    "request client": f"tls_server_config: {{{CERT}, client_auth_type: RequestClientCert}}",
    "require any with CA": f"tls_server_config: {{{CERT}, client_auth_type: RequireAnyClientCert,"
    " client_ca_file: ca.pem}",
    "its older name": f"tls_server_config: {{{CERT}, client_auth_type: RequireClientCert, client_ca_file: ca.pem}}",
    "verify if given": f"tls_server_config: {{{CERT}, client_auth_type: VerifyClientCertIfGiven,"
    " client_ca_file: ca.pem}",
    "mTLS": f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}}",
    "versions": f"tls_server_config: {{{CERT}, min_version: TLS12, max_version: TLS13}}",
    "old versions": f"tls_server_config: {{{CERT}, min_version: TLS10}}",
    "all ciphers": TLS_ALL_CIPHERS,
    "all curves": f"tls_server_config: {{{CERT}, curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]}}",
    "versions without a certificate": "tls_server_config: {min_version: TLS13}",
    "http2": "http_server_config: {http2: true}",
    "headers": HEADERS,
    "an empty header": 'http_server_config: {headers: {X-XSS-Protection: ""}}',
    "users": f"basic_auth_users: {{alice: {HASH}, bob: {HASH.replace('2y', '2a')}}}",
    "a user called yes": f"basic_auth_users: {{yes: {HASH}, 42: {HASH.replace('2y', '2b')}}}",
}

# Files that nobody takes, and our words.
BAD: Mapping[str, tuple[str, str]] = {
    "no YAML": (
        "a: {",
        ":1: is not YAML; what stands there is not shown, as it may be a secret",
    ),
    "a list": ("- a", ": must be a mapping, got a list"),
    "text": ("TLS", ": must be a mapping, got text"),
    "an unknown section": (
        "tls_server_confg: {}",
        ': tls_server_confg: unknown key; did you mean "tls_server_config"?',
    ),
    "an unknown key": (
        f"tls_server_config: {{{CERT}, cert_files: x}}",
        ': tls_server_config.cert_files: unknown key; did you mean "cert_file"?',
    ),
    "a key twice": (
        f"basic_auth_users: {{alice: {HASH}, alice: {HASH}}}",
        ':1: the key "alice" is given twice',
    ),
    "a section that is text": ("http_server_config: x", ": http_server_config: must be a mapping, got text"),
    "no certificate": ("tls_server_config: {key_file: server.key}", ": tls_server_config: needs cert_file (or cert)"),
    "no key": ("tls_server_config: {cert_file: server.crt}", ": tls_server_config: needs key_file (or key)"),
    "a certificate that is not there": (
        "tls_server_config: {cert_file: no.crt, key_file: server.key}",
        ": tls_server_config.cert_file: cannot be read: no such file or directory",
    ),
    "a key that is not there": (
        "tls_server_config: {cert_file: server.crt, key_file: no.key}",
        ": tls_server_config.key_file: cannot be read: no such file or directory",
    ),
    "a key of another certificate": (
        "tls_server_config: {cert_file: server.crt, key_file: client.key}",
        ": tls_server_config.cert_file and key_file: do not belong together (key values mismatch)",
    ),
    "a key for a certificate": (
        "tls_server_config: {cert_file: server.key, key_file: server.key}",
        ": tls_server_config.cert_file: holds no certificate in PEM form",
    ),
    "a certificate for a key": (
        "tls_server_config: {cert_file: server.crt, key_file: server.crt}",
        ": tls_server_config.key_file: holds no private key in PEM form",
    ),
    "an encrypted key": (
        "tls_server_config: {cert_file: server.crt, key_file: encrypted.key}",
        ": tls_server_config.key_file: is encrypted, and there is nobody to ask for its password",
    ),
    "rubbish between the lines": (
        "tls_server_config: {cert_file: rubbish.crt, key_file: server.key}",
        ": tls_server_config.cert_file and key_file: cannot be used together",
    ),
    "a policy that does not exist": (
        f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCerts}}",
        ": tls_server_config.client_auth_type: must be one of: NoClientCert, RequestClientCert,"
        " RequireAndVerifyClientCert, RequireAnyClientCert, VerifyClientCertIfGiven;"
        ' did you mean "RequireAndVerifyClientCert"?',
    ),
    "a CA without a policy": (
        f"tls_server_config: {{{CERT}, client_ca_file: ca.pem}}",
        ": tls_server_config.client_auth_type: is required where there is a client_ca_file;"
        " RequireAndVerifyClientCert checks clients",
    ),
    "a CA that is not there": (
        f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: no.pem}}",
        ": tls_server_config.client_ca_file: cannot be read: no such file or directory",
    ),
    "a cipher that does not exist": (
        f"tls_server_config: {{{CERT}, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA255]}}",
        ': tls_server_config.cipher_suites[0]: unknown; did you mean "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"?',
    ),
    "a cipher that is broken": (
        f"tls_server_config: {{{CERT}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}",
        ": tls_server_config.cipher_suites[0]: unknown",
    ),
    "a curve that does not exist": (
        f"tls_server_config: {{{CERT}, curve_preferences: [CurveP255]}}",
        ': tls_server_config.curve_preferences[0]: unknown; did you mean "CurveP256"?',
    ),
    "a version that does not exist": (
        f"tls_server_config: {{{CERT}, min_version: TLS111}}",
        ': tls_server_config.min_version: must be one of: TLS10, TLS11, TLS12, TLS13; did you mean "TLS11"?',
    ),
    "a header that cannot be set": (
        "http_server_config: {headers: {X-Frame-Option: deny}}",
        ': http_server_config.headers.X-Frame-Option: cannot be set; did you mean "X-Frame-Options"?',
    ),
    "a header in small letters": (
        "http_server_config: {headers: {x-frame-options: deny}}",
        ': http_server_config.headers.x-frame-options: cannot be set; did you mean "X-Frame-Options"?',
    ),
    "a value that is not allowed": (
        "http_server_config: {headers: {X-Frame-Options: DENY}}",
        ": http_server_config.headers.X-Frame-Options: must be one of: deny, sameorigin",
    ),
    "an empty value that is not allowed": (
        'http_server_config: {headers: {X-Content-Type-Options: ""}}',
        ": http_server_config.headers.X-Content-Type-Options: must be nosniff",
    ),
    "http2 that is neither": (
        "http_server_config: {http2: maybe}",
        ": http_server_config.http2: must be true or false",
    ),
    "a password": (
        "basic_auth_users: {alice: Tr0ub4dor}",
        ": basic_auth_users.alice: must be a bcrypt hash, such as htpasswd -nBC 10 makes; not the password itself",
    ),
    "a short hash": (
        f"basic_auth_users: {{alice: {HASH[:50]}}}",
        ": basic_auth_users.alice: must be a bcrypt hash, such as htpasswd -nBC 10 makes; not the password itself",
    ),
    "a hash of another kind": (
        f"basic_auth_users: {{alice: {HASH.replace('$2y', '$6y')}}}",
        ": basic_auth_users.alice: must be a bcrypt hash, such as htpasswd -nBC 10 makes; not the password itself",
    ),
    "an impossible cost": (
        f"basic_auth_users: {{alice: {HASH.replace('$04', '$40')}}}",
        ": basic_auth_users.alice: must be a bcrypt hash, such as htpasswd -nBC 10 makes; not the password itself",
    ),
}

# Files that the newer generation takes: the older has never heard of these keys.
GOOD_SINCE_NEW: Mapping[str, str] = {
    "names of clients": f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCert,"
    " client_ca_file: ca.pem, client_allowed_sans: [prometheus.example]}",
    "a rate limit": "rate_limit: {interval: 1m0.5s, burst: 20}",
    "no rate limit": "rate_limit: {interval: 0, burst: 20}",
    "all inline": """
tls_server_config:
  client_auth_type: RequireAndVerifyClientCert
  cert: |
    SERVER_CERT
  key: |
    SERVER_KEY
  client_ca: |
    CA_CERT
""",
}


@dataclass(frozen=True)
class Stricter:
    """A file that promtool takes and we do not."""

    text: str
    problem: str
    why: str
    new_only: bool = False


STRICTER: Mapping[str, Stricter] = {
    "any certificate": Stricter(
        f"tls_server_config: {{{CERT}, client_auth_type: RequireAnyClientCert}}",
        ": tls_server_config.client_auth_type: RequireAnyClientCert needs client_ca_file: whoever has signed the"
        " clients' certificates",
        "a certificate that anybody can make proves nothing; ssl cannot ask for one without checking it either",
    ),
    "clients of any CA": Stricter(
        f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCert}}",
        ": tls_server_config.client_auth_type: RequireAndVerifyClientCert needs client_ca_file: whoever has signed the"
        " clients' certificates",
        "Go takes the CAs of the system: whoever has any certificate for clients would be let in",
    ),
    "a CA file without a CA": Stricter(
        f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: server.key}}",
        ": tls_server_config.client_ca_file: holds no CA certificate in PEM form",
        "Go lets nobody in then, and says so to nobody",
    ),
    "a cipher without forward secrecy": Stricter(
        f"tls_server_config: {{{CERT}, cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]}}",
        ": tls_server_config.cipher_suites[0]: unknown",
        "on Go's list of insecure suites since 1.22; what promtool takes depends on the Go that it was built with",
    ),
    "a newest version that is too old": Stricter(
        f"tls_server_config: {{{CERT}, min_version: TLS10, max_version: TLS11}}",
        ": tls_server_config.max_version: TLS11 is broken (RFC 8996); the oldest that is spoken is TLS12",
        "OpenSSL does not speak them with its default security level",
    ),
    "versions the wrong way round": Stricter(
        f"tls_server_config: {{{CERT}, min_version: TLS13, max_version: TLS12}}",
        ": tls_server_config.max_version: is older than the oldest version that may be spoken",
        "no client could connect",
    ),
    "a header of two lines": Stricter(
        'http_server_config: {headers: {X-XSS-Protection: "1\\r\\nSet-Cookie: a=b"}}',
        ": http_server_config.headers.X-XSS-Protection: must be printable ASCII on one line",
        "Go cleans it while it answers; nobody has meant it",
    ),
    "a name with a colon": Stricter(
        f'basic_auth_users: {{"a:b": {HASH}}}',
        ": basic_auth_users.a:b: a name must be printable, and without a colon (RFC 7617)",
        "nobody can log in under it",
    ),
    "nobody's name": Stricter(
        f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem,"
        " client_allowed_sans: []}",
        ": tls_server_config.client_allowed_sans: must hold at least one name, or nobody could connect",
        "no client could connect",
        new_only=True,
    ),
    "names that nobody looks at": Stricter(
        f"tls_server_config: {{{CERT}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem,"
        " client_allowed_sans: [prometheus.example]}",
        ": tls_server_config.client_allowed_sans: needs client_auth_type RequireAndVerifyClientCert",
        "whoever gives no certificate gets round it; newer versions of exporter-toolkit refuse it, too",
        new_only=True,
    ),
    "a bucket without a bottom": Stricter(
        "rate_limit: {interval: 1s}",
        ": rate_limit.burst: must be at least 1, or every request would be refused",
        "every request would be refused",
        new_only=True,
    ),
    "two certificates": Stricter(
        f"tls_server_config: {{{CERT}, cert: x}}",
        ": tls_server_config: give cert or cert_file, not both",
        "which of the two is served is nowhere written",
        new_only=True,
    ),
}
BAD_SINCE_NEW: Mapping[str, tuple[str, str]] = {
    "a rate that is no duration": (
        "rate_limit: {interval: 5 minutes, burst: 1}",
        ': rate_limit.interval: must be a duration such as "1s" or "100ms"',
    ),
    "a burst that is no number": (
        "rate_limit: {interval: 1s, burst: many}",
        ": rate_limit.burst: must be a whole number of requests",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates, to which the paths in the files are relative."""
    path = tmp_path_factory.mktemp("web")
    write_certificates(path)
    head, _, rest = (path / "server.crt").read_text().partition("\n")
    (path / "rubbish.crt").write_text(f"{head}\n!!!{rest}")
    return path


def write(folder: Path, name: str, text: str) -> Path:
    def inline(file: str) -> str:
        return (folder / file).read_text().strip().replace("\n", "\n    ")

    for placeholder, file in (("SERVER_CERT", "server.crt"), ("SERVER_KEY", "server.key"), ("CA_CERT", "ca.pem")):
        if placeholder in text:
            text = text.replace(placeholder, inline(file))
    path = folder / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.yml"
    path.write_text(text.replace("FOLDER", str(folder)), encoding="utf-8")
    return path


def problems(path: Path) -> str | None:
    """What we find wrong, without the path; None for nothing."""
    try:
        Protection(path)
    except ConfigError as error:
        return "\n".join(line.removeprefix(str(path)) for line in error.problems)
    return None


@pytest.mark.parametrize("name", [*GOOD, *GOOD_SINCE_NEW])
def test_a_good_file_is_taken(folder: Path, name: str) -> None:
    text = GOOD.get(name) or GOOD_SINCE_NEW.get(name, "")
    assert problems(write(folder, name, text)) is None


@pytest.mark.parametrize("name", [*BAD, *BAD_SINCE_NEW])
def test_a_bad_file_is_refused_in_our_words(folder: Path, name: str) -> None:
    text, words = (BAD | BAD_SINCE_NEW)[name]  # type: ignore[operator]
    found = problems(write(folder, name, text))
    assert found is not None
    assert (
        found.startswith(words) if name in {"a cipher that is broken", "rubbish between the lines"} else found == words
    )


@pytest.mark.parametrize("name", STRICTER)
def test_what_could_not_work_or_would_be_weak_is_refused(folder: Path, name: str) -> None:
    found = problems(write(folder, name, STRICTER[name].text))
    assert found is not None
    assert found.startswith(STRICTER[name].problem)


@functools.cache
def promtool_says(promtool: str, folder: Path) -> Mapping[str, bool]:
    """Whether promtool takes each file of all tables; one start for all of them."""
    texts = {
        **GOOD,
        **GOOD_SINCE_NEW,
        **{name: text for name, (text, _) in (*BAD.items(), *BAD_SINCE_NEW.items())},
        **{name: row.text for name, row in STRICTER.items()},
    }
    paths = {name: write(folder, name, text) for name, text in texts.items()}
    assert len(set(paths.values())) == len(texts)
    done = subprocess.run(
        [promtool, "check", "web-config", *map(str, paths.values())],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    verdicts = {}
    for name, path in paths.items():
        match = re.search(rf"^{re.escape(str(path))} (SUCCESS$|FAILED:)", said, flags=re.MULTILINE)
        assert match is not None, (name, said)
        verdicts[name] = match[1] == "SUCCESS"
    return verdicts


@pytest.mark.parametrize("major", [None, 3])
def test_promtool_is_of_our_opinion_but_where_we_are_stricter(folder: Path, major: int | None) -> None:
    programs = require_prometheus(major)
    is_new = programs.version >= NEW
    says = promtool_says(programs.promtool, folder)
    expected = {
        **dict.fromkeys(GOOD, True),
        **dict.fromkeys(BAD, False),
        **dict.fromkeys(GOOD_SINCE_NEW, is_new),
        **dict.fromkeys(BAD_SINCE_NEW, False),
        **{name: is_new or not row.new_only for name, row in STRICTER.items()},
    }
    if is_new:  # built with a Go that is of our opinion
        expected["a cipher without forward secrecy"] = False
    assert {name: said for name, said in says.items() if said != expected[name]} == {}


def test_both_generations_of_promtool_were_asked() -> None:
    if os.environ.get("CI") == "true":
        assert len({programs.version[0] for programs in prometheus_programs()}) > 1


# --- what becomes of it ------------------------------------------------------------------------------


def tls(folder: Path, text: str) -> TlsSettings:
    settings = load(write(folder, "tls", f"tls_server_config: {{{CERT}{text}}}")).tls
    assert settings is not None
    return settings


def test_everything_that_is_given_is_read(folder: Path) -> None:
    text = f"""
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.example, 192.0.2.7]
  min_version: TLS13
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: off
  curve_preferences: [CurveP384]
http_server_config:
  headers: {{X-Frame-Options: sameorigin}}
basic_auth_users:
  alice: {HASH}
rate_limit: {{interval: 1h1m1.5s, burst: 7}}
"""
    config = load(write(folder, "everything", text))
    assert config.tls == TlsSettings(
        certificate=folder / "server.crt",
        key=folder / "server.key",
        client_ca=folder / "ca.pem",
        requires_client=True,
        client_sans=frozenset({"prometheus.example", "192.0.2.7"}),
        ciphers=("ECDHE-RSA-AES128-GCM-SHA256",),
        prefers_own_ciphers=False,
        curve="secp384r1",
        oldest=ssl.TLSVersion.TLSv1_3,
        newest=ssl.TLSVersion.TLSv1_3,
    )
    assert config.headers == {"X-Frame-Options": "sameorigin"}
    assert config.users == {"alice": HASH}
    assert config.rate == RateSettings(interval_seconds=3661.5, burst=7)
    assert config.warnings == ()
    assert config.files() == (folder / "server.crt", folder / "server.key", folder / "ca.pem")


def test_what_is_left_out_is_what_exporter_toolkit_has(folder: Path) -> None:
    settings = tls(folder, "")
    assert (settings.oldest, settings.newest) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert settings.prefers_own_ciphers
    assert (settings.client_ca, settings.ciphers, settings.curve) == (None, (), None)


def test_only_suites_of_the_newest_version_mean_that_version(folder: Path) -> None:
    assert tls(folder, ", cipher_suites: [TLS_AES_128_GCM_SHA256]").oldest is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            f"tls_server_config: {{{CERT}, client_auth_type: RequireAnyClientCert, client_ca_file: ca.pem}}",
            "tls_server_config.client_auth_type: a certificate that nobody has signed proves nothing, so that"
            " RequireAnyClientCert is taken as RequireAndVerifyClientCert",
        ),
        (
            f"tls_server_config: {{{CERT}, client_auth_type: RequestClientCert}}",
            "tls_server_config.client_auth_type: RequestClientCert checks nothing, so that no certificate is asked for",
        ),
        (
            f"tls_server_config: {{{CERT}, min_version: TLS11}}",
            "tls_server_config.min_version: TLS11 is broken (RFC 8996); the oldest that is spoken is TLS12",
        ),
        (
            f"tls_server_config: {{{CERT}, curve_preferences: [X25519, CurveP256]}}",
            "tls_server_config.curve_preferences: of a list, only the first can be set here: X25519 alone is used",
        ),
        (
            "tls_server_config: {min_version: TLS13}",
            "tls_server_config: has no cert_file and key_file, so nothing is encrypted",
        ),
        (
            "http_server_config: {http2: true}",
            "http_server_config.http2: is ignored; HTTP/1.1 is spoken, which every Prometheus takes",
        ),
        (
            f"basic_auth_users: {{alice: {HASH}}}",
            "basic_auth_users: without tls_server_config passwords cross the network readable by others",
        ),
        (
            f"tls_server_config: {{{CERT}}}\nbasic_auth_users: {{alice: {HASH.replace('$04', '$18')}}}",
            "basic_auth_users.alice: a cost of 18 takes seconds of a processor for each wrong password;"
            " 10 to 12 is usual",
        ),
    ],
)
def test_what_is_done_otherwise_is_said(folder: Path, text: str, warning: str) -> None:
    path = write(folder, "warned", text)
    assert Protection(path).warnings == (f"{path}: {warning}",)


def test_all_that_is_wrong_is_said_at_once(folder: Path) -> None:
    path = write(
        folder,
        "much",
        "tls_server_config: {key_file: a, min_version: x}\nbasic_auth_users: {a: b}\nrate_limit: {interval: x}\nzzz: 1",
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert [line.partition(": ")[2].partition(": ")[0] for line in caught.value.problems] == [
        "zzz",
        "tls_server_config.min_version",
        "tls_server_config",
        "basic_auth_users.a",
        "rate_limit.interval",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f"basic_auth_users: {{alice: {HASH}}}",
            "basic_auth_users: the clock page is for clients without an account, and callbacks are signed",
        ),
        (
            "rate_limit: {interval: 1s, burst: 9}",
            "rate_limit: strangers would use it up, and the callbacks of providers be turned away",
        ),
    ],
)
def test_a_public_listener_has_no_users_and_no_limit_for_all(folder: Path, text: str, problem: str) -> None:
    path = write(folder, "public", text)
    assert problems(path) is None
    with pytest.raises(ConfigError) as caught:
        load(path, is_public=True)
    assert caught.value.problems == (f"{path}: {problem}",)


def test_nothing_that_may_be_a_secret_is_quoted(folder: Path) -> None:
    secret = "hunter2hunter2"
    for text in (
        f"basic_auth_users: {{alice: {secret}}}",
        f"basic_auth_users: {{alice: *{secret}}}",
        f"basic_auth_users: {{alice: !{secret} x}}",
        f"basic_auth_users: {secret}",
        f"tls_server_config: {{key: {secret}, cert: {secret}}}",
        f"tls_server_config: {{key: [{secret}]}}",
        f"tls_server_config: {{{CERT}, client_auth_type: {secret}}}",
        f"tls_server_config: {{{CERT}, cipher_suites: [{secret}]}}",
        f"http_server_config: {{headers: {{X-Frame-Options: {secret}}}}}",
        f"rate_limit: {{interval: {secret}, burst: {secret}}}",
        f"a: '{secret}\nb: {secret}",
        f"a: {secret}: {secret}",
    ):
        found = problems(write(folder, "secret", text))
        assert found is not None
        assert secret not in found


def test_an_inline_key_does_not_show_itself(folder: Path) -> None:
    config = load(write(folder, "inline", GOOD_SINCE_NEW["all inline"]))
    assert config.tls is not None
    assert isinstance(config.tls.key, Secret)
    assert "PRIVATE" not in repr(config)
    assert config.files() == ()


def test_a_file_that_is_not_there_is_refused(folder: Path) -> None:
    assert problems(folder / "none.yml") == ": cannot be read: no such file or directory"


def test_the_example_of_the_security_notes_is_taken(folder: Path) -> None:
    notes = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    match = re.search(r"```yaml\n(.*?)```", notes, flags=re.DOTALL)
    assert match is not None
    (folder / "clients-ca.crt").write_bytes((folder / "ca.pem").read_bytes())
    assert problems(write(folder, "example", match[1].replace("$2y$10$…", HASH))) is None
