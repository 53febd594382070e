"""Small program spaces, as text: hypothesis draws them, and they shrink."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = ["a", "b", "ab", "a\n", "  b", "(", "1", '"', "\\", "é", "{{", "}}", "a\n  b", "\n\nb", "/"]


@st.composite
def space_texts(draw: st.DrawFn) -> str:
    """Two to four rules, each using only later ones, some of them repeated, one perhaps within itself."""
    last = draw(st.integers(1, 3))
    kinds = ["choice"] + [draw(st.sampled_from(["choice", "subset", "int", "levels"])) for _ in range(last)]
    lines = []
    used: set[int] = set()
    for at, kind in enumerate(kinds):
        if at not in used and at > 0:
            continue
        name = f"r{at}: int"
        if kind == "int":
            low = draw(st.integers(0, 9))
            lines.append(f"r{at}: int = {low} .. {low + draw(st.integers(1, 3))}")
        elif kind == "levels":
            lines.append(f"r{at}: int = [1, 11]")
        else:
            most = 3 if kind == "choice" else 2
            later = [i for i in range(at + 1, last + 1)]
            # What is next comes at least once: otherwise most spaces would have one rule.
            texts = [_template(draw, later, used, must=i == 0) for i in range(draw(st.integers(1, most)))]
            depth = ""
            if kind == "choice" and at > 0 and draw(st.booleans()):
                depth = " depth 2"
                texts.append(draw(st.sampled_from([f"({{r{at}}})", f"b{{r{at}}}"])))
            bodies = "\n".join(f"    | l{i}: '''{text}'''" for i, text in enumerate(texts))
            lines.append(f"{name}{depth} = {'subset' if kind == 'subset' else ''}\n{bodies}")
    return "\n".join(lines)


def _template(draw: st.DrawFn, later: list[int], used: set[int], must: bool) -> str:
    text = "".join(draw(st.lists(st.sampled_from(PIECES), max_size=2)))
    if later and (must or draw(st.booleans())):
        chosen = draw(st.sampled_from(later[:2]))
        used.add(chosen)
        times = draw(st.sampled_from(["", "", " * 0..1", " * 1..2", " * 2..2", " * 0..2 default 1"]))
        between = draw(st.sampled_from(["", "", ' sep ", "', ' sep "a"'])) if times else ""
        hole = f"{{r{chosen}{times}{between}}}"
        text += draw(
            st.sampled_from([hole, f"x{hole}.", f"x\n  {hole}", f"x\n  {hole}\ny", f"\n    {hole}\nz"])
        )
    return text
