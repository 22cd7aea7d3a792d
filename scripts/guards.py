"""Finds the guards of the on-chain program in its sources, and what each source is without one of them."""

import re

# Guards that no pattern finds: (file, what is there, what stands for its absence).
BY_HAND = [
    # Without its first operand this closure's argument has no type.
    ("instructions/lock.rs", "|key| vault.is_client(key)", "|key| false && vault.is_client(key)"),
    ("voucher.rs", "verify_with_hasher_strict::", "brine_ed25519::verify_with_hasher::"),
    ("state/config.rs", "Preset::Far if reputation.fees_completed < self.rated_fees_min => Shares::FAR,", ""),
    (
        "instructions/expire.rs",
        "let worker = worker.as_ref().ok_or(ProgramErrorCode::WrongWorker)?;\n"
        "            worker.load_mut()?.job_ended(stored.credited > 0)?;",
        "if let Some(worker) = worker.as_ref() { worker.load_mut()?.job_ended(stored.credited > 0)?; }",
    ),
]


def closing(text, opening):
    """Position behind the bracket that closes the one at `opening`."""
    depth = 0
    for at in range(opening, len(text)):
        depth += text[at] in "([{"
        depth -= text[at] in ")]}"
        if depth == 0:
            return at + 1
    raise ValueError(f"no end: {text[opening:opening + 80]}")


def items(text, start, end):
    """Spans between the commas of a list, those of inner lists apart."""
    spans, begin, at = [], start, start
    while at < end:
        if text[at] in "([{":
            at = closing(text, at)
        elif text[at] == ",":
            spans.append((begin, at))
            begin = at = at + 1
        else:
            at += 1
    return [(a, b) for a, b in spans + [(begin, end)] if text[a:b].strip()]


def accounts(text):
    """Constraints of accounts: `has_one`, `constraint`, `address`, and `seeds` where nothing is created."""
    for found in re.finditer(r"#\[account\(", text):
        opening = found.end() - 1
        end = closing(text, opening) - 1
        parts = [text[a:b].strip() for a, b in items(text, opening + 1, end)]
        creates = "init" in parts

        def without(dropped):
            return opening + 1, end, ", ".join(part for part in parts if part not in dropped)

        for part in parts:
            if re.match(r"(has_one|constraint|address) =", part):
                yield part, *without([part])
            elif part.startswith("seeds =") and not creates:
                yield part, *without([part] + [other for other in parts if other.startswith("bump")])


def types(text):
    """Accounts that must sign, and the system's program, which must be itself."""
    for found in re.finditer(r"pub (\w+): (Signer<'info>|Program<'info, System>),", text):
        yield f"{found[1]}: {found[2]}", *found.span(2), "UncheckedAccount<'info>"


def statements(text):
    """`require!`, `if … { return a refusal }`, checks that are called for their refusal alone, invariants."""
    for found in re.finditer(r"require\w*!\(", text):
        end = closing(text, found.end() - 1)
        yield text[found.start():end], found.start(), end + 1, ""
    for found in re.finditer(r"^( *)if [^{]*\{\n\s*return (?:refuse|Err)\([^\n]*;\n\1\}", text, re.M):
        yield found[0], *found.span(), ""
    for found in re.finditer(r"^ *(\S[^\n;]*\.(?:may_close|check)\([^\n]*\)\?);", text, re.M):
        yield found[1], *found.span(), ""
    for found in re.finditer(r"[\w.]+\.invariant\(", text):
        end = closing(text, found.end() - 1)
        is_last = not text.startswith("?", end)
        if text[found.start():end] != "rules.invariant()":  # stands in a `require!`
            yield text[found.start():end], found.start(), end if is_last else end + 2, "Ok(())" if is_last else ""
    for found in re.finditer(r"(?<!return )(?<!fn )\brefuse\(", text):
        end = closing(text, found.end() - 1)
        line = text[text.rfind("\n", 0, end) + 1:end].strip()
        yield line, found.start(), end, "Ok(())"
    for found in re.finditer(r"#\[access_control\(.*\)\]\n", text):
        what = re.search(r"pub fn \w+", text[found.end():])[0]
        yield f"access_control of {what}", *found.span(), ""


def operands(text):
    """Each operand of `&&` and `||`."""
    operator = re.compile(r"\s(&&|\|\|)\s")
    for found in operator.finditer(text):
        if re.match(r"\s*//", text[text.rfind("\n", 0, found.start() + 1) + 1:]):
            continue
        start, end = found.start(), found.end()
        first = re.compile(r"([(\[{,;]|\s=\s|=>|\bif|\breturn|&&|\|)\s*$")
        while not first.search(text[max(0, start - 40):start]):
            start = start - 1 if text[start - 1] not in ")]}" else opening_of(text, start - 1)
        while text[end] not in ")]},;{" and not operator.match(text, end):
            end = closing(text, end) if text[end] in "([" else end + 1
        left, right = text[start:found.start()], text[found.end():end]
        if not text[:start].rstrip().endswith(("&&", "||")):
            yield f"{left.strip()} {found[1]}", start, found.end(), ""
        yield f"{found[1]} {right.strip()}", found.start(), found.end() + len(right.rstrip()), ""


def opening_of(text, closing_bracket):
    depth = 0
    for at in range(closing_bracket, -1, -1):
        depth += text[at] in ")]}"
        depth -= text[at] in "([{"
        if depth == 0:
            return at
    raise ValueError("no beginning")


def guards(name, text):
    """(guard, start, end, what stands for its absence), in the order of the source."""
    found = [guard for kind in (accounts, types, statements, operands) for guard in kind(text)]
    for file, there, absent in BY_HAND:
        if file == name:
            at = text.index(there)
            found.append((there, at, at + len(there), absent))
    return sorted(found, key=lambda guard: guard[1:3])
