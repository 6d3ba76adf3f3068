"""Secrets that are known by what they are called: `password: correct-horse-battery`, `Authorization: Basic ...`."""

import re

_WORDS = re.compile(
    rb"key|se(?:cret|nha)|token|p(?:ass|wd|hrase|w\b|in\b)|bearer|authorization|credential|mnemonic|kennwort|contrase"
    rb"|mot de|wachtw|cookie"
)
_OTHER_WORDS = re.compile("asło|ароль|密码|密碼|パスワ-ド|비밀번호")


def may_name_secrets(text: str) -> bool:
    """Whether a text has any word that a secret is known by; quick, for those without."""
    lowered = text.encode("ascii", "replace").lower()
    return bool(_WORDS.search(lowered)) or (not text.isascii() and bool(_OTHER_WORDS.search(text)))


_OF_PEOPLE = (
    r"passw(?:or)?d|passphrase|pass[ _-]?code|pwd|passwort|kennwort|contrase[nñ]a|senha|mot de passe|wachtwoord|hasło"
    r"|пароль|密码|密碼|パスワ-ド|비밀번호|pass|pw|pin(?:[ _-]?code)?"
)
_IN_WORDS = r"passphrase|(?:seed|recovery|secret|pass)[ _-]phrase|mnemonic"
_OF_PROGRAMS = (
    r"(?:api|access|secret|private|account|shared|signing|encryption|client|auth|refresh|bot|app|webhook|session)"
    r"(?:[ _-]?access)?[ _-]?(?:key|secret|token)"
)
_OF_BOTH = r"secret|token|bearer|credentials?"
_AFTER_NAME = r"[\"'`*_]{0,3}"
NAMED_SECRET = re.compile(
    r"(?=[abcehkmprstw密пパ비])"  # what they begin with; then: a name begins there, or goes on in camel case
    r"(?:(?<![^\W_])|(?-i:(?<=[a-z])(?=[A-Z])))(?:"
    rf"(?:{_IN_WORDS}){_AFTER_NAME}\s{{0,3}}(?::|=|\bis\b:?){_AFTER_NAME}\s{{0,3}}"
    r"(?P<phrase>[a-z]{2,12}(?:[ ]{1,2}[a-z]{2,12}){3,23})"
    r"|authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:basic|bearer|token|digest|negotiate|apikey)\s{1,3}"
    r"(?P<header>[^\s\"',;\0]{6,4000})"
    r"|cookie[\"']?\s{0,3}:\s{0,3}[\"']?(?P<cookies>[^\s=;\"'\0]{1,64}=[^\r\n\"'\0]{4,4000})"
    rf"|(?:(?P<password>{_OF_PEOPLE})|(?P<key>{_OF_PROGRAMS})|{_OF_BOTH})"
    rf"(?P<sign>{_AFTER_NAME}\s{{0,3}}(?:[:=]>?{_AFTER_NAME}\s{{0,3}}|\bis\b:?\s{{1,3}}|(?<=bearer)\s))"
    r"(?:(?P<quote>[\"'`])(?P<quoted>[^\"'`\r\n\0]{4,200})(?P=quote)"
    r"|[\"'`]?(?P<value>[^\s\"'`,;\0]{4,200}))"
    r")",
    re.IGNORECASE,
)

_REDACTED = re.compile(r"\[(?:card|email|iban|ip|key|phone)\]")
_NO_SECRET = re.compile(
    r"[*•.xX]+$|[<{%$\[]|(?i:your|my)[_-]"  # a placeholder
    r"|[A-Za-z_][\w.]{0,100}[(\[{]|(?:self|this|os|config|settings|args|request|process|env)\."  # code
    r"|(?:\./|~/|/)[\w./-]*$|\w{2,10}://"  # where it is
)
_STRONG = re.compile(r"[^\W\d_][!#$%^&*+=~|?@\\]|[!#$%^&*+=~|?@\\][^\W\d_]")
_JOINED = re.compile(r"[^\W\d_]{2,}(?:[-_.+][^\W\d_]{2,}){2,}")
_ENDS_LINE = re.compile(r"[\"'`]?[ \t]*(?:$|[\r\n,;])")
_SAID_OF_PASSWORDS = frozenset(
    "accepted boolean changed confidential correct default disabled empty enabled encrypted example expired failed"
    " forgot forgotten hashed hidden incorrect integer invalid masked medium missing needed nothing nullable optional"
    " placeholder please private prompt protected public redacted rejected removed required string strong success"
    " unchanged undefined unknown unset updated varchar".split()
)


def secret_span(found: re.Match[str]) -> tuple[int, int] | None:
    """Where in a match the secret is, if that is what follows the name."""
    for name in ("phrase", "header", "cookies", "quoted"):
        if found[name] is not None:
            is_secret = name != "quoted" or _is_secret(found[name], found, found.end())
            return found.span(name) if is_secret and not _REDACTED.search(found[name]) else None
    start = found.start("value")
    value = found["value"].rstrip(".:?>}])")
    return (start, start + len(value)) if _is_secret(value, found, start + len(value)) else None


def _is_secret(value: str, found: re.Match[str], end: int) -> bool:
    """Whether a value is more than a word about the secret, a placeholder or a piece of code."""
    if _NO_SECRET.match(value) or _REDACTED.search(value):
        return False
    password, is_said = found["password"], found["sign"].strip().lower().startswith("is")
    if password is not None and password.lower().startswith("pin"):
        return value.isdigit() and 4 <= len(value) <= 12
    if any(char.isdigit() for char in value):
        return len(value) >= (8 if password is None else 5 if password.lower() != "pass" or not value.isdigit() else 8)
    if len(value) < 6 or may_name_secrets(value):
        return False  # the name of a variable
    if password is None:
        least = 16 if found["key"] is not None else 20
        is_random = value.lower() != value != value.upper() and value.isalnum() and len(value) >= least
        return is_random or (not is_said and _JOINED.fullmatch(value) is not None and len(value) >= 12)
    if _STRONG.search(value) or (_JOINED.fullmatch(value) and len(value) >= (15 if is_said else 8)):
        return True
    is_word = value.lower() in _SAID_OF_PASSWORDS or (
        found["quoted"] is None and not _ENDS_LINE.match(found.string, end)
    )
    return not is_said and not is_word
